//! A change that its host takes back by itself, unless it is told in time that all is well.
//!
//! What a change alters is kept on the host, and a process of its own there waits: it outlives the connection, and whoever
//! made it. All is data here: what is sent (`lib.sh`, and `timer.sh`, which the host runs by itself) and what is answered.

use std::time::Duration;

use super::command::sysctl_file;
use super::effects;
use super::exposed;
use super::quote;
use super::request::Request;
use super::types::{CommandOutput, Effect, GuardCommand, GuardPhase, GuardState};
use crate::connect::ConnectError;

const LIBRARY: &str = include_str!("lib.sh");
/// The longest time that a host may say is left; none of our guards has one like it.
const MAX_GUARD_TIME: Duration = Duration::from_secs(366 * 24 * 3600);

const TIMER: &str = concat!(include_str!("../place.sh"), include_str!("timer.sh"));

impl GuardCommand {
    /// As a request; of several parts, the last but one is the effect's own.
    pub fn request(&self) -> Request {
        let call = |words: &[&str]| format!("{LIBRARY}\n{}", quote::words(words.iter().copied()));
        let one = |words: &[&str]| Request { parts: vec![call(words)], ..Request::default() };
        match self {
            Self::Arm { token, time, unit, restore } => {
                let seconds = time.as_secs_f64().ceil().to_string();
                one(&["_ro_guard_arm", token, &seconds, unit, restore.as_deref().unwrap_or_default(), TIMER])
            }
            Self::Within { token, effect } => {
                let kept = kept(effect);
                let words: Vec<&str> = ["_ro_guard_hold", token.as_str()]
                    .into_iter()
                    .chain(kept.iter().flat_map(|(kind, path)| [*kind, path.as_str()]))
                    .collect();
                let mut request = effects::request(effect);
                let effect = request.parts.concat();
                // What is not wanted must not be taken for the next request.
                let skip = if request.payload.is_some() { "cat >/dev/null; " } else { "" };
                request.parts = vec![
                    format!("{} </dev/null; _ro_f=$?; _ro_give $_ro_f", call(&words)),
                    format!("if [ \"$_ro_f\" = 0 ]; then {effect}\nelse {skip}_ro_give 1; fi"),
                    format!("[ \"$_ro_f\" != 0 ] || {}", quote::words(["_ro_guard_held", token])),
                ];
                request
            }
            Self::Apply { token, command } => one(&["_ro_guard_apply", token, command]),
            Self::Disarm { token } => one(&["_ro_guard_off", "armed", token]),
            Self::Restore { token } => one(&["_ro_guard_restore", token]),
            Self::Forget { token } => one(&["_ro_guard_off", "restored", token]),
        }
    }

    /// What came of the request.
    pub fn judge(&self, mut done: Vec<CommandOutput>) -> Result<CommandOutput, ConnectError> {
        let last = done.pop().ok_or_else(|| ConnectError::lost("the host gave no answer"))?;
        let refused = |what: &str, done: &CommandOutput| {
            let said = done.stderr.last_lines(5);
            Err(ConnectError::failed(format!("{what}{}{said}", if said.is_empty() { "" } else { ": " })))
        };
        match (self, done.as_slice()) {
            (Self::Within { .. }, [held, _]) if held.exit != 0 => {
                refused("cannot keep what would be put back, so nothing was changed", held)
            }
            (Self::Within { .. }, [_, _]) if last.exit != 0 => refused("the guard did not hold", &last),
            (Self::Within { effect, .. }, [_, done]) => effects::judge(effect, done.clone()),
            _ if last.exit == 0 => Ok(last),
            (Self::Arm { .. }, _) => refused("cannot guard the change, so nothing was changed", &last),
            (Self::Apply { .. }, _) => {
                refused("the guard's time was over before the change was put into effect", &last)
            }
            _ => refused("the guard does not stand any more", &last),
        }
    }

    /// Refuses what would show a secret to others on the host, or keep one there.
    pub fn check(&self) -> Result<(), ConnectError> {
        match self {
            Self::Within { effect, .. } => exposed::check_effect(effect),
            Self::Arm { restore, .. } => exposed::check(restore.as_deref()),
            Self::Apply { command, .. } => exposed::check([command.as_str()]),
            _ => Ok(()),
        }
    }
}

/// Asks how the guard stands.
pub fn look() -> String {
    format!("{LIBRARY}\n_ro_guard_look")
}

/// The answer; `None` when there is none.
pub fn read(answer: &CommandOutput) -> Result<Option<GuardState>, ConnectError> {
    let text = answer.stdout.text();
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    if first == "none" {
        return Ok(None);
    }
    let standing = || {
        let words: Vec<&str> = first.split(' ').collect();
        let [mark, token, left, alive, applied] = words[..] else { return None };
        let (unit, said) = (lines.next()?.to_owned(), lines.collect::<Vec<_>>());
        let mark = match (mark, said.last()) {
            ("armed", _) => GuardPhase::Armed,
            ("restoring", _) => GuardPhase::Restoring,
            ("restored", Some(&"ok")) => GuardPhase::Restored,
            ("restored", _) => GuardPhase::RestoredInPart,
            _ => return None,
        };
        let said = if matches!(mark, GuardPhase::Restored) { &said[..said.len() - 1] } else { &said };
        Some(GuardState {
            phase: mark,
            token: token.to_owned(),
            remaining: Duration::from_secs(left.parse().unwrap_or_default()).min(MAX_GUARD_TIME),
            alive: alive == "yes",
            applied: applied.parse().ok(),
            unit,
            output: said.join("\n"),
        })
    };
    let error = || ConnectError::failed(format!("cannot tell how the guard stands: {text} {}", answer.stderr.text()));
    standing().map(Some).ok_or_else(error)
}

impl Effect {
    /// Whether all that it alters can be kept and put back without knowing more of it.
    pub fn is_revertible(&self) -> bool {
        !matches!(self, Self::Run(_) | Self::LoadModule { .. } | Self::Guard(_))
    }
}

/// What an effect alters: how it is to be kept, and its path.
fn kept(effect: &Effect) -> Vec<(&'static str, String)> {
    match effect {
        Effect::WriteFile(super::WriteFile { path, .. }) | Effect::Link { path, .. } | Effect::Remove { path } => {
            vec![("whole", path.clone())]
        }
        Effect::Directory { path, .. } | Effect::Attributes { path, .. } => vec![("attributes", path.clone())],
        Effect::SetSysctl { settings } => settings.iter().map(|(key, _)| ("live", sysctl_file(key))).collect(),
        Effect::Run(_) | Effect::LoadModule { .. } | Effect::Guard(_) | Effect::Expect(_) => Vec::new(),
    }
}
