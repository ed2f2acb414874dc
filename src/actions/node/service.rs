//! `node.service`: a systemd unit runs, starts at boot, and is what its file says.

use schemars::JsonSchema;
use serde::Deserialize;

use super::content::DesiredFile;
use super::effects::{file_at, look, words};
use super::install::Install;
use super::scripts::{CheckedEffect, answer, ask, next_checked};
use super::systemd::{self, Unit};
use crate::actions::{Action, OnInterrupt, Spec, Verdict};
use crate::connect::host::{self, Attributes, File, Read};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::{Delta, Diff};
use crate::event::Problem;
use crate::plan::{ParamError, Role, RunsOn, refuse};

/// Starts, stops, enables or masks a systemd unit, and writes its file when `unit` is given. Where systemd says that a
/// unit's files changed since it read them, it reads them first. A unit that does not start shows its last log lines.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Name of the unit, such as "k3s" or "fstrim.timer"; without a suffix it is a service. May be left out with
    /// `daemon_reload`.
    #[serde(default)]
    pub name: String,
    /// What is wanted of it. A unit that systemd does not know is stopped and disabled.
    #[serde(default)]
    pub state: Option<State>,
    /// Whether it starts at boot. Default: as it is. With `unit`, it is enabled by what its section [Install] says, and anew
    /// when that changes.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// Whether it is masked, so that nothing can start it. Default: as it is.
    #[serde(default)]
    pub masked: Option<bool>,
    /// Text of /etc/systemd/system/NAME. When it changes, a running unit goes on as it was: `notify` a handler that has
    /// `state = "restarted"`.
    #[serde(default)]
    pub unit: Option<String>,
    /// Whether systemd reads all unit files anew even if it sees no need, as after a change of /etc/fstab. Always counts as
    /// a change: for handlers.
    #[serde(default)]
    pub daemon_reload: bool,
}

/// What is wanted of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It runs. A oneshot unit is only ever found running with `RemainAfterExit=yes`.
    Started,
    /// It does not run.
    Stopped,
    /// It is stopped and started, or just started. Always counts as a change: for handlers.
    Restarted,
    /// It is told to read its configuration anew, or just started. Always counts as a change: for handlers.
    Reloaded,
}

impl Spec for Service {
    const NAME: &'static str = "node.service";
    const SUMMARY: &'static str = "a systemd unit runs, starts at boot, and is what its file says";
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
            return refuse("masked", "a masked unit can neither start, nor be enabled, nor have a file of its own");
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

    /// What its own file says it is enabled by; nothing when it is not to be enabled by that.
    fn install(&self) -> Option<Install> {
        self.unit.as_deref().filter(|_| self.enabled == Some(true)).map(Install::read)
    }

    /// Why it is to be enabled anew although it is enabled: what it was enabled by until now, for people.
    fn enabled_otherwise(&self, facts: &[Fact]) -> Result<Option<String>, Problem> {
        let Some(wanted) = self.install() else { return Ok(None) };
        let content = file_at(facts, 1).and_then(|file| file.content.as_deref());
        let before = content.map(|content| Install::read(&String::from_utf8_lossy(content)));
        if let Some(before) = before.filter(|before| *before != wanted) {
            return Ok(Some(before.told()));
        }
        let missing = answer(facts, 2, "look what the unit is enabled by")?;
        let missing: Vec<&str> = missing.lines().collect();
        Ok((!missing.is_empty()).then(|| format!("without {}", missing.join(", "))))
    }

