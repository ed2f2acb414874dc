//! Probes of a host and how their answers are read, for actions that look by scripts of their own.

use crate::connect::host::{self, File, Run, quote};
use crate::connect::{Fact, Probe};
use crate::event::Problem;

use super::failure::failed;

/// Asks what is at a path.
pub fn file_probe(path: &str, read: host::Read) -> Probe {
    Probe::Host(host::Probe::File { path: path.to_owned(), read })
}

/// Runs a command that changes nothing.
pub fn run_probe(run: Run) -> Probe {
    Probe::Host(host::Probe::Run(run))
}

/// Runs a script for `sh` that changes nothing.
pub fn script_probe(script: impl Into<String>) -> Probe {
    run_probe(Run::shell(script))
}

/// Asks which of these programs are in the host's PATH.
pub fn programs_probe(programs: &[&str]) -> Probe {
    let names = quote::words(programs.iter().copied());
    let script = format!("for p in {names}; do command -v \"$p\" >/dev/null 2>&1 && printf '%s\\n' \"$p\"; done; :");
    script_probe(script)
}

/// The answer to the [`file_probe`] at `index`: the file, or `None` when nothing is at the path.
pub fn file_at(facts: &[Fact], index: usize) -> Option<&File> {
    match facts.get(index) {
        Some(Fact::Host(host::Fact::File(file))) => file.as_ref(),
        _ => None,
    }
}

/// The answer to the [`run_probe`] at `index`, whatever the exit status.
pub fn output_at(facts: &[Fact], index: usize) -> Result<&host::CommandOutput, Problem> {
    match facts.get(index) {
        Some(Fact::Host(host::Fact::Run(done))) => Ok(done),
        _ => Err(Problem::new("the host did not say how the command ended")),
    }
}

/// The standard output of the [`run_probe`] at `index`; an exit status other than 0 is an error. `what` completes "cannot …".
pub fn stdout_at(facts: &[Fact], index: usize, what: &str) -> Result<String, Problem> {
    let done = output_at(facts, index)?;
    if done.exit == 0 { Ok(done.stdout.text()) } else { Err(failed(what, done)) }
}

/// The first of `programs` that the [`programs_probe`] at `index` did not find.
pub fn missing_program<'a>(facts: &[Fact], index: usize, programs: &[&'a str]) -> Option<&'a str> {
    let found = output_at(facts, index).map(|done| done.stdout.text()).unwrap_or_default();
    programs.iter().copied().find(|program| !found.lines().any(|line| line == *program))
}

/// The error for a line of an answer that does not parse. `what` completes "cannot …".
pub fn unexpected_answer(what: &str, line: &str) -> Problem {
    Problem::new(format!("cannot {what}: the host answered `{line}`, which is not understood"))
        .hint("is another program of that name installed there, or a much older or newer version?")
}
