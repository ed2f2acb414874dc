//! `kube.wait`: waits until objects are as wanted, at most until the step's timeout.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{jsonpath, objects, rollout};
use crate::actions::{Action, Resource, Spec, Verdict};
use crate::connect::kube::{self, KindRef, Objects, Query, manifest, pods};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};
use crate::secret::{MASK, has_secret};

/// Objects that one message names; it counts the rest.
const MAX_NAMED: usize = 5;

/// Kubernetes objects have a condition, a complete rollout or a value; or they exist, or are gone. The step waits for
/// that until its timeout.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// API version, such as `networking.istio.io/v1`. Needed only when two API groups have a kind of that name.
    #[serde(default)]
    api_version: Option<String>,
    /// Kind, such as `Deployment`.
    kind: String,
    /// Namespace. Default: that of the kubeconfig for one object, all namespaces for several.
    #[serde(default)]
    namespace: Option<String>,
    /// Name of one object.
    #[serde(default)]
    name: Option<String>,
    /// Label selector, as `kubectl -l` takes it. Default, if there is no `name` either: all objects of the kind.
    #[serde(default)]
    selector: Option<String>,
    /// How many objects there must be at least if no `name` is given. Default: 1.
    #[serde(default = "one")]
    minimum: usize,
    /// Condition that each object must have, such as `Ready`.
    #[serde(default)]
    condition: Option<String>,
    /// Expected status of the condition. Default: `True`.
    #[serde(default = "yes")]
    status: String,
    /// Whether to wait for complete rollouts, by the rules of `kubectl rollout status`. Default: false.
    #[serde(default)]
    rollout: bool,
    /// `JSONPath` of a value, as kubectl takes it, such as `{.status.phase}`.
    #[serde(default)]
    jsonpath: Option<String>,
    /// Expected value at `jsonpath`. Default: any value.
    #[serde(default)]
    value: Option<String>,
    /// Whether the objects must exist (`true`) or be gone (`false`).
    #[serde(default)]
    exists: Option<bool>,
}

fn one() -> usize {
    1
}

fn yes() -> String {
    "True".to_owned()
}

impl Wait {
    fn target(&self) -> String {
        let place = self.namespace.as_ref().map(|n| format!("{n}/")).unwrap_or_default();
        match (&self.name, &self.selector) {
            (Some(name), _) => format!("{} {place}{name}", self.kind),
            (None, Some(selector)) => format!("{} {place}({selector})", self.kind),
            (None, None) => format!("{} {place}*", self.kind),
        }
    }

    fn absent(&self) -> Verdict {
        match &self.name {
            Some(name) if self.kind == "Namespace" => Verdict::Missing(Resource::Namespace(name.clone())),
            _ => Verdict::Wait { seen: format!("{} is not there", self.target()) },
        }
    }

    /// The condition that one object does not meet; `None` if it meets all.
    fn missing(&self, object: &Value) -> Option<String> {
        if self.rollout {
            return rollout::missing(object);
        }
        if let Some(wanted) = &self.condition {
            return missing_condition(object, wanted, &self.status);
        }
        let path = self.jsonpath.as_ref()?;
        let values: Vec<String> = match jsonpath::values(object, path) {
            Ok(values) => values.into_iter().map(jsonpath::shown).collect(),
            Err(why) => return Some(why),
        };
        match &self.value {
            Some(value) if !values.is_empty() && values.iter().all(|v| v == value) => None,
            None if values.iter().any(|v| !v.is_empty() && v != "null") => None,
            _ if values.is_empty() => Some(format!("no {path}")),
            // The value in the place of a secret is most likely an earlier version of the secret.
            Some(value) if has_secret(value) => Some(format!("{path}={MASK}")),
            _ => Some(format!("{path}={}", values.join(" "))),
        }
    }

