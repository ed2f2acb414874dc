//! Builds the JSON Schema of inventory files, for editors.

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
    /// An inventory: the hosts and endpoints that plans run against.
    struct InventoryFile {
        /// Hosts by name; a name may contain ranges, such as `pi-[1:20]`.
        hosts: BTreeMap<String, HostKeys>,
        /// Groups of hosts by name.
        groups: BTreeMap<String, GroupKeys>,
        /// Variables for every plan that runs with this inventory; they override the plan's own.
        vars: BTreeMap<String, Value>,
        /// Secrets by name, used as `{{ secrets.NAME }}`; they override secrets of the same names in the plan.
        secrets: BTreeMap<String, SecretKeys>,
        /// SSH settings for all hosts.
        ssh: SshKeys,
        /// How users become root on the hosts.
        r#become: BecomeKeys,
        /// The Kubernetes cluster.
        kube: KubeKeys,
        /// The Vault or OpenBao server.
        vault: VaultKeys,
        /// The Helm program.
        helm: HelmKeys,
        /// Which files plans may use on the machine that runs `rollout`.
        project: ProjectKeys,
    }

    /// A host.
    struct HostKeys {
        /// Host name or IP address for ssh; default the host's name. For a range of names, a range of addresses.
        address: String,
        /// User to log in as; default that of the ssh configuration.
        user: String,
        /// TCP port; default that of the ssh configuration.
        port: u16,
        /// How the host is reached; default `ssh`.
        connection: ConnectionKind,
        /// SSH settings of this host; they override those of its groups and of `[ssh]`.
        ssh: HostSshKeys,
        /// How the user becomes root on this host; overrides the groups and `[become]`.
        r#become: BecomeKeys,
        /// Variables of this host; they override those of its groups.
        vars: BTreeMap<String, Value>,
    }

    /// A group of hosts.
    struct GroupKeys {
        /// Host patterns of the group's members, such as `pi-*`.
        hosts: Vec<String>,
        /// Groups whose hosts also belong to this group.
        children: Vec<String>,
        /// SSH settings of the group's hosts; they override `[ssh]`.
        ssh: HostSshKeys,
        /// How users become root on the group's hosts; overrides `[become]`.
        r#become: BecomeKeys,
        /// Variables of the group's hosts; they override `[vars]`.
        vars: BTreeMap<String, Value>,
    }

    /// SSH settings for all hosts.
    struct SshKeys {
        /// Path of an ssh_config file to use instead of `~/.ssh/config`.
        config: String,
        /// Timeout for connecting to a host, such as `5s`; default `10s`.
        connect_timeout: String,
        /// How long an idle connection is kept open for the next run, such as `10m`; at least `1s`. Default:
        /// connections end with the run.
        control_persist: String,
        /// Maximum number of shells on a host at a time, 1 to 100; default 6. It should stay below `MaxSessions` of the
        /// SSH server, which is 10 by default.
        max_sessions: u32,
        /// Options of ssh itself, such as `KexAlgorithms`; they override those in the ssh configuration.
        options: BTreeMap<String, Value>,
    }

    /// SSH settings of a host.
    struct HostSshKeys {
        /// Maximum number of shells on a host at a time, 1 to 100; default 6. It should stay below `MaxSessions` of the
        /// SSH server, which is 10 by default.
        max_sessions: u32,
        /// Options of ssh itself, such as `KexAlgorithms`; they override those in the ssh configuration.
        options: BTreeMap<String, Value>,
    }

    /// How a user becomes root, which is always by sudo.
    struct BecomeKeys {
        /// Password for sudo, as `{{ secrets.NAME }}`; default none, for users who need no password.
        password: String,
    }

    /// The Kubernetes cluster.
    struct KubeKeys {
        /// Path of the kubeconfig file; default `$KUBECONFIG`, then `~/.kube/config`, then the service account of the
        /// pod.
        kubeconfig: String,
        /// Context in the kubeconfig file; default its current context.
        context: String,
        /// Namespace of the Leases that keep runs on different machines from overlapping; default `kube-system`. Needs
        /// the rights get, create and update on leases.coordination.k8s.io there.
        lease_namespace: String,
    }

    /// The Vault or OpenBao server.
    struct VaultKeys {
        /// URL of the API, such as `https://host:8200`, if there is only one node.
        address: String,
        /// URLs of the API of each node; the active node is used.
        addresses: Vec<String>,
        /// Whether addresses may use `http://`, which sends the token and all secrets unencrypted; default `false`.
        allow_http: bool,
        /// Path of the namespace for all mounts and secrets of this file and its plans, such as `team/mesh`; default
        /// the root namespace.
        namespace: String,
        /// PEM file of the CA that signed the certificate of the API; default the CAs of the system.
        ca_cert: String,
        /// File that contains the token; default `$VAULT_TOKEN`, then `~/.vault-token`.
        token_file: String,
        /// Name of the environment variable that contains the token.
        token_env: String,
    }

    /// Which files plans may use on the machine that runs `rollout`.
    struct ProjectKeys {
        /// Whether symbolic links in a project may point outside of it, to files that are read or written there;
        /// default `false`.
        allow_outside: bool,
    }

    /// The Helm program.
    struct HelmKeys {
        /// Path or name of the Helm program; default `helm` in PATH.
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
    /// The host is this machine; no connection is needed.
    Local,
}

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
