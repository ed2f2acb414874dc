//! Parses ssh's configuration files, only as far as needed to know when `ssh -G` need not be run for a host: that takes
//! as much computing as half a login, for each host.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::inventory::{Host, Ssh};

/// The configuration file for all users.
const SYSTEM_FILE: &str = "/etc/ssh/ssh_config";
/// Maximum depth of nested `Include`s; the same as ssh's.
const MAX_INCLUDE_DEPTH: usize = 16;
/// Settings that can lead several hosts through one sshd.
const PROXY_SETTINGS: [&str; 2] = ["proxyjump", "proxycommand"];
/// A setting that renames a host and makes ssh read the files again under the new name.
const CANONICALIZE: &str = "canonicalizehostname";

/// What the configuration files say about shared servers.
#[derive(Debug, Default)]
pub struct Config {
    /// The text of all files, to tell configurations apart.
    pub text: String,
    /// Patterns of hosts that may share an sshd with others.
    proxied: Vec<String>,
}

impl Config {
    /// Reads the files. `None` when they use something that this parser does not understand, or depend on more than the
    /// host's name.
    pub fn read(ssh: &Ssh) -> Option<Self> {
        let home = home()?;
        let own = home.join(".ssh");
        let mut reader = Reader { home, ..Reader::default() };
        match &ssh.config {
            Some(path) => reader.file(path, &own, MAX_INCLUDE_DEPTH)?,
            None => {
                let config = own.join("config");
                if config.exists() {
                    reader.file(&config, &own, MAX_INCLUDE_DEPTH)?;
                }
                // Without a file here, ssh may have been built with another path: left to `ssh -G`.
                reader.file(SYSTEM_FILE.as_ref(), "/etc/ssh".as_ref(), MAX_INCLUDE_DEPTH)?;
            }
        }
        Some(reader.config)
    }

    /// Whether the connection to a host may go through an sshd that other hosts share; `ssh -G` must be asked then.
    pub fn may_share_sshd(&self, host: &Host) -> bool {
        let address = host.address.to_lowercase();
        let mut options = host.access.options.keys().map(|name| name.to_ascii_lowercase());
        options
            .any(|name| ["hostname", CANONICALIZE].contains(&name.as_str()) || PROXY_SETTINGS.contains(&name.as_str()))
            || self.proxied.iter().any(|pattern| matches(pattern, &address))
    }
}

/// Whether a pattern of ssh may match a host.
fn matches(pattern: &str, address: &str) -> bool {
    // Brackets are special to `glob`, but not to ssh.
    let pattern = pattern.to_lowercase().replace('[', "[[]");
    glob::Pattern::new(&pattern).map_or(true, |pattern| pattern.matches(address))
}

/// The user's home from /etc/passwd, where ssh looks, whatever `$HOME` says.
fn home() -> Option<PathBuf> {
    let us = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut users = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    users.find(|user| user.get(2) == Some(&us.as_str()))?.get(5).map(PathBuf::from)
}

/// Larger files are not read, bytes.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Default)]
struct Reader {
    config: Config,
    /// The directory that `~` stands for.
    home: PathBuf,
    /// The name in the files under which each address was first used.
    addresses: HashMap<String, String>,
}

impl Reader {
    /// Reads one file. Relative names of included files start at `folder`.
    fn file(&mut self, path: &Path, folder: &Path, depth_left: usize) -> Option<()> {
        let text = crate::document::read_text(path, MAX_FILE_BYTES).ok()?;
        self.config.text.push_str(&text);
        self.config.text.push('\0');
        // The patterns of the current `Host` block. Hosts excluded by `!` count as included, so that ssh is asked.
        let mut patterns = vec!["*".to_owned()];
        for line in text.lines() {
            let Some((keyword, value)) = setting(line) else { continue };
            let mut words = value.split_whitespace();
            match keyword.to_ascii_lowercase().as_str() {
                "match" | CANONICALIZE => return None,
                "host" if value.contains(['"', '\'']) => return None,
                "host" => patterns = words.map(str::to_owned).collect(),
                lead if PROXY_SETTINGS.contains(&lead) && !value.eq_ignore_ascii_case("none") => {
                    self.config.proxied.extend(patterns.clone());
                }
                "hostname" => self.address(words.next()?, &patterns),
                "include" => words.try_for_each(|name| self.include(name, folder, depth_left.checked_sub(1)?))?,
                _ => {}
            }
        }
        Some(())
    }

    /// Notes a `HostName`: several hosts with one address share its sshd.
    fn address(&mut self, address: &str, patterns: &[String]) {
        let lone = match patterns {
            [name] if !name.contains(['*', '?']) => Some(name),
            _ => None,
        };
        let other = match lone {
            Some(name) => self.addresses.insert(address.to_lowercase(), name.clone()),
            None => None,
        };
        let own_of_each = address.contains("%h") || lone.is_some() && other.is_none();
        if !own_of_each {
            self.config.proxied.extend(other.into_iter().chain(patterns.iter().cloned()));
        }
    }

    fn include(&mut self, name: &str, folder: &Path, depth_left: usize) -> Option<()> {
        if name.contains(['"', '\'', '$', '%', '#']) {
            return None;
        }
        let path = match name.strip_prefix('~') {
            Some(rest) => self.home.join(rest.strip_prefix('/')?),
            None => folder.join(name),
        };
        for found in glob::glob(path.to_str()?).ok()? {
            self.file(&found.ok()?, folder, depth_left)?;
        }
        Some(())
    }
}

