//! `node.sysctl`: kernel parameters, now and after each boot.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::content::DesiredFile;
use super::effects::nth_effect;
use super::params::{Scalar, check_name};
use super::probes::{file_at, file_probe};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, File, Read};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::Problem;
use crate::plan::{ParamError, Role, RunsOn, refuse};

/// Sets kernel parameters: the current values, and the file /etc/sysctl.d/NAME.conf that sets them at each boot.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sysctl {
    /// Name of the file in /etc/sysctl.d, without `.conf`. The file contains these settings and nothing else.
    pub name: String,
    /// Parameters by their dotted names, such as { "net.ipv4.ip_forward" = 1 }.
    pub settings: BTreeMap<String, Scalar>,
    /// Whether higher values are accepted, for settings that are limits.
    #[serde(default)]
    pub minimum: bool,
}

impl Spec for Sysctl {
    const NAME: &'static str = "node.sysctl";
    const SUMMARY: &'static str = "kernel parameters, now and after each boot";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const IS_REVERTIBLE: bool = true;
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "forwarding"
action = "node.sysctl"
hosts = "pis"
become = true
name = "90-kubernetes"
settings = { "net.ipv4.ip_forward" = 1, "net.bridge.bridge-nf-call-iptables" = 1 }
"#;

    fn rules(&self) -> Result<(), ParamError> {
        check_name("name", &self.name)?;
        if self.settings.is_empty() {
            return refuse("settings", "give at least one parameter");
        }
        for (key, value) in &self.settings {
            let is_valid = |c: char| c.is_ascii_alphanumeric() || "._-/@:+".contains(c);
            if key.is_empty() || !key.chars().all(is_valid) || key.split(['.', '/']).any(str::is_empty) {
                return refuse("settings", format!("\"{key}\" is not the name of a parameter"));
            }
            if value.0.contains('\n') {
                return refuse("settings", format!("the value of {key} has more than one line"));
            }
            let path = host::sysctl_file(key);
            if let Some((other, _)) =
                self.settings.iter().find(|(other, _)| *other < key && host::sysctl_file(other) == path)
            {
                return refuse("settings", format!("{other} and {key} are the same parameter"));
            }
            if self.minimum && numbers(&value.0).is_none() {
                return refuse(
                    "settings",
                    format!("{key} = \"{}\" is not a number, so it cannot be a minimum", value.0),
                );
            }
        }
        Ok(())
    }
}

impl Sysctl {
    fn path(&self) -> String {
        format!("/etc/sysctl.d/{}.conf", self.name)
    }

    /// Whether the value on the host is accepted.
    fn is_accepted(&self, wanted: &str, current: &str) -> bool {
        if self.minimum
            && let (Some(wanted), Some(current)) = (numbers(wanted), numbers(current))
        {
            return wanted.len() == current.len() && wanted.iter().zip(&current).all(|(w, s)| s >= w);
        }
        same_value(wanted, current)
    }

    /// All settings in the order in which they must be set, each with its index among the facts.
    fn in_order(&self) -> Vec<(usize, &str, &str)> {
        let all = self.settings.iter().enumerate();
        let mut all: Vec<_> = all.map(|(index, (key, wanted))| (index, key.as_str(), wanted.0.as_str())).collect();
        all.sort_by_key(|(_, key, _)| rank(key));
        all
    }

    fn live<'a>(&self, facts: &'a [Fact], index: usize) -> Option<&'a str> {
        match facts.get(index + 1) {
            Some(Fact::Host(host::Fact::Sysctl(value))) => value.as_deref(),
            _ => None,
        }
    }

    /// Parameters with a wrong value, each with that value and the wanted one.
    fn wrong<'a>(&'a self, facts: &'a [Fact]) -> impl Iterator<Item = (&'a str, Option<&'a str>, &'a str)> {
        self.in_order().into_iter().filter_map(move |(index, key, wanted)| {
            let live = self.live(facts, index);
            let right = live.is_some_and(|live| self.is_accepted(wanted, live));
            (!right).then_some((key, live, wanted))
        })
    }

    /// All settings if any is wrong: setting one may change another that was right before.
    fn to_set(&self, facts: &[Fact]) -> Vec<(String, String)> {
        if self.wrong(facts).next().is_none() {
            return Vec::new();
        }
        let value = |(index, key, wanted): (usize, &str, &str)| {
            let kept = self.live(facts, index).filter(|live| self.minimum && self.is_accepted(wanted, live));
            (key.to_owned(), kept.unwrap_or(wanted).to_owned())
        };
        self.in_order().into_iter().map(value).collect()
    }

    /// The content of the drop-in file. With `minimum`, higher values of the file or the kernel are kept, so that no
    /// boot lowers them.
    fn content(&self, facts: &[Fact]) -> String {
        let persisted = file_at(facts, 0).map(settings_of).unwrap_or_default();
        let mut text = String::new();
        for (index, key, wanted) in self.in_order() {
            let candidates = [persisted.get(key).map(String::as_str), self.live(facts, index)];
            let kept =
                candidates.into_iter().flatten().find(|current| self.minimum && self.is_accepted(wanted, current));
            text.push_str(&format!("{key} = {}\n", kept.unwrap_or(wanted)));
        }
        text
    }

    fn diff(&self, facts: &[Fact]) -> Result<Diff, Problem> {
        let mut diff = Diff::default();
        for (key, live, wanted) in self.wrong(facts) {
            if live.is_none() {
                return Err(Problem::new(format!("the kernel has no parameter {key}")).hint(
                    "is the name right? some parameters exist only while a module is loaded: load it with `node.kernel_module` first",
                ));
            }
            diff.push_field(key, live.map(str::to_owned), Some(wanted.to_owned()));
        }
        diff.0.extend(self.with_drop_in(facts, |wanted, current| wanted.diff(current))?.0);
        Ok(diff)
    }

    fn with_drop_in<R>(&self, facts: &[Fact], with: impl FnOnce(&DesiredFile<'_>, Option<&File>) -> R) -> R {
        let attributes = Attributes { mode: Some(0o644), ..Attributes::default() };
        let (path, content) = (self.path(), self.content(facts));
        let wanted = DesiredFile::text(&path, &content, attributes);
        with(&wanted, file_at(facts, 0))
    }
}

