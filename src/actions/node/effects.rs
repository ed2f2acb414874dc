//! Effects on a host: typed ones and scripts, and the check of how each ended.

use crate::connect::host::{self, Run, quote};
use crate::connect::{Effect, EffectResult};
use crate::event::Problem;

use super::failure::failed;

/// A script for `sh` with arguments, which it reads as `$1`, `$2` and so on.
pub fn script_with_args(text: &str, args: &[&str]) -> Run {
    Run::shell(format!("set -- {}\n{text}", quote::words(args.iter().copied())))
}

/// The next of a list of typed effects, whose results the host has checked already.
pub fn nth_effect(effects: &[host::Effect], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
    Ok(effects.get(done.len()).cloned().map(Effect::Host))
}

/// An effect that must end with status 0, and what its error message says otherwise.
pub struct CheckedEffect {
    effect: host::Effect,
    what: String,
    hint: fn(&host::CommandOutput) -> Option<&'static str>,
}

impl CheckedEffect {
    /// A script for `sh`; `what` completes "cannot …".
    pub fn script(what: impl Into<String>, script: impl Into<String>) -> Self {
        Self::with_stdin(what, script, host::Bytes::default())
    }

    /// A script that reads `stdin`.
    pub fn with_stdin(what: impl Into<String>, script: impl Into<String>, stdin: host::Bytes) -> Self {
        let run = Run { stdin, ..Run::shell(script) };
        Self { effect: host::Effect::Run(run), what: what.into(), hint: |_| None }
    }

    /// A script followed by `test`, a shell command that fails when the script had no effect although its programs ended
    /// with status 0. Together with [`crate::actions::Action::completes_at_once`], other effects may be sent behind it.
    pub fn with_test(what: impl Into<String>, script: &str, test: &str) -> Self {
        let message = "the commands ended with status 0, but the result is not what was asked for: something else on the host prevents or undoes it";
        Self::script(
            what,
            format!(
                "{script}\nended=$?\n[ \"$ended\" = 0 ] || exit \"$ended\"\n{test} || {{ echo '{message}' >&2; exit 1; }}"
            ),
        )
    }

    /// Adds a function that derives a hint from the output of a failure.
    pub fn or(self, hint: fn(&host::CommandOutput) -> Option<&'static str>) -> Self {
        Self { hint, ..self }
    }
}

/// A typed effect, whose result the host checks itself.
impl From<host::Effect> for CheckedEffect {
    fn from(effect: host::Effect) -> Self {
        Self { effect, what: String::new(), hint: |_| None }
    }
}

/// The next of a list of effects, or an error as soon as one of those done has failed.
pub fn next_checked(effects: &[CheckedEffect], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
    for (effect, done) in effects.iter().zip(done) {
        let EffectResult::Host(done) = done else { continue };
        if done.exit != 0 {
            let problem = failed(&effect.what, done);
            return Err(match (effect.hint)(done) {
                Some(hint) => problem.hint(hint),
                None => problem,
            });
        }
    }
    Ok(effects.get(done.len()).map(|effect| Effect::Host(effect.effect.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_that_ends_badly_stops_those_after_it_and_says_why() {
        let effects =
            [CheckedEffect::script("do it", "x").or(|_| Some("try y")), CheckedEffect::script("do more", "z")];
        let done = |exit, text: &str| [EffectResult::Host(host::CommandOutput::new(exit, "", text))];
        assert!(
            matches!(next_checked(&effects, &[]), Ok(Some(Effect::Host(host::Effect::Run(run)))) if run == Run::shell("x"))
        );
        assert!(matches!(next_checked(&effects, &done(0, "")), Ok(Some(_))));
        let problem = next_checked(&effects, &done(1, "a\nb\n")).err().unwrap();
        assert_eq!((problem.message.as_str(), problem.hint.as_deref()), ("cannot do it:\na\nb", Some("try y")));
    }
}
