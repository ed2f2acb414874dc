//! `node.timer`: a scheduled command, by a systemd timer.

use schemars::JsonSchema;
use serde::Deserialize;

use super::content::{DesiredFile, text_delta};
use super::effects::{CheckedEffect, next_checked};
use super::group::State;
use super::params::check_account;
use super::probes::{file_at, file_probe, output_at, script_probe};
use super::systemd::{self, Unit};
use crate::actions::lifetime::Lifetime;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, Read, quote::word};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::{Delta, Diff};
use crate::event::Problem;
use crate::plan::{ParamError, Role, RunsOn, refuse};

/// Runs a command on a schedule: writes the units NAME.service and NAME.timer in /etc/systemd/system, enables the timer
/// and starts it. The output of the command is in the journal: `journalctl -u NAME`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timer {
    /// Name of the units, without a suffix.
    pub name: String,
    /// Whether the timer is wanted. With "absent", both units are removed.
    #[serde(default)]
    pub state: State,
    /// Script for `sh`.
    #[serde(default)]
    pub command: String,
    /// Times in the format of `systemd-analyze calendar`: "daily", "Mon..Fri 03:30", "*:0/15".
    #[serde(default)]
    pub on_calendar: Option<String>,
    /// Interval such as "15m", counted from the last start of the command; it first runs at once.
    #[serde(default)]
    pub every: Option<Lifetime>,
    /// With `on_calendar`: whether a run that was missed while the host was off is made up for.
    #[serde(default)]
    pub persistent: bool,
    /// Random delay of each run, at most this long, so that many hosts do not start at once. Default: none.
    #[serde(default)]
    pub random_delay: Option<Lifetime>,
    /// How long the command may run. Default: without limit.
    #[serde(default)]
    pub max_runtime: Option<Lifetime>,
    /// User that the command runs as. Default: root.
    #[serde(default)]
    pub user: Option<String>,
    /// Description of the units, one line. Default: `name`.
    #[serde(default)]
    pub description: Option<String>,
}

impl Spec for Timer {
    const NAME: &'static str = "node.timer";
    const SUMMARY: &'static str = "a command at set times, by a systemd timer";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "trim"
action = "node.timer"
hosts = "pis"
become = true
name = "trim-images"
command = "k3s crictl rmi --prune"
on_calendar = "Sun 04:00"
random_delay = "30m"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        systemd::check_unit_name("name", &self.name)?;
        if self.name.ends_with(".timer") || self.name.ends_with(".service") {
            return refuse("name", "leave the suffix out: both units get this name");
        }
        if self.state == State::Absent {
            let given = !self.command.is_empty() || self.on_calendar.is_some() || self.every.is_some();
            return if given { refuse("state", "with `state = \"absent\"`, give `name` only") } else { Ok(()) };
        }
        if self.command.trim().is_empty() {
            return refuse("command", "give the command");
        }
        if self.on_calendar.is_some() == self.every.is_some() {
            return refuse("on_calendar", "give either `on_calendar` or `every`");
        }
        if self.every.is_some_and(|every| every.as_seconds() == 0) {
            return refuse("every", "it cannot be zero");
        }
        if self.persistent && self.on_calendar.is_none() {
            return refuse("persistent", "it needs `on_calendar`");
        }
        for (name, text) in [("on_calendar", &self.on_calendar), ("description", &self.description)] {
            if text.as_ref().is_some_and(|text| text.trim().is_empty() || text.contains(['\n', '\\'])) {
                return refuse(name, "it must be one line, without backslashes");
            }
        }
        self.user.as_deref().map_or(Ok(()), |user| check_account("user", user))
    }
}

impl Timer {
    fn units(&self) -> [String; 2] {
        [format!("{}.service", self.name), format!("{}.timer", self.name)]
    }

    fn contents(&self) -> [String; 2] {
        let description = self.description.as_deref().unwrap_or(&self.name).replace('%', "%%");
        let mut service = format!("[Unit]\nDescription={description}\n\n[Service]\nType=oneshot\n");
        if let Some(user) = &self.user {
            service.push_str(&format!("User={user}\n"));
        }
        if let Some(limit) = self.max_runtime {
            service.push_str(&format!("TimeoutStartSec={}s\n", limit.as_seconds()));
        }
        service.push_str(&format!("ExecStart=/bin/sh -c {}\n", quoted(&self.command)));
        let mut timer = format!("[Unit]\nDescription={description}\n\n[Timer]\n");
        if let Some(when) = &self.on_calendar {
            timer.push_str(&format!("OnCalendar={when}\nPersistent={}\n", self.persistent));
        }
        if let Some(every) = self.every {
            timer.push_str(&format!("OnBootSec=0s\nOnUnitActiveSec={}s\nAccuracySec=1s\n", every.as_seconds()));
        }
        if let Some(delay) = self.random_delay {
            timer.push_str(&format!("RandomizedDelaySec={}s\n", delay.as_seconds()));
        }
        timer.push_str("\n[Install]\nWantedBy=timers.target\n");
        [service, timer]
    }

