//! `node.hostname`: the host's own name, now and after each boot.

use std::net::{IpAddr, Ipv4Addr};

use schemars::JsonSchema;
use serde::Deserialize;

use super::bytes;
use super::content::{DesiredContent, DesiredFile};
use super::effects::nth_effect;
use super::hosts_entry::Entry;
use super::probes::{file_at, file_probe};
use super::text::Text;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, File, FileKind, Read};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::Problem;
use crate::plan::{ParamError, Role, RunsOn, refuse};

/// Sets the host's own name: in the kernel, in /etc/hostname, and on the line of 127.0.1.1 in /etc/hosts where there is
/// one (otherwise `sudo` may wait for the name service). Where cloud-init sets the name at each boot, set
/// `preserve_hostname` there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hostname {
    /// The name, such as "pi-1". A name with a domain, such as "pi-1.example.org", becomes the hostname as a whole.
    pub name: String,
}

impl Spec for Hostname {
    const NAME: &'static str = "node.hostname";
    const SUMMARY: &'static str = "the host's own name, now and after each boot";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const IS_REVERTIBLE: bool = true;
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "name"
action = "node.hostname"
hosts = "pis"
become = true
name = "pi-1"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.chars().all(is_allowed)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if self.name.len() > 64 || !self.name.split('.').all(label) {
            let why = "must consist of letters, digits and `-`, not at the start or end of a part, and have at most 64 characters";
            return refuse("name", format!("\"{}\" {why}", self.name));
        }
        Ok(())
    }
}

const HOSTNAME: &str = "/etc/hostname";
const HOSTS: &str = "/etc/hosts";
const KERNEL: &str = "kernel.hostname";

/// The address that /etc/hosts gives to the host's own name.
const OWN_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1));

impl Hostname {
    fn live(facts: &[Fact]) -> Option<&str> {
        match facts.get(2) {
            Some(Fact::Host(host::Fact::Sysctl(value))) => value.as_deref(),
            _ => None,
        }
    }

    /// The content of /etc/hosts with the new name on the line of 127.0.1.1, in place of the host's earlier names;
    /// `None` when nothing changes there.
    fn hosts(&self, current: Option<&File>, before: &[&str]) -> Option<String> {
        let current = bytes::decode(current.filter(|file| file.kind == FileKind::Regular)?.content.as_deref()?);
        let short = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        let own = short(&self.name);
        let names = if own == self.name { own.clone() } else { format!("{} {own}", self.name) };
        let is = |current: &str, name: &str| {
            current.eq_ignore_ascii_case(name) || current.eq_ignore_ascii_case(&short(name))
        };
        let remove = |current: &str| is(current, &self.name) || before.iter().any(|name| is(current, name));
        let mut text = Text::new(&current);
        text.rewrite(|line| {
            let entry = Entry::parse(line).filter(|entry| entry.address == OWN_ADDRESS && !entry.has(&self.name));
            Some(entry.map_or_else(|| line.to_owned(), |entry| entry.renamed(&names, remove)))
        });
        let after = text.to_string();
        (after != current).then_some(after)
    }

    fn diff_and_effects(&self, facts: &[Fact]) -> Result<(Diff, Vec<host::Effect>), Problem> {
        let (mut diff, mut effects) = (Diff::default(), Vec::new());
        let live = Self::live(facts);
        let kept = file_at(facts, 0).and_then(|file| file.content.as_deref());
        let kept = kept.map(|content| String::from_utf8_lossy(content).trim().to_owned()).unwrap_or_default();
        let before: Vec<&str> = [live.unwrap_or_default(), &kept].into_iter().filter(|name| !name.is_empty()).collect();
        // /etc/hosts is written first: if the run is interrupted after that, the old name is still in the other places.
        let files =
            [(HOSTS, 1, self.hosts(file_at(facts, 1), &before)), (HOSTNAME, 0, Some(format!("{}\n", self.name)))];
        for (path, index, content) in files {
            let Some(content) = content else { continue };
            let (current, content) = (file_at(facts, index), bytes::encode(&content));
            let wanted = DesiredFile {
                content: DesiredContent::Bytes(&content),
                ..DesiredFile::text(path, "", Attributes::default())
            };
            let file = wanted.diff(current)?;
            if !file.is_empty() {
                effects.push(wanted.effect(current));
                diff.0.extend(file.0);
            }
        }
        if live != Some(&self.name) {
            diff.push_field("hostname", live.map(str::to_owned), Some(self.name.clone()));
            effects.push(host::Effect::SetSysctl { settings: vec![(KERNEL.to_owned(), self.name.clone())] });
        }
        Ok((diff, effects))
    }
}

