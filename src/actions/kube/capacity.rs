//! `kube.capacity`: the nodes have room for pods, checked before anything is changed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::scheduling::{Amount, ClusterCapacity, Pods, Quantity, Toleration, Workload};
use super::unexpected;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};

/// Memory below this is taken for a mistake in the unit.
const DEFAULT_MIN_MEMORY: Quantity = Quantity::whole(1024);

/// The nodes have room for the requests of pods. The step fails at once if they have not.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// CPU that each pod requests: `500m`, or a number of cores.
    #[serde(default)]
    cpu: Option<Quantity>,
    /// Memory that each pod requests, such as `512Mi`.
    #[serde(default)]
    memory: Option<Quantity>,
    /// Number of pods. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    replicas: u64,
    /// Labels of the nodes that may run the pods.
    #[serde(default)]
    node_selector: BTreeMap<String, String>,
    /// Taints that the pods tolerate, written as in a pod.
    #[serde(default)]
    tolerations: Vec<Toleration>,
    /// Deployment, StatefulSet or DaemonSet of the pods, as `namespace/name`. Pods that this workload already has do
    /// not count as used room.
    #[serde(default)]
    workload: Option<String>,
    /// Memory that must be left free on each node, such as `256Mi`. Default: none.
    #[serde(default)]
    headroom: Option<Quantity>,
}

fn one() -> u64 {
    1
}

impl Capacity {
    fn pods(&self) -> Pods {
        Pods {
            name: self.workload.clone().unwrap_or_else(|| "a pod".to_owned()),
            each: Amount { cpu: self.cpu.unwrap_or_default(), memory: self.memory.unwrap_or_default() },
            replicas: Some(self.replicas),
            selector: self.node_selector.clone(),
            tolerations: self.tolerations.clone(),
        }
    }

    fn room(&self, facts: &[Fact]) -> Option<ClusterCapacity> {
        let own: Vec<Workload> = self.workload.as_deref().and_then(Workload::parse).into_iter().collect();
        ClusterCapacity::from_facts(facts, &own, self.headroom.unwrap_or_default())
    }
}

impl Action for Capacity {
    fn probes(&self) -> Vec<Probe> {
        ClusterCapacity::probes().into()
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let Some(mut room) = self.room(facts) else { return unexpected() };
        let pods = self.pods();
        let fits = room.fits(&pods);
        let freest =
            room.nodes(&pods).first().map(|n| format!("{} has {} left", n.name, n.free_room())).unwrap_or_default();
        match room.place(&pods) {
            Err(problem) => Verdict::Blocked(problem),
            Ok(()) if self.replicas == 1 => Verdict::Same { seen: format!("fits: {freest}") },
            Ok(()) => Verdict::Same { seen: format!("{} fit, of {fits} that would: {freest}", self.replicas) },
        }
    }

    fn next_effect(&self, _facts: &[Fact], _done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(None)
    }

    fn outputs(&self, facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        let (pods, room) = (self.pods(), self.room(facts));
        let node = room.as_ref().and_then(|r| Some(r.nodes(&pods).first()?.name.clone()));
        Outputs::from_iter([
            ("fits".to_owned(), room.as_ref().map_or(Value::Null, |r| r.fits(&pods).into())),
            ("node".to_owned(), node.map_or(Value::Null, Value::from)),
        ])
    }
}

impl Spec for Capacity {
    const NAME: &'static str = "kube.capacity";
    const SUMMARY: &'static str = "nodes have room left for the requests of pods";
    const RUNS_ON: RunsOn = RunsOn::Cluster;
    const ROLE: Role = Role::Check;
    const OUTPUTS: &'static [Output] = &[
        Output { name: "fits", about: "how many such pods find room" },
        Output { name: "node", about: "name of the node with the most memory left" },
    ];
    const EXAMPLE: &'static str = r#"[[phase.prereq-nodes.step]]
