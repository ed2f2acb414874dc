//! Probes of a host that is rebooted, and their answers.

use crate::actions::node::probes::{file_at, file_probe, output_at, run_probe};
use crate::connect::host::{self, CommandOutput, Read, Run, System};
use crate::connect::{Fact, Probe};
use crate::event::Problem;

/// The note about the boot that is to end.
pub const NOTE: &str = "/var/lib/rollout/reboot";
/// Output of the reboot command.
pub const LOG: &str = "/var/lib/rollout/reboot.log";

/// File with the id of the current boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Number of probes before those of the guards.
const GUARDS_INDEX: usize = 4;

pub fn probes(guards: Vec<Probe>, check: Option<Run>) -> Vec<Probe> {
    let mut probes = vec![
        Probe::Controller(host::Probe::File { path: BOOT_ID.to_owned(), read: Read::Content }),
        Probe::Host(host::Probe::System),
        file_probe(NOTE, Read::Content),
        file_probe(LOG, Read::Content),
    ];
    probes.extend(guards);
    probes.extend(check.map(run_probe));
    probes
}

/// The answers to the probes.
pub struct HostState<'a> {
    /// Boot id of the machine that runs rollout; empty when it has none.
    controller: String,
    pub system: &'a System,
    /// The note of an earlier request.
    pub note: Option<Note>,
    /// Output of the reboot command.
    pub log: String,
    /// Answers to the guards' probes.
    pub guards: &'a [Fact],
    /// How `check` ended, if it was run.
    pub check: Option<&'a CommandOutput>,
}

/// A boot that was to be ended.
pub struct Note {
    /// Id of the boot.
    pub boot: String,
    /// Age of the boot at the time of the request, in seconds.
    pub uptime: u64,
}

impl Note {
    fn parse(text: &str) -> Option<Self> {
        let (boot, uptime) = text.trim().split_once(' ')?;
        Some(Self { boot: boot.to_owned(), uptime: uptime.parse().ok()? })
    }
}

impl<'a> HostState<'a> {
    /// Parses the answers to [`probes`], of which `guards` belong to guards.
    pub fn parse(facts: &'a [Fact], guards: usize) -> Result<Self, Problem> {
        let Some(Fact::Host(host::Fact::System(system))) = facts.get(1) else {
            return Err(Problem::new("the host did not answer the question for its facts"));
        };
        let text = |index| {
            let content = file_at(facts, index).and_then(|file| file.content.as_deref()).unwrap_or_default();
            String::from_utf8_lossy(content).trim().to_owned()
        };
        let rest = facts.get(GUARDS_INDEX..).unwrap_or_default();
        Ok(Self {
            controller: text(0),
            system,
            note: Note::parse(&text(2)),
            log: text(3),
            guards: rest.get(..guards).unwrap_or_default(),
            check: output_at(rest, guards).ok(),
        })
    }

    /// Seconds since a note of the current boot was left.
    pub fn since(&self, note: &Note) -> u64 {
        self.system.uptime.saturating_sub(note.uptime)
    }

    /// Why the host cannot be rebooted.
    pub fn obstacle(&self) -> Option<Problem> {
        let boot = &self.system.boot_id;
        if boot.is_empty() {
            let problem = Problem::new(format!("the host has no boot id ({BOOT_ID}), so a reboot cannot be verified"));
            return Some(problem.hint("reboot it with `node.command`, or by hand"));
        }
        if *boot == self.controller {
            let problem =
                Problem::new("this is the machine that runs rollout, or a container on it: both have the same boot id");
            return Some(problem.hint("exclude it from `hosts`, as in \"all:!control\", and reboot it by hand"));
        }
        (self.system.uid != 0).then(|| {
            Problem::new(format!("only root may reboot a host, not {}", self.system.user))
                .hint("set `become = true` on the step")
        })
    }
}