    /// Fails when systemd does not accept `on_calendar`; passes where the host has no `systemd-analyze`.
    fn check_calendar(facts: &[Fact]) -> Result<(), Problem> {
        let done = output_at(facts, 3)?;
        if done.exit == 0 {
            return Ok(());
        }
        let problem = Problem::new(format!("systemd does not accept `on_calendar`: {}", done.stderr.last_lines(1)));
        Err(problem.hint(
            "`systemd-analyze calendar 'Mon..Fri 03:30'` shows what a time means; systemd.time(7) describes the format",
        ))
    }

    fn diff_and_effects(&self, facts: &[Fact]) -> Result<(Diff, Vec<CheckedEffect>), Problem> {
        let unit = Unit::parse(facts, 2)?;
        if self.state == State::Absent {
            return Ok(self.removal(&unit, facts));
        }
        if self.on_calendar.is_some() {
            Self::check_calendar(facts)?;
        }
        let [service, timer] = self.units();
        let (mut diff, mut effects) = (Diff::default(), Vec::new());
        for (index, (name, content)) in [&service, &timer].into_iter().zip(self.contents()).enumerate() {
            let attributes = Attributes { mode: Some(0o644), ..Attributes::default() };
            let path = systemd::file_of(name);
            let wanted = DesiredFile::text(&path, &content, attributes);
            let file = wanted.diff(file_at(facts, index))?;
            if !file.is_empty() {
                effects.push(wanted.effect(file_at(facts, index)).into());
                diff.0.extend(file.0);
            }
        }
        if unit.is_masked() {
            return Err(Problem::new(format!("{timer} is masked, so that nothing can start it"))
                .hint("unmask it with `node.service` and `masked = false` first"));
        }
        if !effects.is_empty() || unit.need_reload || unit.is_unknown() {
            diff.0.push(Delta::Act { what: "make systemd reload all unit files".to_owned() });
            effects.push(systemd::daemon_reload());
        }
        if !unit.is_enabled() {
            diff.push_field("enabled", Some(unit.enabled.clone()), Some("enabled".to_owned()));
            effects.push(CheckedEffect::script(
                format!("enable {timer}"),
                format!("systemctl enable -- {}", word(&timer)),
            ));
        }
        if !unit.runs() {
            diff.push_field("state", Some(unit.description()), Some("started".to_owned()));
            effects.push(systemd::job("start", &timer));
        }
        Ok((diff, effects))
    }

    fn removal(&self, unit: &Unit, facts: &[Fact]) -> (Diff, Vec<CheckedEffect>) {
        let [service, timer] = self.units();
        let (mut diff, mut effects) = (Diff::default(), Vec::new());
        if unit.is_enabled_at_all() || unit.runs() {
            diff.push_field("state", Some(unit.description()), Some("stopped".to_owned()));
            let script = format!("systemctl disable --now -- {}", word(&timer));
            effects.push(CheckedEffect::script(format!("stop {timer}"), script));
        }
        let mut gone = false;
        for (index, name) in [service, timer].into_iter().enumerate() {
            let Some(file) = file_at(facts, index) else { continue };
            let path = systemd::file_of(&name);
            diff.0.push(text_delta(&path, Some(file), None));
            effects.push(host::Effect::Remove { path }.into());
            gone = true;
        }
        // A run that was interrupted after it removed the files leaves the reload to this one.
        if gone || !unit.is_unknown() && unit.load != "not-found" && unit.need_reload {
            effects.push(systemd::daemon_reload());
        }
        (diff, effects)
    }
}

