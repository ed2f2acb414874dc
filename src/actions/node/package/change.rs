//! The scripts that change packages, by manager.

use super::super::scripts::CheckedEffect;
use super::seen::Manager;
use crate::connect::host;

/// How apt is called.
const APT: &str = include_str!("apt.sh");

/// Whether apt reads new sources together with those that are there.
const COMBINED: &str = include_str!("together.sh");

/// A script that fetches the lists of one `.sources` file, and fails unless all of them come and are signed, and apt reads
/// the file together with those that are there; `name` is the one that it replaces.
pub fn fetching(sources: &str, name: &str) -> String {
    let options = "-o Dir::Etc::sourcelist=\"$d/it.sources\" -o Dir::Etc::sourceparts=-";
    let options = format!("{options} -o APT::Get::List-Cleanup=0 -o APT::Update::Error-Mode=any");
    format!(
        "lock=120 name={}\n{APT}\n{COMBINED}\nd=\ntrap 'trap \"\" HUP INT TERM PIPE; rm -rf -- \"$d\"' EXIT\ntrap 'exit 1' HUP INT TERM PIPE\n\
         d=$(trap \"\" HUP INT TERM PIPE; mktemp -d) && cp -- {sources} \"$d/it.sources\" && \
         chmod -R a+rX \"$d\" && together && refresh {options}",
        host::quote::word(name)
    )
}

/// What is to be done with packages.
pub struct Change<'a> {
    /// By whom.
    pub manager: Manager,
    /// Seconds that the manager's lock is waited for.
    pub lock: u64,
    /// Whether the lists are fetched first.
    pub refresh: bool,
    /// To be installed, or brought to the newest version.
    pub install: Vec<&'a str>,
    /// Whether what is there already must become the newest.
    pub latest: bool,
    /// To be installed in this version.
    pub versions: Vec<(&'a str, &'a str)>,
    /// To be removed.
    pub remove: Vec<&'a str>,
    /// With their configuration.
    pub purge: bool,
    /// To be held, or set free.
    pub hold: Option<(bool, Vec<&'a str>)>,
    /// Whether held packages may change.
    pub change_held: bool,
    /// Whether an older version may replace a newer one.
    pub downgrade: bool,
    /// Whether what packages recommend is installed too.
    pub recommends: Option<bool>,
}

impl Change<'_> {
    /// The effects, one after the other.
    pub fn acts(&self) -> Vec<CheckedEffect> {
        let mut acts = Vec::new();
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
            acts.push(CheckedEffect::script("fetch the package lists", script(line.to_owned())).or(why));
        }
        if !self.install.is_empty() || !self.versions.is_empty() {
            let what = format!("install {}", self.names().collect::<Vec<_>>().join(", "));
            acts.push(CheckedEffect::script(what, script(self.install_line())).or(why));
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
            acts.push(CheckedEffect::script(format!("remove {}", self.remove.join(", ")), script(line)).or(why));
        }
        if let Some((hold, names)) = &self.hold
            && !names.is_empty()
        {
            let word = if *hold { "hold" } else { "unhold" };
            let line = format!("apt-mark -qq {word} {}", host::quote::words(names.iter().copied()));
            acts.push(CheckedEffect::script(format!("{word} {}", names.join(", ")), script(line)).or(why));
        }
        acts
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
                // Other packages that would have to go are not a step's to decide in passing.
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

/// What to do about what a package manager says.
fn why(done: &host::CommandOutput) -> Option<&'static str> {
    let said = format!("{}\n{}", done.stdout.text(), done.stderr.text());
    let has = |text: &str| said.contains(text);
    if has("Could not get lock") || has("Unable to lock") || has("Unable to acquire the dpkg frontend lock") {
        Some("another package manager is at work there; `lock_timeout` says how long it is waited for")
    } else if has("Unable to locate package") || has("has no installation candidate") || has("was not found") {
        Some(
            "is the name (and version) right for this distribution and architecture? a repository of its own needs a step before this one",
        )
    } else if has("404  Not Found") {
        Some("the lists are older than the archive: set a shorter `cache_max_age`")
    } else if has("remove is disabled") || has("but remove is") {
        Some(
            "other packages would have to go: remove them by a step of their own, with `state = \"absent\"`, if they may",
        )
    } else if has("held packages") || has("Held packages") {
        Some("a package is held: give `hold = true` to change it and hold it again, or `hold = false` to set it free")
    } else if has("--allow-downgrades") || has("downgraded") {
        Some("a newer version is there: set `allow_downgrade = true` if it may be replaced")
    } else if has("Temporary failure resolving") || has("Could not resolve") || has("Could not connect") {
        Some("can the host reach its package archive (name service, route, proxy)?")
    } else {
        None
    }
}
