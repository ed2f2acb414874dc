//! `kube.label`: objects have labels and annotations; other labels and annotations are left alone.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{difference, objects};
use crate::actions::{Action, Resource, Spec, Verdict};
use crate::connect::kube::{self, KindRef, Object, Query, manifest};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};

/// Objects have these labels and annotations. Other labels and annotations are left alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// API version, such as `apps/v1`. Needed only when two API groups have a kind of that name.
    #[serde(default)]
    api_version: Option<String>,
    /// Kind, such as `Namespace`.
    kind: String,
    /// Namespace. Default: that of the kubeconfig for one object, all namespaces for several.
    #[serde(default)]
    namespace: Option<String>,
    /// Name of one object. Give either `name` or `selector`.
    #[serde(default)]
    name: Option<String>,
    /// Label selector of several objects, as `kubectl -l` takes it.
    #[serde(default)]
    selector: Option<String>,
    /// Labels; an empty value removes the label.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Annotations; an empty value removes the annotation.
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Label {
    fn kind_ref(&self) -> KindRef {
        KindRef { api_version: self.api_version.clone(), kind: self.kind.clone() }
    }

    fn diff(&self, object: &Value) -> Diff {
        let mut diff = Diff::default();
        for (field, wanted) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            for (key, value) in wanted {
                let live = object["metadata"][field][key].as_str().map(str::to_owned);
                let wanted = Some(value.clone()).filter(|v| !v.is_empty());
                diff.push_field(format!("{} {field}[{key}]", manifest::identity(object)), live, wanted);
            }
        }
        diff
    }

    fn patch(&self) -> Value {
        let table = |wanted: &BTreeMap<String, String>| {
            let value = |v: &String| if v.is_empty() { Value::Null } else { v.clone().into() };
            wanted.iter().map(|(k, v)| (k.clone(), value(v))).collect::<Map<_, _>>()
        };
        let mut metadata = Map::new();
        for (field, wanted) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if !wanted.is_empty() {
                metadata.insert(field.to_owned(), table(wanted).into());
            }
        }
        json!({ "metadata": metadata })
    }
}

impl Action for Label {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Kube(kube::Probe::Get(Query {
            name: self.name.clone(),
            selector: self.selector.clone(),
            ..Query::all(self.kind_ref(), self.namespace.as_deref())
        }))]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let items = match objects(facts.first()) {
            Ok(found) => &found.items,
            Err(verdict) => return verdict,
        };
        if items.is_empty() {
            return match (&self.name, &self.selector) {
                (Some(name), _) if self.kind == "Namespace" => Verdict::Missing(Resource::Namespace(name.clone())),
                (Some(name), _) => Verdict::Wait { seen: format!("{} {name} is not there", self.kind) },
                (None, selector) => Verdict::Wait {
                    seen: format!("no {} matches {}", self.kind, selector.as_deref().unwrap_or_default()),
                },
            };
        }
        let diff = Diff(items.iter().flat_map(|o| self.diff(o).0).collect());
        Verdict::judged(Ok(diff), || format!("{} of kind {}", items.len(), self.kind))
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let items = objects(facts.first()).map(|o| o.items.as_slice()).unwrap_or_default();
        if let Some(EffectResult::Kube(kube::EffectResult::Applied(made))) = done.last() {
            difference::check_kept(&made.0, &self.diff(&made.0))?;
        }
        let changed = items.iter().filter(|o| !self.diff(o).is_empty()).nth(done.len());
        Ok(changed.map(|object| {
            let namespace = manifest::text(object, "/metadata/namespace");
            Effect::Kube(kube::Effect::Patch {
                kind: self.kind_ref(),
                namespace: Some(namespace.to_owned()).filter(|n| !n.is_empty()),
                name: manifest::text(object, "/metadata/name").to_owned(),
                patch: Object(self.patch()),
            })
        }))
    }

    fn outputs(&self, _facts: &[Fact], done: &[EffectResult]) -> Outputs {
        Outputs::from_iter([("changed".to_owned(), Value::from(done.len()))])
    }
}

