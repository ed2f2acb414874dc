//! The answer of `probe.sh`: the packages of a host.

use std::collections::BTreeMap;

use super::super::probes::unexpected_answer;
use crate::event::Problem;

/// Package manager of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// Debian, Ubuntu, Raspberry Pi OS.
    Apt,
    /// Alpine.
    Apk,
    /// Fedora and its relatives.
    Dnf,
}

impl Manager {
    pub fn name(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Apk => "apk",
            Self::Dnf => "dnf",
        }
    }
}

/// The package manager of a host, and what it knows about the packages of the step.
#[derive(Debug)]
pub struct HostPackages {
    pub manager: Manager,
    /// Seconds since the package lists were fetched; `None` when there are none, or the clock was set back since.
    pub lists_age: Option<u64>,
    /// Packages that a removal would take away: name and version.
    pub removals: Vec<(String, String)>,
    native: String,
    packages: Vec<Package>,
    provided: Vec<Provided>,
    candidates: BTreeMap<String, String>,
}

/// A name that a package provides.
#[derive(Debug)]
struct Provided {
    name: String,
    /// Version of the provided name; usually none.
    version: Option<String>,
    by: Package,
}

/// A package that the host knows.
#[derive(Debug)]
pub struct Package {
    name: String,
    arch: String,
    pub version: String,
    pub held: bool,
    /// Whether the package is installed and configured.
    pub installed: bool,
    /// Whether not even its configuration is left.
    pub is_purged: bool,
}

impl HostPackages {
    /// Parses the answer.
    ///
    /// # Errors
    /// When the host has no known package manager, or a line does not parse.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let what = "find out which packages are installed";
        let mut manager = None;
        let (mut native, mut lists_age) = (String::new(), None);
        let (mut removals, mut packages, mut candidates) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut provided = Vec::new();
        for line in text.lines() {
            match line.split('\t').collect::<Vec<_>>()[..] {
                ["manager", "apt"] => manager = Some(Manager::Apt),
                ["manager", "apk"] => manager = Some(Manager::Apk),
                ["manager", "dnf"] => manager = Some(Manager::Dnf),
                ["native", arch] => native = arch.to_owned(),
                ["lists", age] => lists_age = Some(age.parse::<i64>().map_err(|_| unexpected_answer(what, line))?),
                ["package", name, arch, status, version] => {
                    let package = Package::parse(name, arch, status, version);
                    packages.push(package.ok_or_else(|| unexpected_answer(what, line))?);
                }
                ["provided", name, version, by, arch, status, at] => provided.push(Provided {
                    name: name.to_owned(),
                    version: Some(version.to_owned()).filter(|version| !version.is_empty()),
                    by: Package::parse(by, arch, status, at).ok_or_else(|| unexpected_answer(what, line))?,
                }),
                ["candidate", name, version] => drop(candidates.insert(name.to_owned(), version.to_owned())),
                ["goes", name, version] => removals.push((name.to_owned(), version.to_owned())),
                _ => return Err(unexpected_answer(what, line)),
            }
        }
        let manager = manager.ok_or_else(|| {
            Problem::new("the host has none of apt, apk and dnf")
                .hint("on such a host, install packages with `node.command` and a guard")
        })?;
        let lists_age = lists_age.and_then(|age| u64::try_from(age).ok());
        Ok(Self { manager, lists_age, removals, native, packages, provided, candidates })
    }

    /// The package of a name as plans give it: `curl`, `libc6:armhf`.
    pub fn package(&self, name: &str) -> Option<&Package> {
        let (plain, arch) = self.name_and_arch(name);
        self.packages.iter().find(|p| p.name == plain && self.has_arch(p, arch))
    }

    /// The package that provides a name, and the version of the provided name. As with apt, an available package of
    /// that very name takes precedence.
    pub fn provider(&self, name: &str) -> Option<(&Package, Option<&str>)> {
        if self.candidate(name).is_some() {
            return None;
        }
        let (plain, arch) = self.name_and_arch(name);
        let found = self.provided.iter().find(|p| p.by.installed && p.name == plain && self.has_arch(&p.by, arch))?;
        Some((&found.by, found.version.as_deref()))
    }

    /// Name and architecture; `None` stands for the host's own, which has several names.
    fn name_and_arch<'a>(&self, name: &'a str) -> (&'a str, Option<&'a str>) {
        match name.split_once(':') {
            Some((plain, "native" | "any" | "all")) => (plain, None),
            Some((plain, arch)) => (plain, Some(arch).filter(|arch| *arch != self.native)),
            None => (name, None),
        }
    }

    fn has_arch(&self, package: &Package, arch: Option<&str>) -> bool {
        let own = package.arch == self.native || self.manager != Manager::Apt;
        ["all", "noarch"].contains(&&*package.arch) || arch.map_or(own, |arch| package.arch == arch)
    }

    /// The newest available version, if the probe asked for it.
    pub fn candidate(&self, name: &str) -> Option<&str> {
        let (plain, arch) = self.name_and_arch(name);
        let name = if arch.is_none() { plain } else { name };
        self.candidates.get(name).map(String::as_str)
    }
}

impl Package {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Parses a package; `status` has dpkg's format: the wanted state, the actual state, and whether there is an error.
    fn parse(name: &str, arch: &str, status: &str, version: &str) -> Option<Self> {
        let mut letters = status.chars();
        let (wish, state) = (letters.next()?, letters.next()?);
        Some(Self {
            name: name.to_owned(),
            arch: arch.to_owned(),
            version: version.to_owned(),
            held: wish == 'h',
            installed: matches!(state, 'i' | 'W' | 't') && !matches!(letters.next(), Some('R')),
            is_purged: state == 'n',
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_told_apart_by_architecture_and_state() {
        let seen = HostPackages::parse(
            "manager\tapt\nnative\tarm64\nlists\t-5\n\
             package\tlibc6\tarmhf\tii \t2.36\npackage\ttzdata\tall\thi \t2024a\npackage\told\tarm64\trc \t1\n\
             package\ttorn\tarm64\tiF \t1\npackage\twait\tarm64\tit \t1\ncandidate\tcurl\t8.0",
        )
        .unwrap();
        assert_eq!((seen.manager, seen.lists_age), (Manager::Apt, None));
        assert!(seen.package("libc6").is_none() && seen.package("libc6:armhf").unwrap().installed);
        let installed = |name: &str| seen.package(name).map(|p| (p.installed, p.held, p.is_purged));
        assert_eq!(installed("tzdata"), Some((true, true, false)));
        assert_eq!(installed("old"), Some((false, false, false)));
        assert_eq!(installed("torn"), Some((false, false, false)));
        assert_eq!(installed("wait"), Some((true, false, false)));
        assert_eq!(seen.candidate("curl"), Some("8.0"));
    }

    #[test]
    fn what_makes_no_sense_is_not_guessed_at() {
        assert!(HostPackages::parse("").unwrap_err().message.contains("none of apt"));
        assert!(HostPackages::parse("manager\tapt\npackage\tx\ty").unwrap_err().message.contains("package\tx\ty"));
    }
}
