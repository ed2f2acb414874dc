//! Istio's certificates.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::vault::{self, AUTHORITIES};
use super::{Case, Seen};
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
            sees: answer,
            params: &[
                ("mount", Seen::Elsewhere("mount = 'other'")),
                ("root_mount", Seen::Elsewhere("root_mount = 'pki'")),
                ("namespace", Seen::Elsewhere("namespace = 'other'")),
                ("secret", Seen::Elsewhere("secret = 'other'")),
                ("common_name", Seen::With("common_name = 'another'")),
                ("organization", Seen::With("organization = 'another'")),
                ("dns_names", Seen::With("dns_names = ['istiod.istio-system.svc']")),
                ("ttl", Seen::Told),
                ("renew_before", Seen::With("renew_before = '6000h'")),
                ("replace_root", Seen::Told),
                ("force", Seen::Told),
            ],
        },
        Case {
            action: "istio.root_cert",
            step: "namespaces = ['trading']",
            sees: answer,
            params: &[
                ("namespaces", Seen::Elsewhere("namespaces = ['trading', 'other']")),
                ("mount", Seen::Elsewhere("mount = 'pki_int'")),
                ("istio_namespace", Seen::Elsewhere("istio_namespace = 'other'")),
                ("secret", Seen::Elsewhere("secret = 'other'")),
            ],
        },
        Case {
            action: "istio.workload_cert",
            step: "namespace = 'trading'\nselector = 'app=agent'",
            sees: answer,
            params: &[
                ("namespace", Seen::Elsewhere("namespace = 'other'")),
                ("selector", Seen::Elsewhere("selector = 'app=other'")),
                ("container", Seen::Elsewhere("container = 'other'")),
                ("istio_namespace", Seen::Elsewhere("istio_namespace = 'other'")),
                ("secret", Seen::Elsewhere("secret = 'other'")),
            ],
        },
        Case {
            action: "istio.workload_cert",
            step: "namespace = 'trading'\npod = 'agent-1'",
            sees: answer,
            params: &[("pod", Seen::Elsewhere("pod = 'agent-2'"))],
        },
    ]
}

/// What the cluster and Vault tell.
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
