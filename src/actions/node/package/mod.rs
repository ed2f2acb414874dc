//! `node.package`: packages of the distribution are there, the newest, or not there.

mod change;
mod seen;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::scripts::{answer, ask, next_checked};
use crate::actions::lifetime::Lifetime;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::quote;
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::{Delta, Diff};
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};
use change::Change;
pub use change::fetching;
use seen::{Manager, Seen};

/// Installs or removes packages of the host's distribution, by apt, apk or dnf. Nothing is asked, configuration files that
/// were edited are kept, and an installation that would remove other packages is refused. What apt was cut off in is
/// ended first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Names, such as "curl"; with a version "curl=7.88.1-10", which may end with `*`; with apt also "libc6:armhf". With apt, a
    /// name that a package provides, such as "git-core", stands for that package when it is there, unless one of the name
    /// itself can be had. May be left out with `update_cache = true`.
    #[serde(default)]
    pub names: Vec<String>,
    /// What is wanted of them.
    #[serde(default)]
    pub state: State,
    /// With apt: whether they are held, so that no upgrade changes them. Default: as it is.
    #[serde(default)]
    pub hold: Option<bool>,
    /// Whether the package lists are fetched when they are older than `cache_max_age` though nothing is to be installed.
    /// Before an installation, and with `state = "latest"`, they always are.
    #[serde(default)]
    pub update_cache: bool,
    /// Age from which on the package lists are fetched anew.
    #[serde(default = "hour")]
    pub cache_max_age: Lifetime,
    /// Whether what the packages recommend is installed too (apt, dnf). Default: as the host is set up. Counts only when
    /// something is installed.
    #[serde(default)]
    pub recommends: Option<bool>,
    /// Whether an older version may replace a newer one. Counts only when something is installed.
    #[serde(default)]
    pub allow_downgrade: bool,
    /// With `state = "absent"`: whether their configuration goes too.
    #[serde(default)]
    pub purge: bool,
    /// How long the package manager's lock is waited for, which unattended upgrades may hold. Counts only when something
    /// changes.
    #[serde(default = "two_minutes")]
    pub lock_timeout: Lifetime,
}

/// What is wanted of packages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// They are there, in the version that is given or in any.
    #[default]
    Present,
    /// They are there in the newest version that the lists have.
    Latest,
    /// They are not there.
    Absent,
}

fn hour() -> Lifetime {
    Lifetime::hours(1)
}

fn two_minutes() -> Lifetime {
    Lifetime::seconds(120)
}

impl Spec for Package {
    const NAME: &'static str = "node.package";
    const SUMMARY: &'static str = "packages of the distribution are there, the newest, or not there";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[Output { name: "manager", about: "apt, apk or dnf" }];
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "packages"
action = "node.package"
hosts = "pis"
become = true
names = ["nftables", "open-iscsi"]
"#;

    fn rules(&self) -> Result<(), ParamError> {
        if self.names.is_empty() && !self.update_cache {
            return refuse("names", "name at least one package, or set `update_cache = true`");
        }
        let mut seen = BTreeSet::new();
        for (index, text) in self.names.iter().enumerate() {
            let parameter = format!("names/{index}");
            let (name, version) = split(text);
            let fine = |c: char| c.is_ascii_alphanumeric() || "+-._:~".contains(c);
            if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(fine) {
                return refuse(&parameter, format!("\"{name}\" is no name of a package"));
            }
            if name.ends_with(['-', '_']) {
                let why = format!("apt would remove what \"{name}\" names: `state = \"absent\"` is for that");
                return refuse(&parameter, why);
            }
            let plain = version.map(|v| v.strip_suffix('*').unwrap_or(v));
            if plain.is_some_and(|v| v.is_empty() || !v.chars().all(fine)) {
                return refuse(&parameter, format!("\"{text}\" has no version after its `=`"));
            }
            if version.is_some() && self.state != State::Present {
                return refuse(&parameter, "a version goes with `state = \"present\"` only");
            }
            if !seen.insert(name) {
                return refuse(&parameter, format!("{name} is named twice"));
            }
        }
        if self.state == State::Absent && (self.hold.is_some() || self.allow_downgrade || self.recommends.is_some()) {
            return refuse("state", "`hold`, `allow_downgrade` and `recommends` are for packages that are to be there");
        }
        if self.purge && self.state != State::Absent {
            return refuse("purge", "it is for `state = \"absent\"`");
        }
        Ok(())
    }
}

