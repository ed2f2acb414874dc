//! ssh's configuration files, read only so far as to know when ssh need not be asked what they make of a host. `ssh -G`
//! takes as much computing as half a login, and that for each host.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::inventory::{Host, Ssh};

/// Where ssh has the configuration for all users.
const SYSTEM: &str = "/etc/ssh/ssh_config";
/// How deep files may name files; ssh allows as many.
const DEEPEST: usize = 16;
/// What leads several hosts through one sshd, or may.
const LEADS: [&str; 2] = ["proxyjump", "proxycommand"];

/// All that the files say, if nothing in it makes hosts share an sshd or depends on more than the host's name. Where that
/// is not certain, `None`: ask ssh.
pub fn plain(ssh: &Ssh) -> Option<String> {
    let own = home()?.join(".ssh");
    let mut reader = Reader { own: own.clone(), ..Reader::default() };
    match &ssh.config {
        Some(path) => reader.file(path, &own, DEEPEST)?,
        None => {
            let config = own.join("config");
            if config.exists() {
                reader.file(&config, &own, DEEPEST)?;
            }
            // Where there is none, this ssh may have it elsewhere.
            reader.file(SYSTEM.as_ref(), "/etc/ssh".as_ref(), DEEPEST)?;
        }
    }
    Some(reader.text)
}

/// Whether what the inventory says of a host leads the way to it elsewhere.
pub fn leads_elsewhere(host: &Host) -> bool {
    let leads = |name: &String| name.eq_ignore_ascii_case("hostname") || LEADS.contains(&&*name.to_ascii_lowercase());
    host.access.options.keys().any(leads)
}

/// The user's home by the user database, which is where ssh looks, whatever `$HOME` says.
fn home() -> Option<PathBuf> {
    let us = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut users = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    users.find(|user| user.get(2) == Some(&us.as_str()))?.get(5).map(PathBuf::from)
}

#[derive(Default)]
struct Reader {
    /// Where `~/.ssh` is.
    own: PathBuf,
    text: String,
    addresses: BTreeSet<String>,
}

impl Reader {
    /// `folder` is where relative names of further files start.
    fn file(&mut self, path: &Path, folder: &Path, deep: usize) -> Option<()> {
        let text = std::fs::read_to_string(path).ok()?;
        self.text.push_str(&text);
        self.text.push('\0');
        // Whether what follows may be about several hosts.
        let mut several = true;
        for line in text.lines() {
            let Some((keyword, value)) = setting(line) else { continue };
            let mut words = value.split_whitespace();
            match keyword.to_ascii_lowercase().as_str() {
                "match" => return None,
                lead if LEADS.contains(&lead) && !value.eq_ignore_ascii_case("none") => return None,
                "host" => several = words.clone().count() != 1 || value.contains(['*', '?', '!', '"', '\'']),
                "hostname" => {
                    let address = words.next()?.to_owned();
                    let shared = several && !address.contains("%h") || address.contains(['"', '\'']);
                    if shared || !address.contains('%') && !self.addresses.insert(address) {
                        return None;
                    }
                }
                "include" => words.try_for_each(|name| self.include(name, folder, deep.checked_sub(1)?))?,
                _ => {}
            }
        }
        Some(())
    }

    fn include(&mut self, name: &str, folder: &Path, deep: usize) -> Option<()> {
        if name.contains(['"', '\'', '$', '%', '#']) {
            return None;
        }
        let path = match name.strip_prefix('~') {
            Some(rest) => self.own.parent()?.join(rest.strip_prefix('/')?),
            None => folder.join(name),
        };
        for found in glob::glob(path.to_str()?).ok()? {
            self.file(&found.ok()?, folder, deep)?;
        }
        Some(())
    }
}

/// A line's keyword and what follows.
fn setting(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let value = line[end..].trim_start();
    Some((&line[..end], value.strip_prefix('=').unwrap_or(value).trim()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(folder: &Path, text: &str) -> Ssh {
        let path = folder.join("config");
        std::fs::write(&path, text).unwrap();
        Ssh { config: Some(path), ..Ssh::default() }
    }

    #[test]
    fn files_that_cannot_lead_two_hosts_through_one_sshd_are_plain() {
        let dir = tempfile::tempdir().unwrap();
        for text in [
            "",
            "# ProxyJump gate\nHost *\n  User pi\n  KexAlgorithms curve25519-sha256\n",
            "Host a\n  HostName 10.0.0.1\nHost b\n\tHostName=10.0.0.2\n",
            "Host *\n  HostName %h.lan\n  ProxyJump none\n",
        ] {
            assert!(plain(&of(dir.path(), text)).is_some(), "{text}");
        }
        for text in [
            "Host pi\n  ProxyJump gate\n",
            "proxycommand=nc %h %p\n",
            "Match exec \"true\"\n",
            "Host *\n  HostName gate\n",
            "Host a b\n  HostName gate\n",
            "HostName gate\n",
            "Host a\n  HostName gate\nHost b\n  HostName gate\n",
            "Include \"two words\"\n",
            "Include ${HOME}/more\n",
            "Include config\n",
        ] {
            let text = text.replace("Include config", &format!("Include {}/config", dir.path().display()));
            assert!(plain(&of(dir.path(), &text)).is_none(), "{text}");
        }
        assert!(plain(&Ssh { config: Some(dir.path().join("none")), ..Ssh::default() }).is_none());
    }

    #[test]
    fn files_that_it_names_count_as_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let more = dir.path().join("more");
        std::fs::create_dir(&more).unwrap();
        let ssh = of(dir.path(), &format!("Include {}/*.conf {}/none\n", more.display(), dir.path().display()));
        let without = plain(&ssh).unwrap();
        std::fs::write(more.join("a.conf"), "User pi\n").unwrap();
        let with = plain(&ssh).unwrap();
        assert_ne!(with, without);
        std::fs::write(more.join("b.conf"), "ProxyJump gate\n").unwrap();
        assert!(plain(&ssh).is_none());
    }

    #[test]
    fn the_inventory_can_lead_elsewhere_too() {
        let host = |name: &str| {
            let mut host = Host::default();
            host.access.options.insert(name.into(), "gate".into());
            host
        };
        assert!(leads_elsewhere(&host("ProxyJump")) && leads_elsewhere(&host("HostName")));
        assert!(!leads_elsewhere(&host("User")));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

        /// ssh's own word for it.
        #[test]
        fn where_files_are_plain_ssh_takes_no_detour(
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
            if plain(&ssh).is_some() {
                let mut names = BTreeSet::new();
                for host in ["a", "b"] {
                    let file = ssh.config.as_ref().unwrap();
                    let told = std::process::Command::new("ssh").arg("-G").arg("-F").arg(file).arg(host).output().unwrap();
                    let told = String::from_utf8(told.stdout).unwrap();
                    let says = |key: &str| told.lines().find_map(|l| l.strip_prefix(key).map(|v| v.trim().to_owned()));
                    for lead in LEADS {
                        prop_assert!(says(&format!("{lead} ")).is_none_or(|v| v == "none"), "{told}");
                    }
                    names.insert(says("hostname "));
                }
                prop_assert_eq!(names.len(), 2);
            }
        }
    }
}
