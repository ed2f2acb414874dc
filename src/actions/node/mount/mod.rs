//! `node.mount`: a mounted file system, now and after each boot.

mod state;
mod tables;

use schemars::JsonSchema;
use serde::Deserialize;

use super::content::DesiredFile;
use super::effects::{CheckedEffect, next_checked};
use super::params::{check_path, trimmed};
use super::probes::{file_at, file_probe, script_probe, stdout_at, unexpected_answer};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, Read, quote::word};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::{Delta, Diff};
use crate::event::Problem;
use crate::plan::{ParamError, Role, RunsOn, refuse};
use state::MountState;
use tables::{Entry, Mounted, edited, escaped, options_of, same_options};

const FSTAB: &str = "/etc/fstab";

/// Options that the kernel reports of a mount, and that a remount can change.
const REMOUNT_OPTIONS: [&str; 10] =
    ["ro", "rw", "noatime", "relatime", "nodiratime", "nosuid", "nodev", "noexec", "sync", "dirsync"];

/// Mounts a file system by an entry in /etc/fstab, the only entry of its path. A disk that may be missing needs the
/// option `nofail`: without it, the host does not boot when the disk is missing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Mount point: an absolute path. A missing directory is created, and never removed.
    pub path: String,
    /// Wanted state of the mount.
    #[serde(default)]
    pub state: State,
    /// Device, or another source: "UUID=0a3407de-014b-458b-b5c1-848e92a327a3", "/dev/sda1", "nas:/export", "tmpfs".
    #[serde(default)]
    pub source: String,
    /// Type of the file system, such as "ext4", "nfs4" or "tmpfs".
    #[serde(default)]
    pub fstype: String,
    /// Mount options, such as ["noatime", "nofail"]. Default: "defaults".
    #[serde(default)]
    pub options: Vec<String>,
    /// Order of the file system check at boot: 0 for none, 1 for the root file system, 2 for others.
    #[serde(default)]
    pub pass: u32,
}

/// Wanted state of a mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is in /etc/fstab and mounted.
    #[default]
    Mounted,
    /// It is in /etc/fstab; whether it is mounted stays unchanged.
    Present,
    /// It is not mounted. Its entry in /etc/fstab stays.
    Unmounted,
    /// It is neither mounted nor in /etc/fstab.
    Absent,
}

impl Spec for Mount {
    const NAME: &'static str = "node.mount";
    const SUMMARY: &'static str = "a mounted file system, now and after each boot";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "data"
action = "node.mount"
hosts = "pis"
become = true
path = "/var/lib/longhorn"
source = "LABEL=data"
fstype = "ext4"
options = ["noatime", "nofail"]
pass = 2
"#;

    fn rules(&self) -> Result<(), ParamError> {
        check_path("path", &self.path)?;
        if trimmed(&self.path) == "/" && self.removes() {
            return refuse("path", "the root file system cannot be removed");
        }
        let given = !self.source.is_empty() || !self.fstype.is_empty() || !self.options.is_empty() || self.pass != 0;
        if self.removes() {
            return if given {
                refuse("state", "with `state = \"unmounted\"` or `\"absent\"`, give `path` only")
            } else {
                Ok(())
            };
        }
        for (name, text) in [("source", &self.source), ("fstype", &self.fstype)] {
            if text.is_empty() || text.contains('\n') || text.starts_with('#') {
                return refuse(name, "give it as in /etc/fstab");
            }
        }
        if self.fstype.contains(char::is_whitespace) || self.fstype == "swap" {
            return refuse("fstype", "it must be the type of a file system with a mount point");
        }
        let wrong = |option: &String| option.is_empty() || option.contains(|c: char| c.is_whitespace() || c == ',');
        if let Some(at) = self.options.iter().position(wrong) {
            return refuse(&format!("options/{at}"), "give one option per element, without spaces");
        }
        if self.pass > 2 {
            return refuse("pass", "it must be 0, 1 or 2");
        }
        Ok(())
    }
}

impl Mount {
    fn removes(&self) -> bool {
        matches!(self.state, State::Unmounted | State::Absent)
    }

    fn path(&self) -> String {
        trimmed(&self.path)
    }

