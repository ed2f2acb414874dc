//! Objects of a cluster.

use serde_json::{Value, json};

use super::{Case, Seen};
use crate::actions::kube::scheduling::testing;
use crate::connect::kube::{self, Objects, Preview};
use crate::connect::{Fact, Probe};

fn fact(fact: kube::Fact) -> Fact {
    Fact::Kube(fact)
}

/// A cluster with one ConfigMap, which an apply finds as it is.
fn applied(probe: &Probe) -> Fact {
    let Probe::Kube(kube::Probe::Apply { object, .. }) = probe else { panic!("another question") };
    let live = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "v"}});
    fact(kube::Fact::Apply(Preview::Accepted { live: Some(live), result: object.0.clone(), conflicts: Vec::new() }))
}

/// A cluster with one namespace.
fn found(probe: &Probe) -> Fact {
    let Probe::Kube(kube::Probe::Get(query)) = probe else { panic!("another question") };
    let there: Value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app",
        "labels": {"a": "b"}, "annotations": {"c": "d"}},
        "status": {"phase": "Active", "conditions": [{"type": "Ready", "status": "True"}]}});
    let is_it = query.kind.kind == "Namespace" && query.selector.is_none();
    fact(kube::Fact::Objects(Objects::of(if is_it { vec![there] } else { Vec::new() })))
}

/// A cluster of one node that runs nothing.
pub fn roomy(probe: &Probe) -> Fact {
    nodes_or_pods(probe, testing::node("pi-1", "4", "4Gi"), Vec::new())
}

/// One whose node takes only pods that tolerate `edge`, and runs that of `app/web`.
fn full(probe: &Probe) -> Fact {
    let mut node = testing::node("pi-1", "4", "4Gi");
    node["spec"]["taints"] = json!([{"key": "edge", "effect": "NoSchedule"}]);
    nodes_or_pods(probe, node, vec![testing::pod("pi-1", "web", "1", "3Gi")])
}

fn nodes_or_pods(probe: &Probe, node: Value, pods: Vec<Value>) -> Fact {
    let Probe::Kube(kube::Probe::Get(query)) = probe else { panic!("another question") };
    let items = if query.kind.kind == "Node" { vec![node] } else { pods };
    fact(kube::Fact::Objects(Objects::of(items)))
}

/// A pod in which every command says `fine`.
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
            sees: applied,
            params: &[
                (
                    "inline",
                    Seen::With("inline = '{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {k: w}}'"),
                ),
                ("namespace", Seen::Elsewhere("namespace = 'other'")),
                ("force", Seen::Told),
                ("replace", Seen::Told),
            ],
        },
        Case {
            action: "kube.apply",
            step: MANIFEST,
            sees: applied,
            params: &[(
                "manifest",
                Seen::With(
                    "manifest = { path = 'm', content = '{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}' }",
                ),
            )],
        },
        Case {
            action: "kube.label",
            step: "kind = 'Namespace'\nname = 'app'\nlabels = { a = 'b' }\nannotations = { c = 'd' }",
            sees: found,
            params: &[
                ("api_version", Seen::Elsewhere("api_version = 'v2'")),
                ("kind", Seen::Elsewhere("kind = 'Node'")),
                ("namespace", Seen::Elsewhere("namespace = 'x'")),
                ("name", Seen::Elsewhere("name = 'x'")),
                ("selector", Seen::Instead("kind = 'Namespace'\nselector = 'x'\nlabels = { a = 'b' }")),
                ("labels", Seen::With("labels = { a = 'c' }")),
                ("annotations", Seen::With("annotations = { c = '' }")),
            ],
        },
        Case {
            action: "kube.wait",
            step: "kind = 'Namespace'\ncondition = 'Ready'",
            sees: found,
            params: &[
                ("api_version", Seen::Elsewhere("api_version = 'v2'")),
                ("kind", Seen::Elsewhere("kind = 'Node'")),
                ("namespace", Seen::Elsewhere("namespace = 'x'")),
                ("name", Seen::Elsewhere("name = 'x'")),
                ("selector", Seen::With("selector = 'x'")),
                ("minimum", Seen::With("minimum = 2")),
                ("condition", Seen::With("condition = 'Gone'")),
                ("status", Seen::With("status = 'False'")),
                ("rollout", Seen::Instead("kind = 'Deployment'\nrollout = true")),
                ("exists", Seen::Instead("kind = 'Namespace'\nexists = false")),
                ("jsonpath", Seen::Instead("kind = 'Namespace'\njsonpath = '{.status.none}'")),
                ("value", Seen::Instead("kind = 'Namespace'\njsonpath = '{.status.phase}'\nvalue = 'Terminating'")),
            ],
        },
        Case {
            action: "kube.capacity",
            step: "workload = 'app/web'\nmemory = '3Gi'\ntolerations = [{ key = 'edge', operator = 'Exists' }]",
            sees: full,
            params: &[
                ("cpu", Seen::With("cpu = 5")),
                ("memory", Seen::With("memory = '5Gi'")),
                ("replicas", Seen::With("replicas = 2")),
                ("node_selector", Seen::With("node_selector = { disk = 'ssd' }")),
                ("tolerations", Seen::With("tolerations = []")),
                ("workload", Seen::With("workload = 'app/other'")),
                ("headroom", Seen::With("headroom = '2Gi'")),
            ],
        },
        Case {
            action: "kube.exec",
            step: "namespace = 'app'\nselector = 'app=client'\ncommand = ['x']",
            sees: says_fine,
            params: &[
                ("namespace", Seen::Elsewhere("namespace = 'other'")),
                ("selector", Seen::Elsewhere("selector = 'app=other'")),
                ("container", Seen::Elsewhere("container = 'other'")),
                ("command", Seen::Elsewhere("command = ['y']")),
                ("stdin", Seen::Elsewhere("stdin = 'y'")),
                ("expect", Seen::With("expect = 'well'")),
                ("expect_regex", Seen::With("expect_regex = '^well$'")),
                ("expect_exit", Seen::With("expect_exit = 1")),
                ("expect_failure", Seen::With("expect_failure = true")),
                ("changes", Seen::With("changes = true")),
                ("on_interrupt", Seen::Told),
            ],
        },
        Case {
            action: "kube.exec",
            step: "namespace = 'app'\npod = 'client-1'\ncommand = ['x']\nchanges = true\nunless = ['true']",
            sees: says_fine,
            params: &[("pod", Seen::Elsewhere("pod = 'client-2'")), ("unless", Seen::With("unless = ['false']"))],
        },
    ]
}
