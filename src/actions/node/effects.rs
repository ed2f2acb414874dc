//! Small steps between actions and a host's probes, facts and effects.

use crate::connect::host::{self, Attributes, File, Run};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::Problem;

use super::exit_policy::{said, status};
use super::params::Mode;

/// A question about a path.
pub fn look(path: &str, read: host::Read) -> Probe {
    Probe::Host(host::Probe::File { path: path.to_owned(), read })
}

/// What lies at the path that the probe at `index` asked about.
pub fn file_at(facts: &[Fact], index: usize) -> Option<&File> {
    match facts.get(index) {
        Some(Fact::Host(host::Fact::File(file))) => file.as_ref(),
        _ => None,
    }
}

/// The next of a fixed list of effects: all of them have been judged by the host already.
pub fn nth_effect(effects: &[host::Effect], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
    Ok(effects.get(done.len()).cloned().map(Effect::Host))
}

/// Adds what differs between a file's attributes and the wanted ones.
pub fn diff_attributes(diff: &mut Diff, seen: Option<&File>, wanted: &Attributes) {
    if let Some(mode) = wanted.mode {
        diff.push_field("mode", seen.map(|f| Mode(f.mode).to_string()), Some(Mode(mode).to_string()));
    }
    let mut names = |what: &str, wanted: Option<&String>, seen: Option<(&str, &[String], u32)>| {
        let Some(wanted) = wanted else { return };
        let is_it = |(name, also, number): (&str, &[String], u32)| {
            name == wanted || also.contains(wanted) || number.to_string() == *wanted
        };
        if !seen.is_some_and(is_it) {
            diff.push_field(what, seen.map(|(name, ..)| name.to_owned()), Some(wanted.clone()));
        }
    };
    names("owner", wanted.owner.as_ref(), seen.map(|f| (f.owner.as_str(), f.owner_aliases.as_slice(), f.uid)));
    names("group", wanted.group.as_ref(), seen.map(|f| (f.group.as_str(), f.group_aliases.as_slice(), f.gid)));
}

/// Asks which programs there are.
pub fn which(programs: &[&str]) -> Probe {
    let loop_ =
        format!("for p in {}; do command -v \"$p\" >/dev/null 2>&1 && printf '%s\\n' \"$p\"; done; :", words(programs));
    Probe::Host(host::Probe::Run(Run::shell(loop_)))
}

/// How the command ended that the probe at `index` ran.
pub fn run_at(facts: &[Fact], index: usize) -> Option<&host::CommandOutput> {
    match facts.get(index) {
        Some(Fact::Host(host::Fact::Run(done))) => Some(done),
        _ => None,
    }
}

/// The first of `programs` that [`which`], at `index`, did not find.
pub fn lacking<'a>(facts: &[Fact], index: usize, programs: &[&'a str]) -> Option<&'a str> {
    let found = run_at(facts, index).map(|done| done.stdout.text()).unwrap_or_default();
    programs.iter().copied().find(|program| !found.lines().any(|line| line == *program))
}

/// Words as `sh` takes them literally.
pub fn words(words: &[&str]) -> String {
    host::Command::Argv(words.iter().map(|word| (*word).to_owned()).collect()).to_string()
}

/// A script for `sh` with arguments, `$1` and so on.
pub fn script(text: &str, args: &[&str]) -> Run {
    Run::shell(format!("set -- {}\n{text}", words(args)))
}

/// A command of ours that failed: what it was to do, its status and the last of what it said.
pub fn failed(what: &str, done: &host::CommandOutput) -> Problem {
    let said = said(done).last_lines(10);
    let said = if said.is_empty() { status(done.exit) } else { said };
    Problem::new(format!("{what}: {said}"))
}
