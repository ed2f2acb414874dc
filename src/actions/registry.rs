//! From an action's name to its code and documentation.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::watched::Watched;
use super::{Action, ActionRef};
use crate::plan::{ActionInfo, Catalog, Output, ParamError, Role, RunsOn, TextCheck};
use crate::secret;

/// An action's type: its parameters are its fields, its documentation their doc comments.
pub trait Spec: Action + DeserializeOwned + JsonSchema + Sized + 'static {
    /// Name in plans.
    const NAME: &'static str;
    /// One line of documentation.
    const SUMMARY: &'static str;
    /// Where it runs.
    const RUNS_ON: RunsOn;
    /// Whether it can change anything.
    const ROLE: Role;
    /// Whether all that it changes on a host can be kept before and put back: files, links, live kernel parameters.
    const IS_REVERTIBLE: bool = false;
    /// What later steps may use.
    const OUTPUTS: &'static [Output] = &[];
    /// Parameters one of which (or `when`) a step must have that is no handler, since it would do the same again in each
    /// run without. None: it needs no guard.
    const CONDITIONS: &'static [&'static str] = &[];
    /// What is wrong with the text of a parameter that others read by rules of their own.
    const CHECK_TEXT: Option<TextCheck> = None;
    /// A step as one would write it.
    const EXAMPLE: &'static str;

    /// Rules that types can't say, such as parameters that exclude each other.
    ///
    /// # Errors
    /// The parameter that breaks a rule.
    fn rules(&self) -> Result<(), ParamError> {
        Ok(())
    }
}

/// All actions.
pub struct Registry {
    entries: Vec<Entry>,
}

struct Entry {
    kind: ActionInfo,
    build: fn(&Value) -> Result<ActionRef, ParamError>,
}

impl Registry {
    /// No actions.
    pub fn empty() -> Self {
        Self { entries: Vec::new() }
    }

    /// The same, by name.
    pub(super) fn sorted(mut self) -> Self {
        self.entries.sort_by_key(|e| e.kind.name);
        self
    }

    /// Adds an action.
    pub fn add<T: Spec>(&mut self) {
        self.entries.push(Entry {
            kind: ActionInfo {
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
            build: |params| Ok(Watched::boxed(Arc::new(parse::<T>(params)?), secret::value_has_secret(params))),
        });
    }

    /// The action of a step, from its rendered parameters.
    ///
    /// # Errors
    /// The parameter that the action refuses; unknown names too.
    pub fn build(&self, name: &str, params: &Value) -> Result<ActionRef, ParamError> {
        let entry = self.entries.iter().find(|e| e.kind.name == name);
        let entry = entry
            .ok_or_else(|| ParamError { pointer: String::new(), message: format!("no action is named {name}") })?;
        (entry.build)(params)
    }
}

impl Catalog for Registry {
    fn action(&self, name: &str) -> Option<&ActionInfo> {
        self.entries.iter().map(|e| &e.kind).find(|k| k.name == name)
    }

    fn actions(&self) -> Vec<&ActionInfo> {
        self.entries.iter().map(|e| &e.kind).collect()
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
    fn the_actions_of_these_groups_reach_a_cluster_and_no_others() {
        for kind in Registry::standard().actions() {
            let group = kind.name.split('.').next().unwrap();
            let reaches = ["argocd", "helm", "istio", "kube"].contains(&group);
            assert_eq!(kind.runs_on == RunsOn::Cluster, reaches, "{}", kind.name);
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
