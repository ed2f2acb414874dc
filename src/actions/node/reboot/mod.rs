//! `node.reboot`: reboots a host, and verifies by its boot id that it did.
//!
//! Before the reboot, the action leaves a note on the host with the id of the boot that is to end. When a run is
//! interrupted, the next one can tell by the note whether the host still has to be rebooted, is about to, or is back.
//! The note is removed in the end.

mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::conditions::{Conditions, check_no_secret};
use super::effects::{CheckedEffect, next_checked};
use super::failure::{failed, status_line};
use super::params::check_path;
use crate::actions::lifetime::Lifetime;
use crate::actions::{Action, ActionRef, Spec, Verdict};
use crate::connect::host::{self, Run, quote::word};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};
use state::{HostState, LOG, NOTE};

/// Reboots the host, and waits until it is back: it has another boot id, ssh answers, and `check` succeeds. A handler
/// needs no guard; a step needs `when_file`, `only_if` or `when` (for example with the output of `node.boot_config`),
/// or every run would reboot. The step's timeout counts from the request for the reboot. Needs root. The machine that
/// runs rollout is never rebooted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reboot {
    /// Absolute path: the host is rebooted only when something is there, such as "/var/run/reboot-required".
    #[serde(default)]
    pub when_file: Option<String>,
    /// Script for `sh`: the host is rebooted only when it ends with status 0. It runs in previews too, so it must not
    /// change anything. With `when_file`, both must hold. After the reboot, neither may hold any more.
    #[serde(default)]
    pub only_if: Option<String>,
    /// Script for `sh` that ends with status 0 once the host is up, such as "systemctl is-system-running". It is
    /// repeated until then; each attempt may take 20 seconds. Counts only when it is rebooted.
    #[serde(default)]
    pub check: Option<String>,
    /// Script for `sh` that reboots the host. Default: "systemctl reboot", or "reboot" where there is no systemd.
    /// Counts only when it is rebooted.
    #[serde(default)]
    pub command: Option<String>,
    /// Message to logged-in users, shown with `wall`. Counts only when it is rebooted.
    #[serde(default)]
    pub message: Option<String>,
    /// Time between the request and the reboot, so that users can read `message`. Counts only when it is rebooted.
    #[serde(default = "soon")]
    pub delay: Lifetime,
    #[serde(skip)]
    #[schemars(skip)]
    stage: Stage,
}

fn soon() -> Lifetime {
    Lifetime::seconds(1)
}

/// How far this attempt has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing is known of an earlier attempt.
    #[default]
    First,
    /// This attempt has requested the end of the boot with this id, when that boot was at least `uptime` seconds old.
    Sent { boot: String, uptime: u64 },
    /// An earlier run was interrupted, or failed.
    Resumed,
}

/// The stage of the reboot, as the host's state shows it.
enum RebootStage {
    /// No reboot is requested.
    NotRequested,
    /// The reboot was requested so many seconds ago, and the host is still up.
    Requested(u64),
    Rebooted,
}

/// Seconds after the delay when a reboot counts as not begun.
const SHUTDOWN_GRACE_SECONDS: u64 = 60;
/// Seconds after the delay when a failure of the command is believed: during a shutdown, a command that works may be
/// killed.
const REFUSAL_SECONDS: u64 = 10;

impl Spec for Reboot {
    const NAME: &'static str = "node.reboot";
    const SUMMARY: &'static str = "reboots a host, and waits until it is back";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[Output { name: "boot_id", about: "id of the current boot" }];
    const CONDITIONS: &'static [&'static str] = &["when_file", "only_if"];
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "reboot"
action = "node.reboot"
hosts = "pis"
become = true
when_file = "/var/run/reboot-required"
check = "systemctl is-system-running"
timeout = "10m"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        self.when_file.as_deref().map_or(Ok(()), |path| check_path("when_file", path))?;
        for (name, text) in
            [("only_if", &self.only_if), ("check", &self.check), ("command", &self.command), ("message", &self.message)]
        {
            check_no_secret(name, text.as_deref())?;
            if text.as_deref().is_some_and(|text| text.trim().is_empty()) {
                return refuse(name, "it cannot be empty");
            }
        }
        Ok(())
    }
}