    /// What is wrong, and what is done about it. Once all was done (`after`), what always acts has acted.
    fn judge(&self, facts: &[Fact], after: bool) -> Result<(Diff, Vec<CheckedEffect>), Problem> {
        let (mut diff, mut acts) = (Diff::default(), Vec::new());
        let mut reload = self.daemon_reload && !after;
        if self.name.is_empty() {
            diff = Diff::act("have systemd read all unit files");
            return Ok((diff, vec![systemd::daemon_reload()]));
        }
        let (name, unit) = (self.unit_name(), Unit::read(facts, 0)?);
        if let Some((file, effect)) =
            self.file(facts, |wanted, seen| wanted.diff(seen).map(|diff| (diff, wanted.effect(seen)))).transpose()?
        {
            if !file.is_empty() {
                reload |= file.0.iter().any(|delta| !matches!(delta, Delta::Field { path, .. } if path == "mode"));
                diff.0.extend(file.0);
                acts.push(effect.into());
            }
            reload |= unit.is_unknown();
        }
        let wants = self.state.is_some_and(|state| state != State::Stopped) || self.enabled == Some(true);
        if unit.is_unknown() && wants && self.unit.is_none() {
            return Err(Problem::new(format!("systemd knows no unit {name}")).hint(
                "is the name right, and the package installed that brings it? `unit` writes a file of one's own",
            ));
        }
        if unit.is_masked() && wants && self.masked.is_none() {
            return Err(Problem::new(format!("{name} is masked, so that nothing can start it"))
                .hint("set `masked = false` if that is no longer meant"));
        }
        if reload || (unit.need_reload && !after) {
            diff.0.push(Delta::Act { what: "have systemd read all unit files".to_owned() });
            acts.push(systemd::daemon_reload());
        }
        let word = host::quote::word(&name);
        let told = |masked: bool| if masked { "yes" } else { "no" }.to_owned();
        if self.masked == Some(true) && !unit.is_masked_for_good() {
            let before = if unit.is_masked() { "until the next boot".to_owned() } else { told(false) };
            diff.push_field("masked", Some(before), Some(told(true)));
            acts.push(CheckedEffect::script(format!("mask {name}"), format!("systemctl mask -- {word}")));
        } else if self.masked == Some(false) && unit.is_masked() {
            let runtime = if unit.is_masked_for_good() { "" } else { " --runtime" };
            diff.push_field("masked", Some(told(true)), Some(told(false)));
            acts.push(CheckedEffect::script(format!("unmask {name}"), format!("systemctl unmask{runtime} -- {word}")));
        }
        // It is not enabled or disabled by another name.
        let own = if unit.id.is_empty() || unit.is_unknown() || self.unit.is_some() { &name } else { &unit.id };
        let own = host::quote::word(own);
        match self.enabled {
            Some(true) if !unit.is_enabled() => {
                if !unit.can_be_enabled() && self.unit.is_none() {
                    let why = format!("{name} cannot be enabled: its file is {}", unit.enabled);
                    return Err(
                        Problem::new(why).hint("something else starts it; leave `enabled` out, or give a `unit`")
                    );
                }
                diff.push_field("enabled", Some(unit.enabled.clone()), Some("enabled".to_owned()));
                acts.push(CheckedEffect::script(format!("enable {name}"), format!("systemctl enable -- {own}")));
            }
            Some(true) => {
                if let Some(before) = self.enabled_otherwise(facts)? {
                    let wanted = self.install().map(|install| install.told());
                    diff.push_field("enabled by", Some(before), wanted);
                    acts.push(CheckedEffect::script(
                        format!("enable {name} anew"),
                        format!("systemctl reenable -- {own}"),
                    ));
                }
            }
            Some(false) if unit.is_enabled_for_now() => {
                diff.push_field("enabled", Some(unit.enabled.clone()), Some("disabled".to_owned()));
                let runtime = if unit.is_enabled() { "" } else { " --runtime" };
                acts.push(CheckedEffect::script(
                    format!("disable {name}"),
                    format!("systemctl disable{runtime} -- {own}"),
                ));
            }
            _ => {}
        }
        let (verb, change) = match self.state {
            // What does its work and ends was started, too.
            Some(_) if after && unit.is_oneshot && unit.active == "inactive" => return Ok((diff, acts)),
            Some(State::Restarted | State::Reloaded) if after && unit.runs() => return Ok((diff, acts)),
            Some(State::Started) if !unit.runs() => ("start", Some("started")),
            Some(State::Restarted | State::Reloaded) if after => ("start", Some("started")),
            Some(State::Stopped) if !unit.is_stopped() => ("stop", Some("stopped")),
            Some(State::Restarted) => ("restart", None),
            Some(State::Reloaded) if unit.runs() => ("reload", None),
            Some(State::Reloaded) => ("start", None),
            _ => return Ok((diff, acts)),
        };
        match change {
            Some(state) => diff.push_field("state", Some(unit.told()), Some(state.to_owned())),
            None => diff.0.push(Delta::Act { what: format!("{verb} {name}") }),
        }
        acts.push(systemd::act(verb, &name));
        Ok((diff, acts))
    }

