//! `node.hosts_entry`: names and their address in /etc/hosts.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::params::check_file_path;
use super::probes::file_probe;
use super::text::{Edit, Missing, State, Text, without_words};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{Attributes, Read};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::event::Problem;
use crate::plan::{ParamError, Role, RunsOn, refuse};

/// Maps names to an address in /etc/hosts. Where another line maps one of the names to another address of the same
/// family (IPv4 or IPv6), the name is removed from that line. Other names, comments and lines stay as they are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostsEntry {
    /// Names of the host. In a new line, the first one is the canonical name.
    pub names: Vec<String>,
    /// IPv4 or IPv6 address. Optional with `state = "absent"`: without it, the names are removed from all addresses.
    #[serde(default)]
    pub address: Option<String>,
    /// Whether the names are wanted.
    #[serde(default)]
    pub state: State,
    /// Absolute path of the file.
    #[serde(default = "hosts")]
    pub path: String,
    /// Whether to keep a copy of the old file in the same directory, with the time in its name and `~` at the end.
    /// Counts only when the file is written.
    #[serde(default)]
    pub backup: bool,
}

fn hosts() -> String {
    "/etc/hosts".to_owned()
}

impl Spec for HostsEntry {
    const NAME: &'static str = "node.hosts_entry";
    const SUMMARY: &'static str = "names and their address in /etc/hosts";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const IS_REVERTIBLE: bool = true;
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "control-plane-name"
action = "node.hosts_entry"
hosts = "pis"
become = true
address = "10.0.0.11"
names = ["k8s.lan", "k8s"]
"#;

    fn rules(&self) -> Result<(), ParamError> {
        check_file_path("path", &self.path)?;
        if self.names.is_empty() {
            return refuse("names", "give at least one name");
        }
        for (index, name) in self.names.iter().enumerate() {
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if name.is_empty() || !name.chars().all(is_allowed) {
                return refuse(&format!("names/{index}"), format!("\"{name}\" is not a host name"));
            }
        }
        match &self.address {
            Some(address) if address.parse::<IpAddr>().is_err() => {
                refuse("address", format!("\"{address}\" is not an IPv4 or IPv6 address"))
            }
            None if self.state == State::Present => refuse("address", "give the address of the names"),
            _ => Ok(()),
        }
    }
}

/// A line of /etc/hosts, split so that it can be edited without changing its white space.
pub struct Entry<'a> {
    pub address: IpAddr,
    /// The address and what stands before it.
    head: &'a str,
    /// White space and names.
    rest: &'a str,
    /// White space and comment.
    tail: &'a str,
}

impl<'a> Entry<'a> {
    /// Parses a line; `None` when it maps no name.
    pub fn parse(line: &'a str) -> Option<Self> {
        let body = line.split('#').next().unwrap_or_default().trim_end();
        let address = body.split_whitespace().next()?;
        let rest = body.trim_start().strip_prefix(address)?;
        let (head, tail) = (body.strip_suffix(rest)?, line.strip_prefix(body)?);
        Some(Self { address: address.parse().ok()?, head, rest, tail })
    }

    /// Whether the entry has a name; upper and lower case are the same.
    pub fn has(&self, name: &str) -> bool {
        self.rest.split_whitespace().any(|seen| seen.eq_ignore_ascii_case(name))
    }

    /// The line without the names for which `remove` holds; `None` when no name is left.
    fn without(&self, remove: impl Fn(&str) -> bool) -> Option<String> {
        let rest = without_words(self.rest, remove);
        (!rest.trim().is_empty()).then(|| format!("{}{rest}{}", self.head, self.tail))
    }

    /// The line with more names.
    fn with(&self, names: &[&str]) -> String {
        format!("{}{} {}{}", self.head, self.rest, names.join(" "), self.tail)
    }

    /// The line with `names` first, and without those for which `remove` holds.
    pub fn renamed(&self, names: &str, remove: impl Fn(&str) -> bool) -> String {
        let others = without_words(self.rest, remove);
        let (gap, _) = self.rest.split_at(self.rest.len() - self.rest.trim_start().len());
        let gap = if gap.is_empty() { "\t" } else { gap };
        let blank = if others.trim().is_empty() { "" } else { " " };
        format!("{}{gap}{names}{blank}{}{}", self.head, others.trim_start(), self.tail)
    }
}