/// A line's keyword and value.
fn setting(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let (keyword, value) = line.split_at_checked(end)?;
    let value = value.trim_start();
    Some((keyword, value.strip_prefix('=').unwrap_or(value).trim()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn of(folder: &Path, text: &str) -> Ssh {
        let path = folder.join("config");
        std::fs::write(&path, text).unwrap();
        Ssh { config: Some(path), ..Ssh::default() }
    }

    fn host(address: &str) -> Host {
        Host { address: address.to_owned(), ..Host::default() }
    }

    #[test]
    fn hosts_that_may_share_an_sshd_are_told_from_others() {
        let dir = tempfile::tempdir().unwrap();
        for (text, elsewhere) in [
            ("", [false; 2]),
            ("# ProxyJump gate\nHost *\n  User pi\n  KexAlgorithms curve25519-sha256\n", [false; 2]),
            ("Host a\n  HostName 10.0.0.1\nHost b\n\tHostName=10.0.0.2\n", [false; 2]),
            ("Host *\n  HostName %h.lan\n  ProxyJump none\n", [false; 2]),
            ("Host unix/* vsock/*\n  ProxyCommand proxy %h %p\n", [false; 2]),
            ("Host A\n  ProxyJump gate\n", [true, false]),
            ("Host [ab]\n  ProxyJump gate\n", [false; 2]),
            ("Host ? !a\n  proxycommand=nc %h %p\n", [true; 2]),
            ("ProxyJump gate\n", [true; 2]),
            ("Host b*\n  HostName gate\n", [false, true]),
            ("Host a b\n  HostName gate\n", [true; 2]),
            ("HostName gate\n", [true; 2]),
            ("Host a\n  HostName gate\nHost b\n  HostName Gate\nHost c\n  HostName c\n", [true; 2]),
        ] {
            let config = Config::read(&of(dir.path(), text)).unwrap();
            assert_eq!(["a", "b"].map(|name| config.may_share_sshd(&host(name))), elsewhere, "{text}");
        }
    }

    #[test]
    fn what_is_beyond_it_is_left_to_ssh() {
        let dir = tempfile::tempdir().unwrap();
        let itself = format!("Include {}/config\n", dir.path().display());
        let beyond = [
            "CanonicalizeHostname yes\n",
            "Match exec \"true\"\n",
            "Include \"two words\"\n",
            "Include ${HOME}/more\n",
            "Host \"a b\"\n",
            &itself,
        ];
        for text in beyond {
            assert!(Config::read(&of(dir.path(), text)).is_none(), "{text}");
        }
        assert!(Config::read(&Ssh { config: Some(dir.path().join("none")), ..Ssh::default() }).is_none());
    }

    #[test]
    fn files_that_it_names_count_as_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let more = dir.path().join("more");
        std::fs::create_dir(&more).unwrap();
        let ssh = of(dir.path(), &format!("Include {}/*.conf {}/none\n", more.display(), dir.path().display()));
        let without = Config::read(&ssh).unwrap();
        std::fs::write(more.join("a.conf"), "User pi\n").unwrap();
        let with = Config::read(&ssh).unwrap();
        assert_ne!(with.text, without.text);
        std::fs::write(more.join("b.conf"), "ProxyJump gate\n").unwrap();
        assert!(!with.may_share_sshd(&host("a")) && Config::read(&ssh).unwrap().may_share_sshd(&host("a")));
    }

    #[test]
    fn the_inventory_can_lead_elsewhere_too() {
        let with = |name: &str| {
            let mut host = host("a");
            host.access.options.insert(name.into(), "gate".into());
            Config::default().may_share_sshd(&host)
        };
        assert!(with("ProxyJump") && with("HostName") && with("CanonicalizeHostname") && !with("User"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

        /// Compares the parser with `ssh -G`.
        #[test]
        fn where_it_sees_no_detour_ssh_takes_none(
            lines in proptest::collection::vec(
                proptest::sample::select(vec![
                    "Host *", "Host a", "Host b", "Host a b", "Host ? !b", "ProxyJump gate", " proxyjump = gate",
                    "ProxyJump none", "ProxyCommand nc %h %p", "PROXYCOMMAND=nc x", "HostName gate", "HostName %h.lan",
                    "hostname\tinner", "#ProxyJump gate", "Match all", "Port 23", "",
                ]),
                0..6,
            )
        ) {
            let dir = tempfile::tempdir().unwrap();
            let ssh = of(dir.path(), &lines.join("\n"));
            let config = Config::read(&ssh);
            let mut names = BTreeSet::new();
            for name in ["a", "b"] {
                if config.as_ref().is_none_or(|config| config.may_share_sshd(&host(name))) {
                    continue;
                }
                let file = ssh.config.as_ref().unwrap();
                let output = std::process::Command::new("ssh").arg("-G").arg("-F").arg(file).arg(name).output().unwrap();
                let output = String::from_utf8(output.stdout).unwrap();
                let says = |key: &str| output.lines().find_map(|l| l.strip_prefix(key).map(|v| v.trim().to_owned()));
                for setting in PROXY_SETTINGS {
                    prop_assert!(says(&format!("{setting} ")).is_none_or(|v| v == "none"), "{output}");
                }
                prop_assert!(names.insert(says("hostname ")), "{output}");
            }
        }
    }
}
