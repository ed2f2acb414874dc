//! Signals in the middle of a long command, which says through a pipe that it has begun and waits for leave to end.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::run::{Mark, Ran, lines, wait_until};
use crate::world::World;

/// A plan with one long command, under way.
struct Long {
    world: World,
    plan: PathBuf,
    mark: Mark,
    child: Child,
    said: BufReader<std::process::ChildStderr>,
}

/// The command's process and a child of it have begun when it writes into `begun`; it ends when it can read from `leave`.
const SCRIPT: &str = "echo long >>log; sh -c 'echo here >begun; read -r _ <leave'; echo ended >>log; touch made";

impl Long {
    fn begin(guard: &str) -> Self {
        let world = World::new();
        for pipe in ["begun", "leave"] {
            assert!(Command::new("mkfifo").arg(world.path(pipe)).status().unwrap().success());
        }
        let (plan, folder) = (world.path("plan.toml"), world.path(""));
        let step = |id: &str, rest: &str| format!("[[phase.p.step]]\nid = \"{id}\"\nhosts = \"localhost\"\n{rest}\n");
        let folder = folder.display();
        let long = format!("action = \"node.command\"\ncwd = \"{folder}\"\ncommand = '''{SCRIPT}'''\n{guard}");
        let after = format!("action = \"node.file\"\npath = \"{folder}after\"\ncontent = \"x\"");
        let guard = guard.replace("FOLDER/", &folder.to_string());
        let long = long.replace("FOLDER/", &folder.to_string());
        drop(guard);
        fs::write(&plan, format!("[plan]\nname = \"long\"\n{}{}", step("long", &long), step("after", &after))).unwrap();
        let mark = Mark::new();
        let mut command = world.rollout(&["run", plan.to_str().unwrap(), "--output", "json"]);
        mark.put(&mut command);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(lines(&mut child));
        let said = BufReader::new(child.stderr.take().unwrap());
        let mut here = String::new();
        // Blocks until the command has opened its end; a run that never comes there ends, and the test's deadline is cargo's.
        File::open(world.path("begun")).unwrap().read_to_string(&mut here).unwrap();
        assert_eq!(here, "here\n");
        Self { world, plan, mark, child, said }
    }

    fn let_end(&self) {
        OpenOptions::new().write(true).open(self.world.path("leave")).unwrap().write_all(b"\n").unwrap();
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Sends the signal and waits until the run says that it has heard.
    fn stop(&mut self, name: &str, says: &str) {
        self.signal(name);
        let mut line = String::new();
        while !line.contains(says) {
            line.clear();
            assert!(self.said.read_line(&mut line).unwrap() > 0, "the run never said `{says}`");
        }
    }

    fn run(&self, more: &[&str]) -> Ran {
        let args = [&["run", self.plan.to_str().unwrap(), "--output", "json"], more].concat();
        Ran::of(&self.world.rollout(&args).output().unwrap())
    }

    fn log(&self) -> Vec<String> {
        fs::read_to_string(self.world.path("log")).unwrap().lines().map(str::to_owned).collect()
    }

    fn code(&mut self) -> Option<i32> {
        let child = &mut self.child;
        wait_until("the run ends", || child.try_wait().unwrap().ok_or("it goes on".to_owned())).code()
    }
}

const GUARDED: &str = "creates = \"FOLDER/made\"";

#[test]
fn a_long_command_whose_run_is_killed_ends_by_itself_and_is_not_done_twice() {
    let mut long = Long::begin(GUARDED);
    long.child.kill().unwrap();
    long.code();
    assert!(!long.mark.processes().is_empty(), "the command went with its run");
    long.let_end();
    long.mark.wait();
    let ran = long.run(&[]);
    assert_eq!((ran.code, ran.outcomes()["long"]), (0, "same"), "{}", ran.failures());
    assert_eq!(long.log(), ["long", "ended"]);
}

#[test]
fn a_long_command_without_a_guard_is_not_repeated_without_being_asked_for() {
    let mut long = Long::begin("");
    long.child.kill().unwrap();
    long.code();
    long.let_end();
    long.mark.wait();
    let ran = long.run(&[]);
    assert_eq!((ran.code, ran.outcomes()["long"], ran.outcomes()["after"]), (1, "unknown", "cancelled"));
    let ran = long.run(&["--done", "long"]);
    assert_eq!((ran.code, ran.outcomes()["after"]), (0, "changed"), "{}", ran.failures());
    assert_eq!(long.log(), ["long", "ended"]);
}

#[test]
fn two_interrupts_end_the_command_with_all_that_it_started() {
    let mut long = Long::begin(GUARDED);
    long.stop("-INT", "running steps finish");
    long.stop("-INT", "cancelling");
    assert_eq!(long.code(), Some(130));
    assert_eq!(long.mark.processes(), [""; 0], "they outlive the run");
    assert_eq!(long.log(), ["long"]);
    long.world.journals_are_legal();
    // The next run starts it again, since it never made what its guard looks for.
    fs::write(long.world.path("made"), "").unwrap();
    let ran = long.run(&[]);
    assert_eq!((ran.code, ran.outcomes()["long"], ran.outcomes()["after"]), (0, "same", "changed"));
}

#[test]
fn one_interrupt_or_a_termination_lets_the_command_end() {
    for name in ["-INT", "-TERM"] {
        let mut long = Long::begin("");
        long.stop(name, "running steps finish");
        long.let_end();
        assert_eq!(long.code(), Some(130), "{name}");
        assert_eq!(long.mark.processes(), [""; 0]);
        assert!(!long.world.path("after").exists(), "{name}: a step was started all the same");
        let ran = long.run(&[]);
        let outcomes = ran.outcomes();
        assert_eq!((ran.code, outcomes["long"], outcomes["after"]), (0, "kept", "changed"), "{name}");
        assert_eq!(long.log(), ["long", "ended"]);
    }
}
