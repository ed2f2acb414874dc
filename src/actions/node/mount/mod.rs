//! `node.mount`: a file system is mounted, now and after each boot.

mod seen;
mod tables;

use schemars::JsonSchema;
use serde::Deserialize;

use super::content::DesiredFile;
use super::effects::{file_at, look};
use super::params::{check_path, trimmed};
use super::scripts::{CheckedEffect, answer, ask, next_checked, unexpected_answer};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, Read, quote::word};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::{Delta, Diff};
use crate::event::Problem;
use crate::plan::{ParamError, Role, RunsOn, refuse};
use seen::Seen;
use tables::{Entry, Mounted, edited, escaped, options_of, same_options};

const FSTAB: &str = "/etc/fstab";

/// Options that can be told of a mount, and set while it is mounted.
const REMOUNT_OPTIONS: [&str; 10] =
    ["ro", "rw", "noatime", "relatime", "nodiratime", "nosuid", "nodev", "noexec", "sync", "dirsync"];

/// Mounts a file system by its entry in /etc/fstab, the only one of its path. A disk that may be away needs the option
/// `nofail`: without it, a host that does not find it does not boot.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Where: an absolute path. The folder is made when missing, and stays.
    pub path: String,
    /// What is wanted.
    #[serde(default)]
    pub state: State,
    /// Device or the like: "UUID=0a3407de-014b-458b-b5c1-848e92a327a3", "/dev/sda1", "nas:/export", "tmpfs".
    #[serde(default)]
    pub source: String,
    /// Type of the file system, such as "ext4", "nfs4" or "tmpfs".
    #[serde(default)]
    pub fstype: String,
    /// Options, such as ["noatime", "nofail"].
    #[serde(default)]
    pub options: Vec<String>,
    /// Order in which it is checked at boot: 0 for never, 1 for the root, 2 for others.
    #[serde(default)]
    pub pass: u32,
}

/// What is wanted of a mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is in /etc/fstab and mounted.
    #[default]
    Mounted,
    /// It is in /etc/fstab; whether it is mounted stays as it is.
    Present,
    /// It is not mounted. Its entry stays as it is.
    Unmounted,
    /// It is neither mounted nor in /etc/fstab.
    Absent,
}

impl Spec for Mount {
    const NAME: &'static str = "node.mount";
    const SUMMARY: &'static str = "a file system is mounted, now and after each boot";
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
            return refuse("path", "the root stays");
        }
        let given = !self.source.is_empty() || !self.fstype.is_empty() || !self.options.is_empty() || self.pass != 0;
        if self.removes() {
            return if given { refuse("state", "what is to go needs only its `path`") } else { Ok(()) };
        }
        for (name, text) in [("source", &self.source), ("fstype", &self.fstype)] {
            if text.is_empty() || text.contains('\n') || text.starts_with('#') {
                return refuse(name, "give it, as in /etc/fstab");
            }
        }
        if self.fstype.contains(char::is_whitespace) || self.fstype == "swap" {
            return refuse("fstype", "it must be the type of a file system that has a path");
        }
        let wrong = |option: &String| option.is_empty() || option.contains(|c: char| c.is_whitespace() || c == ',');
        if let Some(at) = self.options.iter().position(wrong) {
            return refuse(&format!("options/{at}"), "write one option each, without spaces");
        }
        if self.pass > 2 {
            return refuse("pass", "it is 0, 1 or 2");
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

    fn seen(&self, facts: &[Fact]) -> Result<Seen, Problem> {
        let what = format!("see what is mounted at {}", self.path());
        let text = answer(facts, 1, &what)?;
        Seen::read(&text).map_err(|line| unexpected_answer(&what, &line))
    }

    fn fstab<'a>(&self, facts: &'a [Fact]) -> Result<&'a str, Problem> {
        match file_at(facts, 0).map(|file| file.content.as_deref().map(std::str::from_utf8)) {
            None => Ok(""),
            Some(Some(Ok(text))) => Ok(text),
            Some(_) => Err(Problem::new(format!("{FSTAB} is no text, or larger than it can be")).hint("look at it")),
        }
    }

    /// Whether the folder that is wanted there is one of the same file system, not the root of one.
    fn is_bind(&self) -> bool {
        self.options.iter().any(|option| matches!(option.as_str(), "bind" | "rbind"))
    }

    /// What is mounted there must be what is wanted there.
    fn check(&self, seen: &Seen, live: &Mounted) -> Result<(), Problem> {
        // nfs is told as nfs4, a FUSE program as fuse.NAME.
        let related = live.fstype.starts_with(&self.fstype) || self.fstype.starts_with(&live.fstype);
        let other_type = !related && !["auto", "none"].contains(&self.fstype.as_str());
        let remote = live.fstype.starts_with("nfs") || live.fstype.starts_with("cifs");
        let plain = |source: &str| source.trim_end_matches('/').to_lowercase();
        let other_remote = remote && plain(&live.source) != plain(&self.source);
        let is_other = match self.is_bind() {
            true => !seen.same_folder,
            false => other_type || other_remote || seen.is_other_device(live),
        };
        if is_other {
            let (path, source, fstype) = (self.path(), &live.source, &live.fstype);
            let what = if self.is_bind() { "what is mounted at" } else { "another file system is mounted at" };
            let what = if self.is_bind() {
                format!("{what} {path} is not {}, but something of {source} ({fstype})", self.source)
            } else {
                format!("{what} {path}: {source} ({fstype})")
            };
            return Err(Problem::new(what).hint("unmount it first, by a step of `state = \"unmounted\"`, if it may go"));
        }
        Ok(())
    }

    /// Options to be set of what is mounted: those that can be told and are not set, and all when the entry had others.
    fn anew(&self, live: &Mounted, fstab: &str, seen: &Seen) -> Option<String> {
        let had = options_of(fstab, |path| seen.is_here(path));
        let wanted = self.entry().options;
        if had.is_some_and(|had| !same_options(&of_kernel(&had), &of_kernel(&wanted))) {
            return Some(wanted);
        }
        let told = self.options.iter().map(String::as_str).filter(|option| REMOUNT_OPTIONS.contains(option));
        let missing: Vec<&str> = told.filter(|option| !live.options.iter().any(|o| o == option)).collect();
        (!missing.is_empty()).then(|| missing.join(","))
    }

    fn judge(&self, facts: &[Fact]) -> Result<(Diff, Vec<CheckedEffect>), Problem> {
        let (path, fstab, seen) = (self.path(), self.fstab(facts)?, self.seen(facts)?);
        let (mut diff, mut acts) = (Diff::default(), Vec::new());
        let quoted = word(&path);
        let told = |mounted: bool| if mounted { "mounted" } else { "not mounted" }.to_owned();
        if self.removes() && seen.is_mounted() {
            diff.push_field(&path, Some(told(true)), Some(told(false)));
            acts.push(CheckedEffect::script(format!("unmount {path}"), unmount(&seen.place)).or(why));
        }
        let is_here = |written: &str| seen.is_here(written);
        let text = match self.state {
            State::Mounted | State::Present => edited(fstab, is_here, Some(&self.entry())),
            State::Absent => edited(fstab, is_here, None),
            State::Unmounted => None,
        };
        if let Some(text) = text {
            let file = file_at(facts, 0);
            let wanted = DesiredFile::text(FSTAB, &text, Attributes::default());
            diff.0.extend(wanted.diff(file)?.0);
            acts.push(wanted.effect(file).into());
            // systemd makes units of it; without systemd there is nothing to tell.
            let script = "[ ! -d /run/systemd/system ] || systemctl daemon-reload";
            acts.push(CheckedEffect::script("have systemd read its unit files", script));
        }
        if self.state != State::Mounted {
            return Ok((diff, acts));
        }
        if let Some(live) = seen.live() {
            self.check(&seen, live)?;
            if let Some(options) = self.anew(live, fstab, &seen) {
                diff.0.push(Delta::Act { what: format!("mount {path} anew with {options}") });
                acts.push(
                    CheckedEffect::script(format!("remount {path}"), format!("mount -o remount -- {quoted}")).or(why),
                );
            }
        } else if seen.is_no_directory {
            let problem = Problem::new(format!("{path} is no directory: nothing can be mounted there"));
            return Err(problem.hint("choose another path"));
        } else if !(seen.is_on_demand() && self.options.iter().any(|option| option == "x-systemd.automount")) {
            diff.push_field(&path, Some(told(false)), Some(told(true)));
            let script = format!("_ro_directory {quoted} '' '' && mount -- {quoted}");
            acts.push(CheckedEffect::script(format!("mount {path}"), script).or(why));
        }
        Ok((diff, acts))
    }
}

