//! Cases of the actions on the objects of a cluster.

use serde_json::{Value, json};

use super::{Case, Detected};
use crate::actions::kube::scheduling::testing;
use crate::connect::kube::{self, Objects, Preview};
use crate::connect::{Fact, Probe};

fn fact(fact: kube::Fact) -> Fact {
    Fact::Kube(fact)
}

/// A cluster with one ConfigMap, which the dry run of an apply leaves as it is.
fn applied_config_map(probe: &Probe) -> Fact {
    let Probe::Kube(kube::Probe::Apply { object, .. }) = probe else { panic!("another question") };
    let live = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "v"}});
    fact(kube::Fact::Apply(Preview::Accepted { live: Some(live), result: object.0.clone(), conflicts: Vec::new() }))
}

/// A cluster with one namespace.
fn one_namespace(probe: &Probe) -> Fact {
    let Probe::Kube(kube::Probe::Get(query)) = probe else { panic!("another question") };
    let there: Value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app",
        "labels": {"a": "b"}, "annotations": {"c": "d"}},
        "status": {"phase": "Active", "conditions": [{"type": "Ready", "status": "True"}]}});
    let is_it = query.kind.kind == "Namespace" && query.selector.is_none();
    fact(kube::Fact::Objects(Objects::of(if is_it { vec![there] } else { Vec::new() })))
}

/// A cluster with one node that runs nothing.
pub fn empty_cluster(probe: &Probe) -> Fact {
    nodes_or_pods(probe, testing::node("pi-1", "4", "4Gi"), Vec::new())
}

/// A cluster with one node, which accepts only pods that tolerate `edge`, and runs the pod of `app/web`.
fn full_cluster(probe: &Probe) -> Fact {
    let mut node = testing::node("pi-1", "4", "4Gi");
    node["spec"]["taints"] = json!([{"key": "edge", "effect": "NoSchedule"}]);
    nodes_or_pods(probe, node, vec![testing::pod("pi-1", "web", "1", "3Gi")])
}

fn nodes_or_pods(probe: &Probe, node: Value, pods: Vec<Value>) -> Fact {
    let Probe::Kube(kube::Probe::Get(query)) = probe else { panic!("another question") };
    let items = if query.kind.kind == "Node" { vec![node] } else { pods };
    fact(kube::Fact::Objects(Objects::of(items)))
}

/// A pod in which every command prints `fine`.
fn says_fine(probe: &Probe) -> Fact {
    let Probe::Kube(kube::Probe::Exec(exec)) = probe else { panic!("another question") };
    let exit = i32::from(exec.command == ["false"]);
    fact(kube::Fact::Exec(kube::ExecOutcome::Ended {
        pod: "client-1".into(),
        exit,
        stdout: "fine\n".into(),
        stderr: String::new(),
    }))
}

const MANIFEST: &str =
    "manifest = { path = 'm', content = '{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {k: v}}' }";

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            action: "kube.apply",
            step: "inline = '{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {k: v}}'\nnamespace = 'app'",
            answer: applied_config_map,
            params: &[
                (
                    "inline",
                    Detected::ByVerdict(
                        "inline = '{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {k: w}}'",
                    ),
                ),
                ("namespace", Detected::ByProbes("namespace = 'other'")),
                ("force", Detected::Never),
                ("replace", Detected::Never),
            ],
        },
        Case {
            action: "kube.apply",
            step: MANIFEST,
            answer: applied_config_map,
            params: &[(
                "manifest",
                Detected::ByVerdict(
                    "manifest = { path = 'm', content = '{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}' }",
                ),
            )],
        },
        Case {
            action: "kube.label",
            step: "kind = 'Namespace'\nname = 'app'\nlabels = { a = 'b' }\nannotations = { c = 'd' }",
            answer: one_namespace,
            params: &[
                ("api_version", Detected::ByProbes("api_version = 'v2'")),
                ("kind", Detected::ByProbes("kind = 'Node'")),
                ("namespace", Detected::ByProbes("namespace = 'x'")),
                ("name", Detected::ByProbes("name = 'x'")),
                ("selector", Detected::ByVerdictOf("kind = 'Namespace'\nselector = 'x'\nlabels = { a = 'b' }")),
                ("labels", Detected::ByVerdict("labels = { a = 'c' }")),
                ("annotations", Detected::ByVerdict("annotations = { c = '' }")),
            ],
        },
        Case {
            action: "kube.wait",
            step: "kind = 'Namespace'\ncondition = 'Ready'",
            answer: one_namespace,
            params: &[
                ("api_version", Detected::ByProbes("api_version = 'v2'")),
                ("kind", Detected::ByProbes("kind = 'Node'")),
                ("namespace", Detected::ByProbes("namespace = 'x'")),
                ("name", Detected::ByProbes("name = 'x'")),
                ("selector", Detected::ByVerdict("selector = 'x'")),
                ("minimum", Detected::ByVerdict("minimum = 2")),
                ("condition", Detected::ByVerdict("condition = 'Gone'")),
                ("status", Detected::ByVerdict("status = 'False'")),
                ("rollout", Detected::ByVerdictOf("kind = 'Deployment'\nrollout = true")),
                ("exists", Detected::ByVerdictOf("kind = 'Namespace'\nexists = false")),
                ("jsonpath", Detected::ByVerdictOf("kind = 'Namespace'\njsonpath = '{.status.none}'")),
                (
                    "value",
                    Detected::ByVerdictOf("kind = 'Namespace'\njsonpath = '{.status.phase}'\nvalue = 'Terminating'"),
                ),
            ],
        },
        Case {
            action: "kube.capacity",
            step: "workload = 'app/web'\nmemory = '3Gi'\ntolerations = [{ key = 'edge', operator = 'Exists' }]",
            answer: full_cluster,
            params: &[
                ("cpu", Detected::ByVerdict("cpu = 5")),
                ("memory", Detected::ByVerdict("memory = '5Gi'")),
                ("replicas", Detected::ByVerdict("replicas = 2")),
                ("node_selector", Detected::ByVerdict("node_selector = { disk = 'ssd' }")),
                ("tolerations", Detected::ByVerdict("tolerations = []")),
                ("workload", Detected::ByVerdict("workload = 'app/other'")),
                ("headroom", Detected::ByVerdict("headroom = '2Gi'")),
            ],
        },
        Case {
            action: "kube.exec",
            step: "namespace = 'app'\nselector = 'app=client'\ncommand = ['x']",
            answer: says_fine,
            params: &[
                ("namespace", Detected::ByProbes("namespace = 'other'")),
                ("selector", Detected::ByProbes("selector = 'app=other'")),
                ("container", Detected::ByProbes("container = 'other'")),
                ("command", Detected::ByProbes("command = ['y']")),
                ("stdin", Detected::ByProbes("stdin = 'y'")),
                ("expect", Detected::ByVerdict("expect = 'well'")),
                ("expect_regex", Detected::ByVerdict("expect_regex = '^well$'")),
                ("expect_exit", Detected::ByVerdict("expect_exit = 1")),
                ("expect_failure", Detected::ByVerdict("expect_failure = true")),
                ("changes", Detected::ByVerdict("changes = true")),
                ("on_interrupt", Detected::Never),
            ],
        },
        Case {
            action: "kube.exec",
            step: "namespace = 'app'\npod = 'client-1'\ncommand = ['x']\nchanges = true\nunless = ['true']",
            answer: says_fine,
            params: &[
                ("pod", Detected::ByProbes("pod = 'client-2'")),
                ("unless", Detected::ByVerdict("unless = ['false']")),
            ],
        },
    ]
}
