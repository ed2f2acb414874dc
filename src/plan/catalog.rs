//! What the static checks must know of an action, without knowing the action.

use serde_json::Value;

use crate::document::yaml;

/// What is wrong with the text of the parameter of that name.
pub type TextCheck = fn(&str, &str) -> Option<yaml::Error>;

/// The actions that a plan may name.
pub trait Catalog: Send + Sync {
    /// The action of that name.
    fn action(&self, name: &str) -> Option<&ActionInfo>;
    /// All actions, by name.
    fn actions(&self) -> Vec<&ActionInfo>;
}

/// One action, as its documentation and the static checks see it.
#[derive(Debug, Clone, Copy)]
pub struct ActionInfo {
    /// Name in plans, such as `node.file`.
    pub name: &'static str,
    /// One line of documentation.
    pub summary: &'static str,
    /// Where it runs.
    pub runs_on: RunsOn,
    /// Whether it can change anything.
    pub role: Role,
    /// Whether it only looks by its parameters, whatever its role; they may be templates yet.
    pub is_read_only: fn(&Value) -> bool,
    /// Whether all that it changes on a host can be kept before and put back: files, links, live kernel parameters.
    pub is_revertible: bool,
    /// What later steps may use.
    pub outputs: &'static [Output],
    /// Parameters one of which (or `when`) a step must have, since it would do the same again in each run without. None:
    /// it needs no guard.
    pub conditions: &'static [&'static str],
    /// A step as one would write it in a plan.
    pub example: &'static str,
    /// JSON Schema of the parameters. String properties with `"format": "template"` name a template file whose rendered
    /// text the action gets; `"format": "file"` a file that is taken as it is, `"format": "written"` one that it writes.
    pub schema: fn() -> Value,
    /// Where the text of a file, or of a string, is read by rules of others: what is wrong with the text of a parameter. Of
    /// parameters that it does not know, nothing is.
    pub check_text: Option<TextCheck>,
    /// Checks rendered parameters: types, required ones, values that exclude each other.
    pub validate: fn(&Value) -> Result<(), ParamError>,
}

/// Where an action runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunsOn {
    /// On each host of the step's `hosts`.
    Host,
    /// Once, from the machine that runs the tool.
    Controller,
    /// As [`Place::Controller`], and it reaches a cluster's API: a run of such a plan holds a lock in the cluster.
    Cluster,
}

/// Whether an action can change anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It only looks; a resumed run looks again.
    Check,
    /// It brings about a state; a resumed run keeps it when nothing it depends on has changed.
    Change,
}

/// A value that a step hands on.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Name in templates.
    pub name: &'static str,
    /// What it is, with its unit.
    pub about: &'static str,
}

/// A parameter that an action refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamError {
    /// JSON pointer to the parameter (`/values/0`); empty for the step as a whole.
    pub pointer: String,
    /// What is wrong with it.
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
