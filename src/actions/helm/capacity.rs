//! `helm.capacity`: the nodes have room for all pods of a chart, checked before the chart is installed.
//!
//! The requests are those of the rendered chart, its defaults included. The additional pods of a rolling update are not
//! counted.

use std::cmp::Reverse;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::chart;
use super::values::{Templates, merged};
use super::workloads::{WorkloadPods, workload_pods};
use crate::actions::kube::scheduling::{ClusterCapacity, Quantity, Round, Workload};
use crate::actions::kube::unexpected;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::helm::{self, ReleaseSpec, Values};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn};

/// The nodes have room for all pods that a chart creates. The step fails at once if they have not.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// Name of the release. Pods that the release already has do not count as used room.
    release: String,
    /// Namespace of the release.
    namespace: String,
    /// Chart: a name in `repo`, `repo/name` of `helm repo add`, `oci://…` (with `:version` or `@sha256:…`), or a path
    /// that starts with `.` or `/`.
    chart: String,
    /// URL of the chart repository.
    #[serde(default)]
    repo: Option<String>,
    /// Exact version of the chart. Default: the newest.
    #[serde(default)]
    version: Option<String>,
    /// Whether to reach an OCI registry without TLS. Default: false.
    #[serde(default)]
    plain_http: bool,
    /// Template files with values; later files override earlier ones. An empty path is ignored.
    #[serde(default)]
    values: Templates,
    /// Single values that override the files, by path: `"pilot.resources.requests.memory" = "512Mi"`.
    #[serde(default)]
    set: Map<String, Value>,
    /// Memory that must be left free on each node, such as `256Mi`. Default: none.
    #[serde(default)]
    headroom: Option<Quantity>,
}

/// The facts, evaluated: the room without the release's own pods, and the chart's pods in the order in which they are
/// placed.
struct Placement {
    room: ClusterCapacity,
    workloads: Vec<WorkloadPods>,
}

impl Capacity {
    fn asked(&self) -> ReleaseSpec {
        ReleaseSpec {
            release: self.release.clone(),
            namespace: self.namespace.clone(),
            chart: chart::reference(&self.chart, self.repo.as_ref(), self.version.as_ref(), self.plain_http),
            values: Values(merged(&self.values, &self.set).unwrap_or_default()),
            skip_crds: false,
        }
    }

    fn placement(&self, facts: &[Fact]) -> Result<Placement, Verdict> {
        let Some((Fact::Helm(helm::Fact::Rendered(rendered)), cluster)) = facts.split_first() else {
            return Err(unexpected());
        };
        let rendered = rendered.as_ref().map_err(|why| chart::unrenderable(&self.asked().chart, why))?;
        let mut workloads = workload_pods(&rendered.objects, &self.namespace);
        let own: Vec<Workload> = workloads.iter().map(|m| m.workload.clone()).collect();
        let room =
            ClusterCapacity::from_facts(cluster, &own, self.headroom.unwrap_or_default()).ok_or_else(unexpected)?;
        // Pods that fit on few nodes are placed first, then the largest ones: small pods find room most easily in what
        // is left.
        workloads.sort_by_key(|m| {
            let choice = if m.pods.replicas.is_some() { room.nodes(&m.pods).len() } else { 0 };
            (choice, Reverse((m.pods.each.memory, m.pods.each.cpu)))
        });
        Ok(Placement { room, workloads })
    }

    fn judge(&self, facts: &[Fact]) -> Result<Verdict, Verdict> {
        let Placement { mut room, workloads } = self.placement(facts)?;
        // The message is about the largest pods, which are the hardest to place.
        let largest = workloads.iter().max_by_key(|m| (m.pods.each.memory, m.pods.each.cpu));
        let nodes = largest.map(|m| room.nodes(&m.pods)).unwrap_or_default();
        let freest = nodes.first().map(|n| format!(": {} has {} left", n.name, n.free_room())).unwrap_or_default();
        for m in &workloads {
            room.place(&m.pods).map_err(Verdict::Blocked)?;
        }
        let all = room.placed_requests();
        let (memory, cpu) = (all.memory.memory(Round::Up), all.cpu.cpus(Round::Up));
        let seen = match room.placed() {
            0 => "the chart makes no pods".to_owned(),
            1 => format!("1 pod fits with {memory}, {cpu}{freest}"),
            n => format!("{n} pods fit with {memory}, {cpu}{freest}"),
        };
        Ok(Verdict::Same { seen })
    }
}