/// The text as one argument in a unit file: in double quotes, with `\`, `"`, `$` and `%` escaped.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '$' => out.push_str("$$"),
            '%' => out.push_str("%%"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl Action for Timer {
    fn probes(&self) -> Vec<Probe> {
        let [service, timer] = self.units();
        let mut probes: Vec<Probe> =
            [&service, &timer].into_iter().map(|unit| file_probe(&systemd::file_of(unit), Read::Content)).collect();
        probes.push(systemd::unit_probe(&timer));
        if let Some(when) = &self.on_calendar {
            let when = word(when);
            probes.push(script_probe(format!(
                "command -v systemd-analyze >/dev/null || exit 0; systemd-analyze calendar -- {when} >/dev/null"
            )));
        }
        probes
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        Verdict::judged(self.diff_and_effects(facts).map(|(diff, _)| diff), String::new)
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        next_checked(&self.diff_and_effects(facts)?.1, done)
    }

    fn is_verified(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::systemd::tests::unit;
    use super::super::testing::{blocked, build, change, effects, file, is_same, ran, refused};
    use super::*;
    use crate::actions::node::content::tests::regular;

    fn step() -> Timer {
        build("name = 'tidy'\ncommand = 'date \"+%F\" > $HOME/x'\non_calendar = 'daily'\nuser = 'pi'").unwrap()
    }

    const SERVICE: &str = "[Unit]\nDescription=tidy\n\n[Service]\nType=oneshot\nUser=pi\n\
                           ExecStart=/bin/sh -c \"date \\\"+%%F\\\" > $$HOME/x\"\n";
    const TIMER: &str = "[Unit]\nDescription=tidy\n\n[Timer]\nOnCalendar=daily\nPersistent=false\n\n\
                         [Install]\nWantedBy=timers.target\n";

    fn there(timer: Fact) -> [Fact; 4] {
        [file(Some(regular(SERVICE, 0o644))), file(Some(regular(TIMER, 0o644))), timer, ran(0, "", "")]
    }

    #[test]
    fn both_units_are_written_read_and_the_timer_started() {
        assert!(is_same(&step().verdict(&there(unit("loaded", "active", "waiting", "enabled")))));
        let facts = [file(None), file(None), unit("not-found", "inactive", "dead", ""), ran(0, "", "")];
        let effects = effects(&step(), &facts);
        let [host::Effect::WriteFile(service), host::Effect::WriteFile(timer), runs @ ..] = &effects[..] else {
            panic!("{effects:?}")
        };
        assert_eq!((service.content.as_slice(), timer.content.as_slice()), (SERVICE.as_bytes(), TIMER.as_bytes()));
        assert_eq!((timer.path.as_str(), runs.len()), ("/etc/systemd/system/tidy.timer", 3));
    }

    #[test]
    fn what_was_cut_off_is_ended() {
        let facts = there(unit("not-found", "inactive", "dead", ""));
        assert_eq!(effects(&step(), &facts).len(), 3);
        let facts = there(unit("loaded", "inactive", "dead", "enabled"));
        assert_eq!(change(&step().verdict(&facts)), ["~ state: inactive (dead) → started"]);
    }

    #[test]
    fn a_time_that_systemd_does_not_take_blocks() {
        let mut facts = there(unit("loaded", "active", "waiting", "enabled"));
        facts[3] = ran(1, "", "Failed to parse calendar specification 'x': Invalid argument\n");
        assert!(blocked(&step().verdict(&facts)).contains("Failed to parse"));
    }

    #[test]
    fn an_interval_counts_from_the_last_start() {
        let step = build::<Timer>("name = 'x'\ncommand = 'true'\nevery = '15m'\nrandom_delay = '1m'").unwrap();
        let [_, timer] = step.contents();
        assert!(timer.contains("OnUnitActiveSec=900s\n") && timer.contains("RandomizedDelaySec=60s\n"), "{timer}");
        assert_eq!(step.probes().len(), 3);
    }

    #[test]
    fn both_units_go() {
        let step = build::<Timer>("name = 'tidy'\nstate = 'absent'").unwrap();
        assert!(is_same(&step.verdict(&[file(None), file(None), unit("not-found", "inactive", "dead", "")])));
        let effects = effects(&step, &there(unit("loaded", "active", "waiting", "enabled")));
        assert!(matches!(
            &effects[..],
            [host::Effect::Run(_), host::Effect::Remove { .. }, host::Effect::Remove { .. }, _]
        ));
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for (toml, parameter) in [
            ("name = 'x.timer'\nstate = 'absent'", "/name"),
            ("name = 'x'\nevery = '1m'", "/command"),
            ("name = 'x'\ncommand = 'a'", "/on_calendar"),
            ("name = 'x'\ncommand = 'a'\nevery = '1m'\non_calendar = 'daily'", "/on_calendar"),
            ("name = 'x'\ncommand = 'a'\nevery = '0s'", "/every"),
            ("name = 'x'\ncommand = 'a'\nevery = '1m'\npersistent = true", "/persistent"),
            ("name = 'x'\ncommand = 'a'\nevery = '1m'\ndescription = \"a\\nb\"", "/description"),
            ("name = 'x'\ncommand = 'a'\nevery = '1m'\nuser = 'a b'", "/user"),
            ("name = 'x'\nstate = 'absent'\nevery = '1m'", "/state"),
        ] {
            assert_eq!(refused::<Timer>(toml), parameter, "{toml}");
        }
    }
}
