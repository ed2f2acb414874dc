//! The inventory as data.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::range::expand_range;
use super::{SecretEntry, Token};
use crate::finding::{Source, Span};

/// A parsed inventory file.
#[derive(Clone, Default)]
pub struct Inventory {
    /// Path of the file. `None` for the built-in inventory, which has only `localhost`.
    pub path: Option<PathBuf>,
    /// The file's text, for findings.
    pub source: Option<Arc<Source>>,
    /// `[hosts.*]`, in file order, ranges expanded.
    pub hosts: Vec<Arc<Host>>,
    /// `[groups.*]`: names and member hosts, including those of child groups.
    pub groups: Vec<(String, Vec<String>)>,
    /// `[vars]`; they override the plan's.
    pub vars: Map<String, Value>,
    /// `[secrets.*]`; they override secrets of the same names in the plan.
    pub secrets: Vec<SecretEntry>,
    /// `[ssh]`.
    pub ssh: Ssh,
    /// `[kube]`.
    pub kube: Kube,
    /// `[vault]`.
    pub vault: Vault,
    /// `[project] allow_outside`: whether symbolic links in a project may point outside of it.
    pub allow_outside: bool,
    /// `[helm] binary`: the helm program; default `helm` in PATH.
    pub helm: Option<PathBuf>,
    /// Spans of variables in the file.
    pub(super) var_spans: KeySpans,
}

impl Inventory {
    /// The inventory that is used without a file: it contains only this machine.
    pub fn builtin() -> Self {
        Self { hosts: vec![Arc::new(Host::localhost())], ..Self::default() }
    }

    /// The definition of the variable that a host sees (`None`: that is seen without a host), if it is in the
    /// inventory.
    pub fn place(&self, host: Option<&str>, variable: &str) -> Option<(&Arc<Source>, &Span)> {
        let groups = self.groups.iter().filter(|(_, members)| members.iter().any(|m| Some(m.as_str()) == host));
        let in_groups = groups.rev().find_map(|(group, _)| self.var_spans.get(&format!("groups/{group}/{variable}")));
        let in_host = self.var_spans.iter().find(|(key, _)| {
            let table = key.strip_prefix("hosts/").and_then(|k| k.rsplit_once('/'));
            table.is_some_and(|(table, name)| {
                name == variable
                    && expand_range(table).is_ok_and(|hosts| hosts.iter().any(|h| Some(h.as_str()) == host))
            })
        });
        let span =
            in_host.map(|(_, span)| span).or(in_groups).or_else(|| self.var_spans.get(&format!("vars/{variable}")))?;
        Some((self.source.as_ref()?, span))
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Host {
    /// Name in patterns, outputs and messages.
    pub name: String,
    /// Host name or IP address for ssh; default the host's name, for which `~/.ssh/config` may have settings.
    pub address: String,
    pub connection: Connection,
    /// User to log in as; default that of the ssh configuration.
    pub user: Option<String>,
    /// TCP port; default that of the ssh configuration.
    pub port: Option<u16>,
    /// SSH and sudo settings, merged from `[ssh]`, the groups and the host itself.
    pub access: Access,
    /// Variables of the host, including those inherited from its groups.
    pub vars: Map<String, Value>,
}

impl Host {
    /// The name of this machine, unless the inventory defines a host of this name.
    pub const CONTROLLER: &str = "localhost";

    pub fn localhost() -> Self {
        let name = Self::CONTROLLER.to_owned();
        let (connection, vars) = (Connection::Local, Map::new());
        Self { address: name.clone(), name, connection, vars, ..Self::default() }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Connection {
    /// By the ssh program.
    #[default]
    Ssh,
    /// The host is this machine; no connection is needed.
    Local,
}

/// SSH and sudo settings of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// `ssh.options`: options as in ssh_config(5).
    pub options: BTreeMap<String, String>,
    /// `ssh.max_sessions`: maximum number of shells on the host at a time; default 6.
    pub max_sessions: Option<u32>,
    /// `become.password`: name of the secret that contains the user's sudo password.
    pub password: Option<String>,
}

impl Access {
    /// Fills settings that are missing here from `wider`, the settings of a larger set of hosts. Options are merged one
    /// by one.
    pub(super) fn with_fallback(mut self, wider: &Self) -> Self {
        for (name, value) in &wider.options {
            if !self.options.keys().any(|ours| ours.eq_ignore_ascii_case(name)) {
                self.options.insert(name.clone(), value.clone());
            }
        }
        self.max_sessions = self.max_sessions.or(wider.max_sessions);
        self.password = self.password.or_else(|| wider.password.clone());
        self
    }
}

/// `[ssh]`: settings for all connections.
#[derive(Clone, Default)]
pub struct Ssh {
    /// `config`: an ssh_config file to use instead of `~/.ssh/config`.
    pub config: Option<PathBuf>,
    /// `connect_timeout`; default 10 s.
    pub connect_timeout: Option<std::time::Duration>,
    /// `control_persist`: how long an idle connection is kept open for the next run; default not at all.
    pub control_persist: Option<std::time::Duration>,
}

/// `[kube]`: the Kubernetes cluster.
#[derive(Clone, Default)]
pub struct Kube {
    /// `kubeconfig`; default `$KUBECONFIG`, then `~/.kube/config`, then the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// `context`; default the current context of the kubeconfig file.
    pub context: Option<String>,
    /// `lease_namespace`; see [`Kube::lease_namespace`].
    pub lease_namespace: Option<String>,
}

impl Kube {
    /// The namespace of the Leases that keep runs on different machines from overlapping; default `kube-system`.
    pub fn lease_namespace(&self) -> &str {
        self.lease_namespace.as_deref().unwrap_or("kube-system")
    }
}

/// `[vault]`: the Vault or OpenBao server.
#[derive(Clone, Default)]
pub struct Vault {
    /// `addresses`: URLs of the API of each node, such as `https://host:8200`; the first healthy active node is used.
    pub addresses: Vec<String>,
    /// `namespace`: path of the namespace, without slashes at its ends; default the root namespace.
    pub namespace: Option<String>,
    /// `ca_cert`: PEM file of the CA that signed the certificate of the API; default the CAs of the system.
    pub ca_cert: Option<PathBuf>,
    /// `token_file` or `token_env`: where the token comes from.
    pub token: Token,
}

/// Spans of variables, by `vars/NAME`, `hosts/TABLE/NAME` and `groups/GROUP/NAME`.
pub(super) type KeySpans = BTreeMap<String, Span>;
