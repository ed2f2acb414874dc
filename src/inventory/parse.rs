//! From a file to an [`Inventory`].

use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::builder::InventoryBuilder;
use super::paths::expand;
use super::range::{MAX_NAMES, expand_range};
use super::{Access, Connection, Host, Inventory, Kube, Ssh, Token, Vault, groups, read_secrets};
use crate::document::{Item, Node, Reader, Table};
use crate::finding::{Findings, Source, Spanned, did_you_mean};

pub(super) const TOP_KEYS: &[&str] =
    &["hosts", "groups", "vars", "secrets", "ssh", "become", "kube", "vault", "helm", "project"];
pub(super) const HOST_KEYS: &[&str] = &["address", "user", "port", "connection", "ssh", "become", "vars"];
pub(super) const SSH_KEYS: &[&str] = &["config", "connect_timeout", "control_persist", "max_sessions", "options"];
pub(super) const KUBE_KEYS: &[&str] = &["kubeconfig", "context", "lease_namespace"];
pub(super) const VAULT_KEYS: &[&str] =
    &["address", "addresses", "allow_http", "namespace", "ca_cert", "token_file", "token_env"];
pub(super) const PROJECT_KEYS: &[&str] = &["allow_outside"];
pub(super) const HELM_KEYS: &[&str] = &["binary"];

impl Inventory {
    /// Reads an inventory file.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, Findings> {
        let (reader, table) = Reader::open(path, "inventory")?;
        read(reader, table)
    }

    /// Reads an inventory's text; `path` is where it would lie.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Findings> {
        let (reader, table) = Reader::new(Source { path: path.to_owned(), text: text.to_owned() })?;
        read(reader, table)
    }
}

fn read(reader: Reader, mut top: Table) -> Result<Inventory, Findings> {
    let mut builder = InventoryBuilder::new(reader);
    let vars = builder.reader.table(&mut top, "vars");
    builder.inventory.vars = builder.vars("vars", vars);
    let hosts = builder.reader.table(&mut top, "hosts");
    for (name, node) in hosts.entries {
        builder.host(&name, node);
    }
    let table = builder.reader.table(&mut top, "groups");
    let everywhere = builder.ssh(&mut top);
    groups::read(&mut builder, table, &everywhere);
    builder.inventory.secrets = read_secrets(&mut builder.reader, &mut top, &builder.root);
    builder.check_passwords();
    builder.endpoints(&mut top);
    builder.reader.reject_unknown(top, "an inventory", TOP_KEYS);
    builder.reader.findings.or(builder.inventory).map(|(inventory, _)| inventory)
}

impl InventoryBuilder {
    fn host(&mut self, name: &Spanned<String>, node: Node) {
        let Item::Table(mut table) = node.item else {
            let help = format!("write [hosts.{}] and under it the host's keys", name.value);
            self.reader.wrong_type(&format!("hosts.{}", name.value), &node, "a table", Some(help));
            return;
        };
        let of = format!("host `{}`", name.value);
        let address = self.reader.string(&mut table, "address");
        let user = self.reader.string(&mut table, "user").map(|u| u.value);
        let port = self.reader.integer(&mut table, "port", 1..=65_535).and_then(|p| u16::try_from(p).ok());
        let connection = self.reader.string(&mut table, "connection");
        let connection = connection.map_or(Connection::Ssh, |c| self.connection(&c));
        let access = self.access(&mut table, &of);
        let vars = self.reader.table(&mut table, "vars");
        let vars = self.vars(&format!("hosts/{}", name.value), vars);
        if let Some(key) = table.entries.iter().find(|(key, _)| ansible(&key.value).is_some()) {
            let help = ansible(&key.0.value).map(|ours| format!("write `{ours}`"));
            let message = format!("`{}` is not a key of {of}", key.0.value);
            self.reader.error("unknown-key", &key.0.span, message, help);
            table.entries.retain(|(key, _)| ansible(&key.value).is_none());
        }
        self.reader.reject_unknown(table, &of, HOST_KEYS);

        let Some(names) = self.names(name) else { return };
        if self.names.len() + names.len() > MAX_NAMES {
            self.reader.error("too-many", &name.span, format!("these are more than {MAX_NAMES} hosts"), None);
            return;
        }
        if !self.copies(&format!("hosts/{}", name.value), &vars, names.len()) {
            return;
        }
        let addresses = self.addresses(&names, address.as_ref());
        for (one, address) in names.into_iter().zip(addresses) {
            if !self.names.insert(one.clone()) {
                self.reader.error("duplicate", &name.span, format!("host `{one}` is there twice"), None);
                continue;
            }
            if let Some(address) = address.as_deref().filter(|a| a.is_empty() || a.starts_with('-')) {
                self.reader.error("bad-address", &name.span, format!("`{address}` is not an address of {of}"), None);
                continue;
            }
            let address = address.unwrap_or_else(|| one.clone());
            let (user, access, vars) = (user.clone(), access.clone(), vars.clone());
            self.inventory.hosts.push(Arc::new(Host { name: one, address, connection, user, port, access, vars }));
        }
    }

