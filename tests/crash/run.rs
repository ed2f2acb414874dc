//! Runs the real program on a [`World`]: to its end, or killed on purpose.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;

use rollout::event::{Event, EventKind, Outcome, UnitRef, outcome_name};

use crate::process::{self, Cut, DEADLINE};
use crate::world::World;

/// The plan of most tests in this folder.
pub const PLAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/plan/plan.toml");

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_rollout");
pub struct Ran {
    pub code: i32,
    pub events: Vec<Event>,
    /// Everything that the run printed.
    pub said: String,
}

impl World {
    /// The program as a command, in the sandbox if there is one.
    pub fn rollout(&self, args: &[&str]) -> Command {
        let mut command = match &self.sandbox {
            Some(sandbox) => sandbox.command(PROGRAM),
            None => Command::new(PROGRAM),
        };
        self.surround(&mut command);
        command.args(args);
        command
    }

    /// Sets the environment that all runs of these tests share.
    pub fn surround(&self, command: &mut Command) {
        command.env("ROLLOUT_STATE_DIR", self.state()).env_remove("ROLLOUT_INVENTORY").stdin(Stdio::null());
    }

    pub fn arguments(&self, round: u32, more: &[&str]) -> Vec<String> {
        let sandbox = if self.sandbox.is_some() { "yes" } else { "no" };
        let vars = [
            format!("world={}", self.path("").display().to_string().trim_end_matches('/')),
            format!("round={round}"),
            format!("url={}", self.url),
            format!("sandbox={sandbox}"),
            format!("given={}", self.given().display()),
        ];
        let mut all: Vec<String> = ["run", PLAN, "--output", "json"].map(str::to_owned).into();
        vars.into_iter().for_each(|var| all.extend(["--var".to_owned(), var]));
        all.extend(more.iter().map(|&m| m.to_owned()));
        all
    }

    pub fn run(&self, round: u32, more: &[&str]) -> Ran {
        let args = self.arguments(round, more);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Ran::of(&self.rollout(&args).output().unwrap())
    }

    pub fn cut(&self, round: u32, unit: &str, point: &str) -> Cut {
        let args = self.arguments(round, &[]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        process::cut(self.rollout(&args), unit, point)
    }

    /// Runs the plan again until it has the wanted exit code. When it stops at an interrupted command without a
    /// condition, this looks whether the command took effect and answers, as a person would. Returns the number of
    /// answers.
    pub fn go_on(&self, round: u32, code: i32) -> (Ran, usize) {
        let mut answers: Vec<String> = Vec::new();
        loop {
            let ran = self.run(round, &answers.iter().map(String::as_str).collect::<Vec<_>>());
            let unknown = ran.unknown();
            if unknown.is_empty() || answers.len() > 8 {
                assert_eq!(ran.code, code, "after {answers:?}: {}", ran.failures());
                return (ran, answers.len() / 2);
            }
            assert_eq!(ran.code, 1, "{}", ran.failures());
            for unit in unknown {
                let took_effect = self.executions().contains_key(&format!("{} {round}", unit.step));
                answers.extend([if took_effect { "--done" } else { "--rerun" }.to_owned(), unit.to_string()]);
            }
        }
    }

    /// Checks that the program and the library can read all journals, and that these are consistent.
    pub fn journals_are_legal(&self) {
        for path in self.journals() {
            rollout::journal::read(&path).unwrap_or_else(|e| panic!("{e}"));
        }
        let output = self.rollout(&["runs", "--output", "json"]).output().unwrap();
        let runs: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        if runs.as_array().is_some_and(|runs| !runs.is_empty()) {
            let shown = self.rollout(&["show", "--output", "json"]).output().unwrap();
            assert!(shown.status.success(), "{shown:?}");
        }
    }

    /// Whether the newest journal shows that a step of the plan finished, or never started.
    pub fn is_over(&self, step: &str) -> bool {
        let events = self.journals().pop().map(|path| rollout::journal::read(&path).unwrap()).unwrap_or_default();
        let of_step = events.iter().rev().find_map(|event| match &event.kind {
            EventKind::UnitStarted { unit, .. } if unit.step == step => Some(false),
            EventKind::UnitFinished { unit, .. } if unit.step == step => Some(true),
            _ => None,
        });
        of_step.unwrap_or(true)
    }

    /// Deletes all but the newest journal, which alone must be enough.
    pub fn forget_old_journals(&self) {
        let journals = self.journals();
        journals[..journals.len().saturating_sub(1)].iter().for_each(|path| std::fs::remove_file(path).unwrap());
    }
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let events = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let said = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
        Self { code: output.status.code().unwrap_or(-1), events, said }
    }

    /// The last outcome of each unit.
    pub fn ends(&self) -> BTreeMap<UnitRef, &Outcome> {
        let ends = self.events.iter().filter_map(|e| match &e.kind {
            EventKind::UnitFinished { unit, outcome, .. } => Some((unit.clone(), outcome)),
            _ => None,
        });
        ends.collect()
    }

    /// The last outcome of each step.
    pub fn outcomes(&self) -> BTreeMap<String, &'static str> {
        self.ends().into_iter().map(|(unit, outcome)| (unit.step, outcome_name(outcome))).collect()
    }

    /// The steps that had this outcome at any time.
    pub fn steps(&self, outcome: &str) -> Vec<&str> {
        let ended = self.events.iter().filter_map(|e| match &e.kind {
            EventKind::UnitFinished { unit, outcome: is, .. } if outcome_name(is) == outcome => {
                Some(unit.step.as_str())
            }
            _ => None,
        });
        ended.collect()
    }

    /// Units that need a person's answer.
    fn unknown(&self) -> Vec<UnitRef> {
        let unknown = self.ends().into_iter().filter(|(_, outcome)| matches!(outcome, Outcome::Unknown(_)));
        unknown.map(|(unit, _)| unit).collect()
    }

    /// The failures, for an assertion's message.
    pub fn failures(&self) -> String {
        let unread = self.said.lines().filter(|line| serde_json::from_str::<Event>(line).is_err());
        format!("exit code {}, {:?}\n{}", self.code, self.ends(), unread.collect::<Vec<_>>().join("\n"))
    }
}

/// Runs a function that may block on a thread of its own; panics after the deadline.
pub fn within<T: Send + 'static>(what: &str, blocks: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || drop(sender.send(blocks())));
    receiver.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}
