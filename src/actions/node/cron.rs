//! `node.cron`: a scheduled command, by a file in /etc/cron.d.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::content::{DesiredFile, new_file_mode, text_delta};
use super::effects::nth_effect;
use super::group::State;
use super::params::{check_account, check_path, trimmed};
use super::probes::{file_at, file_probe};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, Read};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::Problem;
use crate::plan::{ParamError, Role, RunsOn, refuse};

/// Runs a command on a schedule, by a file of its own in /etc/cron.d. On a host with systemd, `node.timer` does the
/// same without cron.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cron {
    /// Name of the file: letters, digits, `-` and `_`; cron ignores files with other names.
    pub name: String,
    /// Whether the file is wanted.
    #[serde(default)]
    pub state: State,
    /// Schedule: five fields (minute, hour, day of month, month, day of week) such as "30 3 * * 1-5", or `@daily`,
    /// `@hourly`, `@weekly`, `@monthly`, `@yearly`, `@reboot`.
    #[serde(default)]
    pub schedule: String,
    /// Script for `sh`, one line. A `%` is escaped for cron.
    #[serde(default)]
    pub command: String,
    /// User that the command runs as.
    #[serde(default = "root")]
    pub user: String,
    /// Environment variables of the command, such as { MAILTO = "" }.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Directory of the file.
    #[serde(default = "cron_d")]
    pub folder: String,
}

fn root() -> String {
    "root".to_owned()
}

fn cron_d() -> String {
    "/etc/cron.d".to_owned()
}

impl Spec for Cron {
    const NAME: &'static str = "node.cron";
    const SUMMARY: &'static str = "a command at set times, by a file in /etc/cron.d";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const IS_REVERTIBLE: bool = true;
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "backup"
action = "node.cron"
hosts = "pis"
become = true
name = "backup"
schedule = "30 3 * * *"
command = "/usr/local/bin/backup --quiet"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if self.name.is_empty() || !self.name.chars().all(is_allowed) {
            return refuse(
                "name",
                format!("\"{}\" must be letters, digits, `-` and `_`: cron ignores other files", self.name),
            );
        }
        check_path("folder", &self.folder)?;
        if self.state == State::Absent {
            let given = !self.command.is_empty() || !self.schedule.is_empty();
            return if given { refuse("state", "with `state = \"absent\"`, give `name` only") } else { Ok(()) };
        }
        check_account("user", &self.user)?;
        if let Err(why) = check_schedule(&self.schedule) {
            return refuse("schedule", why);
        }
        if self.command.trim().is_empty() || self.command.contains(LINE_BREAKS) {
            return refuse("command", "give a command of one line");
        }
        if self.command.contains("\\%") {
            let why = "write `%` without a backslash: rollout escapes it for cron";
            return refuse("command", why);
        }
        if self.escaped_command().len() > MAX_LINE_BYTES {
            let why = format!(
                "cron accepts commands of at most {MAX_LINE_BYTES} bytes: put this one into a script with `node.file`"
            );
            return refuse("command", why);
        }
        for (key, value) in &self.environment {
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if key == "LOGNAME" {
                return refuse("environment", "cron sets LOGNAME itself: `user` sets who runs the command");
            }
            if key.len() + value.len() > MAX_LINE_BYTES {
                return refuse(
                    "environment",
                    format!("cron accepts at most {MAX_LINE_BYTES} bytes for {key} and its value"),
                );
            }
            if key.is_empty() || !key.chars().all(is_allowed) || value.contains(LINE_BREAKS) || value.contains('"') {
                return refuse(
                    "environment",
                    format!("{key} must consist of letters, digits and `_`, and its value must be one line without \""),
                );
            }
        }
        Ok(())
    }
}

/// Characters that end a line of a crontab, or cannot be in one.
const LINE_BREAKS: [char; 3] = ['\n', '\r', '\0'];

/// Longest command or variable that Debian's cron accepts, in bytes. A longer variable makes cron ignore the whole
/// file.
const MAX_LINE_BYTES: usize = 998;