    fn says(&self, facts: &[Fact], after: bool) -> Verdict {
        match self.judge(facts, after) {
            Err(problem) => Verdict::Blocked(problem),
            Ok((diff, _)) if diff.is_empty() => {
                Verdict::Same { seen: Unit::read(facts, 0).map(|unit| unit.told()).unwrap_or_default() }
            }
            Ok((diff, _)) => match self.on_its_way(&diff, facts) {
                Some(seen) => Verdict::Wait { seen },
                None => Verdict::Change(diff),
            },
        }
    }

    /// A unit that is on its way where it should be is waited for.
    fn on_its_way(&self, diff: &Diff, facts: &[Fact]) -> Option<String> {
        let unit = Unit::read(facts, 0).ok()?;
        let way = match self.state {
            Some(State::Started | State::Restarted | State::Reloaded) => unit.active == "activating",
            Some(State::Stopped) => unit.active == "deactivating",
            _ => false,
        };
        let only = matches!(&diff.0[..], [Delta::Field { path, .. }] if path == "state");
        (way && only).then(|| format!("{} is {}", self.unit_name(), unit.told()))
    }
}

impl Action for Service {
    fn probes(&self) -> Vec<Probe> {
        if self.name.is_empty() {
            return Vec::new();
        }
        let mut probes = vec![systemd::look_at(&self.unit_name())];
        if self.unit.is_some() {
            probes.push(look(&systemd::file_of(&self.unit_name()), Read::Content));
        }
        if let Some(install) = self.install() {
            let links = install.links(systemd::FOLDER, &self.unit_name());
            let links: Vec<&str> = links.iter().map(String::as_str).collect();
            let links = words(&links);
            probes.push(ask(format!("for it in {links}; do [ -L \"$it\" ] || printf '%s\\n' \"$it\"; done")));
        }
        probes
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        self.says(facts, false)
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        next_checked(&self.judge(facts, false)?.1, done)
    }

    fn is_verified(&self) -> bool {
        !self.name.is_empty()
    }

    fn verdict_after(&self, facts: &[Fact]) -> Verdict {
        self.says(facts, true)
    }

    /// A second restart or reading does no harm.
    fn on_interrupt(&self) -> Option<OnInterrupt> {
        let blind = self.daemon_reload || matches!(self.state, Some(State::Restarted | State::Reloaded));
        blind.then_some(OnInterrupt::Rerun)
    }
}

#[cfg(test)]
mod tests {
    use super::super::systemd::tests::unit;
    use super::super::testing::{blocked, build, change, file, is_same, ran, refused};
    use super::*;
    use crate::actions::node::content::tests::regular;
    use crate::connect::host::{Command, Run};

    /// What a change does: the last line of scripts, the path of files.
    fn effects(step: &Service, facts: &[Fact]) -> Vec<String> {
        let told = |effect: host::Effect| match effect {
            host::Effect::Run(Run { command: Command::Shell(script), .. }) => {
                script.lines().next().unwrap_or_default().to_owned()
            }
            host::Effect::WriteFile(file) => file.path,
            other => panic!("{other:?}"),
        };
        super::super::testing::effects(step, facts).into_iter().map(told).collect()
    }

    #[test]
    fn a_unit_is_started_and_enabled_only_when_it_is_not() {
        let step = build::<Service>("name = 'k3s'\nstate = 'started'\nenabled = true").unwrap();
        assert!(is_same(&step.verdict(&[unit("loaded", "active", "running", "enabled")])));
        let facts = [unit("loaded", "inactive", "dead", "disabled")];
        assert_eq!(
            change(&step.verdict(&facts)),
            ["~ enabled: disabled → enabled", "~ state: inactive (dead) → started"]
        );
        assert_eq!(effects(&step, &facts), ["systemctl enable -- k3s.service", "verb=start unit=k3s.service"]);
        let step = build::<Service>("name = 'a.timer'\nstate = 'stopped'\nenabled = false").unwrap();
        assert!(is_same(&step.verdict(&[unit("loaded", "failed", "failed", "static")])));
        assert!(is_same(&step.verdict(&[unit("not-found", "inactive", "dead", "")])));
        let facts = [unit("loaded", "active", "waiting", "enabled")];
        assert_eq!(effects(&step, &facts), ["systemctl disable -- a.timer", "verb=stop unit=a.timer"]);
    }

