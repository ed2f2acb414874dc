//! `kube.exec`: a command in a pod, as a check or as a change.

use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;

use super::unexpected;
use crate::actions::{Action, OnInterrupt, Spec, Verdict};
use crate::connect::kube::{self, ExecOutcome, Object};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::excerpt;
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};
use crate::secret::{has_secret, redact};

/// Characters of output that a message quotes.
const MAX_QUOTED_CHARS: usize = 300;

/// A command in a pod prints what is expected, or changes something there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// Namespace of the pod.
    namespace: String,
    /// Name of the pod. Give either `pod` or `selector`.
    #[serde(default)]
    pod: Option<String>,
    /// Label selector as `kubectl -l` takes it; the first ready pod is used.
    #[serde(default)]
    selector: Option<String>,
    /// Container. Default: the pod's default container.
    #[serde(default)]
    container: Option<String>,
    /// The command and its arguments. No shell is involved.
    command: Vec<String>,
    /// Text for the standard input of the command. Default: none.
    #[serde(default)]
    stdin: Option<String>,
    /// Text that the output must contain.
    #[serde(default)]
    expect: Option<String>,
    /// Regular expression that the output must match.
    #[serde(default)]
    expect_regex: Option<String>,
    /// Expected exit status. Default: 0.
    #[serde(default)]
    expect_exit: i32,
    /// Whether the exit status must be other than 0: for commands that must be refused. Default: false.
    #[serde(default)]
    expect_failure: bool,
    /// Whether the command changes something: then it runs once, and only in a real run. Default: false; the command is
    /// a check, also runs in previews, and is repeated until the output is the expected one or the step's timeout ends.
    #[serde(default)]
    changes: bool,
    /// With `changes` and without `unless`: what a later run does if this command was interrupted, `rerun` or `stop`
    /// (the default: a person has to look). Handlers and steps of `on_failure` always run again. Counts only when the
    /// command runs.
    #[serde(default)]
    on_interrupt: Option<OnInterrupt>,
    /// With `changes`: a command that changes nothing. If its exit status is 0, `command` does not run.
    #[serde(default)]
    unless: Vec<String>,
}

impl Exec {
    fn call(&self, command: &[String], stdin: Option<&String>) -> kube::Exec {
        kube::Exec {
            namespace: self.namespace.clone(),
            pod: self.pod.clone(),
            selector: self.selector.clone(),
            container: self.container.clone(),
            command: command.to_vec(),
            stdin: stdin.map(|s| Object(s.clone().into())),
        }
    }

    /// Why the result is not the expected one; `None` if it is.
    fn mismatch(&self, seen: &ExecOutcome) -> Option<String> {
        let (exit, stdout, stderr) = match seen {
            ExecOutcome::Ended { exit, stdout, stderr, .. } => (*exit, stdout, stderr),
            ExecOutcome::NoPod(why) | ExecOutcome::NotRun(why) => return Some(why.clone()),
        };
        let output = quoted(if stdout.trim().is_empty() { stderr } else { stdout });
        if self.expect_failure && exit == 0 {
            return Some(format!("it succeeded, though it must fail: {output}"));
        }
        if !self.expect_failure && exit != self.expect_exit {
            return Some(format!(
                "exit status {exit} instead of {}: {}",
                self.expect_exit,
                quoted(&combined_output(stdout, stderr))
            ));
        }
        let all = combined_output(stdout, stderr);
        if let Some(text) = self.expect.as_ref().filter(|text| !all.contains(text.as_str())) {
            return Some(format!("no {text:?} in its output: {output}"));
        }
        let pattern = self.expect_regex.as_ref()?;
        let matches = Regex::new(pattern).is_ok_and(|r| r.is_match(all.trim()));
        (!matches).then(|| format!("its output does not match {pattern}: {output}"))
    }

    fn shown(&self) -> String {
        let place = self.pod.as_deref().or(self.selector.as_deref()).unwrap_or_default();
        let command = shlex::try_join(self.command.iter().map(String::as_str));
        format!("run `{}` in pod {}/{place}", command.unwrap_or_default(), self.namespace)
    }
}

fn combined_output(stdout: &str, stderr: &str) -> String {
    let gap = if stdout.is_empty() || stdout.ends_with('\n') { "" } else { "\n" };
    format!("{stdout}{gap}{stderr}")
}

