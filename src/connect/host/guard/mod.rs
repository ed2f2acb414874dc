//! Guards: a change that the host reverts by itself unless it is confirmed in time.
//!
//! The host saves what the change alters, and a process on the host waits for the confirmation; it outlives the
//! connection and this program. This module only builds requests (`lib.sh`, and `timer.sh`, which runs on the host by
//! itself) and parses their answers.

use std::time::Duration;

use super::command::sysctl_file;
use super::effects;
use super::exposed;
use super::quote;
use super::request::Request;
use super::types::{CommandOutput, Effect, GuardCommand, GuardPhase, GuardState};
use crate::connect::ConnectError;

const LIBRARY: &str = include_str!("lib.sh");
/// Limit for the time that a host reports; real guards are far shorter.
const MAX_GUARD_TIME: Duration = Duration::from_secs(366 * 24 * 3600);

const TIMER: &str = concat!(include_str!("../place.sh"), include_str!("timer.sh"));

impl GuardCommand {
    /// The request. With several parts, the last but one is the effect's own.
    pub fn request(&self) -> Request {
        let call = |words: &[&str]| format!("{LIBRARY}\n{}", quote::words(words.iter().copied()));
        let one = |words: &[&str]| Request { parts: vec![call(words)], ..Request::default() };
        match self {
            Self::Arm { token, time, unit, restore } => {
                let seconds = time.as_secs_f64().ceil().to_string();
                one(&["_ro_guard_arm", token, &seconds, unit, restore.as_deref().unwrap_or_default(), TIMER])
            }
            Self::Within { token, effect } => {
                let kept = paths_to_keep(effect);
                let words: Vec<&str> = ["_ro_guard_hold", token.as_str()]
                    .into_iter()
                    .chain(kept.iter().flat_map(|(kind, path)| [*kind, path.as_str()]))
                    .collect();
                let mut request = effects::request(effect);
                let effect = request.parts.concat();
                // Even if the effect is skipped, its payload must be read, or the shell would parse it as the next
                // request.
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

    /// The result of the request, or why it failed.
    pub fn judge(&self, mut done: Vec<CommandOutput>) -> Result<CommandOutput, ConnectError> {
        let last = done.pop().ok_or_else(|| ConnectError::lost("the host gave no answer"))?;
        let refused = |what: &str, done: &CommandOutput| {
            let stderr = done.stderr.last_lines(5);
            Err(ConnectError::failed(format!("{what}{}{stderr}", if stderr.is_empty() { "" } else { ": " })))
        };
        match (self, done.as_slice()) {
            (Self::Within { .. }, [held, _]) if held.exit != 0 => {
                refused("cannot save the present state, so nothing was changed", held)
            }
            (Self::Within { .. }, [_, _]) if last.exit != 0 => {
                refused("the guard expired while the change was made", &last)
            }
            (Self::Within { effect, .. }, [_, done]) => effects::judge(effect, done.clone()),
            _ if last.exit == 0 => Ok(last),
            (Self::Arm { .. }, _) => refused("cannot guard the change, so nothing was changed", &last),
            (Self::Apply { .. }, _) => refused("the guard expired before the change was activated", &last),
            _ => refused("the guard is gone or is already restoring", &last),
        }
    }

    /// Refuses commands that would show a secret to other users of the host, or store one there.
    pub fn check(&self) -> Result<(), ConnectError> {
        match self {
            Self::Within { effect, .. } => exposed::check_effect(effect),
            Self::Arm { restore, .. } => exposed::check(restore.as_deref()),
            Self::Apply { command, .. } => exposed::check([command.as_str()]),
            _ => Ok(()),
        }
    }
}

/// The script that reports the guard's state.
pub fn probe_script() -> String {
    format!("{LIBRARY}\n_ro_guard_look")
}

/// Parses the guard's state; `None` when there is no guard.
pub fn read(answer: &CommandOutput) -> Result<Option<GuardState>, ConnectError> {
    let text = answer.stdout.text();
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    if first == "none" {
        return Ok(None);
    }
    let parse = || {
        let words: Vec<&str> = first.split(' ').collect();
        let [mark, token, left, alive, applied] = words[..] else { return None };
        let (unit, output) = (lines.next()?.to_owned(), lines.collect::<Vec<_>>());
        let mark = match (mark, output.last()) {
            ("armed", _) => GuardPhase::Armed,
            ("restoring", _) => GuardPhase::Restoring,
            ("restored", Some(&"ok")) => GuardPhase::Restored,
            ("restored", _) => GuardPhase::RestoredInPart,
            _ => return None,
        };
        let output = if matches!(mark, GuardPhase::Restored) { &output[..output.len() - 1] } else { &output };
        Some(GuardState {
            phase: mark,
            token: token.to_owned(),
            remaining: Duration::from_secs(left.parse().unwrap_or_default()).min(MAX_GUARD_TIME),
            alive: alive == "yes",
            applied: applied.parse().ok(),
            unit,
            output: output.join("\n"),
        })
    };
    let error = || ConnectError::failed(format!("cannot read the guard's state: {text} {}", answer.stderr.text()));
    parse().map(Some).ok_or_else(error)
}

impl Effect {
    /// Whether a guard can save everything that the effect alters.
    pub fn is_revertible(&self) -> bool {
        !matches!(self, Self::Run(_) | Self::LoadModule { .. } | Self::Guard(_))
    }
}

/// The paths that an effect alters, each with the way to save it.
fn paths_to_keep(effect: &Effect) -> Vec<(&'static str, String)> {
    match effect {
        Effect::WriteFile(super::WriteFile { path, .. }) | Effect::Link { path, .. } | Effect::Remove { path } => {
            vec![("whole", path.clone())]
        }
        Effect::Directory { path, .. } | Effect::Attributes { path, .. } => vec![("attributes", path.clone())],
        Effect::SetSysctl { settings } => settings.iter().map(|(key, _)| ("live", sysctl_file(key))).collect(),
        Effect::Run(_) | Effect::LoadModule { .. } | Effect::Guard(_) | Effect::Expect(_) => Vec::new(),
    }
}
