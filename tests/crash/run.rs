//! Runs of the real program on a [`World`]: to their end, or cut off on purpose.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rollout::event::{Event, Kind, Outcome, UnitRef, name};

use crate::world::World;

/// The plan of most tests here.
pub const PLAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/plan/plan.toml");

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_rollout");
/// How long anything may take here; machines are busy at times.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How a run ended.
pub struct Ran {
    pub code: i32,
    pub events: Vec<Event>,
    /// All that it printed.
    pub said: String,
}

/// How a run that was to be cut off ended.
pub enum Cut {
    /// It was killed there.
    Killed,
    /// It never came there, and ended by itself.
    Passed(Ran),
}

impl World {
    /// The program, in the sandbox when there is one.
    pub fn rollout(&self, args: &[&str]) -> Command {
        let mut command = match &self.sandbox {
            Some(sandbox) => sandbox.command(PROGRAM),
            None => Command::new(PROGRAM),
        };
        self.surround(&mut command);
        command.args(args);
        command
    }

    /// Gives a command what all runs here have around them.
    pub fn surround(&self, command: &mut Command) {
        command.env("ROLLOUT_STATE_DIR", self.state()).env_remove("ROLLOUT_INVENTORY").stdin(Stdio::null());
    }

    /// The arguments of a run of the plan.
    pub fn arguments(&self, round: u32, more: &[&str]) -> Vec<String> {
        let sandbox = if self.sandbox.is_some() { "yes" } else { "no" };
        let vars = [
            format!("world={}", self.path("").display().to_string().trim_end_matches('/')),
            format!("round={round}"),
            format!("url={}", self.url),
            format!("sandbox={sandbox}"),
        ];
        let mut all: Vec<String> = ["run", PLAN, "--output", "json"].map(str::to_owned).into();
        vars.into_iter().for_each(|var| all.extend(["--var".to_owned(), var]));
        all.extend(more.iter().map(|&m| m.to_owned()));
        all
    }

    /// Runs the plan to its end.
    pub fn run(&self, round: u32, more: &[&str]) -> Ran {
        let args = self.arguments(round, more);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Ran::of(&self.rollout(&args).output().unwrap())
    }

    /// Runs the plan, and kills the program when it says that it has come to the point; then waits until all that it had
    /// started has ended by itself.
    pub fn cut(&self, round: u32, unit: &str, point: &str) -> Cut {
        let inject = format!("{unit}=halt@{point}");
        let args = self.arguments(round, &["--inject", &inject]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mark = Mark::new();
        let mut command = self.rollout(&args);
        mark.put(&mut command);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = lines(&mut child);
        let (mut seen, began) = (Vec::new(), Instant::now());
        loop {
            match lines.recv_timeout(DEADLINE.saturating_sub(began.elapsed())) {
                Ok(line) if line.starts_with("halted ") => {
                    assert!(line.starts_with(&format!("halted {point} ")) && line.contains(unit), "{line}");
                    break;
                }
                Ok(line) => seen.push(line),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let _ = child.kill();
                    panic!("{inject} came to nothing within {DEADLINE:?}; last seen: {:?}", seen.last());
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let mut output = child.wait_with_output().unwrap();
                    output.stdout = seen.join("\n").into_bytes();
                    mark.wait();
                    return Cut::Passed(Ran::of(&output));
                }
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        mark.wait();
        Cut::Killed
    }

    /// Goes on until the run has the wanted exit code, as a person would: where it asks whether an unguarded command took
    /// effect, by looking. Gives how often that was.
    pub fn go_on(&self, round: u32, code: i32) -> (Ran, usize) {
        let mut answers: Vec<String> = Vec::new();
        loop {
            let ran = self.run(round, &answers.iter().map(String::as_str).collect::<Vec<_>>());
            let unclear = ran.unclear();
            if unclear.is_empty() || answers.len() > 8 {
                assert_eq!(ran.code, code, "after {answers:?}: {}", ran.failures());
                return (ran, answers.len() / 2);
            }
            assert_eq!(ran.code, 1, "{}", ran.failures());
            for unit in unclear {
                let took_effect = self.executions().contains_key(&format!("{} {round}", unit.step));
                answers.extend([if took_effect { "--done" } else { "--rerun" }.to_owned(), unit.to_string()]);
            }
        }
    }

    /// Sees that all journals can be read and tell nothing that cannot be, by the program and by its library.
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

    /// The newest journal alone tells all: the older ones are deleted.
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

    /// How each unit ended last, with its outcome.
    pub fn ends(&self) -> BTreeMap<UnitRef, &Outcome> {
        let ends = self.events.iter().filter_map(|e| match &e.kind {
            Kind::UnitFinished { unit, outcome, .. } => Some((unit.clone(), outcome)),
            _ => None,
        });
        ends.collect()
    }

    /// How each step ended last.
    pub fn outcomes(&self) -> BTreeMap<String, &'static str> {
        self.ends().into_iter().map(|(unit, outcome)| (unit.step, name(outcome))).collect()
    }

    /// The steps that ended so, whenever.
    pub fn steps(&self, outcome: &str) -> Vec<&str> {
        let ended = self.events.iter().filter_map(|e| match &e.kind {
            Kind::UnitFinished { unit, outcome: is, .. } if name(is) == outcome => Some(unit.step.as_str()),
            _ => None,
        });
        ended.collect()
    }

    /// Units that ask for a person to look.
    fn unclear(&self) -> Vec<UnitRef> {
        let unclear = self.ends().into_iter().filter(|(_, outcome)| matches!(outcome, Outcome::Unknown(_)));
        unclear.map(|(unit, _)| unit).collect()
    }

    /// What went wrong, for an assertion's message.
    pub fn failures(&self) -> String {
        let unread = self.said.lines().filter(|line| serde_json::from_str::<Event>(line).is_err());
        format!("exit code {}, {:?}\n{}", self.code, self.ends(), unread.collect::<Vec<_>>().join("\n"))
    }
}

/// The lines of a program's standard output as they come.
pub fn lines(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    // All is read to its end, so that the program is not stopped by a full pipe.
    std::thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    receiver
}

/// A word in the environment of a run, by which all processes that it starts can be found.
pub struct Mark(String);

impl Mark {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Self(format!("{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    pub fn put(&self, command: &mut Command) {
        command.env("ROLLOUT_CRASH_MARK", &self.0);
    }

    /// The processes that bear it, with their command lines.
    pub fn processes(&self) -> Vec<String> {
        let word = format!("ROLLOUT_CRASH_MARK={}\0", self.0);
        let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|e| e.path());
        let bears = |path: &Path| {
            let environment = std::fs::read(path.join("environ")).unwrap_or_default();
            environment.windows(word.len()).any(|w| w == word.as_bytes())
        };
        let line = |path: &Path| {
            let words = std::fs::read_to_string(path.join("cmdline")).unwrap_or_default();
            format!("{}: {}", path.display(), words.replace('\0', " "))
        };
        processes.filter(|p| bears(p)).map(|p| line(&p)).collect()
    }

    /// Waits until none is left.
    pub fn wait(&self) {
        wait_until("the cut-off run's processes end", || {
            let left = self.processes();
            if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
        });
    }
}

/// Asks until the answer is `Ok`; past the deadline, says what it last saw.
pub fn wait_until<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(seen) => assert!(began.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}; last seen: {seen}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What may block, in a thread of its own, within the deadline.
pub fn within<T: Send + 'static>(what: &str, blocks: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || drop(sender.send(blocks())));
    receiver.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}
