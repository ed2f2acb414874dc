//! `node.package`: packages of the distribution are installed, the newest, or not installed.

mod change;
mod packages;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::effects::next_checked;
use super::probes::{script_probe, stdout_at};
use crate::actions::lifetime::Lifetime;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::quote;
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::{Delta, Diff};
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};
use change::Change;
pub use change::try_sources_script;
use packages::{HostPackages, Manager};

/// Installs or removes packages of the host's distribution with apt, apk or dnf. Package managers ask no questions,
/// edited configuration files are kept, and an installation that would remove other packages is refused. An interrupted
/// apt run is completed first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Names, such as "curl"; with a version "curl=7.88.1-10", which may end with `*`; with apt also an architecture,
    /// "libc6:armhf". With apt, a name that an installed package provides, such as "git-core", stands for that package,
    /// unless a package of that very name is available. Optional with `update_cache = true`.
    #[serde(default)]
    pub names: Vec<String>,
    /// Wanted state of the packages.
    #[serde(default)]
    pub state: State,
    /// Whether the packages are held, so that no upgrade changes them; apt only. Default: unchanged.
    #[serde(default)]
    pub hold: Option<bool>,
    /// Whether to fetch package lists that are older than `cache_max_age` even when nothing is to be installed. Before
    /// an installation, and with `state = "latest"`, old lists are always fetched.
    #[serde(default)]
    pub update_cache: bool,
    /// Age from which on the package lists are fetched again.
    #[serde(default = "hour")]
    pub cache_max_age: Lifetime,
    /// Whether recommended packages are installed too (apt, dnf). Default: as the host is configured. Counts only when
    /// something is installed.
    #[serde(default)]
    pub recommends: Option<bool>,
    /// Whether an older version may replace a newer one. Counts only when something is installed.
    #[serde(default)]
    pub allow_downgrade: bool,
    /// With `state = "absent"`: whether the configuration is removed too.
    #[serde(default)]
    pub purge: bool,
    /// How long to wait for the package manager's lock, which unattended upgrades may hold. Counts only when something
    /// changes.
    #[serde(default = "two_minutes")]
    pub lock_timeout: Lifetime,
}

/// Wanted state of packages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Installed, in the given version or in any.
    #[default]
    Present,
    /// Installed in the newest version that the package lists have.
    Latest,
    /// Not installed.
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
    const SUMMARY: &'static str = "packages of the distribution: installed, the newest, or not installed";
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
            return refuse("names", "give at least one package, or set `update_cache = true`");
        }
        let mut seen = BTreeSet::new();
        for (index, text) in self.names.iter().enumerate() {
            let parameter = format!("names/{index}");
            let (name, version) = split(text);
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || "+-._:~".contains(c);
            if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(is_allowed) {
                return refuse(&parameter, format!("\"{name}\" is not the name of a package"));
            }
            if name.ends_with(['-', '_']) {
                let why = format!("apt would remove a package for \"{name}\": use `state = \"absent\"` for that");
                return refuse(&parameter, why);
            }
            let plain = version.map(|v| v.strip_suffix('*').unwrap_or(v));
            if plain.is_some_and(|v| v.is_empty() || !v.chars().all(is_allowed)) {
                return refuse(&parameter, format!("\"{text}\" has no version after its `=`"));
            }
            if version.is_some() && self.state != State::Present {
                return refuse(&parameter, "a version can be given only with `state = \"present\"`");
            }
            if !seen.insert(name) {
                return refuse(&parameter, format!("{name} is given twice"));
            }
        }
        if self.state == State::Absent && (self.hold.is_some() || self.allow_downgrade || self.recommends.is_some()) {
            return refuse(
                "state",
                "`hold`, `allow_downgrade` and `recommends` cannot be given with `state = \"absent\"`",
            );
        }
        if self.purge && self.state != State::Absent {
            return refuse("purge", "it needs `state = \"absent\"`");
        }
        Ok(())
    }
}

fn split(text: &str) -> (&str, Option<&str>) {
    text.split_once('=').map_or((text, None), |(name, version)| (name, Some(version)))
}

