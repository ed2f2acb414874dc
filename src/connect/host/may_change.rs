//! Which answers an effect may change. Errs on the side of "may".

use super::types::{Effect, Probe};

impl Effect {
    /// Whether the answer to `probe` may be another one after this.
    pub fn may_change(&self, probe: &Probe) -> bool {
        match (self, probe) {
            (Self::Expect(_), _) => false,
            // Nobody knows what a command does, or what one looks at.
            (Self::Run(_), _) | (_, Probe::Run(_)) => true,
            // What is kept may come back at any time.
            (Self::Guard(_), _) | (_, Probe::Guard) => true,
            (_, Probe::File { path, .. }) if is_virtual(path) => true,
            (Self::SetSysctl { .. }, Probe::Sysctl { .. }) | (Self::LoadModule { .. }, _) => true,
            (Self::SetSysctl { .. }, _) => false,
            // Below a folder all is as it was: nothing, or what was there. Only a name of its path can be a new one. With a
            // mode that keeps its owner out, it may not be seen any more.
            (Self::Directory { path, attributes }, Probe::File { path: seen, .. })
                if attributes.mode.is_none_or(|mode| mode & 0o700 == 0o700) =>
            {
                let (made, seen) = (names(path), names(seen));
                is_indirect(&made) || is_indirect(&seen) || seen.last().is_some_and(|name| made.contains(name))
            }
            (
                Self::WriteFile(super::WriteFile { path, .. })
                | Self::Directory { path, .. }
                | Self::Attributes { path, .. }
                | Self::Link { path, .. }
                | Self::Remove { path },
                Probe::File { path: seen, .. },
            ) => may_overlap(path, seen),
            // A live value changes only by itself or by writing below /proc, which a renamed file cannot.
            (Self::WriteFile(_) | Self::Directory { .. } | Self::Link { .. }, Probe::Sysctl { .. }) => false,
            // What is installed is found by files: /lib/modules, /etc/os-release.
            (_, Probe::Sysctl { .. } | Probe::Module { .. } | Probe::System) => true,
        }
    }
}

/// Whether what happens at one path may show at another one. A folder can be reached by links under other names, so it
/// is names that are compared, not whole paths: the last one of each must not occur in the other.
pub fn may_overlap(changed: &str, seen: &str) -> bool {
    let (changed, seen) = (names(changed), names(seen));
    is_indirect(&changed)
        || is_indirect(&seen)
        || changed.last().is_some_and(|n| seen.contains(n))
        || seen.last().is_some_and(|n| changed.contains(n))
}

fn names(path: &str) -> Vec<&str> {
    path.split('/').filter(|name| !name.is_empty() && *name != ".").collect()
}

/// Whether names do not say where they lead.
fn is_indirect(names: &[&str]) -> bool {
    names.is_empty() || names.contains(&"..")
}

/// Paths of which the kernel and its services make something of their own.
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