fn split(text: &str) -> (&str, Option<&str>) {
    text.split_once('=').map_or((text, None), |(name, version)| (name, Some(version)))
}

/// Whether a version is the one that is asked for; as apt takes it, `*` at the end stands for any rest.
fn is_version(manager: Manager, wanted: &str, seen: &str) -> bool {
    let without_release = seen.rsplit_once('-').map(|(version, _)| version);
    match wanted.strip_suffix('*') {
        Some(start) => seen.starts_with(start),
        None => seen == wanted || (manager == Manager::Dnf && without_release == Some(wanted)),
    }
}

impl Package {
    fn names(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.names.iter().map(|text| split(text))
    }

    fn seen(facts: &[Fact]) -> Result<Seen, Problem> {
        Seen::read(&answer(facts, 0, "see which packages are there")?)
    }

    /// What is wrong, and what is done about it.
    fn judge<'a>(&'a self, seen: &'a Seen) -> Result<(Diff, Change<'a>), Problem> {
        let manager = seen.manager;
        if self.hold.is_some() && manager != Manager::Apt {
            return Err(Problem::new(format!("{} cannot hold packages", manager.name()))
                .hint("`hold` is for hosts with apt; leave the others out by `hosts` or `when`"));
        }
        let (mut diff, mut to_hold) = (Diff::default(), Vec::new());
        let (mut install, mut versions, mut remove) = (Vec::new(), Vec::new(), Vec::new());
        for (name, version) in self.names() {
            let own = seen.package(name);
            let provider = || seen.provider(name).filter(|_| self.state != State::Absent);
            let provider = if own.is_some_and(|p| p.installed) { None } else { provider() };
            let package = provider.map(|(package, _)| package).or(own);
            // What is done is done to the package itself: apt knows names that are provided in some commands only.
            let itself = provider.map_or(name, |(package, _)| package.name());
            let installed = package.filter(|p| p.installed);
            let now = installed.map(|p| p.version.clone());
            let newest = || seen.candidate(itself).unwrap_or("newest").to_owned();
            match (self.state, version) {
                (State::Absent, _) => {
                    if package.is_some_and(|p| p.installed || !p.gone && self.purge) {
                        let before = package.map(|p| p.version.clone());
                        remove.push(name);
                        diff.push_field(name, before, None);
                    }
                    continue;
                }
                (_, Some(version)) => {
                    let has = installed.map(|p| p.version.as_str());
                    let has = provider.map_or(has, |(_, version)| version);
                    if !has.is_some_and(|has| is_version(manager, version, has)) {
                        diff.push_field(name, now, Some(version.to_owned()));
                        versions.push((name, version));
                    }
                }
                (State::Present, None) if installed.is_some() => {}
                (State::Latest, None) if installed.is_some() => {
                    if let Some(candidate) = seen.candidate(itself).filter(|c| now.as_deref() != Some(*c)) {
                        if package.is_some_and(|p| p.held) && self.hold.is_none() {
                            return Err(Problem::new(format!(
                                "{itself} is held at {}, and {candidate} is the newest",
                                now.unwrap_or_default()
                            ))
                            .hint(
                                "give `hold = true` to change it and hold it again, or `hold = false` to set it free",
                            ));
                        }
                        diff.push_field(itself, now, Some(candidate.to_owned()));
                        install.push(itself);
                    }
                }
                (_, None) => {
                    diff.push_field(name, now, Some(newest()));
                    install.push(name);
                }
            }
            let word = |held: bool| if held { "yes" } else { "no" }.to_owned();
            let held = package.is_some_and(|p| p.held);
            if self.hold.is_some_and(|hold| hold != held) {
                diff.push_field(format!("{itself} held"), Some(word(held)), self.hold.map(word));
                to_hold.push(itself);
            }
        }
        for (name, version) in &seen.goes {
            if !self.names().any(|(own, _)| own == name) {
                diff.push_field(format!("{name}, which needs them"), Some(version.clone()), None);
            }
        }
        let installs = !install.is_empty() || !versions.is_empty();
        let old = seen.lists.is_none_or(|age| age >= self.cache_max_age.as_seconds());
        let refresh = old && (installs || self.update_cache || self.state == State::Latest);
        if refresh {
            diff.0.insert(0, Delta::Act { what: "fetch the package lists".to_owned() });
            if self.state == State::Latest {
                let itself = |name: &'a str| match seen.provider(name) {
                    Some((package, _)) if seen.package(name).is_none_or(|p| !p.installed) => package.name(),
                    _ => name,
                };
                install = self.names().map(|(name, _)| itself(name)).collect();
            }
        }
        let change = Change {
            manager,
            lock: self.lock_timeout.as_seconds(),
            refresh,
            install,
            latest: self.state == State::Latest,
            versions,
            remove,
            purge: self.purge,
            hold: self.hold.map(|hold| (hold, to_hold)),
            change_held: self.hold.is_some(),
            downgrade: self.allow_downgrade,
            recommends: self.recommends,
        };
        Ok((diff, change))
    }

    fn same(&self, seen: &Seen) -> String {
        let told = self.names().map(|(name, _)| match (seen.package(name), seen.provider(name)) {
            (Some(package), _) if package.installed => format!("{name} {}", package.version),
            (_, Some((by, _))) if self.state != State::Absent => format!("{} {} for {name}", by.name(), by.version),
            _ => format!("no {name}"),
        });
        if self.names.len() > 3 {
            format!("{} packages", self.names.len())
        } else {
            told.collect::<Vec<_>>().join(", ")
        }
    }
}