impl Spec for Label {
    const NAME: &'static str = "kube.label";
    const SUMMARY: &'static str = "Kubernetes objects carry labels and annotations";
    const RUNS_ON: RunsOn = RunsOn::Cluster;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[Output { name: "changed", about: "number of objects that were changed" }];
    const EXAMPLE: &'static str = r#"[[phase.onboard.step]]
id = "injection"
action = "kube.label"
kind = "Namespace"
name = "trading"
labels = { istio-injection = "enabled" }
"#;

    fn rules(&self) -> Result<(), ParamError> {
        if self.name.is_some() == self.selector.is_some() {
            return refuse("", "either name or selector is needed");
        }
        if self.labels.is_empty() && self.annotations.is_empty() {
            return refuse("", "labels or annotations are needed");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action() -> Label {
        serde_json::from_value(json!({"kind": "Namespace", "name": "app",
            "labels": {"istio-injection": "enabled", "old": ""}}))
        .unwrap()
    }

    fn facts(labels: Value) -> [Fact; 1] {
        let object = json!({"kind": "Namespace", "metadata": {"name": "app", "labels": labels}});
        [Fact::Kube(kube::Fact::Objects(kube::Objects::of(vec![object])))]
    }

    #[test]
    fn only_the_named_labels_count() {
        let seen = action().verdict(&facts(json!({"istio-injection": "enabled", "other": "x"})));
        assert_eq!(seen, Verdict::Same { seen: "1 of kind Namespace".into() });
    }

    #[test]
    fn labels_are_set_and_removed_in_one_patch() {
        let facts = facts(json!({"old": "x"}));
        let Verdict::Change(diff) = action().verdict(&facts) else { panic!() };
        let lines: Vec<String> = diff.0.iter().flat_map(crate::diff::Delta::lines).collect();
        let expected = ["+ Namespace app labels[istio-injection]: enabled", "- Namespace app labels[old]: x"];
        assert_eq!(lines, expected);
        let Ok(Some(Effect::Kube(kube::Effect::Patch { patch, .. }))) = action().next_effect(&facts, &[]) else {
            panic!()
        };
        assert_eq!(patch.0, json!({"metadata": {"labels": {"istio-injection": "enabled", "old": null}}}));
        let made = |labels: Value| {
            let made = json!({"kind": "Namespace", "metadata": {"name": "app", "labels": labels}});
            [EffectResult::Kube(kube::EffectResult::Applied(Object(made)))]
        };
        assert!(action().next_effect(&facts, &made(json!({"istio-injection": "enabled"}))).unwrap().is_none());
        let problem = action().next_effect(&facts, &made(json!({"istio-injection": "off"}))).err().unwrap();
        assert!(
            problem.message.ends_with("~ Namespace app labels[istio-injection]: off → enabled"),
            "{}",
            problem.message
        );
    }

    #[test]
    fn a_label_that_is_there_with_an_empty_value_is_removed_too() {
        let facts = facts(json!({"istio-injection": "enabled", "old": ""}));
        assert!(matches!(action().verdict(&facts), Verdict::Change(_)));
        assert!(action().next_effect(&facts, &[]).unwrap().is_some());
    }

    #[test]
    fn a_namespace_that_is_not_there_is_missing() {
        let none = [Fact::Kube(kube::Fact::Objects(kube::Objects::default()))];
        assert_eq!(action().verdict(&none), Verdict::Missing(Resource::Namespace("app".into())));
        let pod: Label =
            serde_json::from_value(json!({"kind": "Pod", "selector": "app=x", "labels": {"a": "b"}})).unwrap();
        assert_eq!(pod.verdict(&none), Verdict::Wait { seen: "no Pod matches app=x".into() });
    }
}