/// Whether an installed version is the wanted one; as with apt, `*` at the end of `wanted` stands for any rest.
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

    fn packages(facts: &[Fact]) -> Result<HostPackages, Problem> {
        HostPackages::parse(&stdout_at(facts, 0, "find out which packages are installed")?)
    }

    /// The diff, and the change that resolves it.
    fn diff_and_change<'a>(&'a self, host: &'a HostPackages) -> Result<(Diff, Change<'a>), Problem> {
        let manager = host.manager;
        if self.hold.is_some() && manager != Manager::Apt {
            return Err(Problem::new(format!("{} cannot hold packages", manager.name()))
                .hint("`hold` works on hosts with apt only; exclude the others by `hosts` or `when`"));
        }
        let (mut diff, mut to_hold) = (Diff::default(), Vec::new());
        let (mut install, mut versions, mut remove) = (Vec::new(), Vec::new(), Vec::new());
        for (name, version) in self.names() {
            let own = host.package(name);
            let provider = || host.provider(name).filter(|_| self.state != State::Absent);
            let provider = if own.is_some_and(|p| p.installed) { None } else { provider() };
            let package = provider.map(|(package, _)| package).or(own);
            // Commands get the package's own name: apt accepts provided names in some commands only.
            let actual = provider.map_or(name, |(package, _)| package.name());
            let installed = package.filter(|p| p.installed);
            let now = installed.map(|p| p.version.clone());
            let newest = || host.candidate(actual).unwrap_or("newest").to_owned();
            match (self.state, version) {
                (State::Absent, _) => {
                    if package.is_some_and(|p| p.installed || !p.is_purged && self.purge) {
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
                    if let Some(candidate) = host.candidate(actual).filter(|c| now.as_deref() != Some(*c)) {
                        if package.is_some_and(|p| p.held) && self.hold.is_none() {
                            return Err(Problem::new(format!(
                                "{actual} is held at {}, and {candidate} is the newest",
                                now.unwrap_or_default()
                            ))
                            .hint(
                                "set `hold = true` to change it and hold it again, or `hold = false` to release it",
                            ));
                        }
                        diff.push_field(actual, now, Some(candidate.to_owned()));
                        install.push(actual);
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
                diff.push_field(format!("{actual} held"), Some(word(held)), self.hold.map(word));
                to_hold.push(actual);
            }
        }
        for (name, version) in &host.removals {
            if !self.names().any(|(own, _)| own == name) {
                diff.push_field(format!("{name}, which depends on them"), Some(version.clone()), None);
            }
        }
        let installs = !install.is_empty() || !versions.is_empty();
        let old = host.lists_age.is_none_or(|age| age >= self.cache_max_age.as_seconds());
        let refresh = old && (installs || self.update_cache || self.state == State::Latest);
        if refresh {
            diff.0.insert(0, Delta::Act { what: "fetch the package lists".to_owned() });
            if self.state == State::Latest {
                let actual_name = |name: &'a str| match host.provider(name) {
                    Some((package, _)) if host.package(name).is_none_or(|p| !p.installed) => package.name(),
                    _ => name,
                };
                install = self.names().map(|(name, _)| actual_name(name)).collect();
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

    fn installed_versions(&self, host: &HostPackages) -> String {
        let versions = self.names().map(|(name, _)| match (host.package(name), host.provider(name)) {
            (Some(package), _) if package.installed => format!("{name} {}", package.version),
            (_, Some((by, _))) if self.state != State::Absent => format!("{} {} for {name}", by.name(), by.version),
            _ => format!("no {name}"),
        });
        if self.names.len() > 3 {
            format!("{} packages", self.names.len())
        } else {
            versions.collect::<Vec<_>>().join(", ")
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
        let probe = include_str!("probe.sh");
        vec![script_probe(format!("latest={latest} absent={absent}\nset -- {names}\n{probe}"))]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        match Self::packages(facts) {
            Ok(host) => {
                Verdict::judged(self.diff_and_change(&host).map(|(diff, _)| diff), || self.installed_versions(&host))
            }
            Err(problem) => Verdict::Blocked(problem),
        }
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let host = Self::packages(facts)?;
        next_checked(&self.diff_and_change(&host)?.1.effects(), done)
    }

    /// A package manager may end with status 0 although it left out packages that it holds back.
    fn is_verified(&self) -> bool {
        !self.names.is_empty()
    }

    fn verdict_after(&self, facts: &[Fact]) -> Verdict {
        // apk and dnf install a package that provides the name, and list it by its own name.
        let by_own_names = |host: HostPackages| host.manager == Manager::Apt || self.state == State::Absent;
        match self.verdict(facts) {
            Verdict::Change(diff) => {
                // Whether the lists were fetched is no property of a package.
                let is_package = |delta: &Delta| !matches!(delta, Delta::Act { .. });
                let diff = Diff(diff.0.into_iter().filter(is_package).collect());
                if diff.is_empty() || !Self::packages(facts).is_ok_and(by_own_names) {
                    return Verdict::Same { seen: String::new() };
                }
                Verdict::Change(diff)
            }
            verdict => verdict,
        }
    }

    fn outputs(&self, facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        let manager = Self::packages(facts).map(|host| host.manager.name()).unwrap_or_default();
        Outputs::from_iter([("manager".to_owned(), json!(manager))])
    }
}

#[cfg(test)]
mod tests;
