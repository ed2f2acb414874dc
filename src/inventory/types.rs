//! The inventory as data.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::range::expand_range;
use super::{SecretEntry, Token};
use crate::finding::{Source, Span};

/// An inventory file.
#[derive(Clone, Default)]
pub struct Inventory {
    /// The file; `None` for the built-in inventory that has only `localhost`.
    pub path: Option<PathBuf>,
    /// The file's text, for findings.
    pub source: Option<Arc<Source>>,
    /// `[hosts.*]`, in file order, ranges expanded.
    pub hosts: Vec<Arc<Host>>,
    /// `[groups.*]`: name and member hosts, children expanded.
    pub groups: Vec<(String, Vec<String>)>,
    /// `[vars]`: override the plan's.
    pub vars: Map<String, Value>,
    /// `[secrets.*]`: come before the plan's of the same names.
    pub secrets: Vec<SecretEntry>,
    /// `[ssh]`.
    pub ssh: Ssh,
    /// `[kube]`.
    pub kube: Kube,
    /// `[vault]`.
    pub vault: Vault,
    /// `[project] allow_outside`: whether links in a project may lead out of it.
    pub allow_outside: bool,
    /// `[helm] binary`: the helm program; default `helm` in PATH.
    pub helm: Option<PathBuf>,
    /// Where variables stand in the file.
    pub(super) places: Places,
}

impl Inventory {
    /// Without a file: this machine alone.
    pub fn builtin() -> Self {
        Self { hosts: vec![Arc::new(Host::localhost())], ..Self::default() }
    }

    /// Where a variable stands that a host sees (`None`: that all see), if the inventory has it.
    pub fn place(&self, host: Option<&str>, variable: &str) -> Option<(&Arc<Source>, &Span)> {
        let groups = self.groups.iter().filter(|(_, members)| members.iter().any(|m| Some(m.as_str()) == host));
        let in_groups = groups.rev().find_map(|(group, _)| self.places.get(&format!("groups/{group}/{variable}")));
        let in_host = self.places.iter().find(|(key, _)| {
            let table = key.strip_prefix("hosts/").and_then(|k| k.rsplit_once('/'));
            table.is_some_and(|(table, name)| {
                name == variable
                    && expand_range(table).is_ok_and(|hosts| hosts.iter().any(|h| Some(h.as_str()) == host))
            })
        });
        let span =
            in_host.map(|(_, span)| span).or(in_groups).or_else(|| self.places.get(&format!("vars/{variable}")))?;
        Some((self.source.as_ref()?, span))
    }
}

/// A host.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Host {
    /// Name in patterns, outputs and messages.
    pub name: String,
    /// Name or address that ssh is given; default the name (so that `~/.ssh/config` can say the rest).
    pub address: String,
    /// How it is reached.
    pub connection: Connection,
    /// User to log in as; default what ssh decides.
    pub user: Option<String>,
    /// Port; default what ssh decides.
    pub port: Option<u16>,
    /// What the inventory, its groups and itself say of how it is reached.
    pub access: Access,
    /// The host's own variables, with its groups' below them.
    pub vars: Map<String, Value>,
}

impl Host {
    /// The name of this machine where no inventory gives it another meaning.
    pub const CONTROLLER: &str = "localhost";

    /// This machine.
    pub fn localhost() -> Self {
        let name = Self::CONTROLLER.to_owned();
        let (connection, vars) = (Connection::Local, Map::new());
        Self { address: name.clone(), name, connection, vars, ..Self::default() }
    }
}

/// How a host is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Connection {
    /// By the ssh program.
    #[default]
    Ssh,
    /// It is this machine.
    Local,
}

/// How a host is reached, and how its user becomes root there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// `ssh.options`: options of ssh itself, as in its configuration.
    pub options: BTreeMap<String, String>,
    /// `ssh.max_sessions`: how many shells it may have at a time; default 6.
    pub max_sessions: Option<u32>,
    /// `become.password`: the name of the secret that is its user's password for sudo.
    pub password: Option<String>,
}

impl Access {
    /// What is said here, and for the rest what is said of more hosts; options one by one.
    pub(super) fn over(mut self, wider: &Self) -> Self {
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

/// `[ssh]`: how ssh connects.
#[derive(Clone, Default)]
pub struct Ssh {
    /// `config`: an ssh_config file in the place of `~/.ssh/config`.
    pub config: Option<PathBuf>,
    /// `connect_timeout`; default 10 s.
    pub connect_timeout: Option<std::time::Duration>,
    /// `control_persist`: how long a connection that is not in use is kept for the next run; default not at all.
    pub control_persist: Option<std::time::Duration>,
}

/// `[kube]`: which cluster.
#[derive(Clone, Default)]
pub struct Kube {
    /// `kubeconfig`; default `$KUBECONFIG`, then `~/.kube/config`, then the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// `context`; default the file's current one.
    pub context: Option<String>,
    /// `lease_namespace`: where runs hold their lock; see [`Kube::lease_namespace`].
    pub lease_namespace: Option<String>,
}

impl Kube {
    /// The namespace of the Leases that keep runs on different machines apart; default `kube-system`.
    pub fn lease_namespace(&self) -> &str {
        self.lease_namespace.as_deref().unwrap_or("kube-system")
    }
}

/// `[vault]`: which Vault or OpenBao.
#[derive(Clone, Default)]
pub struct Vault {
    /// `addresses`: the API of each node, `https://host:8200`; the first healthy active one is used.
    pub addresses: Vec<String>,
    /// `namespace`: path of the namespace in which all paths are, without slashes at its ends; default the root one.
    pub namespace: Option<String>,
    /// `ca_cert`: PEM file of the CA that signed the API's certificate; default the system's.
    pub ca_cert: Option<PathBuf>,
    /// `token_file` or `token_env`: where the token comes from.
    pub token: Token,
}

/// Where variables stand, by `vars/NAME`, `hosts/TABLE/NAME` and `groups/GROUP/NAME`.
pub(super) type Places = BTreeMap<String, Span>;