impl Action for Sysctl {
    fn probes(&self) -> Vec<Probe> {
        let mut probes = vec![file_probe(&self.path(), Read::Content)];
        probes.extend(self.settings.keys().map(|key| Probe::Host(host::Probe::Sysctl { key: key.clone() })));
        probes
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        Verdict::judged(self.diff(facts), String::new)
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let mut effects = Vec::new();
        let settings = self.to_set(facts);
        if !settings.is_empty() {
            effects.push(host::Effect::SetSysctl { settings });
        }
        effects.extend(self.with_drop_in(facts, |wanted, current| {
            wanted.diff(current).is_ok_and(|diff| !diff.is_empty()).then(|| wanted.effect(current))
        }));
        nth_effect(&effects, done)
    }

    /// The kernel may adjust a value, or change one parameter together with another.
    fn is_verified(&self) -> bool {
        true
    }
}

/// Sort key for the order of settings, now and at each boot: parameters that reset or set others come first. Switching
/// forwarding makes the kernel reset all parameters that differ between hosts and routers, and `all` applies to all
/// interfaces.
fn rank(key: &str) -> (bool, bool, bool, String) {
    let path = host::sysctl_file(key);
    let ends = |names: &[&str]| names.iter().any(|name| path.ends_with(name));
    (
        !ends(&["/ip_forward", "/forwarding"]),
        !(path.contains("/all/") || path.ends_with("/ip_forward")),
        !path.contains("/default/"),
        path,
    )
}

/// Whether two values mean the same to the kernel. It also parses numbers in bases 8 and 16, sets only the first
/// elements when fewer are given, and prints lists of numbers sorted and as ranges.
fn same_value(wanted: &str, current: &str) -> bool {
    if one_space(wanted) == one_space(current) {
        return true;
    }
    if let (Some(wanted), Some(current)) = (numbers(wanted), numbers(current)) {
        return current.starts_with(&wanted);
    }
    let are_lists = [wanted, current].iter().any(|text| text.contains([',', '-']));
    are_lists && ranges(wanted).is_some_and(|wanted| Some(wanted) == ranges(current))
}

