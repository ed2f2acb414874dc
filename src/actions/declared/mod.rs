//! Tests that a step whose parameters were changed after its last run is not taken for done.
//!
//! A [`Case`] is a step together with the answers that its probes get after it has run. For each parameter the case says how
//! a change of it is detected ([`Detected`]). An action may keep its case in its own file ([`Spec::cases`]); cases that share
//! a made-up host or cluster stand here, in one file for each group of actions.
//!
//! [`Spec::cases`]: super::Spec::cases

mod argocd;
mod helm;
pub mod host;
mod http;
mod istio;
mod kube;
mod node;
mod vault;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{ActionRef, Registry, Verdict};
use crate::connect::{Fact, Probe};
use crate::plan::Catalog as _;

/// A parameter whose changes cannot be detected has these words in its documentation: "Counts only when …".
const COUNTS_ONLY: &str = "ounts only";

/// A step, and what the world looks like after it has run.
pub struct Case {
    /// Name of the action.
    pub action: &'static str,
    /// The step's parameters, as TOML.
    pub step: &'static str,
    /// Answers the action's probes. With these answers the verdict on `step` is [`Verdict::Same`].
    pub answer: fn(&Probe) -> Fact,
    /// How a change of each parameter is detected. Several cases of one action may share its parameters among them.
    pub params: &'static [(&'static str, Detected)],
}

/// How it is detected that a parameter was changed after the step has run.
pub enum Detected {
    /// With these parameters (TOML) in addition to the step's, or in their place, the verdict is not [`Verdict::Same`].
    ByVerdict(&'static str),
    /// A step with these parameters (TOML) only has another verdict than [`Verdict::Same`].
    ByVerdictOf(&'static str),
    /// With these parameters (TOML) in addition to the step's, or in their place, the action asks other probes.
    ByProbes(&'static str),
    /// Not at all: the documentation of the parameter must say when it counts ("Counts only when …").
    Never,
}

impl Case {
    fn build(&self, registry: &Registry, params: &Value) -> ActionRef {
        registry.build(self.action, params).unwrap_or_else(|error| panic!("{}: {error:?}\n{params}", self.action))
    }

    fn verdict(&self, action: &ActionRef) -> Verdict {
        let facts: Vec<Fact> = action.probes().iter().map(self.answer).collect();
        action.verdict(&facts)
    }

    fn check(&self, registry: &Registry) {
        let step: Value = toml::from_str(self.step).unwrap();
        let base = self.build(registry, &step);
        let verdict = self.verdict(&base);
        assert!(matches!(verdict, Verdict::Same { .. }), "{} after its run: {verdict:?}", self.action);
        for (name, detected) in self.params {
            let what = format!("{}: {name}", self.action);
            let (mut params, toml) = match detected {
                Detected::ByVerdict(toml) | Detected::ByProbes(toml) => (step.clone(), toml),
                Detected::ByVerdictOf(toml) => (json!({}), toml),
                Detected::Never => continue,
            };
            let change: Value = toml::from_str(toml).unwrap();
            for (key, value) in change.as_object().unwrap() {
                params[key] = value.clone();
            }
            assert!(params.get(name) != step.get(name), "{what}: the case does not change it");
            let changed = self.build(registry, &params);
            if matches!(detected, Detected::ByProbes(_)) {
                assert!(changed.probes() != base.probes(), "{what}: a change of it does not change the probes");
                continue;
            }
            match self.verdict(&changed) {
                Verdict::Same { .. } => panic!("{what}: a change of it is not detected"),
                Verdict::Change(diff) => assert!(!diff.is_empty(), "{what}: a change with an empty diff"),
                _ => {}
            }
        }
    }
}

fn cases(registry: &Registry) -> Vec<Case> {
    let groups = [
        argocd::cases(),
        helm::cases(),
        http::cases(),
        istio::cases(),
        kube::cases(),
        node::cases(),
        vault::cases(),
        registry.cases(),
    ];
    groups.into_iter().flatten().collect()
}

#[test]
fn a_changed_parameter_is_detected_after_a_run() {
    let registry = Registry::standard();
    cases(&registry).iter().for_each(|case| case.check(&registry));
}

#[test]
fn every_parameter_is_compared_or_says_when_it_counts() {
    let registry = Registry::standard();
    let cases = cases(&registry);
    let mut wrong = Vec::new();
    for action in registry.actions() {
        let schema = (action.schema)();
        let properties = schema["properties"].as_object().cloned().unwrap_or_default();
        let of_action = || cases.iter().filter(|case| case.action == action.name).flat_map(|case| case.params);
        let named: BTreeSet<&str> = of_action().map(|(name, _)| *name).collect();
        let unknown = named.iter().filter(|name| !properties.contains_key(**name));
        wrong.extend(unknown.map(|name| format!("{}: {name} is no parameter", action.name)));
        for (name, property) in &properties {
            let detected: Vec<&Detected> =
                of_action().filter(|(param, _)| param == name).map(|(_, detected)| detected).collect();
            let documentation = property["description"].as_str().unwrap_or_default();
            let documentation = documentation.split_whitespace().collect::<Vec<_>>().join(" ");
            if detected.is_empty() {
                wrong.push(format!("{}: {name} has no case", action.name));
            } else if detected.iter().all(|detected| matches!(detected, Detected::Never))
                && !documentation.contains(COUNTS_ONLY)
            {
                let why = "is not compared; its documentation must say \"Counts only when …\"";
                wrong.push(format!("{}: {name} {why}", action.name));
            }
        }
    }
    let how = "add a case in the action's file (`Spec::cases`) or in src/actions/declared";
    assert!(wrong.is_empty(), "{how}:\n{}", wrong.join("\n"));
}
