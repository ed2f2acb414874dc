//! What is to be seen of a host that is rebooted.

use crate::actions::node::effects::{file_at, look, run_at};
use crate::connect::host::{self, CommandOutput, Read, Run, System};
use crate::connect::{Fact, Probe};
use crate::event::Problem;

/// Where the note lies, and what the command said; the folder goes with them.
pub const NOTE: &str = "/var/lib/rollout/reboot";
pub const LOG: &str = "/var/lib/rollout/reboot.log";

/// Another one after each boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The questions before those of the guards.
const FIRST: usize = 4;

/// Asks for all of it.
pub fn probes(guards: Vec<Probe>, check: Option<Run>) -> Vec<Probe> {
    let mut probes = vec![
        Probe::Controller(host::Probe::File { path: BOOT_ID.to_owned(), read: Read::Content }),
        Probe::Host(host::Probe::System),
        look(NOTE, Read::Content),
        look(LOG, Read::Content),
    ];
    probes.extend(guards);
    probes.extend(check.map(|check| Probe::Host(host::Probe::Run(check))));
    probes
}

/// What was seen.
pub struct Seen<'a> {
    /// The boot id of the machine that runs the tool; empty where it has none.
    controller: String,
    /// The host.
    pub system: &'a System,
    /// The note that somebody left.
    pub note: Option<Note>,
    /// What the command said that should reboot.
    pub log: String,
    /// The answers to the guards' questions.
    pub guards: &'a [Fact],
    /// How the check ended, if it was asked.
    pub check: Option<&'a CommandOutput>,
}

/// A boot that somebody wanted to end.
pub struct Note {
    /// Its id.
    pub boot: String,
    /// Its age then, seconds.
    pub uptime: u64,
}

impl Note {
    fn read(text: &str) -> Option<Self> {
        let (boot, uptime) = text.trim().split_once(' ')?;
        Some(Self { boot: boot.to_owned(), uptime: uptime.parse().ok()? })
    }
}

impl<'a> Seen<'a> {
    /// From the answers to [`probes`] with so many of guards.
    pub fn of(facts: &'a [Fact], guards: usize) -> Result<Self, Problem> {
        let Some(Fact::Host(host::Fact::System(system))) = facts.get(1) else {
            return Err(Problem::new("the host did not say what system it is"));
        };
        let text = |index| {
            let content = file_at(facts, index).and_then(|file| file.content.as_deref()).unwrap_or_default();
            String::from_utf8_lossy(content).trim().to_owned()
        };
        let rest = facts.get(FIRST..).unwrap_or_default();
        Ok(Self {
            controller: text(0),
            system,
            note: Note::read(&text(2)),
            log: text(3),
            guards: rest.get(..guards).unwrap_or_default(),
            check: run_at(rest, guards),
        })
    }

    /// Seconds since a note of this boot was left.
    pub fn since(&self, note: &Note) -> u64 {
        self.system.uptime.saturating_sub(note.uptime)
    }

    /// Why it cannot be rebooted.
    pub fn hindrance(&self) -> Option<Problem> {
        let boot = &self.system.boot_id;
        if boot.is_empty() {
            let problem =
                Problem::new(format!("the host does not tell its boot ({BOOT_ID}), by which a reboot is proven"));
            return Some(problem.hint("reboot it by a `node.command`, or by hand"));
        }
        if *boot == self.controller {
            let problem =
                Problem::new("it is the machine that runs rollout, or a container there: both have one boot id");
            return Some(problem.hint("leave it out of `hosts`, as in \"all:!control\", and reboot it by hand"));
        }
        (self.system.uid != 0).then(|| {
            Problem::new(format!("only root may reboot a host, not {}", self.system.user))
                .hint("set `become = true` on the step")
        })
    }
}