    fn judge(&self, found: &Objects) -> Verdict {
        let count = found.items.len();
        if count < self.minimum.max(1) {
            let few = || Verdict::Wait { seen: format!("{count} of {} {}", self.minimum, self.target()) };
            return if count == 0 { self.absent() } else { few() };
        }
        let lacking: Vec<(String, String)> =
            found.items.iter().filter_map(|o| Some((self.short_name(o), self.missing(o)?))).collect();
        if lacking.is_empty() {
            let many = format!("{} ({count})", self.target());
            return Verdict::Same { seen: if self.name.is_some() { self.target() } else { many } };
        }
        if let Some(job) = found.items.iter().find(|o| self.has_failed(o)) {
            let why = pods::condition(job, "Failed").map(|c| manifest::text(c, "/message")).unwrap_or_default();
            let name = manifest::identity(job);
            let namespace = manifest::text(job, "/metadata/namespace");
            let hint = format!("kubectl -n {namespace} logs job/{}", manifest::text(job, "/metadata/name"));
            return Verdict::Blocked(Problem::new(format!("{name} failed: {why}")).hint(hint));
        }
        let more = lacking.len().saturating_sub(MAX_NAMED);
        let each: Vec<String> = lacking.iter().take(MAX_NAMED).map(|(name, lack)| format!("{name}: {lack}")).collect();
        let mut seen = each.join("; ");
        if more > 0 {
            seen.push_str(&format!("; and {more} more"));
        }
        let trouble = pods::unready_reasons(&found.pods, &found.warnings);
        if !trouble.is_empty() {
            seen = if self.kind == "Pod" { trouble } else { format!("{seen}; {trouble}") };
        }
        Verdict::Wait { seen }
    }

    /// Whether the object is a Job that failed: it will never be complete.
    fn has_failed(&self, object: &Value) -> bool {
        self.kind == "Job"
            && self.condition.as_deref() == Some("Complete")
            && pods::condition(object, "Failed").is_some_and(|c| manifest::text(c, "/status") == "True")
    }

    fn short_name(&self, object: &Value) -> String {
        let name = manifest::text(object, "/metadata/name");
        match manifest::text(object, "/metadata/namespace") {
            namespace if !namespace.is_empty() && self.namespace.is_none() => format!("{namespace}/{name}"),
            _ => name.to_owned(),
        }
    }
}

fn missing_condition(object: &Value, wanted: &str, status: &str) -> Option<String> {
    let Some(condition) = pods::condition(object, wanted) else { return Some(format!("no condition {wanted}")) };
    let seen = manifest::text(condition, "/status");
    if seen.eq_ignore_ascii_case(status) {
        return None;
    }
    let (reason, message) = (manifest::text(condition, "/reason"), manifest::text(condition, "/message"));
    Some(match (reason, message) {
        ("", "") => format!("{wanted}={seen}"),
        (reason, "") => format!("{wanted}={seen} ({reason})"),
        (reason, message) => format!("{wanted}={seen} ({reason}: {message})"),
    })
}

impl Action for Wait {
    fn probes(&self) -> Vec<Probe> {
        let kind = KindRef { api_version: self.api_version.clone(), kind: self.kind.clone() };
        let pods = self.exists.is_none() && (self.kind == "Pod" || rollout::KINDS.contains(&self.kind.as_str()));
        vec![Probe::Kube(kube::Probe::Get(Query {
            name: self.name.clone(),
            selector: self.selector.clone(),
            pods,
            ..Query::all(kind, self.namespace.as_deref())
        }))]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let gone = || Verdict::Same { seen: format!("no {}", self.target()) };
        match (objects(facts.first()), self.exists) {
            (Ok(found), Some(false)) if found.items.is_empty() => gone(),
            (Err(Verdict::Missing(_)), Some(false)) => gone(),
            (Ok(found), Some(false)) => {
                let held = found.items.iter().flat_map(|o| manifest::list(o, "/metadata/finalizers"));
                let held: Vec<&str> = held.filter_map(Value::as_str).collect();
                let held = if held.is_empty() { String::new() } else { format!(", held by {}", held.join(", ")) };
                Verdict::Wait { seen: format!("{} is still there{held}", self.target()) }
            }
            (Ok(found), _) => self.judge(found),
            (Err(verdict), _) => verdict,
        }
    }

    fn next_effect(&self, _facts: &[Fact], _done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(None)
    }