id = "room-for-agent"
action = "kube.capacity"
workload = "trading/agent"
cpu = "100m"
memory = "256Mi"
replicas = 2
"#;

    fn rules(&self) -> Result<(), ParamError> {
        if self.cpu.is_none() && self.memory.is_none() {
            return refuse("", "cpu or memory is needed");
        }
        for (name, memory) in [("memory", self.memory), ("headroom", self.headroom)] {
            if memory.is_some_and(|m| m > Quantity::ZERO && m < DEFAULT_MIN_MEMORY) {
                return refuse(name, "is less than 1Ki: memory is in bytes, and m is a thousandth; Mi may be meant");
            }
        }
        if self.workload.as_deref().is_some_and(|w| !w.contains("{{") && Workload::parse(w).is_none()) {
            return refuse("workload", "must be written as namespace/name");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::scheduling::testing::{facts, node, pod};
    use super::*;
    use serde_json::json;

    fn action(more: Value) -> Capacity {
        let mut params = json!({"cpu": "500m", "memory": "512Mi", "workload": "app/web"});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let action: Capacity = serde_json::from_value(params).unwrap();
        action.rules().unwrap();
        action
    }

    fn blocked(more: Value, nodes: Vec<Value>) -> (String, String) {
        let used = vec![pod("pi-1", "dns", "2200m", "512Mi")];
        let Verdict::Blocked(problem) = action(more).verdict(&facts(nodes, used)) else { panic!() };
        (problem.message, problem.hint.unwrap())
    }

    fn pis() -> Vec<Value> {
        vec![node("pi-1", "4", "4000Mi"), node("pi-2", "2", "2000Mi")]
    }

    #[test]
    fn what_fits_says_where() {
        let facts = facts(pis(), vec![pod("pi-1", "dns", "2200m", "512Mi")]);
        let seen = |more: Value| action(more).verdict(&facts);
        assert_eq!(seen(json!({})), Verdict::Same { seen: "fits: pi-1 has 3.4Gi, 1.8 CPUs left".into() });
        let all = Verdict::Same { seen: "6 fit, of 6 that would: pi-1 has 3.4Gi, 1.8 CPUs left".into() };
        assert_eq!(seen(json!({"replicas": 6})), all);
        let outputs = action(json!({})).outputs(&facts, &[]);
        assert_eq!(Value::Object(outputs), json!({"fits": 6, "node": "pi-1"}));
        assert!(action(json!({})).next_effect(&facts, &[]).unwrap().is_none());
    }

    #[test]
    fn a_second_run_does_not_count_the_pods_of_the_first() {
        let running = vec![pod("pi-2", "web", "500m", "1800Mi")];
        let facts = facts(vec![node("pi-2", "2", "2000Mi")], running);
        assert!(matches!(action(json!({"memory": "1800Mi"})).verdict(&facts), Verdict::Same { .. }));
    }

    #[test]
    fn too_little_memory_names_the_freest_node() {
        let (message, hint) = blocked(json!({"memory": "64Gi"}), pis());
        assert_eq!(message, "app/web asks for 64Gi memory; the freest node, pi-1, has 3.4Gi of 3.9Gi allocatable left");
        assert_eq!(hint, "lower what it requests, or free some: `kubectl describe node pi-1` lists who asks for what");
    }

    #[test]
    fn too_little_cpu_names_the_node_with_the_most() {
        let (message, _) = blocked(json!({"cpu": 3}), pis());
        assert_eq!(message, "app/web asks for 3 CPUs; the freest node, pi-2, has 2 of 2 CPUs allocatable left");
    }

    #[test]
    fn enough_of_both_but_nowhere_together() {
        let (message, _) = blocked(json!({"cpu": 2, "memory": "3Gi"}), pis());
        let expected = "app/web asks for 3Gi memory and 2 CPUs; no node has all of it left: pi-1 has 3.4Gi, 1.8 CPUs, \
                        pi-2 has 1.9Gi, 2 CPUs left";
        assert_eq!(message, expected);
    }

    #[test]
    fn of_several_it_says_how_many_fit() {
        let (message, _) = blocked(json!({"memory": "2Gi", "replicas": 3}), pis());
        let expected = "app/web asks for 3 × 2Gi memory and 500m CPU; only 1 fits: pi-1 has 3.4Gi, 1.8 CPUs, pi-2 has \
                        1.9Gi, 2 CPUs left";
        assert_eq!(message, expected);
    }

    #[test]
    fn nodes_that_take_no_pods_are_named_with_the_reason() {
        let mut nodes = pis();
        nodes[0]["status"]["conditions"][0]["status"] = "Unknown".into();
        nodes.push(node("control", "4", "8Gi"));
        nodes[2]["spec"]["taints"] = json!([{"key": "control-plane", "effect": "NoSchedule"}]);
        let (message, _) = blocked(json!({"memory": "3Gi"}), nodes.clone());
        let expected = "app/web asks for 3Gi memory; the freest node, pi-2, has 1.9Gi of 1.9Gi allocatable left; pi-1 is \
                        not Ready; control has the taint control-plane:NoSchedule";
        assert_eq!(message, expected);
        let tolerant = json!({"memory": "3Gi", "tolerations": [{"key": "control-plane", "operator": "Exists"}]});
        assert!(matches!(action(tolerant).verdict(&facts(nodes.clone(), vec![])), Verdict::Same { .. }));
        let (message, _) = blocked(json!({"node_selector": {"kubernetes.io/hostname": "pi-1"}}), nodes);
        assert_eq!(message, "no node takes app/web: pi-1 is not Ready");
    }

    #[test]
    fn a_selector_that_matches_nothing_shows_what_there_is() {
        let (message, hint) = blocked(json!({"node_selector": {"kubernetes.io/hostname": "pi-3"}}), pis());
        let expected = "app/web wants nodes with kubernetes.io/hostname=pi-3, and there is none; kubernetes.io/hostname \
                        is `pi-1`, `pi-2`";
        assert_eq!(message, expected);
        assert_eq!(hint, "did you mean `pi-1`?");
        let (message, hint) = blocked(json!({"node_selector": {"disk": "ssd"}}), pis());
        assert_eq!(message, "app/web wants nodes with disk=ssd, and there is none; no node has a label disk");
        assert_eq!(hint, "correct the node selector, or `kubectl label node NAME disk=ssd`");
    }

    #[test]
    fn a_cluster_without_nodes_and_one_that_is_full_of_pods() {
        assert_eq!(blocked(json!({}), vec![]).0, "no node takes app/web: the cluster has none");
        let mut full = node("pi-1", "4", "4Gi");
        full["status"]["allocatable"]["pods"] = "1".into();
        assert_eq!(
            blocked(json!({}), vec![full]).0,
            "app/web asks for a place; all nodes run as many pods as they may"
        );
    }

    #[test]
    fn facts_of_another_kind_are_a_defect() {
        assert_eq!(action(json!({})).verdict(&[]), unexpected());
    }

    #[test]
    fn slips_of_the_pen_are_refused() {
        let pointer = |params: Value| serde_json::from_value::<Capacity>(params).unwrap().rules().unwrap_err().pointer;
        assert_eq!(pointer(json!({})), "");
        assert_eq!(pointer(json!({"memory": "512m"})), "/memory");
        assert_eq!(pointer(json!({"memory": "512Mi", "headroom": 256})), "/headroom");
        assert_eq!(pointer(json!({"cpu": 1, "workload": "istiod"})), "/workload");
    }
}
