//! `argocd.health`: Argo CD's own components run, and its Applications are healthy.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{applications, controllers, health_issue};
use crate::actions::kube::objects;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::kube::manifest::text;
use crate::connect::kube::{self, KindRef, Objects, Query};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::event::{Outputs, Problem};
use crate::finding::{did_you_mean, listed};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};

/// Argo CD's own components run, and its Applications are healthy and, if wanted, synced. The step waits for that until
/// its timeout.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Namespace of Argo CD and its Applications. Default: `argocd`.
    #[serde(default = "argocd")]
    namespace: String,
    /// Names of the Applications that must be healthy. Default: all.
    #[serde(default)]
    applications: Vec<String>,
    /// Namespaces, in the place of `applications`: all Applications that deliver to them (`spec.destination.namespace`)
    /// must be healthy, and each namespace must have one.
    #[serde(default)]
    namespaces: Vec<String>,
    /// Whether an Application may be out of sync. Default: true. The step then only mentions that it is. Right for
    /// Applications that are synced by hand.
    #[serde(default = "yes")]
    allow_out_of_sync: bool,
}

fn argocd() -> String {
    "argocd".to_owned()
}

fn yes() -> bool {
    true
}

struct State<'a> {
    workloads: [&'a Objects; 2],
    applications: &'a [Value],
}

impl<'a> State<'a> {
    fn controllers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let [deployments, stateful_sets] = self.workloads;
        deployments.items.iter().chain(&stateful_sets.items)
    }
}

impl Health {
    fn read<'a>(&self, facts: &'a [Fact]) -> Result<State<'a>, Verdict> {
        let applications = match objects(facts.get(2)) {
            Err(Verdict::Missing(_)) => return Err(self.not_installed()),
            found => &found?.items,
        };
        Ok(State { workloads: [objects(facts.first())?, objects(facts.get(1))?], applications })
    }

    fn not_installed(&self) -> Verdict {
        let message = "Argo CD is not installed: the API does not serve Application of argoproj.io/v1alpha1";
        let hint =
            format!("install Argo CD in namespace {}, or check that [kube] names the right cluster", self.namespace);
        Verdict::Blocked(Problem::new(message).hint(hint))
    }

    fn no_controllers(&self) -> Verdict {
        let (label, namespace) = (controllers::SELECTOR, &self.namespace);
        let message = format!("no Deployment or StatefulSet is labelled {label} in namespace {namespace}");
        let hint = format!("give the namespace that Argo CD is in: kubectl get deployments -A -l {label}");
        Verdict::Blocked(Problem::new(message).hint(hint))
    }

    /// The Applications that the parameters select.
    fn selected<'a>(&self, all: &'a [Value]) -> Result<Vec<&'a Value>, Problem> {
        let by = |pointer: &str, wanted: &String| all.iter().any(|a| text(a, pointer) == wanted);
        if let Some(name) = self.applications.iter().find(|name| !by(NAME, name)) {
            return Err(self.absent(name, all));
        }
        if let Some(namespace) = self.namespaces.iter().find(|namespace| !by(DESTINATION, namespace)) {
            let message = format!("no Application of {} delivers to namespace {namespace}", self.namespace);
            let known = all.iter().map(|a| text(a, DESTINATION)).filter(|n| !n.is_empty());
            return Err(unknown_name(message, namespace, known, "delivered to"));
        }
        let meant = |a: &&Value| {
            let listed = |names: &[String], pointer: &str| names.iter().any(|n| n == text(a, pointer));
            let all = self.applications.is_empty() && self.namespaces.is_empty();
            all || listed(&self.applications, NAME) || listed(&self.namespaces, DESTINATION)
        };
        Ok(all.iter().filter(meant).collect())
    }

    fn absent(&self, name: &str, all: &[Value]) -> Problem {
        let message = format!("there is no Application {}/{name}", self.namespace);
        unknown_name(message, name, all.iter().map(|a| text(a, NAME)), "there")
    }

    fn same(&self, controllers: usize, chosen: &[&Value]) -> Verdict {
        let plural = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
        let applications = match chosen.len() {
            0 => format!("no Application in {}", self.namespace),
            n => format!("{} healthy", plural(n, "application")),
        };
        let unsynced: Vec<&str> =
            chosen.iter().filter(|a| applications::out_of_sync(a)).map(|a| text(a, NAME)).collect();
        let note = if unsynced.is_empty() { String::new() } else { format!(" (not in sync: {})", unsynced.join(", ")) };
        Verdict::Same { seen: format!("{} available, {applications}{note}", plural(controllers, "controller")) }
    }
}

const NAME: &str = "/metadata/name";
const DESTINATION: &str = "/spec/destination/namespace";

