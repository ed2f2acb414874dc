//! `node.mount`: a file system is mounted, now and after each boot.

mod tables;

use schemars::JsonSchema;
use serde::Deserialize;

use super::content::Wanted;
use super::effects::{file_at, look};
use super::params::{check_path, refuse, trimmed};
use super::scripts::{Act, answer, ask, each_well, odd};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, FileKind, Read, quote::word};
use crate::connect::{Done, Effect, Fact, Probe};
use crate::diff::{Delta, Diff};
use crate::event::Problem;
use crate::plan::{ParamError, Place, Role};
use tables::{Entry, Mounted, edited, mounted};

const FSTAB: &str = "/etc/fstab";

/// Options that can be told of a mount, and set while it is mounted.
const TOLD: [&str; 10] =
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
    const PLACE: Place = Place::Host;
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

    /// fstab as it should be; `None`: it is.
    fn fstab(&self, facts: &[Fact]) -> Result<Option<String>, Problem> {
        let file = file_at(facts, 0);
        let text = match file.map(|file| file.content.as_deref().map(std::str::from_utf8)) {
            None => "",
            Some(Some(Ok(text))) => text,
            Some(_) => {
                return Err(Problem::new(format!("{FSTAB} is no text, or larger than it can be")).hint("look at it"));
            }
        };
        Ok(match self.state {
            State::Mounted | State::Present => edited(text, &self.path(), Some(&self.entry())),
            State::Absent => edited(text, &self.path(), None),
            State::Unmounted => None,
        })
    }

    /// What is mounted there, and the device that is wanted, if it is one that is there.
    fn live(&self, facts: &[Fact]) -> Result<(Option<Mounted>, Option<String>), Problem> {
        let what = format!("see what is mounted at {}", self.path());
        let text = answer(facts, 2, &what)?;
        let (device, info) = text.split_once('\n').ok_or_else(|| odd(&what, &text))?;
        let live = mounted(info, &self.path()).map_err(|line| odd(&what, &line))?;
        Ok((live, Some(device.to_owned()).filter(|device| !device.is_empty())))
    }

    /// What is mounted there must be what is wanted there.
    fn check(&self, live: &Mounted, device: Option<&str>) -> Result<(), Problem> {
        let bind = self.options.iter().any(|option| matches!(option.as_str(), "bind" | "rbind"));
        let other_type = !bind && live.fstype != self.fstype && !["auto", "none"].contains(&self.fstype.as_str());
        let other_device =
            !bind && live.source.starts_with("/dev/") && device.is_some_and(|device| device != live.source);
        // nfs is told as nfs4, a FUSE program as fuse.NAME.
        let related = live.fstype.starts_with(&self.fstype) || self.fstype.starts_with(&live.fstype);
        if (other_type && !related) || other_device {
            let (path, source, fstype) = (self.path(), &live.source, &live.fstype);
            return Err(Problem::new(format!("another file system is mounted at {path}: {source} ({fstype})"))
                .hint("unmount it first, by a step of `state = \"unmounted\"`, if it may go"));
        }
        Ok(())
    }

    fn judge(&self, facts: &[Fact]) -> Result<(Diff, Vec<Act>), Problem> {
        let (path, fstab) = (self.path(), self.fstab(facts)?);
        let (live, device) = self.live(facts)?;
        let (mut diff, mut acts) = (Diff::default(), Vec::new());
        let quoted = word(&path);
        let told = |mounted: bool| if mounted { "mounted" } else { "not mounted" }.to_owned();
        if self.removes() && live.is_some() {
            diff.push_field(&path, Some(told(true)), Some(told(false)));
            acts.push(Act::script(format!("unmount {path}"), unmount(&quoted)).or(why));
        }
        if let Some(text) = fstab {
            let seen = file_at(facts, 0);
            let attributes = Attributes::default();
            let wanted = Wanted::text(FSTAB, &text, attributes);
            diff.0.extend(wanted.diff(seen)?.0);
            acts.push(wanted.effect(seen).into());
            // systemd makes units of it; without systemd there is nothing to tell.
            let script = "[ ! -d /run/systemd/system ] || systemctl daemon-reload";
            acts.push(Act::script("have systemd read its unit files", script));
        }
        if self.state != State::Mounted {
            return Ok((diff, acts));
        }
        match (&live, file_at(facts, 1).map(|file| &file.kind)) {
            (Some(live), _) => {
                self.check(live, device.as_deref())?;
                let missing: Vec<&str> = self.options.iter().map(String::as_str).filter(|o| TOLD.contains(o)).collect();
                let missing: Vec<&str> =
                    missing.into_iter().filter(|option| !live.options.iter().any(|o| o == option)).collect();
                if !missing.is_empty() {
                    diff.0.push(Delta::Act { what: format!("mount {path} anew with {}", missing.join(",")) });
                    acts.push(Act::script(format!("remount {path}"), format!("mount -o remount -- {quoted}")).or(why));
                }
            }
            (None, None | Some(FileKind::Directory)) => {
                diff.push_field(&path, Some(told(false)), Some(told(true)));
                acts.push(
                    Act::script(format!("mount {path}"), format!("mkdir -p -- {quoted} && mount -- {quoted}")).or(why),
                );
            }
            (None, Some(kind)) => {
                return Err(Problem::new(format!("{path} is a {}", kind.name())).hint("choose another path"));
            }
        }
        Ok((diff, acts))
    }
}

/// All mounts on top of each other.
fn unmount(path: &str) -> String {
    format!("for _ in 1 2 3 4 5 6 7 8; do umount -- {path} || exit; mountpoint -q {path} || exit 0; done; exit 1")
}

fn why(done: &host::Done) -> Option<&'static str> {
    let said = done.stderr.text();
    let has = |text: &str| said.contains(text);
    if has("target is busy") || has("Device or resource busy") {
        Some("something uses it: `fuser -vm PATH` there shows what")
    } else if has("unknown filesystem type") {
        Some("is the type right, its kernel module there, and its helper installed (nfs-common, cifs-utils)?")
    } else if has("Can't open blockdev") || has("does not exist") || has("can't find") || has("No such device") {
        Some("is the disk there? `lsblk -f` there shows all with their UUIDs and labels")
    } else {
        None
    }
}

impl Action for Mount {
    fn probes(&self) -> Vec<Probe> {
        // A line with the device that the source means, if it is one; then all mounts.
        let source = word(&self.source);
        let live = format!(
            "case {source} in\n*=*) real=$(findfs {source} 2>/dev/null) ;;\n/dev/*) real={source} ;;\nesac\n\
             if [ -b \"$real\" ]; then readlink -f -- \"$real\"; else echo; fi\ncat /proc/self/mountinfo"
        );
        vec![look(FSTAB, Read::Content), look(&self.path(), Read::Stat), ask(live)]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        match self.judge(facts) {
            Err(problem) => Verdict::Blocked(problem),
            Ok((diff, _)) if diff.is_empty() => Verdict::Same { seen: String::new() },
            Ok((diff, _)) => Verdict::Change(diff),
        }
    }

    fn next(&self, facts: &[Fact], done: &[Done]) -> Result<Option<Effect>, Problem> {
        each_well(&self.judge(facts)?.1, done)
    }
}

#[cfg(test)]
mod tests;
