//! `node.command`: a command on a host, with guards so that it runs only when needed.

use schemars::JsonSchema;
use serde::Deserialize;

use super::conditions::{Conditions, check_no_secret};
use super::exit_policy::{self, ExitPolicy, Expression};
use super::failure::status_line;
use super::probes::run_probe;
use crate::actions::{Action, OnInterrupt, Spec, Verdict};
use crate::connect::host::{self, Run};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};

/// Runs a command. Without a guard (`creates`, `removes`, `unless`, `only_if`) it runs every time and always counts as
/// a change. With `changes = false` the command is a check: it runs in previews too, and its exit status decides.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Script for `sh`. Its exit status is that of its last command, so begin longer scripts with `set -e`. Counts only
    /// when it is run.
    #[serde(default)]
    pub command: Option<String>,
    /// Program and arguments, passed without a shell; replaces `command`. Other users of the host can see them while
    /// the program runs. Counts only when it is run.
    #[serde(default)]
    pub argv: Vec<String>,
    /// Absolute path: the command is skipped when something is there.
    #[serde(default)]
    pub creates: Option<String>,
    /// Absolute path: the command is skipped when nothing is there.
    #[serde(default)]
    pub removes: Option<String>,
    /// Script for `sh`: the command is skipped when it ends with status 0. It runs in previews too, so it must not
    /// change anything.
    #[serde(default)]
    pub unless: Option<String>,
    /// Script for `sh`: the command is skipped unless it ends with status 0. It runs in previews too, so it must not
    /// change anything.
    #[serde(default)]
    pub only_if: Option<String>,
    /// Standard input of the command. The place for secrets: other users of the host cannot see it. Counts only when it
    /// is run.
    #[serde(default)]
    pub stdin: Option<String>,
    /// Working directory of the command and its guards. Default: the user's home. Counts only when it is run.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Exit statuses that count as success. Counts only when it is run.
    #[serde(default = "zero")]
    pub ok_exit_codes: Vec<i32>,
    /// When the command has failed; replaces `ok_exit_codes`. An expression over `exit_code`, `stdout` and `stderr`,
    /// such as "exit_code > 1 or 'error' in stderr". Counts only when it is run.
    #[serde(default)]
    pub failed_when: Option<Expression>,
    /// When the command has changed something, so that handlers are notified: an expression over `exit_code`, `stdout`
    /// and `stderr`, or `false`. Default: always. A preview cannot evaluate it, and reports a run. Counts only when it
    /// is run.
    #[serde(default)]
    pub changed_when: Option<Expression>,
    /// Whether the command changes anything. With `false` it is a check.
    #[serde(default = "yes")]
    pub changes: bool,
    /// What a later run does when this command was interrupted and has no guard: `rerun` runs it again, `stop` lets a
    /// person decide. Default: `stop`. Handlers and steps of `on_failure` are always run again. Counts only when it is
    /// run.
    #[serde(default)]
    pub on_interrupt: Option<OnInterrupt>,
    /// Whether a check is repeated until it succeeds or the step's timeout ends. Counts only when `changes = false`.
    #[serde(default)]
    pub wait: bool,
}

pub(super) fn zero() -> Vec<i32> {
    vec![0]
}

fn yes() -> bool {
    true
}

impl Spec for Command {
    const NAME: &'static str = "node.command";
    const SUMMARY: &'static str = "a command, run only when it is needed";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = exit_policy::OUTPUTS;
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "swap-off"
action = "node.command"
hosts = "pis"
become = true
command = "swapoff -a"
unless = "test $(wc -l < /proc/swaps) -le 1"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        if self.command.is_some() != self.argv.is_empty() {
            return refuse("command", "give either `command` or `argv`");
        }
        check_no_secret("command", self.command.as_deref())?;
        check_no_secret("argv", self.argv.iter().map(String::as_str))?;
        self.exit_policy().check()?;
        if !self.changes {
            let message = "guards are for commands that change something; use `when` to skip a check";
            if !self.guards().is_empty() {
                return refuse("changes", message);
            }
            if self.changed_when.is_some() {
                return refuse("changed_when", "a check changes nothing");
            }
            if self.on_interrupt.is_some() {
                return refuse("on_interrupt", "it has no effect here: a check is always repeated");
            }
        }
        self.guards().check(self.on_interrupt)?;
        if self.wait && self.changes {
            return refuse("wait", "only a check (`changes = false`) can wait");
        }
        Ok(())
    }
}

impl Command {
    fn run(&self) -> Run {
        let command = match &self.command {
            Some(script) => host::Command::Shell(script.clone()),
            None => host::Command::Argv(self.argv.clone()),
        };
        Run {
            command,
            cwd: self.cwd.clone(),
            stdin: self.stdin.as_deref().unwrap_or_default().into(),
            ..Run::shell("")
        }
    }

