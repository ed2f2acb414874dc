//! The JSON Schema of inventory files, for editors.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::{Value, json};

use super::SecretKeys;

macro_rules! documented {
    ($($(#[$doc:meta])* struct $name:ident { $($(#[$about:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(JsonSchema)]
            #[schemars(deny_unknown_fields)]
            #[expect(dead_code, reason = "only its documentation is used; a test compares its keys with those that are read")]
            struct $name { $($(#[$about])* $field: Option<$type>,)* }
        )*
    };
}

documented! {
    /// An inventory: where plans run.
    struct InventoryFile {
        /// Hosts by name; a name may have ranges, such as `pi-[1:20]`.
        hosts: BTreeMap<String, HostKeys>,
        /// Groups by name.
        groups: BTreeMap<String, GroupKeys>,
        /// Variables of every plan that runs here; they override the plan's own.
        vars: BTreeMap<String, Value>,
        /// Secrets by name, used as `{{ secrets.NAME }}`; they come before the plan's of the same names.
        secrets: BTreeMap<String, SecretKeys>,
        /// How ssh connects.
        ssh: SshKeys,
        /// How the hosts' users become root.
        r#become: BecomeKeys,
        /// Which cluster.
        kube: KubeKeys,
        /// Which Vault or OpenBao.
        vault: VaultKeys,
        /// Which Helm.
        helm: HelmKeys,
        /// What plans may reach on the machine that runs them.
        project: ProjectKeys,
    }

    /// A host.
    struct HostKeys {
        /// Name or address that ssh is given; default the host's name. With a range of names, a range of addresses.
        address: String,
        /// User to log in as; default what ssh decides.
        user: String,
        /// Port; default what ssh decides.
        port: u16,
        /// How it is reached; default `ssh`.
        connection: ConnectionKind,
        /// How ssh reaches it; comes before what its groups and `[ssh]` say.
        ssh: HostSshKeys,
        /// How its user becomes root; comes before what its groups and `[become]` say.
        r#become: BecomeKeys,
        /// Variables of this host; they override those of its groups.
        vars: BTreeMap<String, Value>,
    }

    /// A group of hosts.
    struct GroupKeys {
        /// Host patterns.
        hosts: Vec<String>,
        /// Groups whose hosts belong to this one too.
        children: Vec<String>,
        /// How ssh reaches its hosts.
        ssh: HostSshKeys,
        /// How its hosts' users become root.
        r#become: BecomeKeys,
        /// Variables of its hosts.
        vars: BTreeMap<String, Value>,
    }

    /// How ssh connects.
    struct SshKeys {
        /// An ssh_config file in the place of `~/.ssh/config`.
        config: String,
        /// Such as `10s`, which is the default.
        connect_timeout: String,
        /// How long a connection that is not in use is kept for the next run, such as `10m`; default not at all.
        control_persist: String,
        /// Shells that a host has at a time, at most; default 6. The server's MaxSessions is 10.
        max_sessions: u32,
        /// Options of ssh itself, such as `KexAlgorithms`; they come before those in its configuration.
        options: BTreeMap<String, Value>,
    }

    /// How ssh reaches a host.
    struct HostSshKeys {
        /// Shells that it has at a time, at most; default 6. The server's MaxSessions is 10.
        max_sessions: u32,
        /// Options of ssh itself, such as `KexAlgorithms`; they come before those in its configuration.
        options: BTreeMap<String, Value>,
    }

    /// How a user becomes root, by sudo.
    struct BecomeKeys {
        /// The password that sudo asks for, as `{{ secrets.NAME }}`; default that it asks for none.
        password: String,
    }

    /// Which cluster.
    struct KubeKeys {
        /// Default `$KUBECONFIG`, then `~/.kube/config`, then the pod's service account.
        kubeconfig: String,
        /// Default the file's current one.
        context: String,
        /// Namespace of the Leases by which runs on different machines keep out of each other's way; default
        /// `kube-system`. Needs the rights get, create and update on leases.coordination.k8s.io there.
        lease_namespace: String,
    }

    /// Which Vault or OpenBao.
    struct VaultKeys {
        /// The API of the only node, such as `https://host:8200`.
        address: String,
        /// The API of each node; the active one is used.
        addresses: Vec<String>,
        /// Whether addresses may be `http://`, so that the token and all secrets go in clear; default `false`.
        allow_http: bool,
        /// Path of the namespace in which all mounts and secrets of this file and its plans are, such as `team/mesh`;
        /// default the root namespace.
        namespace: String,
        /// PEM file of the CA that signed the API's certificate; default the system's.
        ca_cert: String,
        /// File that has the token; default `$VAULT_TOKEN`, then `~/.vault-token`.
        token_file: String,
        /// Name of the environment variable that has the token.
        token_env: String,
    }

    /// What plans may reach on the machine that runs them.
    struct ProjectKeys {
        /// Whether links in a project may lead out of it: to templates, scripts and other files, and to those that are
        /// written there; default `false`.
        allow_outside: bool,
    }

    /// Which Helm.
    struct HelmKeys {
        /// The program; default `helm` in PATH.
        binary: String,
    }
}

/// How a host is reached.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its documentation is used")]
enum ConnectionKind {
    /// By the ssh program.
    Ssh,
    /// It is this machine.
    Local,
}

/// The schema of an inventory file.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(InventoryFile).to_value();
    schema["title"] = json!("rollout inventory");
    schema
}

#[cfg(test)]
mod tests {
    use super::super::{access, groups, parse, secrets};
    use super::*;

    #[test]
    fn the_schema_has_the_keys_that_are_read() {
        let schema = schema();
        let keys = |of: &Value| of["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&schema), parse::TOP_KEYS);
        for (table, known) in [
            ("HostKeys", parse::HOST_KEYS),
            ("GroupKeys", groups::GROUP_KEYS),
            ("SshKeys", parse::SSH_KEYS),
            ("HostSshKeys", access::SSH_KEYS),
            ("BecomeKeys", access::BECOME_KEYS),
            ("KubeKeys", parse::KUBE_KEYS),
            ("VaultKeys", parse::VAULT_KEYS),
            ("HelmKeys", parse::HELM_KEYS),
            ("ProjectKeys", parse::PROJECT_KEYS),
            ("SecretKeys", secrets::SECRET_KEYS),
        ] {
            assert_eq!(keys(&schema["$defs"][table]), known, "{table}");
        }
    }
}