    #[test]
    fn a_unit_on_its_way_is_waited_for() {
        let step = build::<Service>("name = 'k3s'\nstate = 'started'").unwrap();
        let seen = "k3s.service is activating (auto-restart)".to_owned();
        let facts = [unit("loaded", "activating", "auto-restart", "enabled")];
        assert_eq!(step.verdict(&facts), Verdict::Wait { seen });
    }

    #[test]
    fn what_cannot_be_is_blocked_with_the_reason() {
        let step = build::<Service>("name = 'x'\nenabled = true").unwrap();
        let says = |fact: Fact| blocked(&step.verdict(&[fact]));
        assert!(says(unit("not-found", "inactive", "dead", "")).contains("knows no unit x.service"));
        assert!(says(unit("masked", "inactive", "dead", "masked")).contains("is masked"));
        assert!(says(unit("loaded", "active", "running", "static")).contains("its file is static"));
        let none = ran(127, "", "there is no systemctl\n");
        assert!(says(none).contains("there is no systemctl"));
        assert!(says(ran(0, "LoadState=loaded", "")).contains("ActiveState"));
    }

    #[test]
    fn a_mask_is_set_and_taken_off() {
        let step = build::<Service>("name = 'x'\nmasked = false\nstate = 'started'").unwrap();
        let facts = [unit("masked", "inactive", "dead", "masked")];
        assert_eq!(effects(&step, &facts), ["systemctl unmask -- x.service", "verb=start unit=x.service"]);
        let step = build::<Service>("name = 'x'\nmasked = true").unwrap();
        assert_eq!(change(&step.verdict(&[unit("not-found", "inactive", "dead", "")])), ["~ masked: no → yes"]);
    }

    #[test]
    fn a_unit_file_is_written_and_read_before_the_unit_starts() {
        let text = "[Service]\nExecStart=/bin/x\n[Install]\nWantedBy=multi-user.target\n";
        let step = build::<Service>(&format!("name = 'x'\nunit = \"\"\"{text}\"\"\"\nenabled = true")).unwrap();
        let facts = [unit("not-found", "inactive", "dead", ""), file(None), ran(0, "", "")];
        let wanted = ["/etc/systemd/system/x.service", "systemctl daemon-reload", "systemctl enable -- x.service"];
        assert_eq!(effects(&step, &facts), wanted);
        let there = file(Some(regular(text, 0o644)));
        assert!(is_same(&step.verdict(&[
            unit("loaded", "inactive", "dead", "enabled"),
            there.clone(),
            ran(0, "", "")
        ])));
        // It was cut off before systemd read the file.
        let facts = [unit("not-found", "inactive", "dead", ""), there, ran(0, "", "")];
        assert_eq!(effects(&step, &facts), wanted[1..]);
    }

    #[test]
    fn a_unit_is_enabled_anew_when_it_is_enabled_by_something_else() {
        let text = |by: &str| format!("[Service]\nExecStart=/bin/x\n[Install]\nWantedBy={by}\n");
        let step =
            build::<Service>(&format!("name = 'x'\nenabled = true\nunit = \"\"\"{}\"\"\"", text("b.target"))).unwrap();
        let sees = |by: &str, missing: &str| {
            let there = file(Some(regular(&text(by), 0o644)));
            [unit("loaded", "active", "running", "enabled"), there, ran(0, missing, "")]
        };
        let link = "/etc/systemd/system/b.target.wants/x.service\n";
        let facts = sees("a.target", link);
        assert_eq!(
            change(&step.verdict(&facts)).last().unwrap(),
            "~ enabled by: WantedBy=a.target → WantedBy=b.target"
        );
        let wanted = ["/etc/systemd/system/x.service", "systemctl daemon-reload", "systemctl reenable -- x.service"];
        assert_eq!(effects(&step, &facts), wanted);
        assert_eq!(
            effects(&step, &sees("b.target", link)),
            wanted[2..],
            "it was cut off in between, or somebody disabled it"
        );
        assert!(is_same(&step.verdict(&sees("b.target", ""))));
    }

    #[test]
    fn states_of_this_boot_are_not_taken_for_those_of_each() {
        let acts = |toml: &str, enabled: &str| {
            let load = if enabled.starts_with("masked") { "masked" } else { "loaded" };
            effects(
                &build::<Service>(&format!("name = 'x'\n{toml}")).unwrap(),
                &[unit(load, "inactive", "dead", enabled)],
            )
        };
        assert_eq!(acts("enabled = true", "enabled-runtime"), ["systemctl enable -- x.service"]);
        assert_eq!(acts("enabled = true", "linked"), ["systemctl enable -- x.service"]);
        assert_eq!(acts("enabled = false", "enabled-runtime"), ["systemctl disable --runtime -- x.service"]);
        assert_eq!(acts("masked = true", "masked-runtime"), ["systemctl mask -- x.service"]);
        assert_eq!(acts("masked = false", "masked-runtime"), ["systemctl unmask --runtime -- x.service"]);
    }

