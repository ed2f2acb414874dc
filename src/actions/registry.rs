//! [`Spec`] describes an action's type, and [`Registry`] finds an action's code and documentation by its name.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[cfg(test)]
use super::declared::Case;
use super::watched::Watched;
use super::{Action, ActionRef};
use crate::plan::{ActionInfo, Catalog, Output, ParamError, Role, RunsOn, TextCheck};
use crate::secret;

/// The type of an action: its fields are the parameters in plans, and their doc comments the parameters' documentation.
pub trait Spec: Action + DeserializeOwned + JsonSchema + Sized + 'static {
    /// Name in plans, such as `node.file`.
    const NAME: &'static str;
    /// Documentation in one line, without a full stop.
    const SUMMARY: &'static str;
    const RUNS_ON: RunsOn;
    /// Whether the action can change anything.
    const ROLE: Role;
    /// Whether all changes on a host are files, links and live kernel parameters: a `guard` can back these up and restore
    /// them.
    const IS_REVERTIBLE: bool = false;
    /// Values that later steps may use.
    const OUTPUTS: &'static [Output] = &[];
    /// Parameters that keep a step from doing its work in every run. A step that is no handler needs one of them, or `when`.
    /// Empty: the action compares states, and needs no condition.
    const CONDITIONS: &'static [&'static str] = &[];
    /// Checks the syntax of parameters whose text is a format of its own, such as a Kubernetes manifest.
    const CHECK_TEXT: Option<TextCheck> = None;
    /// A step with this action, as one would write it in a plan.
    const EXAMPLE: &'static str;

    /// Checks what types cannot express, such as parameters that exclude each other.
    ///
    /// # Errors
    /// The parameter that breaks a rule.
    fn rules(&self) -> Result<(), ParamError> {
        Ok(())
    }

    /// Cases for the test that changes of parameters are detected. A case that shares its made-up host or cluster with other
    /// actions is in `src/actions/declared` instead.
    #[cfg(test)]
    fn cases() -> Vec<Case> {
        Vec::new()
    }
}

/// The actions by their names.
pub struct Registry {
    entries: Vec<Entry>,
}

struct Entry {
    info: ActionInfo,
    build: fn(&Value) -> Result<ActionRef, ParamError>,
    #[cfg(test)]
    cases: fn() -> Vec<Case>,
}

impl Registry {
    pub fn empty() -> Self {
        Self { entries: Vec::new() }
    }

    /// Sorts the actions by name.
    pub(super) fn sorted(mut self) -> Self {
        self.entries.sort_by_key(|e| e.info.name);
        self
    }

    pub fn add<T: Spec>(&mut self) {
        self.entries.push(Entry {
            info: ActionInfo {
                name: T::NAME,
                summary: T::SUMMARY,
                runs_on: T::RUNS_ON,
                role: T::ROLE,
                is_read_only: |params| T::deserialize(params).is_ok_and(|action| action.is_read_only()),
                is_revertible: T::IS_REVERTIBLE,
                outputs: T::OUTPUTS,
                conditions: T::CONDITIONS,
                example: T::EXAMPLE,
                schema: || schemars::schema_for!(T).to_value(),
                check_text: T::CHECK_TEXT,
                validate: |params| parse::<T>(params).map(drop),
            },
            build: |params| Ok(Watched::wrap(Arc::new(parse::<T>(params)?), secret::value_has_secret(params))),
            #[cfg(test)]
            cases: T::cases,
        });
    }

    /// Builds the action of a step from its rendered parameters.
    ///
    /// # Errors
    /// The parameter that the action refuses; the step as a whole if no action has this name.
    pub fn build(&self, name: &str, params: &Value) -> Result<ActionRef, ParamError> {
        let entry = self.entries.iter().find(|e| e.info.name == name);
        let entry = entry
            .ok_or_else(|| ParamError { pointer: String::new(), message: format!("no action is named {name}") })?;
        (entry.build)(params)
    }

    /// The cases that the actions keep in their own files.
    #[cfg(test)]
    pub fn cases(&self) -> Vec<Case> {
        self.entries.iter().flat_map(|entry| (entry.cases)()).collect()
    }
}

impl Catalog for Registry {
    fn action(&self, name: &str) -> Option<&ActionInfo> {
        self.entries.iter().map(|e| &e.info).find(|info| info.name == name)
    }

    fn actions(&self) -> Vec<&ActionInfo> {
        self.entries.iter().map(|e| &e.info).collect()
    }
}

fn parse<T: Spec>(params: &Value) -> Result<T, ParamError> {
    let action: T = serde_path_to_error::deserialize(params)
        .map_err(|error| ParamError { pointer: pointer(error.path()), message: error.inner().to_string() })?;
    action.rules()?;
    Ok(action)
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{key}"),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => "/?".to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    #[test]
    fn only_actions_of_these_groups_reach_a_cluster() {
        for action in Registry::standard().actions() {
            let group = action.name.split('.').next().unwrap();
            let reaches = ["argocd", "helm", "istio", "kube"].contains(&group);
            assert_eq!(action.runs_on == RunsOn::Cluster, reaches, "{}", action.name);
        }
    }

    #[test]
    fn one_step_is_enough_to_touch_a_cluster() {
        let head = "[plan]\nname = \"p\"\n";
        let host = "[[phase.a.step]]\nid = \"a\"\nhosts = \"all\"\naction = \"node.facts\"\n";
        let cluster = "[[phase.b.step]]\nid = \"b\"\naction = \"kube.wait\"\nkind = \"Node\"\n";
        for (steps, wanted) in [(host.to_owned(), false), (format!("{host}{cluster}"), true)] {
            let plan = Plan::parse(std::path::Path::new("p.toml"), &format!("{head}{steps}")).unwrap();
            assert_eq!(plan.touches_cluster(&Registry::standard()), wanted, "{steps}");
        }
    }
}
