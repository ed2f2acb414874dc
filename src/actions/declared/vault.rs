//! Cases of the actions on Vault.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{Case, Detected};
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
            answer,
            params: &[
                ("mount", Detected::ByProbes("mount = 'other'")),
                ("root_mount", Detected::ByProbes("root_mount = 'pki'")),
                ("min_ttl", Detected::ByVerdict("min_ttl = '87600h'")),
                ("min_path_length", Detected::ByVerdict("min_path_length = 3")),
            ],
        },
        Case { action: "vault.health", step: "", answer, params: &[("nodes", Detected::ByVerdict("nodes = 3"))] },
        Case {
            action: "vault.intermediate",
            step: "mount = 'pki_int'\ncommon_name = 'intermediate'\nttl = '17520h'",
            answer,
            params: &[
                ("mount", Detected::ByProbes("mount = 'other'")),
                ("root_mount", Detected::ByProbes("root_mount = 'other'")),
                ("common_name", Detected::ByVerdict("common_name = 'another'")),
                ("organization", Detected::ByVerdict("organization = 'another'")),
                ("ttl", Detected::Never),
                ("renew_before", Detected::ByVerdict("ttl = '70000h'\nrenew_before = '50000h'")),
                ("key_type", Detected::ByVerdict("key_type = 'rsa'")),
                ("key_bits", Detected::ByVerdict("key_bits = 384")),
                ("max_path_length", Detected::ByVerdict("max_path_length = 2")),
            ],
        },
        Case {
            action: "vault.secrets_engine",
            step: "path = 'kv'\ntype = 'kv'",
            answer,
            params: &[
                ("path", Detected::ByProbes("path = 'other'")),
                ("type", Detected::ByVerdict("type = 'pki'")),
                ("description", Detected::ByVerdict("description = 'another'")),
                ("default_lease_ttl", Detected::ByVerdict("default_lease_ttl = '1h'")),
                ("max_lease_ttl", Detected::ByVerdict("max_lease_ttl = '1h'")),
                ("version", Detected::ByVerdict("version = 1")),
            ],
        },
    ]
}

/// Vault's answers.
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
