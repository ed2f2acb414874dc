//! Parses a file into an [`Inventory`].

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
    /// All findings about the file.
    pub fn load(path: &Path) -> Result<Self, Findings> {
        let (reader, table) = Reader::open(path, "inventory")?;
        read(reader, table)
    }

    /// Parses the text of an inventory; `path` is the path for messages and relative paths.
    ///
    /// # Errors
    /// All findings about the file.
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
    let for_all_hosts = builder.ssh(&mut top);
    groups::read(&mut builder, table, &for_all_hosts);
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
        let label = format!("host `{}`", name.value);
        let address = self.reader.string(&mut table, "address");
        let user = self.reader.string(&mut table, "user").map(|u| u.value);
        let port = self.reader.integer(&mut table, "port", 1..=65_535).and_then(|p| u16::try_from(p).ok());
        let connection = self.reader.string(&mut table, "connection");
        let connection = connection.map_or(Connection::Ssh, |c| self.connection(&c));
        let access = self.access(&mut table, &label);
        let vars = self.reader.table(&mut table, "vars");
        let vars = self.vars(&format!("hosts/{}", name.value), vars);
        if let Some(key) = table.entries.iter().find(|(key, _)| rollout_name(&key.value).is_some()) {
            let help = rollout_name(&key.0.value).map(|ours| format!("write `{ours}`"));
            let message = format!("`{}` is not a key of {label}", key.0.value);
            self.reader.error("unknown-key", &key.0.span, message, help);
            table.entries.retain(|(key, _)| rollout_name(&key.value).is_none());
        }
        self.reader.reject_unknown(table, &label, HOST_KEYS);

        let Some(names) = self.names(name) else { return };
        if self.names.len() + names.len() > MAX_NAMES {
            self.reader.error("too-many", &name.span, format!("more than {MAX_NAMES} hosts"), None);
            return;
        }
        if !self.reserve_vars(&format!("hosts/{}", name.value), &vars, names.len()) {
            return;
        }
        let addresses = self.addresses(&names, address.as_ref());
        for (one, address) in names.into_iter().zip(addresses) {
            if !self.names.insert(one.clone()) {
                self.reader.error("duplicate", &name.span, format!("host `{one}` is defined twice"), None);
                continue;
            }
            if let Some(address) = address.as_deref().filter(|a| a.is_empty() || a.starts_with('-')) {
                self.reader.error("bad-address", &name.span, format!("`{address}` is not an address of {label}"), None);
                continue;
            }
            let address = address.unwrap_or_else(|| one.clone());
            let (user, access, vars) = (user.clone(), access.clone(), vars.clone());
            self.inventory.hosts.push(Arc::new(Host { name: one, address, connection, user, port, access, vars }));
        }
    }

    /// The host names of a table `[hosts.NAME]`, with ranges expanded.
    fn names(&mut self, name: &Spanned<String>) -> Option<Vec<String>> {
        let names = match expand_range(&name.value) {
            Ok(names) => names,
            Err(message) => {
                self.reader.error("bad-name", &name.span, message, None);
                return None;
            }
        };
        let is_host_name = |n: &String| {
            let mut chars = n.chars();
            chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
                && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        };
        if names.iter().all(is_host_name) && name.value != "all" {
            return Some(names);
        }
        let help = "letters, digits, `-`, `_` and `.`, not `all`; anything else can be its `address`".to_owned();
        self.reader.error("bad-name", &name.span, format!("`{}` cannot be a host's name", name.value), Some(help));
        None
    }

    /// The address of each host: a range of addresses is paired with the range of names.
    fn addresses(&mut self, names: &[String], address: Option<&Spanned<String>>) -> Vec<Option<String>> {
        let Some(address) = address else { return vec![None; names.len()] };
        // An IPv6 address in brackets is not a range; ssh wants it without brackets.
        let expanded = match bracketed_ipv6(&address.value) {
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

    /// Takes `[ssh]` and `[become]`, and returns the settings that apply to all hosts.
    fn ssh(&mut self, top: &mut Table) -> Access {
        let mut ssh = self.reader.table(top, "ssh");
        let config = self.path(&mut ssh, "config");
        let connect_timeout = self.reader.duration(&mut ssh, "connect_timeout");
        let key_span =
            ssh.entries.iter().find(|(key, _)| key.value == "control_persist").map(|(_, node)| node.span.clone());
        let control_persist = self.reader.duration(&mut ssh, "control_persist");
        if let (Some(span), Some(time)) = (key_span, control_persist)
            && time < Duration::from_secs(1)
        {
            let help = "leave it out to end connections with the run".to_owned();
            self.reader.error("bad-duration", &span, "`control_persist` is less than a second", Some(help));
        }
        let mut for_all_hosts = self.ssh_access(&mut ssh);
        self.inventory.ssh = Ssh { config, connect_timeout, control_persist };
        self.reader.reject_unknown(ssh, "`[ssh]`", SSH_KEYS);
        for_all_hosts.password = self.password(top, "`[become]`");
        for_all_hosts
    }

    fn endpoints(&mut self, top: &mut Table) {
        let mut kube = self.reader.table(top, "kube");
        let kubeconfig = self.path(&mut kube, "kubeconfig");
        let context = self.reader.string(&mut kube, "context").map(|c| c.value);
        let lease_namespace = self.namespace(&mut kube, "lease_namespace");
        self.inventory.kube = Kube { kubeconfig, context, lease_namespace };
        self.reader.reject_unknown(kube, "`[kube]`", KUBE_KEYS);

        let mut helm = self.reader.table(top, "helm");
        // A name without a slash is looked up in PATH.
        self.inventory.helm = self.reader.string(&mut helm, "binary").map(|b| {
            if b.value.contains('/') { expand(&b.value, &self.root, self.home.as_deref()) } else { b.value.into() }
        });
        self.reader.reject_unknown(helm, "`[helm]`", HELM_KEYS);

        let mut project = self.reader.table(top, "project");
        self.inventory.allow_outside = self.reader.flag(&mut project, "allow_outside").unwrap_or(false);
        self.reader.reject_unknown(project, "`[project]`", PROJECT_KEYS);

        let mut vault = self.reader.table(top, "vault");
        let single = self.reader.string(&mut vault, "address");
        let mut urls = self.reader.strings(&mut vault, "addresses").unwrap_or_default();
        urls.splice(0..0, single);
        let allow_http = self.reader.flag(&mut vault, "allow_http").unwrap_or_default();
        for address in &urls {
            // URL schemes are case-insensitive.
            let scheme = address.value.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
            let (message, help) = match scheme.as_deref() {
                Some("https") => continue,
                Some("http") if allow_http => continue,
                Some("http") => (
                    format!("`{}` sends the token and all secrets unencrypted", address.value),
                    "write https://, or, where nobody else can listen, `allow_http = true` under [vault]".to_owned(),
                ),
                _ => (format!("`{}` is not a URL", address.value), format!("write \"https://{}\"", address.value)),
            };
            self.reader.error("bad-address", &address.span, message, Some(help));
        }
        let namespace = self.reader.string(&mut vault, "namespace").and_then(|namespace| {
            let path = namespace.value.trim_matches('/');
            let is_valid = !path.is_empty() && path.chars().all(|c| c.is_ascii_graphic());
            if !is_valid {
                let message = format!("`{}` cannot be a namespace of Vault", namespace.value);
                let help = "write its path, such as \"team/mesh\"".to_owned();
                self.reader.error("bad-name", &namespace.span, message, Some(help));
            }
            is_valid.then(|| path.to_owned())
        });
        let ca_cert = self.path(&mut vault, "ca_cert");
        let token = self.token(&mut vault);
        let addresses = urls.into_iter().map(|a| a.value).collect();
        self.inventory.vault = Vault { addresses, namespace, ca_cert, token };
        self.reader.reject_unknown(vault, "`[vault]`", VAULT_KEYS);
    }

    fn token(&mut self, vault: &mut Table) -> Token {
        if let Some((key, node)) = vault.take("token") {
            // Registered as a secret, or the excerpts of this and of neighbouring findings would show it.
            if let Value::String(token) = node.to_json() {
                crate::secret::register(&token);
            }
            let help = "put it into a file of its own and write token_file, or token_env".to_owned();
            self.reader.error("secret-in-file", &key.span, "a token does not belong in an inventory", Some(help));
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
        let is_inner_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_valid = !text.value.is_empty() && text.value.len() <= 63 && text.value.chars().all(is_inner_char);
        if !is_valid || text.value.starts_with('-') || text.value.ends_with('-') {
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

/// The name of our key for a key of Ansible or another tool.
fn rollout_name(key: &str) -> Option<&'static str> {
    Some(match key {
        "ansible_host" | "host" | "ip" | "hostname" => "address",
        "ansible_user" => "user",
        "ansible_port" => "port",
        "ansible_connection" => "connection",
        _ => return None,
    })
}

/// Splits a text that begins with an IPv6 address in brackets into the address and the rest.
fn bracketed_ipv6(text: &str) -> Option<(&str, &str)> {
    let (inner, rest) = text.strip_prefix('[')?.split_once(']')?;
    let plain = inner.split_once('%').map_or(inner, |(address, _zone)| address);
    plain.parse::<Ipv6Addr>().ok().map(|_| (inner, rest))
}

fn count(n: usize, one: &str, plural: &str) -> String {
    if n == 1 { format!("one {one}") } else { format!("{n} {one}{plural}") }
}