impl Action for Package {
    fn probes(&self) -> Vec<Probe> {
        let latest = if self.state == State::Latest { "y" } else { "" };
        let absent = match (self.state, self.purge) {
            (State::Absent, true) => "purge",
            (State::Absent, false) => "remove",
            _ => "",
        };
        let names = quote::words(self.names().map(|(name, _)| name));
        let look = include_str!("look.sh");
        vec![ask(format!("latest={latest} absent={absent}\nset -- {names}\n{look}"))]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let judged = Self::seen(facts).and_then(|seen| Ok((self.judge(&seen)?.0, seen)));
        match judged {
            Ok((diff, seen)) if diff.is_empty() => Verdict::Same { seen: self.same(&seen) },
            Ok((diff, _)) => Verdict::Change(diff),
            Err(problem) => Verdict::Blocked(problem),
        }
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let seen = Self::seen(facts)?;
        next_checked(&self.judge(&seen)?.1.acts(), done)
    }

    /// A package manager may end well and leave out what it holds back.
    fn is_verified(&self) -> bool {
        !self.names.is_empty()
    }

    fn verdict_after(&self, facts: &[Fact]) -> Verdict {
        // apk and dnf install what provides a name, and list it by its own.
        let by_own_names = |seen: Seen| seen.manager == Manager::Apt || self.state == State::Absent;
        match self.verdict(facts) {
            Verdict::Change(diff) => {
                // That the lists were fetched is told by who fetched them.
                let is_package = |delta: &Delta| !matches!(delta, Delta::Act { .. });
                let diff = Diff(diff.0.into_iter().filter(is_package).collect());
                if diff.is_empty() || !Self::seen(facts).is_ok_and(by_own_names) {
                    return Verdict::Same { seen: String::new() };
                }
                Verdict::Change(diff)
            }
            verdict => verdict,
        }
    }

    fn outputs(&self, facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        let manager = Self::seen(facts).map(|seen| seen.manager.name()).unwrap_or_default();
        Outputs::from_iter([("manager".to_owned(), json!(manager))])
    }
}

#[cfg(test)]
mod tests;
