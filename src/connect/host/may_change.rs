//! Which probes an effect invalidates. When in doubt, the answer counts as changed.

use super::types::{Effect, Probe};

impl Effect {
    /// Whether `self` may change the answer to `probe`.
    pub fn may_change(&self, probe: &Probe) -> bool {
        match (self, probe) {
            (Self::Expect(_), _) => false,
            // A command may change anything, and a command probe may read anything.
            (Self::Run(_), _) | (_, Probe::Run(_)) => true,
            // A guard may restore what it keeps at any time.
            (Self::Guard(_), _) | (_, Probe::Guard) => true,
            (_, Probe::File { path, .. }) if is_virtual(path) => true,
            (Self::SetSysctl { .. }, Probe::Sysctl { .. }) | (Self::LoadModule { .. }, _) => true,
            (Self::SetSysctl { .. }, _) => false,
            // Making a folder leaves everything below it as it was. Only path components that are names in the folder's
            // path can be new. A mode that keeps the owner out of the folder hides what is below it.
            (Self::Directory { path, attributes }, Probe::File { path: probed, .. })
                if attributes.mode.is_none_or(|mode| mode & 0o700 == 0o700) =>
            {
                let (made, probed) = (names(path), names(probed));
                is_indirect(&made) || is_indirect(&probed) || probed.last().is_some_and(|name| made.contains(name))
            }
            (
                Self::WriteFile(super::WriteFile { path, .. })
                | Self::Directory { path, .. }
                | Self::Attributes { path, .. }
                | Self::Link { path, .. }
                | Self::Remove { path },
                Probe::File { path: probed, .. },
            ) => may_overlap(path, probed),
            // The live value of a parameter changes only by itself or by a write below /proc; writing by rename cannot
            // do that.
            (Self::WriteFile(_) | Self::Directory { .. } | Self::Link { .. }, Probe::Sysctl { .. }) => false,
            // Installed modules and the system's name are read from files such as /lib/modules and /etc/os-release.
            (_, Probe::Sysctl { .. } | Probe::Module { .. } | Probe::System) => true,
        }
    }
}

/// Whether a change at one path may be visible at another. Links can lead to a folder under other names, so names are
/// compared instead of whole paths: the paths are unrelated only if the last name of each does not occur in the other.
pub fn may_overlap(changed: &str, probed: &str) -> bool {
    let (changed, probed) = (names(changed), names(probed));
    is_indirect(&changed)
        || is_indirect(&probed)
        || changed.last().is_some_and(|n| probed.contains(n))
        || probed.last().is_some_and(|n| changed.contains(n))
}

fn names(path: &str) -> Vec<&str> {
    path.split('/').filter(|name| !name.is_empty() && *name != ".").collect()
}

/// Whether the names alone do not tell where the path leads.
fn is_indirect(names: &[&str]) -> bool {
    names.is_empty() || names.contains(&"..")
}

/// Paths whose content the kernel or its services change on their own.
pub(super) fn is_virtual(path: &str) -> bool {
    ["/proc", "/sys", "/dev", "/run"].iter().any(|place| path.starts_with(place))
}

#[cfg(test)]
mod tests {
    use super::super::types::{Attributes, Read, Run, WriteFile};
    use super::*;

    fn write(path: &str) -> Effect {
        let content = "".into();
        let attributes = Attributes::default();
        Effect::WriteFile(WriteFile { path: path.into(), content, attributes, backup: false, validate: None })
    }

    fn at(path: &str) -> Probe {
        Probe::File { path: path.into(), read: Read::Content }
    }

    #[test]
    fn a_file_shows_at_its_path_below_and_above_it_and_under_other_names_of_its_folder() {
        let effect = write("/srv/app/config.toml");
        for near in ["/srv/app/config.toml", "/srv/app", "/srv/app/config.toml/x", "/link/config.toml", "/", "/a/../b"]
        {
            assert!(effect.may_change(&at(near)), "{near}");
        }
        for far in ["/srv/app/other.toml", "/etc/hosts"] {
            assert!(!effect.may_change(&at(far)), "{far}");
        }
        assert!(effect.may_change(&at("/proc/cmdline")));
    }

    #[test]
    fn a_folder_shows_at_its_path_and_above_it_and_not_in_what_lies_below_it() {
        let make = |mode| Effect::Directory {
            path: "/srv/app".into(),
            attributes: Attributes { mode, ..Attributes::default() },
        };
        for near in ["/srv/app", "/srv", "/link/app", "/a/../b", "/"] {
            assert!(make(Some(0o755)).may_change(&at(near)), "{near}");
        }
        for far in ["/srv/app/config.toml", "/etc/app/x", "/etc/hosts"] {
            assert!(!make(Some(0o755)).may_change(&at(far)) && !make(None).may_change(&at(far)), "{far}");
        }
        assert!(make(Some(0o055)).may_change(&at("/srv/app/config.toml")), "its owner cannot look into it any more");
    }

    #[test]
    fn commands_touch_all_and_see_all() {
        let run = || Run::shell("true");
        assert!(Effect::Run(run()).may_change(&Probe::System));
        assert!(Effect::Run(run()).may_change(&at("/etc/hosts")));
        assert!(write("/a").may_change(&Probe::Run(run())));
    }

    #[test]
    fn parameters_and_modules() {
        let key = || Probe::Sysctl { key: "net.ipv4.ip_forward".into() };
        let set = Effect::SetSysctl { settings: Vec::new() };
        assert!(
            set.may_change(&key()) && !set.may_change(&at("/etc/hosts")) && !write("/etc/hosts").may_change(&key())
        );
        let load = Effect::LoadModule { name: "br_netfilter".into() };
        assert!(load.may_change(&key()) && load.may_change(&Probe::Module { name: "br_netfilter".into() }));
    }
}
