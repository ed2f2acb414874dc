//! `node.service`: a systemd unit: its state, whether it starts at boot, and its file.

use schemars::JsonSchema;
use serde::Deserialize;

use super::content::DesiredFile;
use super::effects::{CheckedEffect, next_checked};
use super::install::Install;
use super::probes::{file_at, file_probe, script_probe, stdout_at};
use super::systemd::{self, Unit};
use crate::actions::{Action, OnInterrupt, Spec, Verdict};
use crate::connect::host::{self, Attributes, File, Read};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::{Delta, Diff};
use crate::event::Problem;
use crate::plan::{ParamError, Role, RunsOn, refuse};

/// Starts, stops, enables or masks a systemd unit, and writes its file when `unit` is given. Where systemd reports that
/// unit files have changed, it reloads them first. When a unit does not start, the error shows its last log lines.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Name of the unit, such as "k3s" or "fstrim.timer"; without a suffix it is a service. Optional with
    /// `daemon_reload`.
    #[serde(default)]
    pub name: String,
    /// Wanted state of the unit. A unit that systemd does not know counts as stopped and disabled. Default: unchanged.
    #[serde(default)]
    pub state: Option<State>,
    /// Whether the unit starts at boot. Default: unchanged. With `unit`, it is enabled as the section [Install] says,
    /// and enabled again when that section changes.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// Whether the unit is masked, so that nothing can start it. Default: unchanged.
    #[serde(default)]
    pub masked: Option<bool>,
    /// Content of /etc/systemd/system/NAME. When it changes, a running unit is not restarted: `notify` a handler with
    /// `state = "restarted"`.
    #[serde(default)]
    pub unit: Option<String>,
    /// Whether systemd reloads all unit files even if none has changed, as after a change of /etc/fstab. Always
    /// reported as a change: meant for handlers.
    #[serde(default)]
    pub daemon_reload: bool,
}

/// Wanted state of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The unit runs. A oneshot unit stays running only with `RemainAfterExit=yes`.
    Started,
    /// The unit does not run.
    Stopped,
    /// The unit is restarted, or started if it does not run. Always reported as a change: meant for handlers.
    Restarted,
    /// The unit reloads its configuration, or is started if it does not run. Always reported as a change: meant for
    /// handlers.
    Reloaded,
}

impl Spec for Service {
    const NAME: &'static str = "node.service";
    const SUMMARY: &'static str = "a systemd unit: its state, whether it starts at boot, and its file";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "time"
action = "node.service"
hosts = "pis"
become = true
name = "systemd-timesyncd"
state = "started"
enabled = true
"#;

    fn rules(&self) -> Result<(), ParamError> {
        if self.name.is_empty() {
            let alone = self.state.is_none() && self.enabled.is_none() && self.masked.is_none() && self.unit.is_none();
            return if self.daemon_reload && alone { Ok(()) } else { refuse("name", "give the unit's name") };
        }
        systemd::check_unit_name("name", &self.name)?;
        let asks = self.state.is_some() || self.enabled.is_some() || self.masked.is_some() || self.unit.is_some();
        if !asks && !self.daemon_reload {
            return refuse("state", "give a `state`, `enabled`, `masked` or `unit`");
        }
        let starts = matches!(self.state, Some(State::Started | State::Restarted | State::Reloaded));
        if self.masked == Some(true) && (starts || self.enabled == Some(true) || self.unit.is_some()) {
            return refuse(
                "masked",
                "a masked unit can neither start, nor be enabled, nor have a file in /etc/systemd/system",
            );
        }
        if let Some(text) = &self.unit {
            if self.enabled == Some(true) && !text.lines().any(|line| line.trim() == "[Install]") {
                return refuse("unit", "without a section [Install] it cannot be enabled");
            }
            if !text.ends_with('\n') {
                return refuse("unit", "its last line must end with a line break");
            }
        }
        Ok(())
    }
}

impl Service {
    fn unit_name(&self) -> String {
        systemd::full_name(&self.name)
    }