/// A problem whose hint lists the names that exist.
fn unknown_name<'a>(message: String, name: &str, known: impl Iterator<Item = &'a str>, how: &str) -> Problem {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    known.dedup();
    let hint = did_you_mean(name, known.iter().copied());
    match hint {
        Some(hint) => Problem::new(message).hint(hint),
        None if known.is_empty() => Problem::new(message).hint("there is no Application at all"),
        None => Problem::new(message).hint(format!("{how}: {}", listed(known))),
    }
}

impl Action for Health {
    fn probes(&self) -> Vec<Probe> {
        let all = |api: &str, kind: &str| Query::all(KindRef::new(api, kind), Some(&self.namespace));
        let part =
            |kind: &str| Query { selector: Some(controllers::SELECTOR.to_owned()), pods: true, ..all("apps/v1", kind) };
        let queries = [part("Deployment"), part("StatefulSet"), all("argoproj.io/v1alpha1", "Application")];
        queries.map(|query| Probe::Kube(kube::Probe::Get(query))).into()
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let seen = match self.read(facts) {
            Ok(seen) => seen,
            Err(verdict) => return verdict,
        };
        let controllers = seen.controllers().count();
        if controllers == 0 {
            return self.no_controllers();
        }
        let chosen = match self.selected(seen.applications) {
            Ok(chosen) => chosen,
            Err(problem) => return Verdict::Blocked(problem),
        };
        let of = |found: &&Objects| found.items.iter().filter_map(|w| controllers::issue(w, found)).collect::<Vec<_>>();
        let parts: Vec<_> = seen.workloads.iter().flat_map(of).collect();
        let judge = |a: &&Value| {
            let unsynced = || if self.allow_out_of_sync { None } else { applications::unsynced(a) };
            applications::unhealthy(a).or_else(unsynced)
        };
        let lacking: Vec<_> = chosen.iter().filter_map(judge).collect();
        health_issue::verdict(&parts, &lacking).unwrap_or_else(|| self.same(controllers, &chosen))
    }

    fn next_effect(&self, _facts: &[Fact], _done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(None)
    }

    fn outputs(&self, facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        let mut outputs = Outputs::new();
        let Ok(seen) = self.read(facts) else { return outputs };
        let chosen = self.selected(seen.applications).map(|c| c.len()).unwrap_or_default();
        outputs.insert("applications".to_owned(), chosen.into());
        outputs.insert("controllers".to_owned(), seen.controllers().count().into());
        outputs.insert("version".to_owned(), controllers::version(seen.controllers()).into());
        outputs
    }
}

impl Spec for Health {
    const NAME: &'static str = "argocd.health";
    const SUMMARY: &'static str = "Argo CD runs and its Applications are healthy";
    const RUNS_ON: RunsOn = RunsOn::Cluster;
    const ROLE: Role = Role::Check;
    const OUTPUTS: &'static [Output] = &[
        Output { name: "applications", about: "number of Applications looked at" },
        Output { name: "controllers", about: "number of Argo CD's Deployments and StatefulSets" },
        Output { name: "version", about: "version of Argo CD; null when no image's tag tells" },
    ];
    const EXAMPLE: &'static str = r#"[[phase.prereq-argocd.step]]