    fn entry(&self) -> Entry {
        let options = if self.options.is_empty() { "defaults".to_owned() } else { self.options.join(",") };
        let (source, fstype) = (self.source.clone(), self.fstype.clone());
        Entry { source, path: self.path(), fstype, options, dump: 0, pass: self.pass }
    }

    fn current(&self, facts: &[Fact]) -> Result<MountState, Problem> {
        let what = format!("find out what is mounted at {}", self.path());
        let text = stdout_at(facts, 1, &what)?;
        MountState::parse(&text).map_err(|line| unexpected_answer(&what, &line))
    }

    fn fstab<'a>(&self, facts: &'a [Fact]) -> Result<&'a str, Problem> {
        match file_at(facts, 0).map(|file| file.content.as_deref().map(std::str::from_utf8)) {
            None => Ok(""),
            Some(Some(Ok(text))) => Ok(text),
            Some(_) => {
                Err(Problem::new(format!("{FSTAB} is too large or not valid UTF-8"))
                    .hint("look at the file on the host"))
            }
        }
    }

    /// Whether this is a bind mount, which shows a folder that is also elsewhere.
    fn is_bind(&self) -> bool {
        self.options.iter().any(|option| matches!(option.as_str(), "bind" | "rbind"))
    }

    /// Fails when something else is mounted at the path.
    fn check(&self, current: &MountState, live: &Mounted) -> Result<(), Problem> {
        // The kernel reports nfs as nfs4, and a FUSE program as fuse.NAME.
        let related = live.fstype.starts_with(&self.fstype) || self.fstype.starts_with(&live.fstype);
        let other_type = !related && !["auto", "none"].contains(&self.fstype.as_str());
        let remote = live.fstype.starts_with("nfs") || live.fstype.starts_with("cifs");
        let plain = |source: &str| source.trim_end_matches('/').to_lowercase();
        let other_remote = remote && plain(&live.source) != plain(&self.source);
        let is_other = match self.is_bind() {
            true => !current.same_folder,
            false => other_type || other_remote || current.is_other_device(live),
        };
        if is_other {
            let (path, source, fstype) = (self.path(), &live.source, &live.fstype);
            let what = if self.is_bind() { "the mount at" } else { "another file system is mounted at" };
            let what = if self.is_bind() {
                format!("{what} {path} is not {}, but shows a folder of {source} ({fstype})", self.source)
            } else {
                format!("{what} {path}: {source} ({fstype})")
            };
            return Err(
                Problem::new(what).hint("if it may be unmounted, do so first in a step with `state = \"unmounted\"`")
            );
        }
        Ok(())
    }

    /// Options to set by a remount: those that the kernel reports and that are not set, or all when the entry in
    /// /etc/fstab had others.
    fn remount_options(&self, live: &Mounted, fstab: &str, current: &MountState) -> Option<String> {
        let had = options_of(fstab, |path| current.is_here(path));
        let wanted = self.entry().options;
        if had.is_some_and(|had| !same_options(&of_kernel(&had), &of_kernel(&wanted))) {
            return Some(wanted);
        }
        let visible = self.options.iter().map(String::as_str).filter(|option| REMOUNT_OPTIONS.contains(option));
        let missing: Vec<&str> = visible.filter(|option| !live.options.iter().any(|o| o == option)).collect();
        (!missing.is_empty()).then(|| missing.join(","))
    }

    fn diff_and_effects(&self, facts: &[Fact]) -> Result<(Diff, Vec<CheckedEffect>), Problem> {
        let (path, fstab, current) = (self.path(), self.fstab(facts)?, self.current(facts)?);
        let (mut diff, mut effects) = (Diff::default(), Vec::new());
        let quoted = word(&path);
        let describe = |mounted: bool| if mounted { "mounted" } else { "not mounted" }.to_owned();
        if self.removes() && current.is_mounted() {
            diff.push_field(&path, Some(describe(true)), Some(describe(false)));
            effects.push(CheckedEffect::script(format!("unmount {path}"), unmount(&current.place)).or(hint));
        }
        let is_here = |written: &str| current.is_here(written);
        let text = match self.state {
            State::Mounted | State::Present => edited(fstab, is_here, Some(&self.entry())),
            State::Absent => edited(fstab, is_here, None),
            State::Unmounted => None,
        };
        if let Some(text) = text {
            let file = file_at(facts, 0);
            let wanted = DesiredFile::text(FSTAB, &text, Attributes::default());
            diff.0.extend(wanted.diff(file)?.0);
            effects.push(wanted.effect(file).into());
            // systemd generates units from /etc/fstab; hosts without systemd need nothing.
            let script = "[ ! -d /run/systemd/system ] || systemctl daemon-reload";
            effects.push(CheckedEffect::script("make systemd reload its unit files", script));
        }
        if self.state != State::Mounted {
            return Ok((diff, effects));
        }
        if let Some(live) = current.top_mount() {
            self.check(&current, live)?;
            if let Some(options) = self.remount_options(live, fstab, &current) {
                diff.0.push(Delta::Act { what: format!("remount {path} with {options}") });
                effects.push(
                    CheckedEffect::script(format!("remount {path}"), format!("mount -o remount -- {quoted}")).or(hint),
                );
            }
        } else if current.is_no_directory {
            let problem = Problem::new(format!("{path} is not a directory, so nothing can be mounted there"));
            return Err(problem.hint("choose another path"));
        } else if !(current.is_on_demand() && self.options.iter().any(|option| option == "x-systemd.automount")) {
            diff.push_field(&path, Some(describe(false)), Some(describe(true)));
            let script = format!("_ro_directory {quoted} '' '' && mount -- {quoted}");
            effects.push(CheckedEffect::script(format!("mount {path}"), script).or(hint));
        }
        Ok((diff, effects))
    }
}

