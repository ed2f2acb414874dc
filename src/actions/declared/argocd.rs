//! Cases of the actions on Argo CD.

use serde_json::{Value, json};

use super::{Case, Detected};
use crate::connect::kube::{self, Objects};
use crate::connect::{Fact, Probe};

/// A cluster with Argo CD's server, and one Application that is healthy and out of sync.
fn answer(probe: &Probe) -> Fact {
    let Probe::Kube(kube::Probe::Get(query)) = probe else { panic!("another question") };
    let items: Vec<Value> = match query.kind.kind.as_str() {
        "Deployment" => vec![json!({
            "kind": "Deployment", "metadata": {"name": "argocd-server", "namespace": "argocd"}, "spec": {"replicas": 1},
            "status": {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1},
        })],
        "Application" => vec![json!({
            "metadata": {"name": "trading"}, "spec": {"destination": {"namespace": "app"}},
            "status": {"health": {"status": "Healthy"}, "sync": {"status": "OutOfSync"}},
        })],
        _ => Vec::new(),
    };
    Fact::Kube(kube::Fact::Objects(Objects::of(items)))
}

pub fn cases() -> Vec<Case> {
    vec![Case {
        action: "argocd.health",
        step: "",
        answer,
        params: &[
            ("namespace", Detected::ByProbes("namespace = 'other'")),
            ("applications", Detected::ByVerdict("applications = ['other']")),
            ("namespaces", Detected::ByVerdict("namespaces = ['other']")),
            ("allow_out_of_sync", Detected::ByVerdict("allow_out_of_sync = false")),
        ],
    }]
}