/// The end of an output, on one line.
fn quoted(output: &str) -> String {
    // Masked before it is shortened: a part of a secret would not be recognised.
    let output = redact(output);
    let line = output.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return "no output".to_owned();
    }
    excerpt::tail(&line, MAX_QUOTED_CHARS).into_owned()
}

impl Action for Exec {
    fn on_interrupt(&self) -> Option<OnInterrupt> {
        (self.changes && self.unless.is_empty()).then_some(self.on_interrupt.unwrap_or(OnInterrupt::Stop))
    }

    fn probes(&self) -> Vec<Probe> {
        let command = match (self.changes, self.unless.is_empty()) {
            (false, _) => self.call(&self.command, self.stdin.as_ref()),
            (true, false) => self.call(&self.unless, None),
            (true, true) => return Vec::new(),
        };
        vec![Probe::Kube(kube::Probe::Exec(command))]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let change = || Verdict::Change(Diff::act(self.shown()));
        match (facts.first(), self.changes) {
            (None, true) => change(),
            (Some(Fact::Kube(kube::Fact::Exec(ExecOutcome::NoPod(why)))), _) => Verdict::Wait { seen: why.clone() },
            (Some(Fact::Kube(kube::Fact::Exec(seen))), true) => match seen {
                ExecOutcome::Ended { exit: 0, .. } => Verdict::Same { seen: "`unless` holds".to_owned() },
                _ => change(),
            },
            (Some(Fact::Kube(kube::Fact::Exec(seen))), false) => match (self.mismatch(seen), seen) {
                (Some(seen), _) => Verdict::Wait { seen },
                (None, ExecOutcome::Ended { stdout, stderr, .. }) => {
                    Verdict::Same { seen: quoted(&combined_output(stdout, stderr)) }
                }
                (None, _) => unexpected(),
            },
            _ => unexpected(),
        }
    }

    fn next_effect(&self, _facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        match done.first() {
            None => Ok(Some(Effect::Kube(kube::Effect::Exec(self.call(&self.command, self.stdin.as_ref()))))),
            Some(EffectResult::Kube(kube::EffectResult::Exec(seen))) => match self.mismatch(seen) {
                None => Ok(None),
                Some(why) => Err(Problem::new(format!("{}: {why}", self.shown()))),
            },
            Some(_) => Ok(None),
        }
    }

    fn is_read_only(&self) -> bool {
        !self.changes
    }

    fn outputs(&self, facts: &[Fact], done: &[EffectResult]) -> Outputs {
        let seen = match (done.first(), facts.first()) {
            (Some(EffectResult::Kube(kube::EffectResult::Exec(seen))), _) => seen,
            (None, Some(Fact::Kube(kube::Fact::Exec(seen)))) if !self.changes => seen,
            _ => return Outputs::new(),
        };
        let ExecOutcome::Ended { pod, exit, stdout, stderr } = seen else { return Outputs::new() };
        Outputs::from_iter([
            ("stdout".to_owned(), stdout.trim_end().into()),
            ("stderr".to_owned(), stderr.trim_end().into()),
            ("exit".to_owned(), (*exit).into()),
            ("pod".to_owned(), pod.clone().into()),
        ])
    }

    fn printed(&self, done: &[EffectResult]) -> String {
        match done.first() {
            Some(EffectResult::Kube(kube::EffectResult::Exec(ExecOutcome::Ended { stdout, stderr, .. }))) => {
                combined_output(stdout, stderr)
            }
            _ => String::new(),
        }
    }
}

