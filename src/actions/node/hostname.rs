//! `node.hostname`: what a host calls itself, now and after each boot.

use schemars::JsonSchema;
use serde::Deserialize;

use super::content::Wanted;
use super::effects::{file_at, in_turn, look};
use super::params::refuse;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, File, Read};
use crate::connect::{Done, Effect, Fact, Probe};
use crate::diff::Diff;
use crate::event::Problem;
use crate::plan::{ParamError, Place, Role};

/// Sets a host's name: the kernel's, /etc/hostname, and in /etc/hosts the line of 127.0.1.1 where there is one (without it,
/// `sudo` may wait for the name service). Where cloud-init sets the name at each boot, set `preserve_hostname` there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hostname {
    /// The name, such as "pi-1". With a domain, "pi-1.example.org", the host calls itself so, dots and all.
    pub name: String,
}

impl Spec for Hostname {
    const NAME: &'static str = "node.hostname";
    const SUMMARY: &'static str = "what a host calls itself, now and after each boot";
    const PLACE: Place = Place::Host;
    const ROLE: Role = Role::Change;
    const KEEPS: bool = true;
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "name"
action = "node.hostname"
hosts = "pis"
become = true
name = "pi-1"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.chars().all(fine)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if self.name.len() > 64 || !self.name.split('.').all(label) {
            let why = "must be letters, digits and inner `-`, at most 64 of them in all";
            return refuse("name", format!("\"{}\" {why}", self.name));
        }
        Ok(())
    }
}

const HOSTNAME: &str = "/etc/hostname";
const HOSTS: &str = "/etc/hosts";
const KERNEL: &str = "kernel.hostname";

impl Hostname {
    fn live(facts: &[Fact]) -> Option<&str> {
        match facts.get(2) {
            Some(Fact::Host(host::Fact::Sysctl(value))) => value.as_deref(),
            _ => None,
        }
    }

    /// /etc/hosts with this name on its line of 127.0.1.1; `None`: nothing is to be done there.
    fn hosts(&self, seen: Option<&File>) -> Option<String> {
        let text = std::str::from_utf8(seen?.content.as_deref()?).ok()?;
        let short = self.name.split('.').next().unwrap_or_default();
        let names = if short == self.name { self.name.clone() } else { format!("{} {short}", self.name) };
        let mut out = String::new();
        for line in text.split_inclusive('\n') {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            if words.next() == Some("127.0.1.1") && !words.any(|word| word == self.name) {
                out.push_str(&format!("127.0.1.1\t{names}\n"));
            } else {
                out.push_str(line);
            }
        }
        (out != text).then_some(out)
    }

    fn judge(&self, facts: &[Fact]) -> Result<(Diff, Vec<host::Effect>), Problem> {
        let (mut diff, mut effects) = (Diff::default(), Vec::new());
        let live = Self::live(facts);
        if live != Some(&self.name) {
            diff.push_field("hostname", live.map(str::to_owned), Some(self.name.clone()));
            effects.push(host::Effect::SetSysctl { settings: vec![(KERNEL.to_owned(), self.name.clone())] });
        }
        let files = [(HOSTNAME, 0, Some(format!("{}\n", self.name))), (HOSTS, 1, self.hosts(file_at(facts, 1)))];
        for (path, index, content) in files {
            let Some(content) = content else { continue };
            let seen = file_at(facts, index);
            let wanted = Wanted::text(path, &content, Attributes::default());
            let file = wanted.diff(seen)?;
            if !file.is_empty() {
                effects.push(wanted.effect(seen));
                diff.0.extend(file.0);
            }
        }
        Ok((diff, effects))
    }
}

impl Action for Hostname {
    fn probes(&self) -> Vec<Probe> {
        let kernel = Probe::Host(host::Probe::Sysctl { key: KERNEL.to_owned() });
        vec![look(HOSTNAME, Read::Content), look(HOSTS, Read::Content), kernel]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        match self.judge(facts) {
            Err(problem) => Verdict::Blocked(problem),
            Ok((diff, _)) if diff.is_empty() => Verdict::Same { seen: self.name.clone() },
            Ok((diff, _)) => Verdict::Change(diff),
        }
    }

    fn next(&self, facts: &[Fact], done: &[Done]) -> Result<Option<Effect>, Problem> {
        in_turn(&self.judge(facts)?.1, done)
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
        let [host::Effect::SetSysctl { settings }, host::Effect::WriteFile(name), host::Effect::WriteFile(hosts)] =
            &effects[..]
        else {
            panic!("{effects:?}")
        };
        assert_eq!(settings[..], [("kernel.hostname".to_owned(), "pi-1".to_owned())]);
        assert_eq!(name.content.as_slice(), b"pi-1\n");
        assert_eq!(hosts.content.as_slice(), b"127.0.0.1 localhost\n127.0.1.1\tpi-1\n::1 ip6\n");
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
