//! What a step declares is compared with what is there: for each parameter of each action a case says how a change of it
//! is seen after a run, or that its documentation says when it counts. One file for each group of actions holds the cases;
//! [`every_parameter_is_compared_or_says_when_it_counts`] demands one for every parameter.

mod argocd;
mod helm;
mod host;
mod http;
mod istio;
mod kube;
mod node;
mod vault;

use std::collections::BTreeSet;

use serde_json::Value;

use super::{ActionRef, Registry, Verdict};
use crate::connect::{Fact, Probe};
use crate::plan::Catalog as _;

/// Words in the documentation of a parameter that a later look does not show, before it says when that one counts.
const COUNTS_ONLY: &str = "ounts only";

/// The cases of an action, with a step that has run; or, of one that only looks, has found all as it should be.
pub struct Case {
    /// Name of the action.
    pub action: &'static str,
    /// The step's parameters, as TOML.
    pub step: &'static str,
    /// What is there after its run, where all is as asked.
    pub sees: fn(&Probe) -> Fact,
    /// How a change of each parameter is seen. What this step does not tell, another case of the same action does.
    pub params: &'static [(&'static str, Seen)],
}

/// How it is seen that a parameter was changed after a run.
pub enum Seen {
    /// With these parameters in the place of the step's, all is not as asked any more.
    With(&'static str),
    /// The same of a step that has these parameters and no others.
    Instead(&'static str),
    /// With these parameters in the place of the step's, something else is asked for, and looked at.
    Elsewhere(&'static str),
    /// It is not seen: the documentation of the parameter says when it counts.
    Told,
}

impl Case {
    fn built(&self, registry: &Registry, params: &Value) -> ActionRef {
        registry.build(self.action, params).unwrap_or_else(|error| panic!("{}: {error:?}\n{params}", self.action))
    }

    fn verdict(&self, action: &ActionRef) -> Verdict {
        let facts: Vec<Fact> = action.probes().iter().map(self.sees).collect();
        action.verdict(&facts)
    }

    fn check(&self, registry: &Registry) {
        let step: Value = toml::from_str(self.step).unwrap();
        let base = self.built(registry, &step);
        let verdict = self.verdict(&base);
        assert!(matches!(verdict, Verdict::Same { .. }), "{} after its run: {verdict:?}", self.action);
        for (name, seen) in self.params {
            let what = format!("{}: {name}", self.action);
            let (Seen::With(toml) | Seen::Instead(toml) | Seen::Elsewhere(toml)) = seen else { continue };
            let change: Value = toml::from_str(toml).unwrap();
            let mut params = if matches!(seen, Seen::Instead(_)) { toml::from_str("").unwrap() } else { step.clone() };
            for (key, value) in change.as_object().unwrap() {
                params[key] = value.clone();
            }
            assert!(params.get(name) != step.get(name), "{what} is not changed");
            let changed = self.built(registry, &params);
            if matches!(seen, Seen::Elsewhere(_)) {
                assert!(changed.probes() != base.probes(), "{what}: the same is looked at");
                continue;
            }
            match self.verdict(&changed) {
                Verdict::Same { .. } => panic!("{what} was changed, and that is not seen"),
                Verdict::Change(diff) => assert!(!diff.is_empty(), "{what}: a change of nothing"),
                _ => {}
            }
        }
    }
}

fn cases() -> Vec<Case> {
    let all =
        [argocd::cases(), helm::cases(), http::cases(), istio::cases(), kube::cases(), node::cases(), vault::cases()];
    all.into_iter().flatten().collect()
}

#[test]
fn a_changed_parameter_is_seen_after_a_run() {
    let registry = Registry::standard();
    cases().iter().for_each(|case| case.check(&registry));
}

#[test]
fn every_parameter_is_compared_or_says_when_it_counts() {
    let (registry, cases) = (Registry::standard(), cases());
    let mut wrong = Vec::new();
    for kind in registry.actions() {
        let schema = (kind.schema)();
        let properties = schema["properties"].as_object().cloned().unwrap_or_default();
        let of_action = || cases.iter().filter(|case| case.action == kind.name);
        let named: BTreeSet<&str> = of_action().flat_map(|case| case.params.iter().map(|(name, _)| *name)).collect();
        wrong.extend(
            named
                .iter()
                .filter(|name| !properties.contains_key(**name))
                .map(|name| format!("{}: {name} is no parameter", kind.name)),
        );
        for (name, property) in &properties {
            let seen: Vec<&Seen> =
                of_action().flat_map(|case| case.params).filter(|(n, _)| n == name).map(|(_, seen)| seen).collect();
            let told =
                property["description"].as_str().map(|about| about.split_whitespace().collect::<Vec<_>>().join(" "));
            let told = told.is_some_and(|about| about.contains(COUNTS_ONLY));
            match seen.first() {
                None => wrong.push(format!("{}: {name} has no case", kind.name)),
                Some(_) if seen.iter().all(|seen| matches!(seen, Seen::Told)) && !told => {
                    wrong.push(format!(
                        "{}: {name} is not compared; its documentation must say \"Counts only when …\"",
                        kind.name
                    ));
                }
                Some(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "add cases in src/actions/declared:\n{}", wrong.join("\n"));
}
