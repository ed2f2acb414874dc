//! Vault's engines and authorities.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{Case, Seen};
use crate::actions::certificate::testing::{Ca, below, issuer_fact, now, root};
use crate::connect::vault::{Data, Fact as VaultFact, Node, Probe as VaultProbe, State};
use crate::connect::{Fact, Probe};

/// A root, and an intermediate below it.
pub static AUTHORITIES: LazyLock<(Ca, Ca)> = LazyLock::new(|| {
    let root = root("root");
    let intermediate = below(&root, "intermediate", "2031-01-01", Some(1));
    (root, intermediate)
});

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            action: "vault.ca",
            step: "mount = 'pki_int'",
            sees: answer,
            params: &[
                ("mount", Seen::Elsewhere("mount = 'other'")),
                ("root_mount", Seen::Elsewhere("root_mount = 'pki'")),
                ("min_ttl", Seen::With("min_ttl = '87600h'")),
                ("min_path_length", Seen::With("min_path_length = 3")),
            ],
        },
        Case { action: "vault.health", step: "", sees: answer, params: &[("nodes", Seen::With("nodes = 3"))] },
        Case {
            action: "vault.intermediate",
            step: "mount = 'pki_int'\ncommon_name = 'intermediate'\nttl = '17520h'",
            sees: answer,
            params: &[
                ("mount", Seen::Elsewhere("mount = 'other'")),
                ("root_mount", Seen::Elsewhere("root_mount = 'other'")),
                ("common_name", Seen::With("common_name = 'another'")),
                ("organization", Seen::With("organization = 'another'")),
                ("ttl", Seen::Told),
                ("renew_before", Seen::With("ttl = '70000h'\nrenew_before = '50000h'")),
                ("key_type", Seen::With("key_type = 'rsa'")),
                ("key_bits", Seen::With("key_bits = 384")),
                ("max_path_length", Seen::With("max_path_length = 2")),
            ],
        },
        Case {
            action: "vault.secrets_engine",
            step: "path = 'kv'\ntype = 'kv'",
            sees: answer,
            params: &[
                ("path", Seen::Elsewhere("path = 'other'")),
                ("type", Seen::With("type = 'pki'")),
                ("description", Seen::With("description = 'another'")),
                ("default_lease_ttl", Seen::With("default_lease_ttl = '1h'")),
                ("max_lease_ttl", Seen::With("max_lease_ttl = '1h'")),
                ("version", Seen::With("version = 1")),
            ],
        },
    ]
}

/// What Vault tells.
pub fn answer(probe: &Probe) -> Fact {
    let Probe::Vault(probe) = probe else { panic!("{probe:?} is no question about Vault") };
    let (root, intermediate) = &*AUTHORITIES;
    match probe {
        VaultProbe::Health => Fact::Vault(VaultFact::Health(vec![Node {
            address: "https://vault:8200".into(),
            state: State::Active,
            version: "2.7.2".into(),
        }])),
        VaultProbe::Read { path } if path.starts_with("pki/") => issuer_fact(&[root]),
        VaultProbe::Read { path } if path.ends_with("/issuer/default/json") => issuer_fact(&[intermediate, root]),
        VaultProbe::Read { .. } => {
            let mount = json!({
                "type": "kv", "description": "", "options": { "version": "2" },
                "config": { "default_lease_ttl": 0, "max_lease_ttl": 7200 },
            });
            let Value::Object(data) = mount else { unreachable!() };
            Fact::Vault(VaultFact::Found { data: Data(data), at: now() })
        }
    }
}
