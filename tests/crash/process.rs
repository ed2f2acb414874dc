//! Runs programs, kills them on purpose, and waits for everything that they started.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Deadline for anything in these tests; machines are busy at times.
pub const DEADLINE: Duration = Duration::from_secs(240);

/// How a run that should be killed ended.
pub enum Cut {
    /// The run was killed at the point.
    Killed,
    /// The run ended without reaching the point.
    Passed(Output),
}

/// Runs the program (`rollout run` without the injection), and kills it when it reports that it has reached the point
/// of the unit. Then waits until all processes that it started on this machine have ended.
pub fn cut(mut command: Command, unit: &str, point: &str) -> Cut {
    let mark = Mark::new();
    mark.put(&mut command);
    command.arg("--inject").arg(format!("{unit}=halt@{point}")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (lines, began) = (lines(&mut child), Instant::now());
    let mut seen = Vec::new();
    loop {
        match lines.recv_timeout(DEADLINE.saturating_sub(began.elapsed())) {
            Ok(line) if line.starts_with("halted ") => {
                assert!(line.starts_with(&format!("halted {point} ")) && line.contains(unit), "{line}");
                break;
            }
            Ok(line) => seen.push(line),
            Err(RecvTimeoutError::Timeout) => {
                let _ = child.kill();
                panic!("{unit} {point}: not within {DEADLINE:?}; last seen: {:?}", seen.last());
            }
            Err(RecvTimeoutError::Disconnected) => {
                let mut output = child.wait_with_output().unwrap();
                output.stdout = seen.join("\n").into_bytes();
                mark.wait();
                return Cut::Passed(output);
            }
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    mark.wait();
    Cut::Killed
}

pub fn lines(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    // Reads stdout to its end, so that a full pipe does not block the program.
    std::thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    receiver
}

/// A word in the environment of a run, by which all processes that the run starts can be found.
pub struct Mark(String);

impl Mark {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Self(format!("{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    pub fn put(&self, command: &mut Command) {
        command.env("ROLLOUT_CRASH_MARK", &self.0);
    }

    /// The processes with the mark, with their command lines. Leaves out masters of ssh connections, which stay idle
    /// for a minute.
    pub fn processes(&self) -> Vec<String> {
        let word = format!("ROLLOUT_CRASH_MARK={}\0", self.0);
        let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|e| e.path());
        let bears = |path: &Path| {
            let environment = std::fs::read(path.join("environ")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(&word)
        };
        let line = |path: &Path| {
            let words = std::fs::read_to_string(path.join("cmdline")).unwrap_or_default();
            format!("{}: {}", path.display(), words.replace('\0', " "))
        };
        processes.filter(|p| bears(p)).map(|p| line(&p)).filter(|line| !line.contains("ControlPersist=")).collect()
    }

    /// Waits until no such process is left.
    pub fn wait(&self) {
        wait_until("the cut-off run's processes end", || {
            let left = self.processes();
            if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
        });
    }
}

/// Prints what a suite did, bypassing the test harness, which hides the output of passing tests.
pub fn report(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Calls `ask` until it returns `Ok`; panics with its last error after the deadline.
pub fn wait_until<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(seen) => assert!(began.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}; last seen: {seen}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
