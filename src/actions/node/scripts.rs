//! What actions that look and act by scripts of their own share.

use std::fmt::Display;

use crate::connect::host::{self, Run};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::event::Problem;

/// Lines of output in an error.
const MAX_OUTPUT_LINES: usize = 20;

/// A question that a script answers which only looks.
pub fn ask(script: impl Into<String>) -> Probe {
    Probe::Host(host::Probe::Run(Run::shell(script)))
}

/// How the script ended that the probe at `index` ran.
pub fn ended(facts: &[Fact], index: usize) -> Result<&host::CommandOutput, Problem> {
    match facts.get(index) {
        Some(Fact::Host(host::Fact::Run(done))) => Ok(done),
        _ => Err(Problem::new("the host did not say how the script ended that looks")),
    }
}

/// What it printed; it must have ended well. `what` completes "cannot …".
pub fn answer(facts: &[Fact], index: usize, what: &str) -> Result<String, Problem> {
    let done = ended(facts, index)?;
    if done.exit == 0 { Ok(done.stdout.text()) } else { Err(failed(what, done)) }
}

/// An answer that is not understood.
pub fn unexpected_answer(what: &str, line: &str) -> Problem {
    Problem::new(format!("cannot {what}: the host answered `{line}`, which means nothing here"))
        .hint("is a program of that name something else there, or much older or newer?")
}

/// A command that did not work; `what` completes "cannot …".
pub fn failed(what: impl Display, done: &host::CommandOutput) -> Problem {
    let said = if done.stderr.length > 0 { &done.stderr } else { &done.stdout };
    let said = said.last_lines(MAX_OUTPUT_LINES);
    let problem = if said.is_empty() {
        Problem::new(format!("cannot {what}: exit status {}, and nothing was printed", done.exit))
    } else {
        Problem::new(format!("cannot {what}:\n{said}"))
    };
    let denied = ["Permission denied", "permission denied", "Operation not permitted", "are you root", "must be root"];
    if denied.iter().any(|text| said.contains(text)) {
        problem.hint("set `become = true` on the step, unless the host itself forbids it (a container)")
    } else if done.exit == 127 {
        problem.hint("is the program installed there?")
    } else {
        problem
    }
}

/// One of the effects of a change.
pub struct CheckedEffect {
    effect: host::Effect,
    what: String,
    hint: fn(&host::CommandOutput) -> Option<&'static str>,
}

impl CheckedEffect {
    /// A script for `sh`; `what` completes "cannot …".
    pub fn script(what: impl Into<String>, script: impl Into<String>) -> Self {
        Self::fed(what, script, host::Bytes::default())
    }

    /// A script that reads something on its standard input.
    pub fn fed(what: impl Into<String>, script: impl Into<String>, stdin: host::Bytes) -> Self {
        let run = Run { stdin, ..Run::shell(script) };
        Self { effect: host::Effect::Run(run), what: what.into(), hint: |_| None }
    }

    /// A script whose programs may end well without having done it: `holds` is a test that tells whether they have. Beside
    /// [`crate::actions::Action::looks_after`], this lets others be sent behind it.
    pub fn proven(what: impl Into<String>, script: &str, holds: &str) -> Self {
        let refuted = "all of it ended well, but it is still not so; something else on the host keeps or undoes it";
        Self::script(
            what,
            format!(
                "{script}\nended=$?\n[ \"$ended\" = 0 ] || exit \"$ended\"\n{holds} || {{ echo '{refuted}' >&2; exit 1; }}"
            ),
        )
    }

    /// Says what to do about a failure, from what was printed.
    pub fn or(self, hint: fn(&host::CommandOutput) -> Option<&'static str>) -> Self {
        Self { hint, ..self }
    }
}

/// A typed effect, which the host itself judges.
impl From<host::Effect> for CheckedEffect {
    fn from(effect: host::Effect) -> Self {
        Self { effect, what: String::new(), hint: |_| None }
    }
}

/// The next of a list of effects, all of which must end well.
pub fn next_checked(acts: &[CheckedEffect], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
    for (act, done) in acts.iter().zip(done) {
        let EffectResult::Host(done) = done else { continue };
        if done.exit != 0 {
            let problem = failed(&act.what, done);
            return Err(match (act.hint)(done) {
                Some(hint) => problem.hint(hint),
                None => problem,
            });
        }
    }
    Ok(acts.get(done.len()).map(|act| Effect::Host(act.effect.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_that_ends_badly_stops_those_after_it_and_says_why() {
        let acts = [CheckedEffect::script("do it", "x").or(|_| Some("try y")), CheckedEffect::script("do more", "z")];
        let done = |exit, text: &str| [EffectResult::Host(host::CommandOutput::new(exit, "", text))];
        assert!(
            matches!(next_checked(&acts, &[]), Ok(Some(Effect::Host(host::Effect::Run(run)))) if run == Run::shell("x"))
        );
        assert!(matches!(next_checked(&acts, &done(0, "")), Ok(Some(_))));
        let problem = next_checked(&acts, &done(1, "a\nb\n")).err().unwrap();
        assert_eq!((problem.message.as_str(), problem.hint.as_deref()), ("cannot do it:\na\nb", Some("try y")));
        let denied = failed("write", &host::CommandOutput::new(1, "", "x: Permission denied"));
        assert!(denied.hint.unwrap().contains("become"));
    }
}