/// A number as cron parses it: digits only.
fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Why Debian's cron would not accept the schedule. One wrong line makes cron ignore the whole file.
fn check_schedule(schedule: &str) -> Result<(), String> {
    const WORDS: [&str; 8] =
        ["@reboot", "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    if WORDS.contains(&schedule) {
        return Ok(());
    }
    let fields: Vec<&str> = schedule.split([' ', '\t']).filter(|field| !field.is_empty()).collect();
    let kinds: [(&str, u32, u32, &[&str]); 5] = [
        ("minute", 0, 59, &[]),
        ("hour", 0, 23, &[]),
        ("day of month", 1, 31, &[]),
        ("month", 1, 12, &MONTHS),
        ("day of week", 0, 7, &DAYS),
    ];
    if fields.len() != kinds.len() || schedule.contains(LINE_BREAKS) {
        return Err(format!("\"{schedule}\" has not five fields, and is none of {}", WORDS.join(", ")));
    }
    for (field, (what, least, most, names)) in fields.into_iter().zip(kinds) {
        let number = |text: &str| {
            let name =
                names.iter().position(|name| text.eq_ignore_ascii_case(name)).and_then(|at| u32::try_from(at).ok());
            let number = name.map(|at| at + least).or_else(|| digits(text));
            number.filter(|n| (least..=most).contains(n))
        };
        let part = |text: &str| {
            let (range, step) = text.split_once('/').map_or((text, None), |(range, step)| (range, Some(step)));
            let steps = step.is_none_or(|step| digits(step).is_some_and(|step| step > 0));
            let range = range == "*"
                || match range.split_once('-') {
                    Some((from, to)) => matches!((number(from), number(to)), (Some(from), Some(to)) if from <= to),
                    // Some crons accept "5/15" for "5-59/15"; Debian's refuses it.
                    None => step.is_none() && number(range).is_some(),
                };
            steps && range
        };
        if !field.split(',').all(part) {
            let steps = "steps of a range, such as `*/5` or `10-50/5`";
            return Err(format!(
                "\"{field}\" is not a valid {what}: give {least} to {most}, `*`, lists, ranges, or {steps}"
            ));
        }
    }
    Ok(())
}

impl Cron {
    fn path(&self) -> String {
        format!("{}/{}", trimmed(&self.folder), self.name)
    }

    fn content(&self) -> String {
        let variables: String = self.environment.iter().map(|(key, value)| format!("{key}=\"{value}\"\n")).collect();
        format!("{variables}{} {} {}\n", self.schedule, self.user, self.escaped_command())
    }

    /// The command with `%` escaped: in a crontab a bare `%` ends the command.
    fn escaped_command(&self) -> String {
        self.command.replace('%', "\\%")
    }