impl Action for Capacity {
    fn probes(&self) -> Vec<Probe> {
        let chart = Probe::Helm(helm::Probe::Render(self.asked()));
        [chart].into_iter().chain(ClusterCapacity::probes()).collect()
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        self.judge(facts).unwrap_or_else(|verdict| verdict)
    }

    fn next_effect(&self, _facts: &[Fact], _done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(None)
    }

    fn outputs(&self, facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        let Ok(Placement { mut room, workloads }) = self.placement(facts) else { return Outputs::new() };
        // Counts what fits; the verdict has already reported a shortage.
        let placed = workloads.iter().filter(|m| room.place(&m.pods).is_ok()).count();
        Outputs::from_iter([("workloads".to_owned(), placed.into()), ("pods".to_owned(), room.placed().into())])
    }
}

impl Spec for Capacity {
    const NAME: &'static str = "helm.capacity";
    const SUMMARY: &'static str = "nodes have room left for all pods that a Helm chart makes";
    const RUNS_ON: RunsOn = RunsOn::Cluster;
    const ROLE: Role = Role::Check;
    const OUTPUTS: &'static [Output] = &[
        Output { name: "workloads", about: "number of workloads in the chart" },
        Output { name: "pods", about: "number of pods that they make" },
    ];
    const EXAMPLE: &'static str = r#"[[phase.prereq-nodes.step]]