id = "argocd"
action = "argocd.health"
applications = ["trading-app"]
timeout = "1m"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        if self.applications.is_empty() || self.namespaces.is_empty() {
            return Ok(());
        }
        refuse("namespaces", "give either `applications` or `namespaces`, not both")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn action(params: Value) -> Health {
        let action: Health = serde_json::from_value(params).unwrap();
        action.rules().unwrap();
        action
    }

    fn workload(kind: &str, name: &str, replicas: u64) -> Value {
        json!({"kind": kind, "metadata": {"name": name, "namespace": "argocd"},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [
                {"image": "quay.io/argoproj/argocd:v3.1.0"}]}}},
            "status": {"replicas": replicas, "updatedReplicas": replicas, "availableReplicas": replicas,
                "readyReplicas": replicas}})
    }

    fn application(name: &str, destination: &str, health: &str, sync: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "argocd"}, "spec": {"destination": {"namespace": destination}},
            "status": {"health": {"status": health}, "sync": {"status": sync}}})
    }

    fn facts(server_replicas: u64, applications: Vec<Value>) -> [Fact; 3] {
        let deployments = vec![workload("Deployment", "argocd-server", server_replicas)];
        let stateful_sets = vec![workload("StatefulSet", "argocd-application-controller", 1)];
        [deployments, stateful_sets, applications].map(|items| Fact::Kube(kube::Fact::Objects(Objects::of(items))))
    }

    fn two() -> Vec<Value> {
        vec![application("trading", "app", "Healthy", "Synced"), application("blog", "web", "Degraded", "OutOfSync")]
    }

    fn judge(params: Value, applications: Vec<Value>) -> Verdict {
        action(params).verdict(&facts(1, applications))
    }

    fn problem(verdict: Verdict) -> (String, String) {
        let Verdict::Blocked(problem) = verdict else { panic!("{verdict:?} is not blocked") };
        (problem.message, problem.hint.unwrap_or_default())
    }

    fn same(verdict: Verdict) -> String {
        let Verdict::Same { seen } = verdict else { panic!("{verdict:?} is not the same") };
        seen
    }

    #[test]
    fn healthy_applications_and_controllers_are_counted() {
        let all = vec![application("a", "x", "Healthy", "Synced")];
        assert_eq!(same(judge(json!({}), all)), "2 controllers available, 1 application healthy");
        assert_eq!(same(judge(json!({}), vec![])), "2 controllers available, no Application in argocd");
    }

    #[test]
    fn only_the_chosen_applications_count() {
        assert!(problem(judge(json!({}), two())).0.starts_with("blog is Degraded"));
        for chosen in [json!({"applications": ["trading"]}), json!({"namespaces": ["app"]})] {
            assert_eq!(same(judge(chosen, two())), "2 controllers available, 1 application healthy");
        }
        assert!(problem(judge(json!({"namespaces": ["app", "web"]}), two())).0.starts_with("blog is Degraded"));
    }

    #[test]
    fn an_application_that_is_not_there_is_named_with_the_likely_one() {
        let absent = |name: &str, all| problem(judge(json!({"applications": [name]}), all));
        let expected = ("there is no Application argocd/tradign".into(), "did you mean `trading`?".into());
        assert_eq!(absent("tradign", two()), expected);
        assert_eq!(absent("else", two()).1, "there: `blog`, `trading`");
        assert_eq!(absent("else", vec![]).1, "there is no Application at all");
    }

    #[test]
    fn a_namespace_that_nothing_is_delivered_to_is_no_success() {
        let (message, hint) = problem(judge(json!({"namespaces": ["shop"]}), two()));
        assert_eq!(message, "no Application of argocd delivers to namespace shop");
        assert_eq!(hint, "delivered to: `app`, `web`");
    }

    #[test]
    fn being_out_of_sync_is_told_or_refused() {
        let all = || vec![application("a", "x", "Healthy", "OutOfSync")];
        let told = "2 controllers available, 1 application healthy (not in sync: a)";
        assert_eq!(same(judge(json!({}), all())), told);
        assert_eq!(problem(judge(json!({"allow_out_of_sync": false}), all())).0, "a is OutOfSync");
    }

    #[test]
    fn a_progressing_application_is_waited_for() {
        let verdict = judge(json!({}), vec![application("a", "x", "Progressing", "Synced")]);
        assert_eq!(verdict, Verdict::Wait { seen: "a is Progressing".into() });
    }

    #[test]
    fn a_server_scaled_to_zero_is_blocked_although_the_applications_look_well() {
        let all = vec![application("a", "x", "Healthy", "Synced")];
        let (message, _) = problem(action(json!({})).verdict(&facts(0, all)));
        assert_eq!(message, "argocd-server: 0 of 0 replicas ready (scaled to zero)");
    }

    #[test]
    fn argo_cd_that_is_not_there_is_told_apart_from_one_elsewhere() {
        let none = || Fact::Kube(kube::Fact::Objects(Objects::default()));
        let (message, hint) = problem(action(json!({"namespace": "cd"})).verdict(&[none(), none(), none()]));
        assert_eq!(
            message,
            "no Deployment or StatefulSet is labelled app.kubernetes.io/part-of=argocd in namespace cd"
        );
        assert!(hint.contains("kubectl get deployments -A"), "{hint}");
        let no_kind = Fact::Kube(kube::Fact::KindMissing { group: "argoproj.io".into(), kind: "Application".into() });
        let (message, _) = problem(action(json!({})).verdict(&[none(), none(), no_kind]));
        assert!(message.starts_with("Argo CD is not installed: "), "{message}");
    }

    #[test]
    fn outputs_count_and_name_the_version() {
        let outputs = action(json!({"applications": ["trading"]})).outputs(&facts(1, two()), &[]);
        let expected = json!({"applications": 1, "controllers": 2, "version": "v3.1.0"});
        assert_eq!(Value::Object(outputs), expected);
    }

    #[test]
    fn names_and_namespaces_exclude_each_other() {
        let both: Health = serde_json::from_value(json!({"applications": ["a"], "namespaces": ["b"]})).unwrap();
        assert_eq!(both.rules().unwrap_err().pointer, "/namespaces");
    }
}
