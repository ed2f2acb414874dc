//! Cases of the actions on Istio's certificates.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::vault::{self, AUTHORITIES};
use super::{Case, Detected};
use crate::actions::certificate::testing::{Ca, below};
use crate::actions::istio::testing::{cacerts, dump, found, proxy_says};
use crate::connect::{Fact, Probe, kube};

/// Istio's CA below the intermediate.
static CA: LazyLock<Ca> = LazyLock::new(|| below(&AUTHORITIES.1, "Istio CA", "2027-01-01", Some(0)));

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            action: "istio.cacerts",
            step: "mount = 'pki_int'",
            answer,
            params: &[
                ("mount", Detected::ByProbes("mount = 'other'")),
                ("root_mount", Detected::ByProbes("root_mount = 'pki'")),
                ("namespace", Detected::ByProbes("namespace = 'other'")),
                ("secret", Detected::ByProbes("secret = 'other'")),
                ("common_name", Detected::ByVerdict("common_name = 'another'")),
                ("organization", Detected::ByVerdict("organization = 'another'")),
                ("dns_names", Detected::ByVerdict("dns_names = ['istiod.istio-system.svc']")),
                ("ttl", Detected::Never),
                ("renew_before", Detected::ByVerdict("renew_before = '6000h'")),
                ("replace_root", Detected::Never),
                ("force", Detected::Never),
            ],
        },
        Case {
            action: "istio.root_cert",
            step: "namespaces = ['trading']",
            answer,
            params: &[
                ("namespaces", Detected::ByProbes("namespaces = ['trading', 'other']")),
                ("mount", Detected::ByProbes("mount = 'pki_int'")),
                ("istio_namespace", Detected::ByProbes("istio_namespace = 'other'")),
                ("secret", Detected::ByProbes("secret = 'other'")),
            ],
        },
        Case {
            action: "istio.workload_cert",
            step: "namespace = 'trading'\nselector = 'app=agent'",
            answer,
            params: &[
                ("namespace", Detected::ByProbes("namespace = 'other'")),
                ("selector", Detected::ByProbes("selector = 'app=other'")),
                ("container", Detected::ByProbes("container = 'other'")),
                ("istio_namespace", Detected::ByProbes("istio_namespace = 'other'")),
                ("secret", Detected::ByProbes("secret = 'other'")),
            ],
        },
        Case {
            action: "istio.workload_cert",
            step: "namespace = 'trading'\npod = 'agent-1'",
            answer,
            params: &[("pod", Detected::ByProbes("pod = 'agent-2'"))],
        },
    ]
}

/// The answers of the cluster and of Vault.
fn answer(probe: &Probe) -> Fact {
    let query = match probe {
        Probe::Kube(kube::Probe::Get(query)) => query,
        Probe::Kube(kube::Probe::Exec(_)) => return proxy_says(dump(2026, &CA, &[&CA, &AUTHORITIES.1])),
        _ => return vault::answer(probe),
    };
    let (root, intermediate) = &*AUTHORITIES;
    found(vec![match query.kind.kind.as_str() {
        "Secret" => cacerts(&[&CA, intermediate, root]),
        "ConfigMap" => json!({ "data": { "root-cert.pem": root.pem() } }),
        _ => Value::Null,
    }])
}
