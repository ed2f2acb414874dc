//! `node.reboot`: a host is rebooted, and proves by its boot id that it was.
//!
//! Before the reboot a note is left on the host, of the boot that is to end. When a run is cut off in the middle, the next
//! one tells by it whether the host still has to be rebooted, is on its way, or is back. It goes when all is well.

mod seen;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::conditions::{Conditions, check_words};
use super::exit_policy::{said, status};
use super::params::check_path;
use super::scripts::{CheckedEffect, failed, next_checked};
use crate::actions::lifetime::Lifetime;
use crate::actions::{Action, ActionRef, Spec, Verdict};
use crate::connect::host::{self, Run, quote::word};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};
use seen::{LOG, NOTE, Seen};

/// Reboots the host, and waits until it is back: its boot id is another one, ssh answers, and `check` ends well. A handler
/// needs no guard; a step needs `when_file`, `only_if` or `when` (after `node.boot_config`, that one's output tells), or it
/// would reboot in each run. The step's timeout counts from when the reboot is asked for. Needs root. The machine that runs
/// rollout is never rebooted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reboot {
    /// It is only rebooted when there is something at this absolute path, such as "/var/run/reboot-required".
    #[serde(default)]
    pub when_file: Option<String>,
    /// It is only rebooted when this script for `sh` ends with status 0. Runs in previews too: it must only look. With
    /// `when_file`, both must hold. After the reboot neither may hold any more.
    #[serde(default)]
    pub only_if: Option<String>,
    /// Script for `sh` that ends with status 0 once the host is up: asked again and again, for at most 20 seconds each time,
    /// such as "systemctl is-system-running". Counts only when it is rebooted.
    #[serde(default)]
    pub check: Option<String>,
    /// Script for `sh` that reboots. Default: "systemctl reboot", or "reboot" where there is no systemd. Counts only when it is
    /// rebooted.
    #[serde(default)]
    pub command: Option<String>,
    /// What those read who are logged in, as `wall` shows it. Counts only when it is rebooted.
    #[serde(default)]
    pub message: Option<String>,
    /// How long the host waits once it was asked, so that `message` can be read. Counts only when it is rebooted.
    #[serde(default = "soon")]
    pub delay: Lifetime,
    #[serde(skip)]
    #[schemars(skip)]
    stage: Stage,
}

fn soon() -> Lifetime {
    Lifetime::seconds(1)
}

/// How far it has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing is known of an earlier attempt.
    #[default]
    First,
    /// This attempt has asked for the end of this boot, when that was so many seconds old at least.
    Sent { boot: String, uptime: u64 },
    /// An earlier run was cut off, or failed.
    Resumed,
}

/// How the host stands.
enum RebootStage {
    /// Nobody has asked it to reboot.
    Unasked,
    /// It was asked so many seconds ago, and is still up.
    Asked(u64),
    /// It was, and was rebooted.
    Rebooted,
}

/// How many seconds after it should have begun a reboot counts as not begun, and the command that said so is believed.
const SHUTDOWN_GRACE_SECONDS: u64 = 60;
const REFUSAL_SECONDS: u64 = 10;

impl Spec for Reboot {
    const NAME: &'static str = "node.reboot";
    const SUMMARY: &'static str = "a host is rebooted, and is back";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[Output { name: "boot_id", about: "the boot that it is in now" }];
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
            check_words(name, text.as_deref())?;
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

    fn at(&self, stage: Stage) -> ActionRef {
        Arc::new(Self { stage, ..self.clone() })
    }

    /// Seconds until the command is run.
    fn delay(&self) -> u64 {
        self.delay.as_seconds().max(1)
    }

    fn stands(&self, seen: &Seen<'_>) -> RebootStage {
        let boot = &seen.system.boot_id;
        match (&self.stage, &seen.note) {
            (Stage::First, _) | (Stage::Resumed, None) => RebootStage::Unasked,
            (Stage::Sent { boot: before, .. }, _) if before != boot => RebootStage::Rebooted,
            (Stage::Sent { uptime, .. }, Some(note)) if note.boot == *boot && note.uptime >= *uptime => {
                RebootStage::Asked(seen.since(note))
            }
            // The connection broke before it was asked.
            (Stage::Sent { .. }, _) => RebootStage::Unasked,
            (Stage::Resumed, Some(note)) if note.boot != *boot => RebootStage::Rebooted,
            (Stage::Resumed, Some(note)) => match seen.since(note) {
                ago if ago > self.delay().saturating_add(SHUTDOWN_GRACE_SECONDS)
                    || self.refused(seen, ago).is_some() =>
                {
                    RebootStage::Unasked
                }
                ago => RebootStage::Asked(ago),
            },
        }
    }

    /// What the command said that should have rebooted, when it has ended badly. On the way down it may: it is given time.
    fn refused<'a>(&self, seen: &'a Seen<'_>, ago: u64) -> Option<&'a str> {
        let last = seen.log.lines().next_back()?;
        (last.starts_with("exit status ") && ago > self.delay().saturating_add(REFUSAL_SECONDS))
            .then_some(seen.log.as_str())
    }

