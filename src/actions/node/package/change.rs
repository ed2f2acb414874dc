//! Scripts that change packages, for each package manager.

use super::super::effects::CheckedEffect;
use super::packages::Manager;
use crate::connect::host;

/// Shell functions that call apt.
const APT: &str = include_str!("apt.sh");

/// Shell function that checks whether apt can read new sources together with the existing ones.
const COMBINED: &str = include_str!("combined.sh");

/// A script that fetches the package lists of one `.sources` file. It fails unless all lists arrive with a valid
/// signature, and apt can read the file together with the existing sources, except the one called `name`, which the
/// file is to replace.
pub fn try_sources_script(sources: &str, name: &str) -> String {
    let options = "-o Dir::Etc::sourcelist=\"$d/it.sources\" -o Dir::Etc::sourceparts=-";
    let options = format!("{options} -o APT::Get::List-Cleanup=0 -o APT::Update::Error-Mode=any");
    format!(
        "lock=120 name={}\n{APT}\n{COMBINED}\nd=\ntrap 'trap \"\" HUP INT TERM PIPE; rm -rf -- \"$d\"' EXIT\ntrap 'exit 1' HUP INT TERM PIPE\n\
         d=$(trap \"\" HUP INT TERM PIPE; mktemp -d) && cp -- {sources} \"$d/it.sources\" && \
         chmod -R a+rX \"$d\" && together && refresh {options}",
        host::quote::word(name)
    )
}

/// A change of packages.
pub struct Change<'a> {
    pub manager: Manager,
    /// Seconds to wait for the manager's lock.
    pub lock: u64,
    /// Whether to fetch the package lists first.
    pub refresh: bool,
    /// Packages to install, or to upgrade to the newest version.
    pub install: Vec<&'a str>,
    /// Whether installed packages are upgraded.
    pub latest: bool,
    /// Packages to install in this version.
    pub versions: Vec<(&'a str, &'a str)>,
    /// Packages to remove.
    pub remove: Vec<&'a str>,
    /// Whether to remove their configuration too.
    pub purge: bool,
    /// Whether to hold or to release packages, and which.
    pub hold: Option<(bool, Vec<&'a str>)>,
    /// Whether held packages may change.
    pub change_held: bool,
    /// Whether an older version may replace a newer one.
    pub downgrade: bool,
    /// Whether recommended packages are installed too.
    pub recommends: Option<bool>,
}

impl Change<'_> {
    /// The effects in their order.
    pub fn effects(&self) -> Vec<CheckedEffect> {
        let mut effects = Vec::new();
        let script = |line: String| match self.manager {
            Manager::Apt => format!("lock={}\n{APT}\n{line}", self.lock),
            _ => line,
        };
        if self.refresh {
            let line = match self.manager {
                Manager::Apt => "refresh",
                Manager::Apk => "apk update -q",
                Manager::Dnf => "dnf -q -y makecache",
            };
            effects.push(CheckedEffect::script("fetch the package lists", script(line.to_owned())).or(hint));
        }
        if !self.install.is_empty() || !self.versions.is_empty() {
            let what = format!("install {}", self.names().collect::<Vec<_>>().join(", "));
            effects.push(CheckedEffect::script(what, script(self.install_line())).or(hint));
        }
        if !self.remove.is_empty() {
            let names = host::quote::words(self.remove.iter().copied());
            let line = match (self.manager, self.purge) {
                (Manager::Apt, false) => format!("repair && apt remove {names}"),
                (Manager::Apt, true) => format!("repair && apt purge {names}"),
                (Manager::Apk, false) => format!("apk --wait {} del -q {names}", self.lock),
                (Manager::Apk, true) => format!("apk --wait {} del -q --purge {names}", self.lock),
                (Manager::Dnf, _) => format!("dnf -q -y remove {names} </dev/null"),
            };
            effects.push(CheckedEffect::script(format!("remove {}", self.remove.join(", ")), script(line)).or(hint));
        }
        if let Some((hold, names)) = &self.hold
            && !names.is_empty()
        {
            let word = if *hold { "hold" } else { "unhold" };
            let line = format!("apt-mark -qq {word} {}", host::quote::words(names.iter().copied()));
            effects.push(CheckedEffect::script(format!("{word} {}", names.join(", ")), script(line)).or(hint));
        }
        effects
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.install.iter().copied().chain(self.versions.iter().map(|(name, _)| *name))
    }

    fn install_line(&self) -> String {
        let sign = if self.manager == Manager::Dnf { "-" } else { "=" };
        let versions = self.versions.iter().map(|(name, version)| format!("{name}{sign}{version}"));
        let words: Vec<String> = self.install.iter().map(|name| (*name).to_owned()).chain(versions).collect();
        let words = host::quote::words(words.iter().map(String::as_str));
        let mut flags = String::new();
        let mut flag = |on: bool, text: &str| {
            if on {
                flags.push_str(text);
            }
        };
        match self.manager {
            Manager::Apt => {
                // A step does not remove other packages in passing.
                flag(true, " --no-remove");
                flag(self.recommends == Some(true), " --install-recommends");
                flag(self.recommends == Some(false), " --no-install-recommends");
                flag(self.change_held, " --allow-change-held-packages");
                flag(self.downgrade, " --allow-downgrades");
                format!("repair && apt install{flags} {words}")
            }
            Manager::Apk => {
                flag(self.latest, " -u");
                format!("apk --wait {} add -q{flags} {words}", self.lock)
            }
            Manager::Dnf => {
                flag(self.recommends.is_some(), " --setopt=install_weak_deps=");
                flag(self.recommends == Some(true), "True");
                flag(self.recommends == Some(false), "False");
                let then = if self.latest { format!(" && dnf -q -y upgrade {words}") } else { String::new() };
                format!("{{ dnf -q -y{flags} install {words}{then}; }} </dev/null")
            }
        }
    }
}

/// A hint for an error of a package manager.
fn hint(done: &host::CommandOutput) -> Option<&'static str> {
    let output = format!("{}\n{}", done.stdout.text(), done.stderr.text());
    let has = |text: &str| output.contains(text);
    if has("Could not get lock") || has("Unable to lock") || has("Unable to acquire the dpkg frontend lock") {
        Some("another package manager is running there; `lock_timeout` sets how long to wait for it")
    } else if has("Unable to locate package") || has("has no installation candidate") || has("was not found") {
        Some(
            "are name and version right for this distribution and architecture? a package from another repository needs a `node.apt_repository` step before this one",
        )
    } else if has("404  Not Found") {
        Some("the package lists are outdated: set a shorter `cache_max_age`")
    } else if has("remove is disabled") || has("but remove is") {
        Some("other packages would be removed: if they may, remove them first in a step with `state = \"absent\"`")
    } else if has("held packages") || has("Held packages") {
        Some("a package is held: set `hold = true` to change it and hold it again, or `hold = false` to release it")
    } else if has("--allow-downgrades") || has("downgraded") {
        Some("a newer version is installed: set `allow_downgrade = true` if it may be replaced")
    } else if has("Temporary failure resolving") || has("Could not resolve") || has("Could not connect") {
        Some("can the host reach its package repository (name service, route, proxy)?")
    } else {
        None
    }
}