impl Spec for Exec {
    const NAME: &'static str = "kube.exec";
    const SUMMARY: &'static str = "a command in a pod says what is expected, or changes something";
    const RUNS_ON: RunsOn = RunsOn::Cluster;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[
        Output { name: "stdout", about: "what it printed" },
        Output { name: "stderr", about: "what it complained of" },
        Output { name: "exit", about: "its exit status" },
        Output { name: "pod", about: "name of the pod it ran in" },
    ];
    const EXAMPLE: &'static str = r#"[[phase.verify.step]]
id = "app-answers"
action = "kube.exec"
namespace = "trading"
selector = "app=client"
command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "http://orders:8080/"]
expect = "200"
timeout = "1m"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        if self.pod.is_some() == self.selector.is_some() {
            return refuse("", "either pod or selector is needed");
        }
        if self.command.is_empty() {
            return refuse("command", "the command is empty");
        }
        for (name, words) in [("command", &self.command), ("unless", &self.unless)] {
            if words.iter().any(|word| has_secret(word)) {
                return refuse(name, "it has a secret in it, which others could see: hand it over by `stdin`");
            }
        }
        if !self.unless.is_empty() && !self.changes {
            return refuse("unless", "unless goes with changes = true");
        }
        if self.on_interrupt.is_some() && self.on_interrupt().is_none() {
            return refuse("on_interrupt", "on_interrupt goes with changes = true and without unless");
        }
        if self.expect_failure && self.expect_exit != 0 {
            return refuse("expect_exit", "expect_exit and expect_failure exclude each other");
        }
        match self.expect_regex.as_deref().filter(|r| !r.contains("{{")).map(Regex::new) {
            Some(Err(why)) => {
                let last = why.to_string().lines().last().unwrap_or_default().to_owned();
                refuse("expect_regex", last)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn action(more: Value) -> Exec {
        let mut params = json!({"namespace": "app", "selector": "app=c", "command": ["curl", "http://o/"]});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let action: Exec = serde_json::from_value(params).unwrap();
        action.rules().unwrap();
        action
    }

    fn ended(exit: i32, stdout: &str, stderr: &str) -> ExecOutcome {
        ExecOutcome::Ended { pod: "c-1".into(), exit, stdout: stdout.into(), stderr: stderr.into() }
    }

    fn verdict(more: Value, seen: ExecOutcome) -> Verdict {
        action(more).verdict(&[Fact::Kube(kube::Fact::Exec(seen))])
    }

    fn wait(seen: &str) -> Verdict {
        Verdict::Wait { seen: seen.to_owned() }
    }

    #[test]
    fn a_check_is_the_same_when_it_says_what_is_expected() {
        assert_eq!(verdict(json!({"expect": "200"}), ended(0, "200\n", "")), Verdict::Same { seen: "200".into() });
        assert_eq!(verdict(json!({"expect": "200"}), ended(0, "503", "")), wait("no \"200\" in its output: 503"));
        assert!(matches!(verdict(json!({"expect_regex": "^2\\d\\d$"}), ended(0, "204", "")), Verdict::Same { .. }));
    }

    #[test]
    fn a_check_that_fails_is_waited_for_with_what_was_seen_last() {
        let seen = verdict(json!({}), ended(56, "", "curl: (56) Recv failure: Connection reset by peer\n"));
        assert_eq!(seen, wait("exit status 56 instead of 0: curl: (56) Recv failure: Connection reset by peer"));
        assert_eq!(
            verdict(json!({}), ExecOutcome::NoPod("no pod in app matches app=c".into())),
            wait("no pod in app matches app=c")
        );
    }

    #[test]
    fn a_refusal_can_be_expected() {
        assert!(matches!(verdict(json!({"expect_failure": true}), ended(56, "", "reset")), Verdict::Same { .. }));
        let seen = verdict(json!({"expect_failure": true}), ended(0, "200", ""));
        assert_eq!(seen, wait("it succeeded, though it must fail: 200"));
        // A command that did not start proves no refusal.
        assert!(matches!(
            verdict(json!({"expect_failure": true}), ExecOutcome::NotRun("no curl".into())),
            Verdict::Wait { .. }
        ));
    }

    #[test]
    fn a_change_runs_once_and_its_result_is_judged() {
        let action = action(json!({"changes": true}));
        assert!(action.probes().is_empty());
        let Verdict::Change(diff) = action.verdict(&[]) else { panic!() };
        assert_eq!(diff.0[0].lines(), ["! run `curl http://o/` in pod app/app=c"]);
        assert!(matches!(action.next_effect(&[], &[]), Ok(Some(Effect::Kube(kube::Effect::Exec(_))))));
        let done = |exit| [EffectResult::Kube(kube::EffectResult::Exec(ended(exit, "", "")))];
        assert!(matches!(action.next_effect(&[], &done(0)), Ok(None)));
        assert!(
            action.next_effect(&[], &done(1)).err().unwrap().message.ends_with("exit status 1 instead of 0: no output")
        );
    }

    #[test]
    fn a_change_is_not_made_when_unless_holds() {
        let more = || json!({"changes": true, "unless": ["test", "-e", "/done"]});
        assert!(matches!(verdict(more(), ended(0, "", "")), Verdict::Same { .. }));
        assert!(matches!(verdict(more(), ended(1, "", "")), Verdict::Change(_)));
    }
}