impl Action for Hostname {
    fn probes(&self) -> Vec<Probe> {
        let kernel = Probe::Host(host::Probe::Sysctl { key: KERNEL.to_owned() });
        vec![file_probe(HOSTNAME, Read::Content), file_probe(HOSTS, Read::Content), kernel]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        Verdict::judged(self.diff_and_effects(facts).map(|(diff, _)| diff), || self.name.clone())
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        nth_effect(&self.diff_and_effects(facts)?.1, done)
    }

    /// A DHCP client may set the old name again at once.
    fn is_verified(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{build, change, effects, file, is_same, refused};
    use super::*;
    use crate::actions::node::content::tests::regular;

    fn sees(hostname: &str, hosts: &str, live: &str) -> [Fact; 3] {
        let text = |text: &str| file(Some(regular(text, 0o644)));
        [text(hostname), text(hosts), Fact::Host(host::Fact::Sysctl(Some(live.into())))]
    }

    #[test]
    fn kernel_and_files_must_all_say_the_name() {
        let step = build::<Hostname>("name = 'pi-1'").unwrap();
        assert!(is_same(&step.verdict(&sees("pi-1\n", "127.0.0.1 localhost\n127.0.1.1 pi-1\n", "pi-1"))));
        assert!(is_same(&step.verdict(&sees("pi-1\n", "127.0.0.1 localhost\n", "pi-1"))));
        let facts = sees("raspberrypi\n", "127.0.0.1 localhost\n127.0.1.1 raspberrypi # x\n::1 ip6\n", "raspberrypi");
        let effects = effects(&step, &facts);
        let [host::Effect::WriteFile(hosts), host::Effect::WriteFile(name), host::Effect::SetSysctl { settings }] =
            &effects[..]
        else {
            panic!("{effects:?}")
        };
        assert_eq!(settings[..], [("kernel.hostname".to_owned(), "pi-1".to_owned())]);
        assert_eq!(name.content.as_slice(), b"pi-1\n");
        assert_eq!(hosts.content.as_slice(), b"127.0.0.1 localhost\n127.0.1.1 pi-1 # x\n::1 ip6\n");
    }

    #[test]
    fn other_names_and_all_other_bytes_of_the_line_stay() {
        let step = build::<Hostname>("name = 'pi-1.lan'").unwrap();
        let hosts = |before: &[u8]| {
            let mut facts = sees("old.lan\n", "", "old");
            facts[1] = file(Some(File { content: Some(before.to_vec()), ..regular("", 0o644) }));
            match &effects(&step, &facts)[0] {
                host::Effect::WriteFile(write) if write.path == HOSTS => write.content.as_slice().to_vec(),
                _ => before.to_vec(),
            }
        };
        assert_eq!(
            hosts(b"# caf\xe9\r\n127.0.1.1\told.lan  OLD\tgit  www # mine\r\n"),
            b"# caf\xe9\r\n127.0.1.1\tpi-1.lan pi-1 git  www # mine\r\n"
        );
        assert_eq!(hosts(b"127.0.1.1 git"), b"127.0.1.1 pi-1.lan pi-1 git");
        assert_eq!(hosts(b"127.0.1.1 PI-1.lan x\n"), b"127.0.1.1 PI-1.lan x\n");
    }

    #[test]
    fn a_cut_off_change_is_ended() {
        let step = build::<Hostname>("name = 'pi-1.example.org'").unwrap();
        let facts = sees("old\n", "127.0.1.1\told\n", "pi-1.example.org");
        let lines = change(&step.verdict(&facts));
        assert!(lines.contains(&"+pi-1.example.org".to_owned()), "{lines:?}");
        assert!(lines.contains(&"+127.0.1.1\tpi-1.example.org pi-1".to_owned()), "{lines:?}");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in ["", "a_b", "-a", "a-", "a..b", "a b", &"a".repeat(64)] {
            assert_eq!(refused::<Hostname>(&format!("name = '{name}'")), "/name");
        }
    }
}