/// Parses a list such as `1-3,8`, and joins adjacent ranges.
fn ranges(text: &str) -> Option<Vec<(u64, u64)>> {
    let one = |text: &str| match text.split_once('-') {
        Some((from, to)) => from.parse().ok().zip(to.parse().ok()),
        None => text.parse().ok().map(|number| (number, number)),
    };
    let mut all: Vec<(u64, u64)> = text.trim().split(',').map(one).collect::<Option<_>>()?;
    all.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (from, to) in all {
        match merged.last_mut() {
            Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    Some(merged)
}

fn numbers(text: &str) -> Option<Vec<i128>> {
    let numbers: Vec<i128> = text.split_whitespace().map(number).collect::<Option<_>>()?;
    (!numbers.is_empty()).then_some(numbers)
}

/// A number as the kernel parses it.
fn number(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match (lower.strip_prefix("0x"), lower.strip_prefix('0')) {
        (Some(digits), _) => (16, digits),
        (None, Some(digits)) if !digits.is_empty() => (8, digits),
        _ => (10, lower.as_str()),
    };
    let plain = !digits.is_empty() && digits.chars().all(|c| c.is_digit(base));
    plain.then(|| i128::from_str_radix(digits, base).ok()).flatten().map(|number| sign * number)
}

fn one_space(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn settings_of(file: &File) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(file.content.as_deref().unwrap_or_default()).into_owned();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with(['#', ';']));
    lines.filter_map(|l| l.split_once('=')).map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{blocked, build, change, effects, file, is_same, refused};
    use super::*;
    use crate::actions::node::content::tests::regular;

    fn live(value: &str) -> Fact {
        Fact::Host(host::Fact::Sysctl(Some(value.into())))
    }

    fn step(settings: &str) -> Sysctl {
        build(&format!("name = '90-x'\nsettings = {{ {settings} }}")).unwrap()
    }

    #[test]
    fn live_value_and_file_must_both_be_right() {
        let step = step("\"net.ipv4.ip_forward\" = true, \"net.ipv4.tcp_rmem\" = '1 2 3'");
        let text = "net.ipv4.ip_forward = 1\nnet.ipv4.tcp_rmem = 1 2 3\n";
        let right = file(Some(regular(text, 0o644)));
        assert!(is_same(&step.verdict(&[right.clone(), live("1"), live("1 2 3")])));

        let facts = [right, live("0"), live("1 2 3")];
        assert_eq!(change(&step.verdict(&facts)), ["~ net.ipv4.ip_forward: 0 → 1"]);
        let all = [("net.ipv4.ip_forward", "1"), ("net.ipv4.tcp_rmem", "1 2 3")];
        let all = all.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        assert_eq!(effects(&step, &facts), [host::Effect::SetSysctl { settings: all }], "one may change another");

        let facts = [file(None), live("1"), live("1 2 3")];
        let effects = effects(&step, &facts);
        let [host::Effect::WriteFile(write)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!((write.path.as_str(), write.content.as_slice()), ("/etc/sysctl.d/90-x.conf", text.as_bytes()));
    }

    #[test]
    fn what_resets_others_is_set_before_them_now_and_at_boot() {
        let step = step(
            "\"net.ipv4.conf.abc.forwarding\" = 0, \"net.ipv4.conf.all.accept_redirects\" = 0, \
             \"net.ipv4.conf.abc.rp_filter\" = 1, \"net.ipv4.conf.all.rp_filter\" = 2, \"net.ipv4.ip_forward\" = 0",
        );
        let facts = [file(None), live("0"), live("1"), live("0"), live("0"), live("1")];
        let effects = effects(&step, &facts);
        let [host::Effect::SetSysctl { settings }, host::Effect::WriteFile(write)] = &effects[..] else {
            panic!("{effects:?}")
        };
        let order: Vec<&str> = settings.iter().map(|(key, _)| key.rsplit('.').next().unwrap()).collect();
        assert_eq!(order, ["ip_forward", "forwarding", "accept_redirects", "rp_filter", "rp_filter"]);
        let lines: Vec<String> = settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        assert_eq!(String::from_utf8_lossy(write.content.as_slice()), lines.concat());
        assert!(step.is_verified());
    }

    #[test]
    fn a_value_is_what_the_kernel_makes_of_it() {
        for (wanted, seen) in [
            ("0x10", "16"),
            ("010", "8"),
            ("4\t4  1 7", "4 4 1 7"),
            ("4096", "4096 131072 6291456"),
            ("3,1-2,9", "1-3,9"),
        ] {
            assert!(same_value(wanted, seen), "{wanted}");
        }
        for (wanted, seen) in [("10", "8"), ("1 2", "1"), ("08", "8"), ("cubic", "Cubic"), ("1-3", "1-4"), ("", "0")] {
            assert!(!same_value(wanted, seen), "{wanted}");
        }
    }

    #[test]
    fn a_parameter_that_the_kernel_has_not_blocks() {
        let facts = [file(None), Fact::Host(host::Fact::Sysctl(None))];
        assert!(blocked(&step("\"no.such\" = 1").verdict(&facts)).contains("no parameter no.such"));
    }

    #[test]
    fn more_is_as_good_as_the_minimum_and_no_boot_lowers_it() {
        let toml = "name = 'x'\nminimum = true\nsettings = { \"fs.inotify.max_user_instances\" = 1024 }";
        let step = build::<Sysctl>(toml).unwrap();
        let key = "fs.inotify.max_user_instances";
        let is = |value: u32| file(Some(regular(&format!("{key} = {value}\n"), 0o644)));
        assert!(is_same(&step.verdict(&[is(8192), live("8192")])));
        assert!(is_same(&step.verdict(&[is(2048), live("8192")])));
        assert_eq!(change(&step.verdict(&[is(1024), live("128")])), [format!("~ {key}: 128 → 1024")]);
        let effects = effects(&step, &[file(None), live("8192")]);
        let [host::Effect::WriteFile(write)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(write.content.as_slice(), format!("{key} = 8192\n").as_bytes());
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for (toml, parameter) in [
            ("name = 'a/b'\nsettings = { \"a.b\" = 1 }", "/name"),
            ("name = 'x'\nsettings = {}", "/settings"),
            ("name = 'x'\nsettings = { \"a..b\" = 1 }", "/settings"),
            ("name = 'x'\nsettings = { \"a.b c\" = 1 }", "/settings"),
            ("name = 'x'\nsettings = { \"a.b\" = \"1\\n2\" }", "/settings"),
            ("name = 'x'\nsettings = { \"a.b/c\" = 1, 'a/b.c' = 1 }", "/settings"),
            ("name = 'x'\nminimum = true\nsettings = { \"a.b\" = 'x' }", "/settings"),
        ] {
            assert_eq!(refused::<Sysctl>(toml), parameter, "{toml}");
        }
    }
}
