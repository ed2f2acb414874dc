//! A project with one plan: runs the real program on it and reads the result.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rollout::event::{Event, EventKind, Outcome, Problem, outcome_name};

/// Deadline for a run, unless its test sets another one.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    /// In the plan, `DIR` stands for the project's folder.
    pub fn new(inventory: &str, plan: &str) -> Self {
        let project = Self { dir: tempfile::tempdir().unwrap() };
        // Other users of a host read files in the folder.
        fs::set_permissions(project.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(project.path("inventory.toml"), inventory).unwrap();
        project.write(plan);
        project
    }

    /// A project with a copy of a folder, and one of its plans.
    pub fn copy(inventory: &str, folder: &str, plan: &str) -> Self {
        let project = Self::new(inventory, "");
        let copied = Command::new("cp").args(["-R", &format!("{folder}/.")]).arg(project.path("")).status();
        assert!(copied.is_ok_and(|status| status.success()));
        fs::rename(project.path(plan), project.path("plan.toml")).unwrap();
        project
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, plan: &str) {
        let plan = plan.replace("DIR", &self.dir.path().display().to_string());
        fs::write(self.path("plan.toml"), format!("[plan]\nname = \"hosts\"\n{plan}")).unwrap();
    }

    /// The command that `program` makes, with arguments.
    pub fn command(&self, program: impl Fn(&str) -> Command, args: &[&str]) -> Command {
        let mut command = program(env!("CARGO_BIN_EXE_rollout"));
        command.args(args).arg(self.path("plan.toml")).arg("--inventory").arg(self.path("inventory.toml"));
        command.env("ROLLOUT_STATE_DIR", self.path("state")).stdin(Stdio::null());
        command
    }

    pub fn start(&self, program: impl Fn(&str) -> Command, args: &[&str]) -> Running {
        let mut command = self.command(program, &["run", "--output", "json"]);
        let out = self.path("said");
        command.args(args).stdout(File::create(&out).unwrap()).stderr(File::create(self.path("errors")).unwrap());
        Running { child: command.spawn().unwrap(), out, errors: self.path("errors"), peak: 0 }
    }

    /// Runs the plan to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        self.start(|program| Command::new(program), args).end(PATIENCE)
    }

    /// Runs the plan twice; the second run must have nothing to do. Returns the result of the first.
    pub fn runs_twice(&self, args: &[&str]) -> Ran {
        self.runs_twice_by(|program| Command::new(program), args)
    }

    /// Like [`Self::runs_twice`], with the program that `program` makes.
    pub fn runs_twice_by(&self, program: impl Fn(&str) -> Command, args: &[&str]) -> Ran {
        let run = || self.start(&program, args).end(PATIENCE);
        let first = run();
        assert_eq!(first.code, 0, "{}", first.failures());
        let second = run();
        assert_eq!(second.code, 0, "{}", second.failures());
        let restless: Vec<String> = second.ended("changed");
        assert_eq!(restless, Vec::<String>::new(), "{}", second.said);
        first
    }
}

/// A run in progress.
pub struct Running {
    child: Child,
    out: PathBuf,
    errors: PathBuf,
    peak: u64,
}

impl Running {
    /// Waits until a condition holds during the run.
    pub fn until(&mut self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while !holds() {
            let ended = self.look();
            let said = || fs::read_to_string(&self.out).unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "not so: {what}; {ended:?} {}", said());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn look(&mut self) -> Option<ExitStatus> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
        self.peak = self.peak.max(peak);
        self.child.try_wait().unwrap()
    }

    /// Waits for the end of the run.
    pub fn end(mut self, patience: Duration) -> Ran {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.look() {
                break status;
            }
            if began.elapsed() > patience {
                let _ = self.child.kill();
                let _ = self.child.wait();
                panic!("no end after {patience:?}: {}", fs::read_to_string(&self.out).unwrap());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let said = [&self.out, &self.errors].map(|path| fs::read_to_string(path).unwrap()).concat();
        let events = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ran { code: status.code().unwrap(), events, said, peak: self.peak, took: began.elapsed() }
    }
}

/// The result of a run.
pub struct Ran {
    pub code: i32,
    pub events: Vec<Event>,
    pub said: String,
    /// Peak memory of the program itself, in KiB.
    pub peak: u64,
    pub took: Duration,
}

impl Ran {
    fn ends(&self) -> impl Iterator<Item = (&String, &Outcome)> {
        self.events.iter().filter_map(|event| match &event.kind {
            EventKind::UnitFinished { unit, outcome, .. } => Some((&unit.step, outcome)),
            _ => None,
        })
    }

    /// The outcome of each step.
    pub fn outcomes(&self) -> BTreeMap<&str, &'static str> {
        self.ends().map(|(step, outcome)| (step.as_str(), outcome_name(outcome))).collect()
    }

    /// The steps with this outcome.
    pub fn ended(&self, how: &str) -> Vec<String> {
        self.ends().filter(|(_, outcome)| outcome_name(outcome) == how).map(|(step, _)| step.clone()).collect()
    }

    /// The problem of a failed step.
    pub fn problem(&self, step: &str) -> &Problem {
        let found = self.ends().find(|(name, _)| *name == step).map(|(_, outcome)| outcome);
        match found {
            Some(Outcome::Failed(problem) | Outcome::Unknown(problem)) => problem,
            other => panic!("{step} ended well: {other:?} {}", self.said),
        }
    }

    /// Checks that the problem of a failed or unknown step contains all of these words, and a hint.
    pub fn tells(&self, step: &str, words: &[&str], cure: &str) {
        let problem = self.problem(step);
        for word in words {
            assert!(problem.message.contains(word), "{step}: no `{word}` in {problem:?}");
        }
        assert!(problem.hint.as_ref().is_some_and(|hint| hint.contains(cure)), "{step}: no `{cure}` in {problem:?}");
    }

    /// The outputs of a step.
    pub fn output(&self, step: &str, output: &str) -> &str {
        let outputs = self.events.iter().find_map(|event| match &event.kind {
            EventKind::UnitFinished { unit, outputs, .. } if unit.step == step => Some(outputs),
            _ => None,
        });
        outputs.unwrap()[output].as_str().unwrap()
    }

    /// All problems, for assertion messages.
    pub fn failures(&self) -> String {
        let bad = self.ends().filter(|(_, outcome)| !outcome.lets_dependents_start());
        let bad: Vec<String> = bad.map(|(step, outcome)| format!("{step}: {outcome:?}")).collect();
        if bad.is_empty() { self.said.clone() } else { bad.join("\n") }
    }
}

/// The TOML of a step on the host.
pub fn step(id: &str, rest: &str) -> String {
    format!("[[phase.p.step]]\nid = \"{id}\"\nhosts = \"target\"\n{rest}\n")
}