/// Options without those that only programs read.
fn of_kernel(options: &str) -> String {
    let is_read = |option: &&str| {
        !option.starts_with("x-")
            && !["defaults", "nofail", "fail", "auto", "noauto", "_netdev", "user", "users", "owner", "group"]
                .contains(option)
    };
    options.split(',').filter(is_read).collect::<Vec<_>>().join(",")
}

/// All mounts on top of each other. `place` has no links in it.
fn unmount(place: &str) -> String {
    let (at, line) = (word(place), word(&escaped(place)));
    format!("while cut -d ' ' -f 5 /proc/self/mountinfo | grep -qxF -- {line}; do umount -- {at} || exit; done")
}

fn why(done: &host::CommandOutput) -> Option<&'static str> {
    let said = done.stderr.text();
    let has = |text: &str| said.contains(text);
    if has("target is busy") || has("Device or resource busy") {
        Some("something uses it: `fuser -vm PATH` there shows what")
    } else if has("unknown filesystem type") {
        Some("is the type right, its kernel module there, and its helper installed (nfs-common, cifs-utils)?")
    } else if has("Can't open blockdev") || has("does not exist") || has("can't find") || has("No such device") {
        Some("is the disk there? `lsblk -f` there shows all with their UUIDs and labels")
    } else if has("not change") {
        Some("what is mounted keeps that option: unmount it first, by a step of `state = \"unmounted\"`")
    } else {
        None
    }
}

impl Action for Mount {
    fn probes(&self) -> Vec<Probe> {
        let (path, source) = (word(&self.path()), word(&self.source));
        let look_at_it = format!("path={path} source={source}\n{}", include_str!("look.sh"));
        vec![look(FSTAB, Read::Content), ask(look_at_it)]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        match self.judge(facts) {
            Err(problem) => Verdict::Blocked(problem),
            Ok((diff, _)) if diff.is_empty() => Verdict::Same { seen: String::new() },
            Ok((diff, _)) => Verdict::Change(diff),
        }
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        next_checked(&self.judge(facts)?.1, done)
    }

    fn is_verified(&self) -> bool {
        true
    }

    fn verdict_after(&self, facts: &[Fact]) -> Verdict {
        let passed_over = self.state == State::Mounted && self.options.iter().any(|option| option == "nofail");
        match self.seen(facts) {
            Ok(seen) if passed_over && !seen.is_mounted() => {
                let (path, source) = (self.path(), &self.source);
                let problem = Problem::new(format!("mount found no fault, but nothing is mounted at {path}"));
                Verdict::Blocked(problem.hint(format!(
                    "with `nofail`, mount passes over a device that is not there: is {source} there? `lsblk -f` there shows all"
                )))
            }
            _ => self.verdict(facts),
        }
    }
}

#[cfg(test)]
mod tests;
