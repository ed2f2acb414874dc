//! A project with one plan, and the real program run on it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rollout::event::{Event, EventKind, outcome_name};

pub struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    pub fn new(plan: &str) -> Self {
        let project = Self { dir: tempfile::tempdir().unwrap() };
        project.write(plan);
        project
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the plan. In the plan, `DIR` stands for the project's folder.
    pub fn write(&self, plan: &str) {
        let head = "[plan]\nname = \"test\"\n";
        fs::write(
            self.path("plan.toml"),
            format!("{head}{}", plan.replace("DIR", &self.dir.path().display().to_string())),
        )
        .unwrap();
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollout"));
        command
            .args(args)
            .arg(self.path("plan.toml"))
            .env("ROLLOUT_STATE_DIR", self.path("state"))
            .env_remove("ROLLOUT_INVENTORY")
            .stdin(Stdio::null());
        command
    }

    pub fn call(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The journal files of all runs.
    pub fn journals(&self) -> Vec<PathBuf> {
        let plans = fs::read_dir(self.path("state")).into_iter().flatten().flatten();
        let files = plans.flat_map(|plan| fs::read_dir(plan.path()).into_iter().flatten().flatten());
        files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "jsonl")).collect()
    }

    /// The output of `rollout show` for the newest run.
    pub fn shown(&self) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollout"));
        let output = command.arg("show").env("ROLLOUT_STATE_DIR", self.path("state")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn run(&self) -> (i32, BTreeMap<String, &'static str>) {
        let output = self.call(&["run", "--output", "json"]);
        let outcomes = outcomes(&String::from_utf8_lossy(&output.stdout));
        (output.status.code().unwrap(), outcomes)
    }

    pub fn start_until(&self, step: &str) -> Child {
        let mut child =
            self.command(&["run", "--output", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let started = lines
            .by_ref()
            .map_while(Result::ok)
            .filter_map(|l| serde_json::from_str::<Event>(&l).ok())
            .any(|event| matches!(&event.kind, EventKind::UnitStarted { unit, .. } if unit.step == step));
        assert!(started, "{step} never started");
        // Reads the rest to its end, so that a full pipe does not block the run.
        std::thread::spawn(move || lines.for_each(drop));
        child
    }
}

pub fn outcomes(stdout: &str) -> BTreeMap<String, &'static str> {
    let events = stdout.lines().filter_map(|l| serde_json::from_str::<Event>(l).ok());
    events
        .filter_map(|e| match e.kind {
            EventKind::UnitFinished { unit, outcome, .. } => Some((unit.step, outcome_name(&outcome))),
            _ => None,
        })
        .collect()
}

pub fn step(id: &str, rest: &str) -> String {
    format!("[[phase.p.step]]\nid = \"{id}\"\nhosts = \"localhost\"\n{rest}\n")
}

pub fn file(id: &str) -> String {
    step(id, &format!("action = \"node.file\"\npath = \"DIR/{id}\"\ncontent = \"x\\n\""))
}

pub fn command(id: &str, script: &str) -> String {
    step(id, &format!("action = \"node.command\"\ncommand = '''{script}'''\ncreates = \"DIR/{id}.done\""))
}

/// A step that reports its start and then waits until the file `go` exists. With it a test holds a run at this step.
pub fn gate(id: &str) -> String {
    command(id, "echo $$ > DIR/begun; until test -e DIR/go; do sleep 0.05; done; touch DIR/gate.done")
}

pub fn wait_for(path: &Path) {
    wait_until(&path.display().to_string(), || path.exists());
}

pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !holds() {
        assert!(began.elapsed().as_secs() < 20, "not so after 20 s: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

pub fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

pub fn same(names: &[(&str, &'static str)]) -> BTreeMap<String, &'static str> {
    names.iter().map(|(n, o)| ((*n).to_owned(), *o)).collect()
}