    #[test]
    fn another_name_is_not_disabled_but_the_unit() {
        let Fact::Host(host::Fact::Run(mut done)) = unit("loaded", "active", "running", "enabled") else { panic!() };
        done.stdout.tail.extend(b"Id=ssh.service\n");
        let step = build::<Service>("name = 'sshd'\nenabled = false").unwrap();
        assert_eq!(effects(&step, &[Fact::Host(host::Fact::Run(done))]), ["systemctl disable -- ssh.service"]);
    }

    #[test]
    fn afterwards_a_unit_runs_or_has_done_its_work() {
        let after = |toml: &str, active: &str, kind: &str| {
            let Fact::Host(host::Fact::Run(mut done)) = unit("loaded", active, "x", "enabled") else { panic!() };
            done.stdout.tail.extend(format!("Type={kind}\n").into_bytes());
            build::<Service>(&format!("name = 'x'\n{toml}"))
                .unwrap()
                .verdict_after(&[Fact::Host(host::Fact::Run(done))])
        };
        for state in ["started", "restarted", "reloaded"] {
            let toml = format!("state = '{state}'\ndaemon_reload = true");
            assert!(
                is_same(&after(&toml, "active", "simple")) && is_same(&after(&toml, "inactive", "oneshot")),
                "{state}"
            );
            assert!(matches!(after(&toml, "activating", "notify"), Verdict::Wait { .. }), "{state}");
            assert_eq!(change(&after(&toml, "failed", "simple")), ["~ state: failed (x) → started"], "{state}");
        }
        assert!(is_same(&after("state = 'stopped'", "inactive", "oneshot")));
        assert!(!is_same(&after("state = 'stopped'", "active", "simple")));
    }

    #[test]
    fn files_that_changed_beside_are_read_first() {
        let step = build::<Service>("name = 'x'\nstate = 'started'").unwrap();
        let Fact::Host(host::Fact::Run(mut done)) = unit("loaded", "active", "running", "enabled") else { panic!() };
        done.stdout.tail = done.stdout.text().replace("NeedDaemonReload=no", "NeedDaemonReload=yes").into_bytes();
        assert_eq!(effects(&step, &[Fact::Host(host::Fact::Run(done))]), ["systemctl daemon-reload"]);
    }

    #[test]
    fn handlers_always_act_and_may_act_twice() {
        let facts = [unit("loaded", "active", "running", "enabled")];
        for (state, effect) in [("restarted", "verb=restart"), ("reloaded", "verb=reload")] {
            let step = build::<Service>(&format!("name = 'x'\nstate = '{state}'")).unwrap();
            assert_eq!(effects(&step, &facts), [format!("{effect} unit=x.service")]);
            assert_eq!(step.on_interrupt(), Some(OnInterrupt::Rerun));
        }
        let step = build::<Service>("name = 'x'\nstate = 'reloaded'").unwrap();
        let stopped = [unit("loaded", "inactive", "dead", "enabled")];
        assert_eq!(effects(&step, &stopped), ["verb=start unit=x.service"]);
        let step = build::<Service>("daemon_reload = true").unwrap();
        assert_eq!(change(&step.verdict(&[])), ["! have systemd read all unit files"]);
        assert_eq!(build::<Service>("name = 'x'\nstate = 'started'").unwrap().on_interrupt(), None);
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for (toml, parameter) in [
            ("", "/name"),
            ("daemon_reload = true\nenabled = true", "/name"),
            ("name = 'a b'\nenabled = true", "/name"),
            ("name = '-x'\nenabled = true", "/name"),
            ("name = 'x'", "/state"),
            ("name = 'x'\nmasked = true\nstate = 'started'", "/masked"),
            ("name = 'x'\nunit = \"[Service]\\n\"\nenabled = true", "/unit"),
            ("name = 'x'\nunit = '[Service]'", "/unit"),
        ] {
            assert_eq!(refused::<Service>(toml), parameter, "{toml}");
        }
    }
}