/// The options without those that only programs read.
fn of_kernel(options: &str) -> String {
    let is_read = |option: &&str| {
        !option.starts_with("x-")
            && !["defaults", "nofail", "fail", "auto", "noauto", "_netdev", "user", "users", "owner", "group"]
                .contains(option)
    };
    options.split(',').filter(is_read).collect::<Vec<_>>().join(",")
}

/// A script that removes all mounts stacked at a path. `place` must not contain links.
fn unmount(place: &str) -> String {
    let (at, line) = (word(place), word(&escaped(place)));
    format!("while cut -d ' ' -f 5 /proc/self/mountinfo | grep -qxF -- {line}; do umount -- {at} || exit; done")
}

fn hint(done: &host::CommandOutput) -> Option<&'static str> {
    let output = done.stderr.text();
    let has = |text: &str| output.contains(text);
    if has("target is busy") || has("Device or resource busy") {
        Some("a process uses it: `fuser -vm PATH` on the host shows which")
    } else if has("unknown filesystem type") {
        Some("is the type right, is its kernel module available, and its helper installed (nfs-common, cifs-utils)?")
    } else if has("Can't open blockdev") || has("does not exist") || has("can't find") || has("No such device") {
        Some("is the disk connected? `lsblk -f` on the host shows all disks with their UUIDs and labels")
    } else if has("not change") {
        Some("a remount cannot change that option: unmount first in a step with `state = \"unmounted\"`")
    } else {
        None
    }
}

impl Action for Mount {
    fn probes(&self) -> Vec<Probe> {
        let (path, source) = (word(&self.path()), word(&self.source));
        let script = format!("path={path} source={source}\n{}", include_str!("probe.sh"));
        vec![file_probe(FSTAB, Read::Content), script_probe(script)]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        Verdict::judged(self.diff_and_effects(facts).map(|(diff, _)| diff), String::new)
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        next_checked(&self.diff_and_effects(facts)?.1, done)
    }

    fn is_verified(&self) -> bool {
        true
    }

    fn verdict_after(&self, facts: &[Fact]) -> Verdict {
        let may_be_missing = self.state == State::Mounted && self.options.iter().any(|option| option == "nofail");
        match self.current(facts) {
            Ok(current) if may_be_missing && !current.is_mounted() => {
                let (path, source) = (self.path(), &self.source);
                let problem = Problem::new(format!("mount reported no error, but nothing is mounted at {path}"));
                Verdict::Blocked(problem.hint(format!(
                    "with `nofail`, mount ignores a missing device: is {source} connected? `lsblk -f` on the host shows all disks"
                )))
            }
            _ => self.verdict(facts),
        }
    }
}

#[cfg(test)]
mod tests;
