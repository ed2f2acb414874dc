//! `node.hosts_entry`: names and their address in /etc/hosts.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::effects::look;
use super::params::check_file_path;
use super::text::{Edit, Missing, State, Text, without_words};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{Attributes, Read};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::event::Problem;
use crate::plan::{ParamError, Role, RunsOn, refuse};

/// Sees to it that names lead to an address in /etc/hosts. A name that another line gives to another address of the same
/// family (IPv4 or IPv6) is taken out of that line. Other names, comments and lines stay as they are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostsEntry {
    /// The names; the first one of a new line is the canonical name of the address.
    pub names: Vec<String>,
    /// IPv4 or IPv6 address. With `state = "absent"` it may be left out: then the names go from all addresses.
    #[serde(default)]
    pub address: Option<String>,
    /// Whether the names are wanted.
    #[serde(default)]
    pub state: State,
    /// The file.
    #[serde(default = "hosts")]
    pub path: String,
    /// Whether the file as it was is kept beside, with the time in its name and `~` at its end. Counts only when the file
    /// is written.
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
            let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if name.is_empty() || !name.chars().all(fine) {
                return refuse(&format!("names/{index}"), format!("\"{name}\" is no name of a host"));
            }
        }
        match &self.address {
            Some(address) if address.parse::<IpAddr>().is_err() => {
                refuse("address", format!("\"{address}\" is no IPv4 or IPv6 address"))
            }
            None if self.state == State::Present => refuse("address", "say which address the names lead to"),
            _ => Ok(()),
        }
    }
}

/// A line that gives names to an address.
pub struct Entry<'a> {
    /// The address.
    pub address: IpAddr,
    /// The address and what is before it.
    head: &'a str,
    /// White space and names.
    rest: &'a str,
    /// White space and comment.
    tail: &'a str,
}

impl<'a> Entry<'a> {
    /// Reads a line; `None` when it is no such line.
    pub fn read(line: &'a str) -> Option<Self> {
        let body = line.split('#').next().unwrap_or_default().trim_end();
        let address = body.split_whitespace().next()?;
        let rest = body.trim_start().strip_prefix(address)?;
        let (head, tail) = (body.strip_suffix(rest)?, line.strip_prefix(body)?);
        Some(Self { address: address.parse().ok()?, head, rest, tail })
    }

    /// Whether it has a name; case does not count.
    pub fn has(&self, name: &str) -> bool {
        self.rest.split_whitespace().any(|seen| seen.eq_ignore_ascii_case(name))
    }

    /// The line without names; `None` when it has no other.
    fn without(&self, goes: impl Fn(&str) -> bool) -> Option<String> {
        let rest = without_words(self.rest, goes);
        (!rest.trim().is_empty()).then(|| format!("{}{rest}{}", self.head, self.tail))
    }

    /// The line with more names.
    fn with(&self, names: &[&str]) -> String {
        format!("{}{} {}{}", self.head, self.rest, names.join(" "), self.tail)
    }

    /// The line with these names first, and without others.
    pub fn renamed(&self, names: &str, goes: impl Fn(&str) -> bool) -> String {
        let stays = without_words(self.rest, goes);
        let (gap, _) = self.rest.split_at(self.rest.len() - self.rest.trim_start().len());
        let gap = if gap.is_empty() { "\t" } else { gap };
        let blank = if stays.trim().is_empty() { "" } else { " " };
        format!("{}{gap}{names}{blank}{}{}", self.head, stays.trim_start(), self.tail)
    }
}

impl HostsEntry {
    fn file(&self) -> Edit<'_> {
        let missing = Missing::of(self.state, true);
        Edit { path: &self.path, missing, attributes: Attributes::default(), backup: self.backup, validate: None }
    }

    /// Whether our names may not be in an entry.
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
            let entry = Entry::read(line).filter(|entry| self.is_wrong(entry, address));
            let Some(entry) = entry.filter(|entry| self.names.iter().any(|name| entry.has(name))) else {
                return Some(line.to_owned());
            };
            let ours = |name: &str| self.names.iter().any(|ours| ours.eq_ignore_ascii_case(name));
            // Without a name, the line says nothing any more.
            entry.without(ours)
        });
        if let (State::Present, Some(address)) = (self.state, address) {
            self.add(text, address);
        }
    }

    /// Adds the names that the address does not have yet, to its first line or as a new one.
    fn add(&self, text: &mut Text, address: IpAddr) {
        let of_it = |line: &str| Entry::read(line).is_some_and(|entry| entry.address == address);
        let there: Vec<Entry<'_>> = text.lines().filter_map(Entry::read).filter(|e| e.address == address).collect();
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
        let (at, count) = text.find(true, of_it).map_or((end, 0), |at| (at, 1));
        text.splice(at, count, [line.as_str()]);
    }
}

impl Action for HostsEntry {
    fn probes(&self) -> Vec<Probe> {
        vec![look(&self.path, Read::Content)]
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