    /// Whether it is to be rebooted, which nobody has asked it for.
    fn unasked(&self, seen: &Seen<'_>) -> Verdict {
        let decided = matches!(self.stage, Stage::Sent { .. });
        if let Some(seen) = self.guards().kept(seen.guards).filter(|_| !decided) {
            return Verdict::Same { seen };
        }
        match seen.hindrance() {
            Some(problem) => Verdict::Blocked(problem),
            None => Verdict::Change(Diff::act("reboot")),
        }
    }

    fn asked(&self, seen: &Seen<'_>, ago: u64) -> Verdict {
        match self.refused(seen, ago) {
            Some(said) => Verdict::Blocked(
                Problem::new(format!("the command that should reboot ended badly:\n{said}"))
                    .hint("try it by hand on the host; `command` sets another one"),
            ),
            None => Verdict::Wait { seen: format!("it was asked to reboot {ago} s ago, and is still up") },
        }
    }

    /// Whether it is ready, once it was rebooted.
    fn rebooted(&self, seen: &Seen<'_>) -> Verdict {
        match (&self.check, seen.check) {
            (None, _) => Verdict::Change(Diff::act("reboot")),
            (Some(_), Some(done)) if done.exit == 0 => Verdict::Change(Diff::act("reboot")),
            (Some(_), done) => {
                let why = done.map(|done| format!("{} {}", status(done.exit), said(done).last_lines(1)));
                let why = why.unwrap_or_else(|| "it was not asked".to_owned());
                Verdict::Wait { seen: format!("it was rebooted; `check`: {}", why.trim_end()) }
            }
        }
    }

    fn ask(&self, seen: &Seen<'_>) -> Run {
        let text = |text: &Option<String>| word(text.as_deref().unwrap_or_default());
        Run::shell(format!(
            "boot={} note={NOTE} log={LOG} delay={} message={} reboot={}\n{}",
            word(&seen.system.boot_id),
            self.delay(),
            text(&self.message),
            text(&self.command),
            include_str!("ask.sh")
        ))
    }

    /// Takes the note away, and fails when the guards would have it rebooted again.
    fn tidy_up(&self, seen: &Seen<'_>, done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let folder = NOTE.rsplit_once('/').map(|(folder, _)| folder).unwrap_or_default();
        let script = format!("rm -f -- {NOTE} {LOG} && {{ rmdir -- {folder} 2>/dev/null || :; }}");
        let next = next_checked(&[CheckedEffect::script(format!("remove {NOTE}"), script)], done)?;
        if next.is_none() && !self.guards().is_empty() && self.guards().kept(seen.guards).is_none() {
            let names = [("when_file", &self.when_file), ("only_if", &self.only_if)];
            let names: Vec<_> = names.iter().filter(|(_, text)| text.is_some()).map(|(name, _)| *name).collect();
            let problem = Problem::new(format!("it was rebooted, and `{}` still holds", names.join("` and `")));
            return Err(problem.hint("either the guard does not tell what a reboot ends, or the reboot did not help"));
        }
        Ok(next)
    }
}

impl Action for Reboot {
    fn probes(&self) -> Vec<Probe> {
        let check = self.check.as_ref().filter(|_| self.stage != Stage::First);
        seen::probes(self.guards().probes(), check.map(|check| Run::shell(check.as_str())))
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let seen = match self.seen(facts) {
            Ok(seen) => seen,
            Err(problem) => return Verdict::Blocked(problem),
        };
        match self.stands(&seen) {
            RebootStage::Unasked => self.unasked(&seen),
            RebootStage::Asked(ago) => self.asked(&seen, ago),
            RebootStage::Rebooted => self.rebooted(&seen),
        }
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let seen = self.seen(facts)?;
        if matches!(self.stands(&seen), RebootStage::Rebooted) {
            return self.tidy_up(&seen, done);
        }
        match done {
            [] => Ok(Some(Effect::Host(host::Effect::Run(self.ask(&seen))))),
            [EffectResult::Host(done), ..] if done.exit == 127 => {
                Err(failed("reboot", done).hint("say by `command` how this host is rebooted"))
            }
            [EffectResult::Host(done), ..] if done.exit != 0 => Err(failed("reboot", done)),
            _ => Ok(None),
        }
    }

    fn resumed(&self) -> Option<ActionRef> {
        Some(self.at(Stage::Resumed))
    }

    fn after_disconnect(&self, facts: &[Fact]) -> Option<ActionRef> {
        let seen = self.seen(facts).ok()?;
        let (boot, uptime) = (seen.system.boot_id.clone(), seen.system.uptime);
        (!matches!(self.stands(&seen), RebootStage::Rebooted)).then(|| self.at(Stage::Sent { boot, uptime }))
    }

    fn outputs(&self, facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        let boot = self.seen(facts).map(|seen| seen.system.boot_id.clone()).unwrap_or_default();
        Outputs::from_iter([("boot_id".to_owned(), json!(boot))])
    }
}

impl Reboot {
    fn seen<'a>(&self, facts: &'a [Fact]) -> Result<Seen<'a>, Problem> {
        Seen::of(facts, self.guards().probes().len())
    }
}