    fn file<R>(&self, facts: &[Fact], with: impl FnOnce(&DesiredFile<'_>, Option<&File>) -> R) -> Option<R> {
        let content = self.unit.as_deref()?;
        let attributes = Attributes { mode: Some(0o644), ..Attributes::default() };
        let path = systemd::file_of(&self.unit_name());
        Some(with(&DesiredFile::text(&path, content, attributes), file_at(facts, 1)))
    }

    /// The [Install] section of `unit`, when the unit is to be enabled.
    fn install(&self) -> Option<Install> {
        self.unit.as_deref().filter(|_| self.enabled == Some(true)).map(Install::parse)
    }

    /// How the unit is enabled now, when that differs from its [Install] section.
    fn outdated_install(&self, facts: &[Fact]) -> Result<Option<String>, Problem> {
        let Some(wanted) = self.install() else { return Ok(None) };
        let content = file_at(facts, 1).and_then(|file| file.content.as_deref());
        let before = content.map(|content| Install::parse(&String::from_utf8_lossy(content)));
        if let Some(before) = before.filter(|before| *before != wanted) {
            return Ok(Some(before.to_string()));
        }
        let missing = stdout_at(facts, 2, "look what the unit is enabled by")?;
        let missing: Vec<&str> = missing.lines().collect();
        Ok((!missing.is_empty()).then(|| format!("without {}", missing.join(", "))))
    }

    /// The diff, and the effects that resolve it. `after` is set once the effects were performed: a restart or reload
    /// is not due again then.
    fn diff_and_effects(&self, facts: &[Fact], after: bool) -> Result<(Diff, Vec<CheckedEffect>), Problem> {
        let (mut diff, mut effects) = (Diff::default(), Vec::new());
        let mut reload = self.daemon_reload && !after;
        if self.name.is_empty() {
            diff = Diff::act("make systemd reload all unit files");
            return Ok((diff, vec![systemd::daemon_reload()]));
        }
        let (name, unit) = (self.unit_name(), Unit::parse(facts, 0)?);
        if let Some((file, effect)) = self
            .file(facts, |wanted, current| wanted.diff(current).map(|diff| (diff, wanted.effect(current))))
            .transpose()?
        {
            if !file.is_empty() {
                reload |= file.0.iter().any(|delta| !matches!(delta, Delta::Field { path, .. } if path == "mode"));
                diff.0.extend(file.0);
                effects.push(effect.into());
            }
            reload |= unit.is_unknown();
        }
        let wants = self.state.is_some_and(|state| state != State::Stopped) || self.enabled == Some(true);
        if unit.is_unknown() && wants && self.unit.is_none() {
            return Err(Problem::new(format!("systemd knows no unit {name}")).hint(
                "is the name right, and is the package installed that contains the unit? `unit` writes a unit file",
            ));
        }
        if unit.is_masked() && wants && self.masked.is_none() {
            return Err(Problem::new(format!("{name} is masked, so that nothing can start it"))
                .hint("set `masked = false` to unmask it"));
        }
        if reload || (unit.need_reload && !after) {
            diff.0.push(Delta::Act { what: "make systemd reload all unit files".to_owned() });
            effects.push(systemd::daemon_reload());
        }
        let word = host::quote::word(&name);
        let yes_or_no = |masked: bool| if masked { "yes" } else { "no" }.to_owned();
        if self.masked == Some(true) && !unit.is_masked_permanently() {
            let before = if unit.is_masked() { "until the next boot".to_owned() } else { yes_or_no(false) };
            diff.push_field("masked", Some(before), Some(yes_or_no(true)));
            effects.push(CheckedEffect::script(format!("mask {name}"), format!("systemctl mask -- {word}")));
        } else if self.masked == Some(false) && unit.is_masked() {
            let runtime = if unit.is_masked_permanently() { "" } else { " --runtime" };
            diff.push_field("masked", Some(yes_or_no(true)), Some(yes_or_no(false)));
            effects
                .push(CheckedEffect::script(format!("unmask {name}"), format!("systemctl unmask{runtime} -- {word}")));
        }
        // systemctl enables and disables a unit by its main name, not by an alias.
        let own = if unit.id.is_empty() || unit.is_unknown() || self.unit.is_some() { &name } else { &unit.id };
        let own = host::quote::word(own);
        match self.enabled {
            Some(true) if !unit.is_enabled() => {
                if !unit.can_be_enabled() && self.unit.is_none() {
                    let why = format!("{name} cannot be enabled: its file is {}", unit.enabled);
                    return Err(Problem::new(why).hint("other units start it; leave `enabled` out, or give a `unit`"));
                }
                diff.push_field("enabled", Some(unit.enabled.clone()), Some("enabled".to_owned()));
                effects.push(CheckedEffect::script(format!("enable {name}"), format!("systemctl enable -- {own}")));
            }
            Some(true) => {
                if let Some(before) = self.outdated_install(facts)? {
                    let wanted = self.install().map(|install| install.to_string());
                    diff.push_field("enabled by", Some(before), wanted);
                    effects.push(CheckedEffect::script(
                        format!("enable {name} again"),
                        format!("systemctl reenable -- {own}"),
                    ));
                }
            }
            Some(false) if unit.is_enabled_at_all() => {
                diff.push_field("enabled", Some(unit.enabled.clone()), Some("disabled".to_owned()));
                let runtime = if unit.is_enabled() { "" } else { " --runtime" };
                effects.push(CheckedEffect::script(
                    format!("disable {name}"),
                    format!("systemctl disable{runtime} -- {own}"),
                ));
            }
            _ => {}
        }
        let (verb, change) = match self.state {
            // A oneshot unit that has ended was started.
            Some(_) if after && unit.is_oneshot && unit.active == "inactive" => return Ok((diff, effects)),
            Some(State::Restarted | State::Reloaded) if after && unit.runs() => return Ok((diff, effects)),
            Some(State::Started) if !unit.runs() => ("start", Some("started")),
            Some(State::Restarted | State::Reloaded) if after => ("start", Some("started")),
            Some(State::Stopped) if !unit.is_stopped() => ("stop", Some("stopped")),
            Some(State::Restarted) => ("restart", None),
            Some(State::Reloaded) if unit.runs() => ("reload", None),
            Some(State::Reloaded) => ("start", None),
            _ => return Ok((diff, effects)),
        };
        match change {
            Some(state) => diff.push_field("state", Some(unit.description()), Some(state.to_owned())),
            None => diff.0.push(Delta::Act { what: format!("{verb} {name}") }),
        }
        effects.push(systemd::job(verb, &name));
        Ok((diff, effects))
    }

    fn verdict_at(&self, facts: &[Fact], after: bool) -> Verdict {
        match self.diff_and_effects(facts, after) {
            Err(problem) => Verdict::Blocked(problem),
            Ok((diff, _)) if diff.is_empty() => {
                Verdict::Same { seen: Unit::parse(facts, 0).map(|unit| unit.description()).unwrap_or_default() }
            }
            Ok((diff, _)) => match self.pending_state(&diff, facts) {
                Some(current) => Verdict::Wait { seen: current },
                None => Verdict::Change(diff),
            },
        }
    }

    /// The state to wait for, when the unit is already starting or stopping as wanted.
    fn pending_state(&self, diff: &Diff, facts: &[Fact]) -> Option<String> {
        let unit = Unit::parse(facts, 0).ok()?;
        let is_pending = match self.state {
            Some(State::Started | State::Restarted | State::Reloaded) => unit.active == "activating",
            Some(State::Stopped) => unit.active == "deactivating",
            _ => false,
        };
        let only = matches!(&diff.0[..], [Delta::Field { path, .. }] if path == "state");
        (is_pending && only).then(|| format!("{} is {}", self.unit_name(), unit.description()))
    }
}

impl Action for Service {
    fn probes(&self) -> Vec<Probe> {
        if self.name.is_empty() {
            return Vec::new();
        }
        let mut probes = vec![systemd::unit_probe(&self.unit_name())];
        if self.unit.is_some() {
            probes.push(file_probe(&systemd::file_of(&self.unit_name()), Read::Content));
        }
        if let Some(install) = self.install() {
            let links = install.links(systemd::FOLDER, &self.unit_name());
            let links = host::quote::words(links.iter().map(String::as_str));
            probes.push(script_probe(format!("for it in {links}; do [ -L \"$it\" ] || printf '%s\\n' \"$it\"; done")));
        }
        probes
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        self.verdict_at(facts, false)
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        next_checked(&self.diff_and_effects(facts, false)?.1, done)
    }

    fn is_verified(&self) -> bool {
        !self.name.is_empty()
    }

    fn verdict_after(&self, facts: &[Fact]) -> Verdict {
        self.verdict_at(facts, true)
    }

    /// A second restart or reload does no harm.
    fn on_interrupt(&self) -> Option<OnInterrupt> {
        let leaves_no_trace = self.daemon_reload || matches!(self.state, Some(State::Restarted | State::Reloaded));
        leaves_no_trace.then_some(OnInterrupt::Rerun)
    }
}

#[cfg(test)]
mod tests;