impl HostsEntry {
    fn file(&self) -> Edit<'_> {
        let missing = Missing::of(self.state, true);
        Edit { path: &self.path, missing, attributes: Attributes::default(), backup: self.backup, validate: None }
    }

    /// Whether the names of the step must not be in this entry.
    fn is_wrong(&self, entry: &Entry<'_>, address: Option<IpAddr>) -> bool {
        match (self.state, address) {
            (State::Present, Some(ours)) => ours != entry.address && ours.is_ipv4() == entry.address.is_ipv4(),
            (State::Absent, Some(ours)) => ours == entry.address,
            (_, None) => true,
        }
    }

    fn edit(&self, text: &mut Text) {
        let address: Option<IpAddr> = self.address.as_deref().and_then(|address| address.parse().ok());
        text.rewrite(|line| {
            let entry = Entry::parse(line).filter(|entry| self.is_wrong(entry, address));
            let Some(entry) = entry.filter(|entry| self.names.iter().any(|name| entry.has(name))) else {
                return Some(line.to_owned());
            };
            let ours = |name: &str| self.names.iter().any(|ours| ours.eq_ignore_ascii_case(name));
            // A line without names is removed.
            entry.without(ours)
        });
        if let (State::Present, Some(address)) = (self.state, address) {
            self.add(text, address);
        }
    }

    /// Adds the names that the address does not have yet to its first line, or as a new line.
    fn add(&self, text: &mut Text, address: IpAddr) {
        let has_address = |line: &str| Entry::parse(line).is_some_and(|entry| entry.address == address);
        let there: Vec<Entry<'_>> = text.lines().filter_map(Entry::parse).filter(|e| e.address == address).collect();
        let missing = self.names.iter().map(String::as_str).filter(|name| !there.iter().any(|entry| entry.has(name)));
        let mut missing: Vec<&str> = missing.collect();
        let known =
            |at: usize, name: &str, all: &[&str]| all[..at].iter().any(|other| other.eq_ignore_ascii_case(name));
        missing = (0..missing.len()).filter(|at| !known(*at, missing[*at], &missing)).map(|at| missing[at]).collect();
        if missing.is_empty() {
            return;
        }
        let line = match there.first() {
            Some(first) => first.with(&missing),
            None => format!("{address}\t{}", missing.join(" ")),
        };
        let end = text.lines().len();
        let (at, count) = text.find(true, has_address).map_or((end, 0), |at| (at, 1));
        text.splice(at, count, [line.as_str()]);
    }
}

impl Action for HostsEntry {
    fn probes(&self) -> Vec<Probe> {
        vec![file_probe(&self.path, Read::Content)]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        self.file().verdict(facts, &|text| {
            self.edit(text);
            Ok(())
        })
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        self.file().next(facts, done, &|text| {
            self.edit(text);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{build, file, is_same, refused};
    use super::*;
    use crate::actions::node::content::tests::regular;

    fn edited(toml: &str, before: &str) -> String {
        let step = build::<HostsEntry>(toml).unwrap();
        let mut text = Text::new(before);
        step.edit(&mut text);
        let after = text.to_string();
        assert!(is_same(&step.verdict(&[file(Some(regular(&after, 0o644)))])), "{after}");
        after
    }

    #[test]
    fn names_lead_to_one_address_of_a_family() {
        let step = "address = '10.0.0.1'\nnames = ['pi-1.lan', 'pi-1']";
        let before = "127.0.0.1 localhost\n";
        assert_eq!(edited(step, before), "127.0.0.1 localhost\n10.0.0.1\tpi-1.lan pi-1\n");
        assert_eq!(edited(step, "127.0.1.1 PI-1  box # own\n"), "127.0.1.1 box # own\n10.0.0.1\tpi-1.lan pi-1\n");
        assert_eq!(edited(step, "127.0.1.1 pi-1\n"), "10.0.0.1\tpi-1.lan pi-1\n");
        assert_eq!(edited(step, "fd00::1 pi-1\n"), "fd00::1 pi-1\n10.0.0.1\tpi-1.lan pi-1\n");
        assert_eq!(edited(step, ""), "10.0.0.1\tpi-1.lan pi-1\n");
    }

    #[test]
    fn a_line_of_the_address_keeps_its_other_names() {
        let step = "address = '10.0.0.1'\nnames = ['a', 'b']";
        assert_eq!(edited(step, "10.0.0.1   x b # c\r\n"), "10.0.0.1   x b a # c\r\n");
        assert_eq!(edited(step, "10.0.0.2\tx  a\ty\n10.0.0.1 A\tz\n"), "10.0.0.2\tx  y\n10.0.0.1 A\tz b\n");
        assert_eq!(edited("address = 'FD00::1'\nnames = ['a', 'A']", ""), "fd00::1\ta\n");
        assert_eq!(edited(step, "10.0.0.1 a\n10.0.0.1 b"), "10.0.0.1 a\n10.0.0.1 b");
        assert_eq!(edited(step, "# 10.0.0.1 a b\n"), "# 10.0.0.1 a b\n10.0.0.1\ta b\n");
        assert_eq!(edited("address = 'fd00:0::1'\nnames = ['a']", "fd00::1 a\n"), "fd00::1 a\n");
    }

    #[test]
    fn absent_names_go_from_their_address_or_from_all() {
        let before = "10.0.0.1 a x\n10.0.0.2 a\n\nfd00::1 a\n";
        assert_eq!(edited("state = 'absent'\nnames = ['a']", before), "10.0.0.1 x\n\n");
        let one = "state = 'absent'\naddress = '10.0.0.2'\nnames = ['a']";
        assert_eq!(edited(one, before), "10.0.0.1 a x\n\nfd00::1 a\n");
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for (toml, parameter) in [
            ("names = []\naddress = '10.0.0.1'", "/names"),
            ("names = ['a b']\naddress = '10.0.0.1'", "/names/0"),
            ("names = ['a']\naddress = '10.0.0'", "/address"),
            ("names = ['a']", "/address"),
            ("names = ['a']\naddress = '::1'\npath = 'hosts'", "/path"),
        ] {
            assert_eq!(refused::<HostsEntry>(toml), parameter, "{toml}");
        }
    }
}
