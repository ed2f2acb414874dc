//! What the static checks need to know about actions. The plan module names no action: the actions come in as a
//! [`Catalog`].

use serde_json::Value;

use crate::document::yaml;

/// Checks a text: takes the name of the parameter and its text, returns the error if there is one.
pub type TextCheck = fn(&str, &str) -> Option<yaml::Error>;

/// The actions that a plan may name.
pub trait Catalog: Send + Sync {
    fn action(&self, name: &str) -> Option<&ActionInfo>;
    /// All actions, sorted by name.
    fn actions(&self) -> Vec<&ActionInfo>;
}

/// One action, as the documentation and the static checks see it.
#[derive(Debug, Clone, Copy)]
pub struct ActionInfo {
    /// Name in plans, such as `node.file`.
    pub name: &'static str,
    /// One line of documentation.
    pub summary: &'static str,
    pub runs_on: RunsOn,
    pub role: Role,
    /// Whether the action changes nothing with these parameters, even if its role is [`Role::Change`]. The parameters
    /// may still contain templates.
    pub is_read_only: fn(&Value) -> bool,
    /// Whether everything that the action changes on a host can be backed up and restored: files, links, live kernel
    /// parameters.
    pub is_revertible: bool,
    /// Values that later steps can use.
    pub outputs: &'static [Output],
    /// Parameters of which a step must have at least one (or `when`), because without them the step would act again in
    /// each run. Empty: no condition is needed.
    pub conditions: &'static [&'static str],
    /// An example step in TOML.
    pub example: &'static str,
    /// JSON Schema of the parameters. The `format` of a string property says that it names a file of the project:
    /// `template` a template, whose rendered text the action gets; `file` a text file; `source` a file of any size and
    /// kind; `folder` a folder; `written` a file that the step writes.
    pub schema: fn() -> Value,
    /// Checks parameters whose text other tools parse, such as Kubernetes manifests. Returns no error for all other
    /// parameters.
    pub check_text: Option<TextCheck>,
    /// Checks rendered parameters: types, required parameters, and values that exclude each other.
    pub validate: fn(&Value) -> Result<(), ParamError>,
}

/// Where an action runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunsOn {
    /// On each host of the step's `hosts`.
    Host,
    /// Once, from the machine that runs the tool.
    Controller,
    /// Like [`RunsOn::Controller`], and the action uses the API of a cluster: a run of such a plan holds a lock in the
    /// cluster.
    Cluster,
}

/// Whether an action can change anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The action changes nothing. A resumed run runs it again.
    Check,
    /// The action establishes a state. A resumed run skips it if nothing it depends on has changed.
    Change,
}

/// A value that a step provides to later steps.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Name in templates.
    pub name: &'static str,
    /// Description, with the unit.
    pub about: &'static str,
}

/// A parameter value that an action refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamError {
    /// JSON pointer to the parameter (`/values/0`); empty for the step as a whole.
    pub pointer: String,
    pub message: String,
}

/// Refuses the parameter `name` (a path such as `uris/0` for a value inside; empty for the step as a whole).
///
/// # Errors
/// Always.
pub fn refuse<T>(name: &str, message: impl Into<String>) -> Result<T, ParamError> {
    let pointer = if name.is_empty() { String::new() } else { format!("/{name}") };
    Err(ParamError { pointer, message: message.into() })
}
