//! Objects of a cluster.

use serde_json::{Value, json};

use super::{Case, Seen};
use crate::connect::kube::{self, Objects, Preview};
use crate::connect::{Fact, Probe};

fn fact(fact: kube::Fact) -> Fact {
    Fact::Kube(fact)
}

/// A cluster with one ConfigMap, which an apply finds as it is.
fn applied(probe: &Probe) -> Fact {
    let Probe::Kube(kube::Probe::Apply { object, .. }) = probe else { panic!("another question") };
    let live = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "v"}});
    fact(kube::Fact::Apply(Preview::Would { live: Some(live), result: object.0.clone(), conflicts: Vec::new() }))
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
    ]
}