    /// The names of a host table, ranges expanded.
    fn names(&mut self, name: &Spanned<String>) -> Option<Vec<String>> {
        let names = match expand_range(&name.value) {
            Ok(names) => names,
            Err(message) => {
                self.reader.error("bad-name", &name.span, message, None);
                return None;
            }
        };
        let good = |n: &String| {
            let mut chars = n.chars();
            chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
                && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        };
        if names.iter().all(good) && name.value != "all" {
            return Some(names);
        }
        let help = "letters, digits, `-`, `_` and `.`, not `all`; anything else can be its `address`".to_owned();
        self.reader.error("bad-name", &name.span, format!("`{}` cannot be a host's name", name.value), Some(help));
        None
    }

    /// The address of each name: a range of them goes along with the range of names.
    fn addresses(&mut self, names: &[String], address: Option<&Spanned<String>>) -> Vec<Option<String>> {
        let Some(address) = address else { return vec![None; names.len()] };
        // An IPv6 address in brackets is no range; ssh takes it without them.
        let expanded = match in_brackets(&address.value) {
            Some((inner, "")) => Ok(vec![inner.to_owned()]),
            Some((inner, rest)) => Err(format!("`{rest}` behind the address {inner}: a port is set by `port = …`")),
            None => expand_range(&address.value),
        };
        match expanded {
            Ok(all) if all.len() == names.len() => all.into_iter().map(Some).collect(),
            Ok(all) => {
                let message = format!("{} for {}", count(all.len(), "address", "es"), count(names.len(), "host", "s"));
                let help = "give the address a range of its own, for example \"10.0.0.[11:30]\"".to_owned();
                self.reader.error("bad-address", &address.span, message, Some(help));
                vec![None; names.len()]
            }
            Err(message) => {
                self.reader.error("bad-address", &address.span, message, None);
                vec![None; names.len()]
            }
        }
    }

    fn connection(&mut self, text: &Spanned<String>) -> Connection {
        match text.value.as_str() {
            "ssh" => Connection::Ssh,
            "local" => Connection::Local,
            other => {
                let help = did_you_mean(other, ["ssh", "local"]).unwrap_or_else(|| "write `ssh` or `local`".into());
                self.reader.error("bad-value", &text.span, format!("no connection is called `{other}`"), Some(help));
                Connection::Ssh
            }
        }
    }

    /// Takes `[ssh]` and `[become]`; gives what they say of all hosts.
    fn ssh(&mut self, top: &mut Table) -> Access {
        let mut ssh = self.reader.table(top, "ssh");
        let config = self.path(&mut ssh, "config");
        let connect_timeout = self.reader.duration(&mut ssh, "connect_timeout");
        let place =
            ssh.entries.iter().find(|(key, _)| key.value == "control_persist").map(|(_, node)| node.span.clone());
        let control_persist = self.reader.duration(&mut ssh, "control_persist");
        if let (Some(span), Some(kept)) = (place, control_persist)
            && kept < Duration::from_secs(1)
        {
            let help = "leave it out to end connections with the run".to_owned();
            self.reader.error("bad-duration", &span, "`control_persist` is less than a second", Some(help));
        }
        let mut everywhere = self.reach(&mut ssh);
        self.inventory.ssh = Ssh { config, connect_timeout, control_persist };
        self.reader.reject_unknown(ssh, "`[ssh]`", SSH_KEYS);
        everywhere.password = self.password(top, "`[become]`");
        everywhere
    }

