//! What a host says of its packages.

use std::collections::BTreeMap;

use super::super::scripts::unexpected_answer;
use crate::event::Problem;

/// Who keeps the packages of a host.
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
    /// Name of its program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Apk => "apk",
            Self::Dnf => "dnf",
        }
    }
}

/// The answer of `look.sh`.
#[derive(Debug)]
pub struct Seen {
    /// The manager.
    pub manager: Manager,
    /// Seconds since its lists were fetched; `None` when there are none, or the clock went back since.
    pub lists: Option<u64>,
    /// What a removal would take: name and version.
    pub goes: Vec<(String, String)>,
    native: String,
    packages: Vec<Package>,
    provided: Vec<Provided>,
    candidates: BTreeMap<String, String>,
}

/// A name that a package which is there provides.
#[derive(Debug)]
struct Provided {
    name: String,
    /// As which version; mostly as none.
    version: Option<String>,
    by: Package,
}

/// A package that the host knows of.
#[derive(Debug)]
pub struct Package {
    name: String,
    arch: String,
    /// Its version.
    pub version: String,
    /// Whether it is kept from changing.
    pub held: bool,
    /// Whether it is there and works.
    pub installed: bool,
    /// Whether nothing is left of it.
    pub gone: bool,
}

impl Seen {
    /// Reads the answer.
    ///
    /// # Errors
    /// When there is no manager that is known, or a line makes no sense.
    pub fn read(text: &str) -> Result<Self, Problem> {
        let what = "see which packages are there";
        let mut manager = None;
        let (mut native, mut lists) = (String::new(), None);
        let (mut goes, mut packages, mut candidates) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut provided = Vec::new();
        for line in text.lines() {
            match line.split('\t').collect::<Vec<_>>()[..] {
                ["manager", "apt"] => manager = Some(Manager::Apt),
                ["manager", "apk"] => manager = Some(Manager::Apk),
                ["manager", "dnf"] => manager = Some(Manager::Dnf),
                ["native", arch] => native = arch.to_owned(),
                ["lists", age] => lists = Some(age.parse::<i64>().map_err(|_| unexpected_answer(what, line))?),
                ["package", name, arch, status, version] => {
                    let package = Package::read(name, arch, status, version);
                    packages.push(package.ok_or_else(|| unexpected_answer(what, line))?);
                }
                ["provided", name, version, by, arch, status, at] => provided.push(Provided {
                    name: name.to_owned(),
                    version: Some(version.to_owned()).filter(|version| !version.is_empty()),
                    by: Package::read(by, arch, status, at).ok_or_else(|| unexpected_answer(what, line))?,
                }),
                ["candidate", name, version] => drop(candidates.insert(name.to_owned(), version.to_owned())),
                ["goes", name, version] => goes.push((name.to_owned(), version.to_owned())),
                _ => return Err(unexpected_answer(what, line)),
            }
        }
        let manager = manager.ok_or_else(|| {
            Problem::new("the host has none of apt, apk and dnf")
                .hint("on such a host, install by `node.command` with a guard")
        })?;
        let lists = lists.and_then(|age| u64::try_from(age).ok());
        Ok(Self { manager, lists, goes, native, packages, provided, candidates })
    }

    /// A package by the name that a plan gives it: `curl`, `libc6:armhf`.
    pub fn package(&self, name: &str) -> Option<&Package> {
        let (plain, arch) = self.parts(name);
        self.packages.iter().find(|p| p.name == plain && self.fits(p, arch))
    }

    /// The package that provides a name, and the version it does so as. A package that has the name itself comes first, as
    /// with apt, when it can be had.
    pub fn provider(&self, name: &str) -> Option<(&Package, Option<&str>)> {
        if self.candidate(name).is_some() {
            return None;
        }
        let (plain, arch) = self.parts(name);
        let found = self.provided.iter().find(|p| p.by.installed && p.name == plain && self.fits(&p.by, arch))?;
        Some((&found.by, found.version.as_deref()))
    }

    /// Name and architecture; `None`: the host's own, for which there are several words.
    fn parts<'a>(&self, name: &'a str) -> (&'a str, Option<&'a str>) {
        match name.split_once(':') {
            Some((plain, "native" | "any" | "all")) => (plain, None),
            Some((plain, arch)) => (plain, Some(arch).filter(|arch| *arch != self.native)),
            None => (name, None),
        }
    }

    fn fits(&self, package: &Package, arch: Option<&str>) -> bool {
        let own = package.arch == self.native || self.manager != Manager::Apt;
        ["all", "noarch"].contains(&&*package.arch) || arch.map_or(own, |arch| package.arch == arch)
    }

    /// The newest version that can be had, as far as it was asked for.
    pub fn candidate(&self, name: &str) -> Option<&str> {
        let (plain, arch) = self.parts(name);
        let name = if arch.is_none() { plain } else { name };
        self.candidates.get(name).map(String::as_str)
    }
}

impl Package {
    /// Its name, as apt takes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `status` as dpkg has it: what is wanted of the package, how it is, and whether that is an error.
    fn read(name: &str, arch: &str, status: &str, version: &str) -> Option<Self> {
        let mut letters = status.chars();
        let (wish, state) = (letters.next()?, letters.next()?);
        Some(Self {
            name: name.to_owned(),
            arch: arch.to_owned(),
            version: version.to_owned(),
            held: wish == 'h',
            installed: matches!(state, 'i' | 'W' | 't') && !matches!(letters.next(), Some('R')),
            gone: state == 'n',
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_told_apart_by_architecture_and_state() {
        let seen = Seen::read(
            "manager\tapt\nnative\tarm64\nlists\t-5\n\
             package\tlibc6\tarmhf\tii \t2.36\npackage\ttzdata\tall\thi \t2024a\npackage\told\tarm64\trc \t1\n\
             package\ttorn\tarm64\tiF \t1\npackage\twait\tarm64\tit \t1\ncandidate\tcurl\t8.0",
        )
        .unwrap();
        assert_eq!((seen.manager, seen.lists), (Manager::Apt, None));
        assert!(seen.package("libc6").is_none() && seen.package("libc6:armhf").unwrap().installed);
        let installed = |name: &str| seen.package(name).map(|p| (p.installed, p.held, p.gone));
        assert_eq!(installed("tzdata"), Some((true, true, false)));
        assert_eq!(installed("old"), Some((false, false, false)));
        assert_eq!(installed("torn"), Some((false, false, false)));
        assert_eq!(installed("wait"), Some((true, false, false)));
        assert_eq!(seen.candidate("curl"), Some("8.0"));
    }

    #[test]
    fn what_makes_no_sense_is_not_guessed_at() {
        assert!(Seen::read("").unwrap_err().message.contains("none of apt"));
        assert!(Seen::read("manager\tapt\npackage\tx\ty").unwrap_err().message.contains("package\tx\ty"));
    }
}