impl Reboot {
    fn guards(&self) -> Conditions<'_> {
        Conditions { removes: self.when_file.as_deref(), only_if: self.only_if.as_deref(), ..Conditions::default() }
    }

    fn in_stage(&self, stage: Stage) -> ActionRef {
        Arc::new(Self { stage, ..self.clone() })
    }

    /// Seconds until the command is run.
    fn delay(&self) -> u64 {
        self.delay.as_seconds().max(1)
    }

    fn reboot_stage(&self, state: &HostState<'_>) -> RebootStage {
        let boot = &state.system.boot_id;
        match (&self.stage, &state.note) {
            (Stage::First, _) | (Stage::Resumed, None) => RebootStage::NotRequested,
            (Stage::Sent { boot: before, .. }, _) if before != boot => RebootStage::Rebooted,
            (Stage::Sent { uptime, .. }, Some(note)) if note.boot == *boot && note.uptime >= *uptime => {
                RebootStage::Requested(state.since(note))
            }
            // The connection broke before the request arrived.
            (Stage::Sent { .. }, _) => RebootStage::NotRequested,
            (Stage::Resumed, Some(note)) if note.boot != *boot => RebootStage::Rebooted,
            (Stage::Resumed, Some(note)) => match state.since(note) {
                ago if ago > self.delay().saturating_add(SHUTDOWN_GRACE_SECONDS)
                    || self.refusal(state, ago).is_some() =>
                {
                    RebootStage::NotRequested
                }
                ago => RebootStage::Requested(ago),
            },
        }
    }

    /// The output of the reboot command, when it has failed and `REFUSAL_SECONDS` are over.
    fn refusal<'a>(&self, state: &'a HostState<'_>, ago: u64) -> Option<&'a str> {
        let last = state.log.lines().next_back()?;
        (last.starts_with("exit status ") && ago > self.delay().saturating_add(REFUSAL_SECONDS))
            .then_some(state.log.as_str())
    }

    /// Whether to request a reboot.
    fn judge_request(&self, state: &HostState<'_>) -> Verdict {
        let decided = matches!(self.stage, Stage::Sent { .. });
        if let Some(state) = self.guards().skip_reason(state.guards).filter(|_| !decided) {
            return Verdict::Same { seen: state };
        }
        match state.obstacle() {
            Some(problem) => Verdict::Blocked(problem),
            None => Verdict::Change(Diff::act("reboot")),
        }
    }

    fn judge_progress(&self, state: &HostState<'_>, ago: u64) -> Verdict {
        match self.refusal(state, ago) {
            Some(output) => Verdict::Blocked(
                Problem::new(format!("the reboot command failed:\n{output}"))
                    .hint("try the command by hand on the host; `command` sets another one"),
            ),
            None => Verdict::Wait { seen: format!("the reboot was requested {ago} s ago, and the host is still up") },
        }
    }

    /// Whether the host is ready after the reboot.
    fn judge_check(&self, state: &HostState<'_>) -> Verdict {
        match (&self.check, state.check) {
            (None, _) => Verdict::Change(Diff::act("reboot")),
            (Some(_), Some(done)) if done.exit == 0 => Verdict::Change(Diff::act("reboot")),
            (Some(_), done) => {
                let why = done.map_or_else(|| "not run yet".to_owned(), status_line);
                Verdict::Wait { seen: format!("the host was rebooted; `check`: {why}") }
            }
        }
    }

    fn request(&self, state: &HostState<'_>) -> Run {
        let text = |text: &Option<String>| word(text.as_deref().unwrap_or_default());
        Run::shell(format!(
            "boot={} note={NOTE} log={LOG} delay={} message={} reboot={}\n{}",
            word(&state.system.boot_id),
            self.delay(),
            text(&self.message),
            text(&self.command),
            include_str!("request.sh")
        ))
    }

    /// Removes the note, and fails when the guards would have the host rebooted again.
    fn remove_note(&self, state: &HostState<'_>, done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let folder = NOTE.rsplit_once('/').map(|(folder, _)| folder).unwrap_or_default();
        let script = format!("rm -f -- {NOTE} {LOG} && {{ rmdir -- {folder} 2>/dev/null || :; }}");
        let next = next_checked(&[CheckedEffect::script(format!("remove {NOTE}"), script)], done)?;
        if next.is_none() && !self.guards().is_empty() && self.guards().skip_reason(state.guards).is_none() {
            let names = [("when_file", &self.when_file), ("only_if", &self.only_if)];
            let names: Vec<_> = names.iter().filter(|(_, text)| text.is_some()).map(|(name, _)| *name).collect();
            let verb = if names.len() == 1 { "holds" } else { "hold" };
            let problem = Problem::new(format!("the host was rebooted, but `{}` still {verb}", names.join("` and `")));
            return Err(problem.hint("either a reboot does not affect this guard, or the reboot did not help"));
        }
        Ok(next)
    }
}

impl Action for Reboot {
    fn probes(&self) -> Vec<Probe> {
        let check = self.check.as_ref().filter(|_| self.stage != Stage::First);
        state::probes(self.guards().probes(), check.map(|check| Run::shell(check.as_str())))
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let state = match self.host_state(facts) {
            Ok(state) => state,
            Err(problem) => return Verdict::Blocked(problem),
        };
        match self.reboot_stage(&state) {
            RebootStage::NotRequested => self.judge_request(&state),
            RebootStage::Requested(ago) => self.judge_progress(&state, ago),
            RebootStage::Rebooted => self.judge_check(&state),
        }
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let state = self.host_state(facts)?;
        if matches!(self.reboot_stage(&state), RebootStage::Rebooted) {
            return self.remove_note(&state, done);
        }
        match done {
            [] => Ok(Some(Effect::Host(host::Effect::Run(self.request(&state))))),
            [EffectResult::Host(done), ..] if done.exit == 127 => {
                Err(failed("reboot", done).hint("set `command` to what reboots this host"))
            }
            [EffectResult::Host(done), ..] if done.exit != 0 => Err(failed("reboot", done)),
            _ => Ok(None),
        }
    }

    fn resumed(&self) -> Option<ActionRef> {
        Some(self.in_stage(Stage::Resumed))
    }

    fn after_disconnect(&self, facts: &[Fact]) -> Option<ActionRef> {
        let state = self.host_state(facts).ok()?;
        let (boot, uptime) = (state.system.boot_id.clone(), state.system.uptime);
        (!matches!(self.reboot_stage(&state), RebootStage::Rebooted))
            .then(|| self.in_stage(Stage::Sent { boot, uptime }))
    }

    fn outputs(&self, facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        let boot = self.host_state(facts).map(|state| state.system.boot_id.clone()).unwrap_or_default();
        Outputs::from_iter([("boot_id".to_owned(), json!(boot))])
    }
}

impl Reboot {
    fn host_state<'a>(&self, facts: &'a [Fact]) -> Result<HostState<'a>, Problem> {
        HostState::parse(facts, self.guards().probes().len())
    }
}
