//! Signals during a long command, which reports its start through a pipe and waits for permission to end.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::process::{Mark, lines, wait_until};
use crate::run::Ran;
use crate::world::World;

/// A running plan with one long command.
struct Long {
    world: World,
    plan: PathBuf,
    mark: Mark,
    child: Child,
    said: BufReader<std::process::ChildStderr>,
}

/// The command writes to `begun` when it and its child have started, and ends when it can read from `leave`. If the
/// file `calm` exists, it waits for nobody.
const SCRIPT: &str = "echo long >>log
test -e calm || sh -c 'echo here >begun; read -r _ <leave; echo left >>log' || exit
echo ended >>log
touch made";

impl Long {
    fn begin(guard: &str) -> Self {
        let world = World::new();
        world.pipes(&["begun", "leave"]);
        let (plan, folder) = (world.path("plan.toml"), world.path("").display().to_string());
        let text = format!(
            "[plan]\nname = \"long\"\n\
             [[phase.p.step]]\nid = \"long\"\nhosts = \"localhost\"\n\
             action = \"node.command\"\ncwd = \"FOLDER\"\ncommand = \"\"\"{SCRIPT}\"\"\"\n{guard}\n\
             [[phase.p.step]]\nid = \"after\"\nhosts = \"localhost\"\n\
             action = \"node.file\"\npath = \"FOLDERafter\"\ncontent = \"x\"\n"
        );
        fs::write(&plan, text.replace("FOLDER", &folder)).unwrap();
        let mark = Mark::new();
        let mut command = world.rollout(&["run", plan.to_str().unwrap(), "--output", "json"]);
        mark.put(&mut command);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(lines(&mut child));
        let said = BufReader::new(child.stderr.take().unwrap());
        world.hear("begun");
        Self { world, plan, mark, child, said }
    }

    /// Lets the command run without waiting from now on.
    fn stay_calm(&self) {
        fs::write(self.world.path("calm"), "").unwrap();
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Sends the signal and waits until the run reports it.
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

const GUARDED: &str = "creates = \"FOLDERmade\"";

#[test]
fn a_long_command_whose_run_is_killed_ends_and_is_done_once_more() {
    let mut long = Long::begin(GUARDED);
    long.child.kill().unwrap();
    long.code();
    long.mark.wait();
    assert_eq!(long.log(), ["long"]);
    long.stay_calm();
    let ran = long.run(&[]);
    assert_eq!((ran.code, ran.outcomes()["long"]), (0, "changed"), "{}", ran.failures());
    assert_eq!(long.log(), ["long", "long", "ended"]);
}

#[test]
fn a_long_command_without_a_guard_is_not_repeated_without_being_asked_for() {
    let mut long = Long::begin("");
    long.child.kill().unwrap();
    long.code();
    long.mark.wait();
    long.stay_calm();
    let ran = long.run(&[]);
    assert_eq!((ran.code, ran.outcomes()["long"], ran.outcomes()["after"]), (1, "unknown", "cancelled"));
    assert_eq!(long.log(), ["long"]);
    let ran = long.run(&["--rerun", "long"]);
    assert_eq!((ran.code, ran.outcomes()["after"]), (0, "changed"), "{}", ran.failures());
    assert_eq!(long.log(), ["long", "long", "ended"]);
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
    long.stay_calm();
    let ran = long.run(&[]);
    assert_eq!((ran.code, ran.outcomes()["long"], ran.outcomes()["after"]), (0, "changed", "changed"));
    assert_eq!(long.log(), ["long", "long", "ended"]);
}

#[test]
fn one_interrupt_or_a_termination_lets_the_command_end() {
    for name in ["-INT", "-TERM"] {
        let mut long = Long::begin("");
        long.stop(name, "running steps finish");
        long.world.say("leave");
        assert_eq!(long.code(), Some(130), "{name}");
        assert_eq!(long.mark.processes(), [""; 0]);
        assert!(!long.world.path("after").exists(), "{name}: a step was started all the same");
        let ran = long.run(&[]);
        let outcomes = ran.outcomes();
        assert_eq!((ran.code, outcomes["long"], outcomes["after"]), (0, "kept", "changed"), "{name}");
        assert_eq!(long.log(), ["long", "left", "ended"]);
    }
}