    fn guards(&self) -> Conditions<'_> {
        Conditions {
            creates: self.creates.as_deref(),
            removes: self.removes.as_deref(),
            unless: self.unless.as_deref(),
            only_if: self.only_if.as_deref(),
            cwd: self.cwd.as_deref(),
        }
    }

    fn exit_policy(&self) -> ExitPolicy<'_> {
        ExitPolicy {
            line: self.label(),
            ok_exit_codes: &self.ok_exit_codes,
            failed_when: self.failed_when.as_ref(),
            changed_when: self.changed_when.as_ref(),
        }
    }

    fn label(&self) -> String {
        let text = self.run().command.to_string();
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default().to_owned();
        let more = lines.count();
        if more == 0 { first } else { format!("{first} … ({} lines)", more + 1) }
    }

    /// The output of the command: from its run, or from the probe of a check.
    fn result<'a>(&self, facts: &'a [Fact], done: &'a [EffectResult]) -> Option<&'a host::CommandOutput> {
        match (done.last(), facts.first()) {
            (Some(EffectResult::Host(done)), _) => Some(done),
            (None, Some(Fact::Host(host::Fact::Run(done)))) if !self.changes => Some(done),
            _ => None,
        }
    }
}

impl Action for Command {
    fn on_interrupt(&self) -> Option<OnInterrupt> {
        let blind = self.changes && self.guards().is_empty();
        blind.then_some(self.on_interrupt.unwrap_or(OnInterrupt::Stop))
    }

    fn probes(&self) -> Vec<Probe> {
        if self.changes { self.guards().probes() } else { vec![run_probe(self.run())] }
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        if self.changes {
            return self.guards().skip_reason(facts).map_or_else(
                || Verdict::Change(Diff::act(format!("run {}", self.label()))),
                |seen| Verdict::Same { seen },
            );
        }
        let Some(done) = self.result(facts, &[]) else {
            return Verdict::Blocked(Problem::new("the host did not say how the command ended"));
        };
        match self.exit_policy().judge(done) {
            Ok(()) => Verdict::Same { seen: done.stdout.first_line() },
            Err(_) if self.wait => Verdict::Wait { seen: status_line(done) },
            Err(problem) => Verdict::Blocked(problem),
        }
    }

    fn next_effect(&self, _facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        if done.is_empty() {
            return Ok(Some(Effect::Host(host::Effect::Run(self.run()))));
        }
        self.exit_policy().judge_last(done).map(|_| None)
    }

    fn changed(&self, done: &[EffectResult]) -> bool {
        self.exit_policy().judge_last(done).unwrap_or(true)
    }

    fn is_read_only(&self) -> bool {
        !self.changes
    }

    fn outputs(&self, facts: &[Fact], done: &[EffectResult]) -> Outputs {
        exit_policy::outputs(self.result(facts, done))
    }

    fn printed(&self, done: &[EffectResult]) -> String {
        exit_policy::printed(done)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, blocked, build, change, effects, file, is_same, ran, refused};
    use super::*;
    use crate::connect::host::FileKind;
    use serde_json::{Value, json};

    fn done(exit: i32, stdout: &str, stderr: &str) -> [EffectResult; 1] {
        [EffectResult::Host(host::CommandOutput::new(exit, stdout, stderr))]
    }

    #[test]
    fn without_a_guard_it_always_runs() {
        let step = build::<Command>("command = \"set -e\\nreboot\"").unwrap();
        assert!(step.probes().is_empty());
        assert_eq!(change(&step.verdict(&[])), ["! run set -e … (2 lines)"]);
        assert!(matches!(step.next_effect(&[], &[]), Ok(Some(Effect::Host(host::Effect::Run(_))))));
        assert!(matches!(step.next_effect(&[], &done(0, "", "")), Ok(None)));
    }

    #[test]
    fn each_guard_keeps_it_from_running() {
        let there = file(Some(at(FileKind::Regular, 0o644)));
        for (guard, holds, holds_not) in [
            ("creates = '/x'", there.clone(), file(None)),
            ("removes = '/x'", file(None), there),
            ("unless = 'test -e /x'", ran(0, "", ""), ran(1, "", "")),
            ("only_if = 'test -e /x'", ran(127, "", ""), ran(0, "", "")),
        ] {
            let step = build::<Command>(&format!("argv = ['touch', '/a b']\n{guard}")).unwrap();
            assert_eq!(step.probes().len(), 1);
            assert!(is_same(&step.verdict(&[holds])), "{guard}");
            assert_eq!(change(&step.verdict(&[holds_not])), ["! run touch '/a b'"], "{guard}");
        }
    }

    #[test]
    fn one_guard_of_many_is_enough() {
        let step = build::<Command>("command = 'x'\ncreates = '/x'\nonly_if = 'true'").unwrap();
        assert!(is_same(&step.verdict(&[file(None), ran(1, "", "")])));
        assert_eq!(change(&step.verdict(&[file(None), ran(0, "", "")])), ["! run x"]);
    }