    fn endpoints(&mut self, top: &mut Table) {
        let mut kube = self.reader.table(top, "kube");
        let kubeconfig = self.path(&mut kube, "kubeconfig");
        let context = self.reader.string(&mut kube, "context").map(|c| c.value);
        let lease_namespace = self.namespace(&mut kube, "lease_namespace");
        self.inventory.kube = Kube { kubeconfig, context, lease_namespace };
        self.reader.reject_unknown(kube, "`[kube]`", KUBE_KEYS);

        let mut helm = self.reader.table(top, "helm");
        // A bare name is looked up in PATH.
        self.inventory.helm = self.reader.string(&mut helm, "binary").map(|b| {
            if b.value.contains('/') { expand(&b.value, &self.root, self.home.as_deref()) } else { b.value.into() }
        });
        self.reader.reject_unknown(helm, "`[helm]`", HELM_KEYS);

        let mut project = self.reader.table(top, "project");
        self.inventory.allow_outside = self.reader.flag(&mut project, "allow_outside").unwrap_or(false);
        self.reader.reject_unknown(project, "`[project]`", PROJECT_KEYS);

        let mut vault = self.reader.table(top, "vault");
        let one = self.reader.string(&mut vault, "address");
        let mut all = self.reader.strings(&mut vault, "addresses").unwrap_or_default();
        all.splice(0..0, one);
        let allow_http = self.reader.flag(&mut vault, "allow_http").unwrap_or_default();
        for address in &all {
            // A scheme is written in letters of either case.
            let scheme = address.value.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
            let (message, help) = match scheme.as_deref() {
                Some("https") => continue,
                Some("http") if allow_http => continue,
                Some("http") => (
                    format!("`{}` sends the token and all secrets in clear", address.value),
                    "write https://, or, where nobody else can listen, `allow_http = true` under [vault]".to_owned(),
                ),
                _ => (format!("`{}` is no URL", address.value), format!("write \"https://{}\"", address.value)),
            };
            self.reader.error("bad-address", &address.span, message, Some(help));
        }
        let namespace = self.reader.string(&mut vault, "namespace").and_then(|namespace| {
            let path = namespace.value.trim_matches('/');
            let good = !path.is_empty() && path.chars().all(|c| c.is_ascii_graphic());
            if !good {
                let message = format!("`{}` cannot be a namespace of Vault", namespace.value);
                let help = "write its path, such as \"team/mesh\"".to_owned();
                self.reader.error("bad-name", &namespace.span, message, Some(help));
            }
            good.then(|| path.to_owned())
        });
        let ca_cert = self.path(&mut vault, "ca_cert");
        let token = self.token(&mut vault);
        let addresses = all.into_iter().map(|a| a.value).collect();
        self.inventory.vault = Vault { addresses, namespace, ca_cert, token };
        self.reader.reject_unknown(vault, "`[vault]`", VAULT_KEYS);
    }

    fn token(&mut self, vault: &mut Table) -> Token {
        if let Some((key, node)) = vault.take("token") {
            // The excerpt of this and of neighbouring findings would show it.
            if let Value::String(token) = node.to_json() {
                crate::secret::register(&token);
            }
            let help = "put it into a file of its own and write token_file, or token_env".to_owned();
            self.reader.error("secret-in-file", &key.span, "a token does not belong into an inventory", Some(help));
        }
        let file = self.path(vault, "token_file");
        let env = self.reader.string(vault, "token_env");
        match (file, env) {
            (Some(_), Some(env)) => {
                self.reader.error("exclusive", &env.span, "give either `token_file` or `token_env`, not both", None);
                Token::Standard
            }
            (Some(file), None) => Token::File(file),
            (None, Some(env)) => Token::Env(env.value.trim_start_matches('$').to_owned()),
            (None, None) => Token::Standard,
        }
    }

    fn namespace(&mut self, table: &mut Table, key: &str) -> Option<String> {
        let text = self.reader.string(table, key)?;
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let good = !text.value.is_empty() && text.value.len() <= 63 && text.value.chars().all(inner);
        if !good || text.value.starts_with('-') || text.value.ends_with('-') {
            let help = "lower-case letters, digits and `-` within, at most 63".to_owned();
            let message = format!("`{}` cannot be a namespace's name", text.value);
            self.reader.error("bad-name", &text.span, message, Some(help));
            return None;
        }
        Some(text.value)
    }

    fn path(&mut self, table: &mut Table, key: &str) -> Option<PathBuf> {
        let text = self.reader.string(table, key)?;
        Some(expand(&text.value, &self.root, self.home.as_deref()))
    }
}

/// Our name for a key that other tools have.
fn ansible(key: &str) -> Option<&'static str> {
    Some(match key {
        "ansible_host" | "host" | "ip" | "hostname" => "address",
        "ansible_user" => "user",
        "ansible_port" => "port",
        "ansible_connection" => "connection",
        _ => return None,
    })
}

/// The IPv6 address in brackets that a text begins with, and what follows.
fn in_brackets(text: &str) -> Option<(&str, &str)> {
    let (inner, rest) = text.strip_prefix('[')?.split_once(']')?;
    let plain = inner.split_once('%').map_or(inner, |(address, _zone)| address);
    plain.parse::<Ipv6Addr>().ok().map(|_| (inner, rest))
}

fn count(n: usize, one: &str, plural: &str) -> String {
    if n == 1 { format!("one {one}") } else { format!("{n} {one}{plural}") }
}