    fn with_file<R>(&self, facts: &[Fact], with: impl FnOnce(&DesiredFile<'_>, Option<&host::File>) -> R) -> R {
        // cron ignores files in /etc/cron.d that do not belong to root.
        let owner = (trimmed(&self.folder) == cron_d()).then(root);
        let (path, content) = (self.path(), self.content());
        let attributes = Attributes { mode: Some(new_file_mode(content.as_bytes())), owner, group: None };
        let wanted = DesiredFile::text(&path, &content, attributes);
        with(&wanted, file_at(facts, 0))
    }
}

impl Action for Cron {
    fn probes(&self) -> Vec<Probe> {
        vec![file_probe(&self.path(), Read::Content)]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        match (self.state, file_at(facts, 0)) {
            (State::Present, _) => self.with_file(facts, |wanted, current| wanted.verdict(current)),
            (State::Absent, None) => Verdict::Same { seen: String::new() },
            (State::Absent, current) => Verdict::Change(Diff(vec![text_delta(&self.path(), current, None)])),
        }
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let effect = match self.state {
            State::Present => self.with_file(facts, |wanted, current| wanted.effect(current)),
            State::Absent => host::Effect::Remove { path: self.path() },
        };
        nth_effect(&[effect], done)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{build, change, effects, file, is_same, refused};
    use super::*;
    use crate::actions::node::content::tests::regular;

    #[test]
    fn the_line_is_as_cron_reads_it() {
        let toml = "name = 'x'\nschedule = '30 3 * * *'\ncommand = 'date +%F'\nenvironment = { MAILTO = '' }";
        let step = build::<Cron>(toml).unwrap();
        let line = "MAILTO=\"\"\n30 3 * * * root date +\\%F\n";
        assert!(is_same(&step.verdict(&[file(Some(regular(line, 0o644)))])));
        let effects = effects(&step, &[file(None)]);
        let [host::Effect::WriteFile(write)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!((write.path.as_str(), write.content.as_slice()), ("/etc/cron.d/x", line.as_bytes()));
    }

    #[test]
    fn it_goes() {
        let step = build::<Cron>("name = 'x'\nstate = 'absent'").unwrap();
        assert!(is_same(&step.verdict(&[file(None)])));
        let there = [file(Some(regular("a\n", 0o644)))];
        assert_eq!(change(&step.verdict(&there)).last().unwrap(), "-a");
        assert_eq!(effects(&step, &there), [host::Effect::Remove { path: "/etc/cron.d/x".into() }]);
    }

    #[test]
    fn schedules_are_checked_field_by_field() {
        for good in [
            "@daily",
            "* * * * *",
            "*/5 0-6,22 1 jan-mar Mon",
            "0 0 31 12 7",
            "0-59/2 * * * 1-5",
            "*/90\t* * * sun-thu",
            "0 0 * * 5-7",
        ] {
            assert_eq!(check_schedule(good), Ok(()), "{good}");
        }
        for (wrong, why) in [
            ("", "five fields"),
            ("@often", "five fields"),
            ("60 * * * *", "minute"),
            ("* 24 * * *", "hour"),
            ("* * 0 * *", "day of month"),
            ("* * * 13 *", "month"),
            ("* * * * 8", "day of week"),
            ("*/0 * * * *", "minute"),
            ("5-1 * * * *", "minute"),
            ("1, * * * *", "minute"),
            ("* * * *\n*", "five fields"),
            ("* * * * *\r", "five fields"),
            ("*\u{a0}* * * *", "five fields"),
            ("5/15 * * * *", "minute"),
            ("1,5/15 * * * *", "minute"),
            ("* * * jan/2 *", "month"),
            ("+5 * * * *", "minute"),
            ("*/+5 * * * *", "minute"),
            ("*/ * * * *", "minute"),
            ("- * * * *", "minute"),
            ("* * * * fri-sun", "day of week"),
            ("@Daily", "five fields"),
        ] {
            assert!(check_schedule(wrong).is_err_and(|e| e.contains(why)), "{wrong}");
        }
    }

    #[test]
    fn wrong_parameters_are_refused() {
        let good = "name = 'x'\nschedule = '@daily'\n";
        for (toml, parameter) in [
            ("name = 'x.y'\nstate = 'absent'".to_owned(), "/name"),
            (good.into(), "/command"),
            (format!("{good}command = \"a\\nb\""), "/command"),
            (format!("{good}command = \"a\\r\""), "/command"),
            (format!("{good}command = 'date +\\%F'"), "/command"),
            (format!("{good}command = 'a{}'", "%".repeat(500)), "/command"),
            (format!("{good}command = 'a'\nuser = 'a b'"), "/user"),
            (format!("{good}command = 'a'\nenvironment = {{ LOGNAME = 'x' }}"), "/environment"),
            (format!("{good}command = 'a'\nenvironment = {{ A = '{}' }}", "a".repeat(998)), "/environment"),
            (format!("{good}command = 'a'\nenvironment = {{ 'A B' = 'x' }}"), "/environment"),
            (format!("{good}state = 'absent'"), "/state"),
        ] {
            assert_eq!(refused::<Cron>(&toml), parameter, "{toml}");
        }
    }
}
