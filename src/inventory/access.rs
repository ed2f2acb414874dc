//! Reads the keys `ssh` and `become`, which may be set for all hosts, for a group, or for one host.

use serde_json::Value;

use super::builder::InventoryBuilder;
use super::types::Access;
use crate::document::{Item, Node, Table};
use crate::finding::{Spanned, did_you_mean};
use crate::secret::register;

pub(super) const SSH_KEYS: &[&str] = &["max_sessions", "options"];
pub(super) const BECOME_KEYS: &[&str] = &["password"];

impl InventoryBuilder {
    /// Takes `ssh` and `become` off the table of a host or a group.
    pub(super) fn access(&mut self, table: &mut Table, owner: &str) -> Access {
        let mut ssh = self.reader.table(table, "ssh");
        let mut access = self.ssh_access(&mut ssh);
        self.reader.reject_unknown(ssh, &format!("`ssh` of {owner}"), SSH_KEYS);
        access.password = self.password(table, &format!("`become` of {owner}"));
        access
    }

    /// Takes the keys off an `ssh` table that are allowed at every level.
    pub(super) fn ssh_access(&mut self, ssh: &mut Table) -> Access {
        let max_sessions = self.reader.integer(ssh, "max_sessions", 1..=100);
        let table = self.reader.table(ssh, "options");
        let options = table.entries.into_iter().filter_map(|(name, node)| self.option(name, &node)).collect();
        Access { options, max_sessions, password: None }
    }

    fn option(&mut self, name: Spanned<String>, node: &Node) -> Option<(String, String)> {
        if let Some(why) = why_forbidden(&name.value) {
            self.reader.error(
                "bad-option",
                &name.span,
                format!("`{}` cannot be set here", name.value),
                Some(why.into()),
            );
            return None;
        }
        if name.value.is_empty() || !name.value.chars().all(|c| c.is_ascii_alphanumeric()) {
            let help = "write it as in ssh_config(5), for example KexAlgorithms".to_owned();
            self.reader.error(
                "bad-option",
                &name.span,
                format!("`{}` is not an option of ssh", name.value),
                Some(help),
            );
            return None;
        }
        let value = ssh_value(node);
        if value.is_none() {
            let expected = "a text, a number, `true` or `false`, or a list of texts";
            self.reader.wrong_type(&name.value, node, expected, None);
        }
        let value = value?;
        if value.trim().is_empty() || value.contains(char::is_control) {
            let message = format!("`{}` needs a value of exactly one line", name.value);
            self.reader.error("bad-value", &node.span, message, None);
            return None;
        }
        Some((name.value, value))
    }

    /// Takes `become` off a table and returns the name of the secret that holds the password.
    pub(super) fn password(&mut self, table: &mut Table, of: &str) -> Option<String> {
        let mut as_root = self.reader.table(table, "become");
        let text = self.reader.string(&mut as_root, "password");
        self.reader.reject_unknown(as_root, of, BECOME_KEYS);
        let text = text?;
        let expression = text.value.trim().strip_prefix("{{").and_then(|t| t.strip_suffix("}}"));
        let Some(name) = expression.and_then(|t| t.trim().strip_prefix("secrets.")).map(str::trim) else {
            // Registered as a secret, or the excerpts of this and of neighbouring findings would show it.
            register(&text.value);
            let help = "name a secret of `[secrets]`: password = \"{{ secrets.NAME }}\"".to_owned();
            let message = "a password does not belong in an inventory";
            self.reader.error("secret-in-file", &text.span, message, Some(help));
            return None;
        };
        self.passwords.push(Spanned::new(name.to_owned(), text.span));
        Some(name.to_owned())
    }

    /// Reports passwords that name a secret which the inventory does not have.
    pub(super) fn check_passwords(&mut self) {
        let names: Vec<&str> = self.inventory.secrets.iter().map(|entry| entry.name.value.as_str()).collect();
        for password in std::mem::take(&mut self.passwords) {
            if !names.contains(&password.value.as_str()) {
                let similar = did_you_mean(&password.value, names.iter().copied());
                let help = similar.unwrap_or_else(|| {
                    format!("say where it comes from: under [secrets], {} = {{ file = \"PATH\" }}", password.value)
                });
                let message = format!("the inventory has no secret `{}`", password.value);
                self.reader.error("unknown-secret", &password.span, message, Some(help));
            }
        }
    }
}

/// Formats a value for ssh: booleans as `yes` and `no`, lists joined by commas.
fn ssh_value(node: &Node) -> Option<String> {
    match node.to_json() {
        Value::String(text) => Some(text),
        Value::Bool(flag) => Some(if flag { "yes" } else { "no" }.to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(_) => {
            let Item::List(items) = &node.item else { return None };
            let texts = items.iter().map(|item| item.to_json().as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
            texts.map(|texts| texts.join(","))
        }
        _ => None,
    }
}

/// Why an option of ssh cannot be set: `rollout` depends on its value, or sets it by a key of its own.
fn why_forbidden(name: &str) -> Option<&'static str> {
    Some(match name.to_ascii_lowercase().as_str() {
        "stricthostkeychecking" | "nohostauthenticationforlocalhost" => {
            "host keys are always verified: add the host's key to known_hosts"
        }
        "batchmode" => "nobody can answer prompts of ssh: use a key, with ssh-agent if it has a passphrase",
        "controlmaster" | "controlpath" | "controlpersist" => {
            "the connection is shared by all steps already; to keep it between runs, set `[ssh] control_persist`"
        }
        "serveraliveinterval" | "serveralivecountmax" | "tcpkeepalive" => {
            "a connection that was lost would not be noticed in time"
        }
        "connecttimeout" => "set `[ssh] connect_timeout`",
        "hostname" => "set the host's `address`",
        "user" => "set the host's `user`",
        "port" => "set the host's `port`",
        "loglevel" => "`rollout` depends on the messages of ssh",
        "host" | "match" | "include" => "write it into an ssh_config file, and name that in `[ssh] config`",
        "remotecommand" | "sessiontype" | "requesttty" | "stdinnull" | "forkafterauthentication" => {
            "shells are started on the connection, without a terminal"
        }
        _ => return None,
    })
}