    #[test]
    fn the_exit_status_is_judged_and_the_error_shows_what_was_printed() {
        let step = build::<Command>("command = 'x'\nok_exit_codes = [0, 3]").unwrap();
        assert!(step.next_effect(&[], &done(3, "", "")).is_ok());
        let problem = step.next_effect(&[], &done(1, "out", "one\ntwo\n")).err().unwrap();
        assert_eq!(problem.message, "`x` ended with exit status 1:\none\ntwo");
        let problem = step.next_effect(&[], &done(127, "", "")).err().unwrap();
        assert!(problem.message.ends_with("127 and printed nothing") && problem.hint.unwrap().contains("PATH"));
        let problem = step.next_effect(&[], &done(137, "", "")).err().unwrap();
        assert!(problem.message.contains("signal 9"));
    }

    #[test]
    fn a_command_itself_can_tell_that_it_changed_nothing() {
        let step = build::<Command>("command = 'x'\nchanged_when = \"'created' in stdout\"").unwrap();
        assert!(step.changed(&done(0, "created", "")) && !step.changed(&done(0, "unchanged", "")));
        let step = build::<Command>("command = 'x'\nfailed_when = \"'error' in stdout\"").unwrap();
        assert!(
            step.next_effect(&[], &done(2, "", "")).is_ok() && step.next_effect(&[], &done(0, "error", "")).is_err()
        );
    }

    #[test]
    fn a_check_looks_and_never_acts() {
        let step = build::<Command>("command = 'x'\nchanges = false").unwrap();
        assert_eq!(step.probes().len(), 1);
        assert_eq!(step.verdict(&[ran(0, "fine\nmore", "")]), Verdict::Same { seen: "fine".into() });
        assert!(blocked(&step.verdict(&[ran(1, "", "no")])).contains("exit status 1:\nno"));
        let outputs = step.outputs(&[ran(0, "fine\n", "")], &[]);
        assert_eq!((&outputs["stdout"], &outputs["exit_code"]), (&json!("fine"), &json!(0)));
        let step = build::<Command>("command = 'x'\nchanges = false\nwait = true").unwrap();
        assert_eq!(step.verdict(&[ran(1, "", "a\nno")]), Verdict::Wait { seen: "exit status 1 no".into() });
    }

    #[test]
    fn outputs_are_there_even_when_it_did_not_run() {
        let step = build::<Command>("command = 'x'\ncreates = '/x'").unwrap();
        let outputs = step.outputs(&[file(None)], &[]);
        assert_eq!((&outputs["stdout"], &outputs["exit_code"]), (&json!(""), &Value::Null));
        let outputs = step.outputs(&[file(None)], &done(0, "a\n\n", "b"));
        assert_eq!((&outputs["stdout"], &outputs["stderr"]), (&json!("a"), &json!("b")));
        assert_eq!(step.printed(&done(0, "a\n", "b\n")), "a\nb");
    }

    #[test]
    fn only_a_change_without_a_guard_must_ask_what_to_do_when_it_was_cut_off() {
        let cut_off = |toml: &str| build::<Command>(toml).unwrap().on_interrupt();
        assert_eq!(cut_off("command = 'x'"), Some(OnInterrupt::Stop));
        assert_eq!(cut_off("command = 'x'\non_interrupt = 'rerun'"), Some(OnInterrupt::Rerun));
        assert_eq!(cut_off("command = 'x'\ncreates = '/x'"), None);
        assert_eq!(cut_off("command = 'x'\nchanges = false"), None);
    }

    #[test]
    fn standard_input_is_handed_over_and_never_shown() {
        let step = build::<Command>("argv = ['chpasswd']\nstdin = 'pi:raspberry'").unwrap();
        let effects = effects(&step, &[]);
        let [host::Effect::Run(run)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(run.stdin.as_slice(), b"pi:raspberry");
        assert!(!format!("{effects:?}").contains("raspberry"));
    }

    #[test]
    fn parameters_that_make_no_sense_are_refused() {
        let secret = crate::secret::Secret::new("a-secret-of-node-command");
        for (toml, parameter) in [
            (String::new(), "/command"),
            ("command = 'x'\nargv = ['x']".into(), "/command"),
            ("command = 'x'\ncreates = 'x'".into(), "/creates"),
            ("command = 'x'\nok_exit_codes = []".into(), "/ok_exit_codes"),
            ("command = 'x'\nok_exit_codes = [1]\nfailed_when = 'exit_code > 1'".into(), "/failed_when"),
            ("command = 'x'\nchanged_when = 'no.such'".into(), "/changed_when"),
            ("command = 'x'\nchanges = false\nchanged_when = false".into(), "/changed_when"),
            ("command = 'x'\nchanges = false\nunless = 'true'".into(), "/changes"),
            ("command = 'x'\nwait = true".into(), "/wait"),
            ("command = 'x'\nunless = 'true'\non_interrupt = 'rerun'".into(), "/on_interrupt"),
            ("command = 'x'\nchanges = false\non_interrupt = 'stop'".into(), "/on_interrupt"),
            (format!("command = 'login {}'", secret.expose()), "/command"),
            (format!("argv = ['login', '{}']", secret.expose()), "/argv"),
        ] {
            assert_eq!(refused::<Command>(&toml), parameter, "{toml}");
        }
    }
}