    fn outputs(&self, facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        let mut outputs = Outputs::new();
        let items = objects(facts.first()).map(|o| o.items.as_slice()).unwrap_or_default();
        let names: Vec<Value> = items.iter().map(|o| manifest::text(o, "/metadata/name").into()).collect();
        outputs.insert("count".to_owned(), names.len().into());
        outputs.insert("names".to_owned(), Value::Array(names));
        if let (Some(path), Some(first)) = (&self.jsonpath, items.first()) {
            let value = jsonpath::values(first, path).ok().and_then(|v| v.first().map(|v| (*v).clone()));
            outputs.insert("value".to_owned(), value.unwrap_or_default());
        }
        outputs
    }
}

impl Spec for Wait {
    const NAME: &'static str = "kube.wait";
    const SUMMARY: &'static str = "waits until Kubernetes objects are as wanted";
    const RUNS_ON: RunsOn = RunsOn::Cluster;
    const ROLE: Role = Role::Check;
    const OUTPUTS: &'static [Output] = &[
        Output { name: "count", about: "number of objects found" },
        Output { name: "names", about: "their names" },
        Output { name: "value", about: "value at `jsonpath` of the first object" },
    ];
    const EXAMPLE: &'static str = r#"[[phase.prereq-nodes.step]]
id = "nodes-ready"
action = "kube.wait"
kind = "Node"
condition = "Ready"
timeout = "2m"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        let ways = [self.condition.is_some(), self.rollout, self.jsonpath.is_some(), self.exists.is_some()];
        if ways.iter().filter(|w| **w).count() != 1 {
            return refuse("", "exactly one of condition, rollout, jsonpath and exists is needed");
        }
        if self.name.is_some() && self.selector.is_some() {
            return refuse("selector", "name and selector exclude each other");
        }
        if self.value.is_some() && self.jsonpath.is_none() {
            return refuse("value", "value goes with jsonpath");
        }
        if self.rollout && !self.kind.contains("{{") && !rollout::KINDS.contains(&self.kind.as_str()) {
            return refuse("kind", format!("rollout is for {}", rollout::KINDS.join(", ")));
        }
        match self.jsonpath.as_deref().filter(|path| !path.contains("{{")).map(jsonpath::check) {
            Some(Err(why)) => refuse("jsonpath", why),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn verdict(params: Value, items: Vec<Value>) -> Verdict {
        let action: Wait = serde_json::from_value(params).unwrap();
        action.rules().unwrap();
        action.verdict(&[Fact::Kube(kube::Fact::Objects(Objects::of(items)))])
    }

    fn node(name: &str, status: &str) -> Value {
        json!({"kind": "Node", "metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": status,
            "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}]}})
    }

    fn wait(seen: &str) -> Verdict {
        Verdict::Wait { seen: seen.to_owned() }
    }

    #[test]
    fn every_node_that_is_not_ready_is_named_with_its_reason() {
        let seen =
            verdict(json!({"kind": "Node", "condition": "Ready"}), vec![node("pi-1", "True"), node("pi-2", "Unknown")]);
        assert_eq!(seen, wait("pi-2: Ready=Unknown (NodeStatusUnknown: Kubelet stopped posting node status.)"));
    }

    #[test]
    fn all_ready_is_the_same() {
        let seen = verdict(json!({"kind": "Node", "condition": "Ready"}), vec![node("pi-1", "True")]);
        assert_eq!(seen, Verdict::Same { seen: "Node * (1)".into() });
    }

    #[test]
    fn too_few_objects_are_waited_for() {
        let params = json!({"kind": "Node", "condition": "Ready", "minimum": 3});
        assert_eq!(verdict(params, vec![node("pi-1", "True")]), wait("1 of 3 Node *"));
        let params = json!({"kind": "Pod", "namespace": "app", "selector": "app=web", "condition": "Ready"});
        assert_eq!(verdict(params, vec![]), wait("Pod app/(app=web) is not there"));
    }

    #[test]
    fn a_kind_that_is_not_served_is_missing() {
        let fact = || [Fact::Kube(kube::Fact::KindMissing { group: "g".into(), kind: "X".into() })];
        let action = |exists: bool| -> Wait { serde_json::from_value(json!({"kind": "X", "exists": exists})).unwrap() };
        let missing = Verdict::Missing(Resource::Kind { group: "g".into(), kind: "X".into() });
        assert_eq!(action(true).verdict(&fact()), missing);
        assert!(matches!(action(false).verdict(&fact()), Verdict::Same { .. }));
    }

    #[test]
    fn a_namespace_that_is_not_there_is_missing() {
        let seen = verdict(json!({"kind": "Namespace", "name": "app", "exists": true}), vec![]);
        assert_eq!(seen, Verdict::Missing(Resource::Namespace("app".into())));
    }

    #[test]
    fn values_are_compared_as_text() {
        let job = |n: u32| vec![json!({"metadata": {"name": "j"}, "status": {"succeeded": n}})];
        let params = json!({"kind": "Job", "name": "j", "jsonpath": "{.status.succeeded}", "value": "2"});
        assert_eq!(verdict(params.clone(), job(1)), wait("j: {.status.succeeded}=1"));
        assert!(matches!(verdict(params, job(2)), Verdict::Same { .. }));
    }

    #[test]
    fn what_stands_in_the_place_of_a_secret_is_not_shown() {
        crate::secret::register("new-secret-of-wait");
        let params = json!({"kind": "X", "name": "x", "jsonpath": "{.data.all}", "value": "new-secret-of-wait"});
        let seen = verdict(params, vec![json!({"metadata": {"name": "x"}, "data": {"all": "old-secret"}})]);
        assert_eq!(seen, wait("x: {.data.all}=‹secret›"));
    }

    #[test]
    fn gone_means_gone() {
        let params = json!({"kind": "Pod", "namespace": "app", "name": "a", "exists": false});
        let held = json!({"metadata": {"name": "a", "finalizers": ["example.com/hold"]}});
        assert_eq!(verdict(params.clone(), vec![held]), wait("Pod app/a is still there, held by example.com/hold"));
        assert!(matches!(verdict(params, vec![]), Verdict::Same { .. }));
    }

    #[test]
    fn a_rollout_tells_of_its_pods() {
        let action: Wait =
            serde_json::from_value(json!({"kind": "Deployment", "namespace": "app", "name": "web", "rollout": true}))
                .unwrap();
        let found = Objects {
            items: vec![json!({"kind": "Deployment", "metadata": {"name": "web"},
                "status": {"updatedReplicas": 1, "replicas": 1}})],
            pods: vec![json!({"metadata": {"name": "web-1"}, "status": {"phase": "Pending", "containerStatuses": [
                {"name": "web", "state": {"waiting": {"reason": "ErrImagePull"}}}]}})],
            warnings: vec![],
        };
        let seen = action.verdict(&[Fact::Kube(kube::Fact::Objects(found))]);
        assert_eq!(seen, wait("web: 0 of 1 replicas available; pod web-1: ErrImagePull (container web)"));
    }

    #[test]
    fn a_failed_job_blocks() {
        let job = json!({"kind": "Job", "metadata": {"name": "j", "namespace": "app"}, "status": {"conditions": [
            {"type": "Failed", "status": "True", "message": "Job has reached the specified backoff limit"}]}});
        let Verdict::Blocked(problem) = verdict(json!({"kind": "Job", "condition": "Complete"}), vec![job]) else {
            panic!()
        };
        assert_eq!(problem.message, "Job app/j failed: Job has reached the specified backoff limit");
    }

    #[test]
    fn exactly_one_question_is_asked() {
        let rules = |params: Value| serde_json::from_value::<Wait>(params).unwrap().rules();
        assert!(rules(json!({"kind": "Node"})).is_err());
        assert!(rules(json!({"kind": "Node", "condition": "Ready", "exists": true})).is_err());
        assert_eq!(rules(json!({"kind": "Node", "jsonpath": "{.a"})).unwrap_err().pointer, "/jsonpath");
        assert_eq!(rules(json!({"kind": "Node", "rollout": true})).unwrap_err().pointer, "/kind");
    }
}
