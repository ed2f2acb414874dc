//! A disk that is full or fails: `rollout` reports nothing that is not in the journal, lets running steps finish,
//! starts nothing new, and the next run completes the work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rollout::event::{Event, EventKind, UnitRef};
use rollout::journal::read;

use crate::needs;
use crate::process::{lines, report, wait_until};
use crate::run::{PROGRAM, Ran};
use crate::world::World;

/// Enough bytes to fill any journal in these tests.
const FILES: usize = 30;

/// A long command, and next to it small steps that fill the journal. They run one after the other, since steps with
/// retries are not sent together.
struct Filling {
    world: World,
    plan: PathBuf,
}

impl Filling {
    fn new() -> Self {
        let world = World::new();
        world.pipes(&["begun", "leave"]);
        let folder = world.path("").display().to_string();
        let mut text =
            "[plan]\nname = \"filling\"\n[phase.long]\n[[phase.long.step]]\nid = \"long\"\nhosts = \"localhost\"\n\
            action = \"node.command\"\ncwd = \"FOLDER\"\ncreates = \"FOLDERmade\"\n\
            command = \"echo here >begun; read -r _ <leave; mkdir made\"\n[phase.fill]\n"
                .to_owned();
        for n in 0..FILES {
            text += &format!(
                "[[phase.fill.step]]\nid = \"f{n}\"\nhosts = \"localhost\"\naction = \"node.file\"\n\
                 path = \"FOLDERf{n}\"\ncontent = \"x\"\nretry = 1\n"
            );
        }
        let plan = world.path("plan.toml");
        fs::write(&plan, text.replace("FOLDER", &folder)).unwrap();
        Self { world, plan }
    }

    fn arguments(&self) -> [&str; 4] {
        ["run", self.plan.to_str().unwrap(), "--output", "json"]
    }

    /// Starts a run on the bad disk. When the disk has failed, lets the long command finish, and with it the run.
    /// `state` is the folder of the journals, as seen from here.
    fn runs_into(
        &self,
        mut command: Command,
        state: &Path,
        failed: impl Fn(&Path) -> Result<(), String>,
    ) -> Vec<Event> {
        self.world.surround(&mut command);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let told = lines(&mut child);
        self.world.hear("begun");
        let journal = wait_until("there is a journal", || journal(state).ok_or("none".to_owned()));
        wait_until("the disk fails", || failed(&journal));
        self.world.say("leave");
        let status = wait_until("the run ends", || child.try_wait().unwrap().ok_or("it goes on".to_owned()));
        let said: Vec<String> = told.iter().collect();
        assert_eq!(status.code(), Some(1), "{said:?}");
        let error = said.join("\n");
        for word in [journal.file_name().unwrap().to_str().unwrap(), "error", "ROLLOUT_STATE_DIR", "free disk space"] {
            assert!(error.contains(word), "no {word}: {}", said.last().unwrap());
        }
        let told: Vec<Event> = said.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        self.vouched_for(&told, &read(&journal).unwrap());
        told
    }

    /// Everything that was reported is in the journal, also every start; the long command finished.
    fn vouched_for(&self, told: &[Event], recorded: &[Event]) {
        for event in told.iter().filter(|e| !matches!(e.kind, EventKind::Progress { .. })) {
            assert!(recorded.contains(event), "told, but not on record: {event:?}");
        }
        let begun: Vec<&UnitRef> = recorded
            .iter()
            .filter_map(|e| match &e.kind {
                EventKind::UnitStarted { unit, .. } => Some(unit),
                _ => None,
            })
            .collect();
        let made: Vec<usize> = (0..FILES).filter(|n| self.world.path(&format!("f{n}")).exists()).collect();
        assert!(made.len() < FILES, "the disk never failed");
        for n in made {
            assert!(begun.iter().any(|unit| unit.step == format!("f{n}")), "f{n} was made without a record");
        }
        assert!(self.world.path("made").exists(), "the long command was not let finish");
    }

    /// With space on the disk, the next run completes the work.
    fn goes_on(&self) {
        let ran = Ran::of(&self.world.rollout(&self.arguments()).output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.failures());
        assert!((0..FILES).all(|n| self.world.path(&format!("f{n}")).exists()));
        // Its condition (`creates`) is met, so it does not wait for the test again.
        assert!(ran.outcomes()["long"] != "changed");
    }
}

/// The newest journal below a folder.
fn journal(state: &Path) -> Option<PathBuf> {
    let folders = fs::read_dir(state).ok()?.flatten().map(|e| e.path());
    let files = folders.flat_map(|f| fs::read_dir(f).into_iter().flatten().flatten().map(|e| e.path()));
    files.filter(|p| p.extension().is_some_and(|e| e == "jsonl")).max()
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

#[test]
fn a_journal_that_may_not_grow_stops_the_run() {
    let limits: Vec<u64> = (1500..12000).step_by(if crate::needs::time() { 397 } else { 4100 }).collect();
    for limit in &limits {
        let filling = Filling::new();
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec prlimit --fsize=\"$0\" \"$@\""]).arg(limit.to_string());
        command.arg(PROGRAM).args(filling.arguments());
        filling.runs_into(command, &filling.world.state(), |journal| match length(journal) {
            length if length == *limit => Ok(()),
            length => Err(format!("{length} of {limit} bytes")),
        });
        filling.goes_on();
    }
    report(&format!("disk suite: {} limits", limits.len()));
}

#[test]
fn a_full_disk_stops_the_run_until_there_is_room() {
    let filling = Filling::new();
    let Some(sandbox) = &filling.world.sandbox else { return };
    let state = filling.world.state();
    sandbox.sh(&format!("mount -t tmpfs -o size=20k,mode=0700 none {}", state.display()));
    let mut command = sandbox.command(PROGRAM);
    command.args(filling.arguments());
    // The disk is full when the journal has filled its last page and no other page is free.
    let free = || sandbox.sh(&format!("stat -f -c %f {}", state.display()));
    filling.runs_into(command, &sandbox.seen(&state), |journal| match (length(journal), free()) {
        (length, free) if length > 0 && length % 4096 == 0 && free == "0" => Ok(()),
        (length, free) => Err(format!("{length} bytes, {free} pages free")),
    });
    sandbox.sh(&format!("mount -o remount,size=1m {}", state.display()));
    filling.goes_on();
}

#[test]
fn a_disk_that_fails_to_sync_stops_the_run() {
    if !needs::program("strace") {
        return;
    }
    let whens: Vec<usize> = (2..30).step_by(if crate::needs::time() { 3 } else { 13 }).collect();
    for when in &whens {
        let filling = Filling::new();
        let log = filling.world.path("strace");
        let mut command = Command::new("strace");
        command.args(["-f", "--seccomp-bpf", "-e", "trace=fdatasync", "-e"]);
        // Only this write fails. Later writes would succeed, but must not be trusted.
        command.arg(format!("inject=fdatasync:error=EIO:when={when}")).arg("-o").arg(&log);
        command.arg(PROGRAM).args(filling.arguments());
        filling.runs_into(command, &filling.world.state(), |_| {
            let text = fs::read_to_string(&log).unwrap_or_default();
            if text.contains("INJECTED") { Ok(()) } else { Err(text) }
        });
        filling.goes_on();
    }
    report(&format!("disk suite: {} failing syncs", whens.len()));
}