id = "room-for-istiod"
action = "helm.capacity"
release = "istiod"
namespace = "istio-system"
chart = "istio/istiod"
version = "1.27.0"
values = "templates/istiod-values.yaml.j2"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        chart::check_reference(&self.chart, self.repo.as_deref(), self.version.as_deref(), self.plain_http)?;
        chart::check_values(&self.values, &self.set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::kube::scheduling::testing;
    use crate::connect::helm::Rendered;
    use serde_json::json;

    fn action(more: Value) -> Capacity {
        let mut params = json!({"release": "istiod", "namespace": "app", "chart": "istio/istiod"});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let action: Capacity = serde_json::from_value(params).unwrap();
        action.rules().unwrap();
        action
    }

    fn workload(kind: &str, name: &str, memory: &str) -> Value {
        json!({"kind": kind, "metadata": {"name": name}, "spec": {"template": {"spec": {
            "containers": [{"resources": {"requests": {"cpu": "100m", "memory": memory}}}]}}}})
    }

    fn facts(objects: Vec<Value>, running: Vec<Value>) -> Vec<Fact> {
        let nodes = vec![testing::node("pi-1", "4", "4000Mi"), testing::node("pi-2", "2", "2000Mi")];
        let mut facts = testing::facts(nodes, running);
        facts.insert(0, Fact::Helm(helm::Fact::Rendered(Ok(Rendered { objects, ..Rendered::default() }))));
        facts
    }

    fn verdict(objects: Vec<Value>) -> Verdict {
        action(json!({})).verdict(&facts(objects, vec![]))
    }

    #[test]
    fn a_chart_that_fits_says_what_it_takes() {
        let objects = vec![workload("Deployment", "istiod", "512Mi"), json!({"kind": "Service"})];
        let seen = "1 pod fits with 512Mi, 100m CPU: pi-1 has 3.9Gi, 4 CPUs left";
        assert_eq!(verdict(objects.clone()), Verdict::Same { seen: seen.into() });
        let outputs = action(json!({})).outputs(&facts(objects, vec![]), &[]);
        assert_eq!(Value::Object(outputs), json!({"workloads": 1, "pods": 1}));
    }

    #[test]
    fn a_daemon_set_counts_on_every_node() {
        let seen = verdict(vec![workload("DaemonSet", "cni", "100Mi"), workload("Job", "setup", "50Mi")]);
        assert_eq!(seen, Verdict::Same { seen: "3 pods fit with 250Mi, 300m CPU: pi-1 has 3.9Gi, 4 CPUs left".into() });
    }

    #[test]
    fn a_chart_s_default_that_is_too_large_is_named() {
        let objects = vec![workload("Deployment", "small", "64Mi"), workload("Deployment", "istiod", "64Gi")];
        let Verdict::Blocked(problem) = verdict(objects) else { panic!() };
        assert_eq!(
            problem.message,
            "app/istiod asks for 64Gi memory; the freest node, pi-1, has 3.9Gi of 3.9Gi allocatable left"
        );
        assert!(problem.hint.unwrap().contains("kubectl describe node pi-1"));
    }

    #[test]
    fn workloads_are_placed_together() {
        let each_alone = |name: &str| workload("StatefulSet", name, "3Gi");
        assert!(matches!(verdict(vec![each_alone("one")]), Verdict::Same { .. }));
        let Verdict::Blocked(problem) = verdict(vec![each_alone("one"), each_alone("two")]) else { panic!() };
        assert_eq!(
            problem.message,
            "app/two asks for 3Gi memory; the freest node, pi-2, has 1.9Gi of 1.9Gi allocatable left beside the chart's \
             other pod"
        );
    }

    #[test]
    fn what_has_no_choice_is_placed_first() {
        let mut pinned = workload("Deployment", "pinned", "1Gi");
        pinned["spec"]["template"]["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "pi-2"});
        let free = workload("Deployment", "free", "1500Mi");
        let seen = verdict(vec![free, pinned]);
        assert!(matches!(seen, Verdict::Same { .. }), "{seen:?}");
    }

    #[test]
    fn the_release_s_own_pods_make_room_for_their_successors() {
        let objects = vec![workload("Deployment", "istiod", "3Gi")];
        let running = |name: &str| vec![testing::pod("pi-1", name, "100m", "3Gi")];
        assert!(matches!(action(json!({})).verdict(&facts(objects.clone(), running("istiod"))), Verdict::Same { .. }));
        assert!(matches!(action(json!({})).verdict(&facts(objects, running("other"))), Verdict::Blocked(_)));
    }

    #[test]
    fn headroom_is_left() {
        let facts = facts(vec![workload("Deployment", "istiod", "3Gi")], vec![]);
        assert!(matches!(action(json!({"headroom": "2Gi"})).verdict(&facts), Verdict::Blocked(_)));
    }

    #[test]
    fn a_chart_without_pods_needs_no_room() {
        let nothing = Verdict::Same { seen: "the chart makes no pods".into() };
        assert_eq!(verdict(vec![json!({"kind": "ConfigMap"})]), nothing);
        let mut none = workload("Deployment", "istiod", "64Gi");
        none["spec"]["replicas"] = 0.into();
        assert_eq!(verdict(vec![none]), nothing);
    }

    #[test]
    fn a_chart_that_does_not_render_blocks() {
        let mut facts = facts(vec![], vec![]);
        facts[0] = Fact::Helm(helm::Fact::Rendered(Err("no such chart".into())));
        let Verdict::Blocked(problem) = action(json!({})).verdict(&facts) else { panic!() };
        assert_eq!(problem.message, "the chart cannot be rendered: no such chart");
    }

    #[test]
    fn facts_of_another_kind_are_a_defect() {
        assert_eq!(action(json!({})).verdict(&[]), unexpected());
        assert_eq!(action(json!({})).verdict(&facts(vec![], vec![])[..2]), unexpected());
    }

    #[test]
    fn the_chart_is_given_as_for_a_release() {
        let of = |params: Value| serde_json::from_value::<Capacity>(params).unwrap();
        let ranged = json!({"release": "a", "namespace": "a", "chart": "a", "version": "^1.2"});
        assert_eq!(of(ranged).rules().unwrap_err().pointer, "/version");
    }
}
