//! `node.script`: a script of the project, run on a host.

use schemars::JsonSchema;
use serde::Deserialize;

use super::command::zero;
use super::conditions::{Conditions, check_no_secret};
use super::exit_policy::{self, ExitPolicy, Expression};
use crate::actions::{Action, OnInterrupt, Spec, Verdict};
use crate::connect::host::{self, Run};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, PlainFile, Role, RunsOn, refuse};

/// Runs a script of the project on a host, and leaves no file there: the script is written to a temporary file that
/// only the step's user can read, opened as /dev/fd/3, and deleted before the interpreter reads it. Guards are those of
/// `node.command`; without one, the script runs every time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Path of the script, relative to the plan's root. Counts only when it is run.
    pub script: PlainFile,
    /// Arguments, passed without a shell. Other users of the host can see them while the script runs. Counts only when
    /// it is run.
    #[serde(default)]
    pub args: Vec<String>,
    /// Program on the host that runs the script, with its options: "bash -eu", "python3". Counts only when it is run.
    #[serde(default = "sh")]
    pub interpreter: String,
    /// Absolute path: the script is skipped when something is there.
    #[serde(default)]
    pub creates: Option<String>,
    /// Absolute path: the script is skipped when nothing is there.
    #[serde(default)]
    pub removes: Option<String>,
    /// Script for `sh`: the script is skipped when it ends with status 0. It runs in previews too, so it must not
    /// change anything.
    #[serde(default)]
    pub unless: Option<String>,
    /// Script for `sh`: the script is skipped unless it ends with status 0. It runs in previews too, so it must not
    /// change anything.
    #[serde(default)]
    pub only_if: Option<String>,
    /// Standard input of the script. The place for secrets: other users of the host cannot see it. Counts only when it
    /// is run.
    #[serde(default)]
    pub stdin: Option<String>,
    /// Working directory of the script and its guards. Default: the user's home. Counts only when it is run.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Exit statuses that count as success. Counts only when it is run.
    #[serde(default = "zero")]
    pub ok_exit_codes: Vec<i32>,
    /// When the script has failed; replaces `ok_exit_codes`. An expression over `exit_code`, `stdout` and `stderr`,
    /// such as "exit_code > 1 or 'error' in stderr". Counts only when it is run.
    #[serde(default)]
    pub failed_when: Option<Expression>,
    /// When the script has changed something, so that handlers are notified: an expression over `exit_code`, `stdout`
    /// and `stderr`, or `false`. Default: always. A preview cannot evaluate it, and reports a run. Counts only when it
    /// is run.
    #[serde(default)]
    pub changed_when: Option<Expression>,
    /// What a later run does when this script was interrupted and has no guard: `rerun` runs it again, `stop` lets a
    /// person decide. Default: `stop`. Handlers and steps of `on_failure` are always run again. Counts only when it is
    /// run.
    #[serde(default)]
    pub on_interrupt: Option<OnInterrupt>,
}

fn sh() -> String {
    "sh".to_owned()
}

impl Spec for Script {
    const NAME: &'static str = "node.script";
    const SUMMARY: &'static str = "a script of the project, run on a host";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = exit_policy::OUTPUTS;
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "disk"
action = "node.script"
hosts = "pis"
become = true
script = "scripts/prepare-disk.sh"
args = ["/dev/sda1", "/srv"]
unless = "mountpoint -q /srv"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        if self.script.path.is_empty() {
            return refuse("script", "give the path of a file below the plan's root");
        }
        check_no_secret("script", [self.script.content.as_str()])?;
        if self.script.content.contains("\r\n") && self.is_for_a_shell() {
            return refuse(
                "script",
                format!(
                    "{} has Windows line endings, and a shell takes the `\\r` as part of each line's last word: write \
                     `* text eol=lf` into .gitattributes, and check the file out again",
                    self.script.path
                ),
            );
        }
        check_no_secret("args", self.args.iter().map(String::as_str))?;
        check_no_secret("interpreter", [self.interpreter.as_str()])?;
        if self.words().is_none_or(|words| words.is_empty()) {
            return refuse("interpreter", format!("\"{}\" is not a program with its options", self.interpreter));
        }
        self.exit_policy().check()?;
        self.guards().check(self.on_interrupt)
    }
}

impl Script {
    fn words(&self) -> Option<Vec<String>> {
        shlex::split(&self.interpreter)
    }

    /// Whether the interpreter is a shell. Others, such as Python, accept all line endings.
    fn is_for_a_shell(&self) -> bool {
        let words = self.words().unwrap_or_default();
        let names = words.iter().map(|word| word.rsplit('/').next().unwrap_or_default());
        let name = names.into_iter().find(|name| !["env", "busybox"].contains(name)).unwrap_or_default();
        ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"].contains(&name)
    }

    fn run(&self) -> Run {
        let words = self.words().unwrap_or_default();
        let file = "/dev/fd/3".to_owned();
        let words: Vec<String> = words.into_iter().chain([file]).chain(self.args.iter().cloned()).collect();
        // `printf` is a shell builtin, so the script never appears in the list of processes.
        let script = format!(
            "tmp=
trap 'trap \"\" HUP INT TERM PIPE; rm -f -- \"$tmp\"' EXIT
trap 'exit 1' HUP INT TERM PIPE
tmp=$(trap \"\" HUP INT TERM PIPE; mktemp) || exit
printf %s {} >\"$tmp\" && exec 3<\"$tmp\" || exit
rm -f -- \"$tmp\"
trap - EXIT HUP INT TERM PIPE
exec {}",
            host::Command::Argv(vec![self.script.content.clone()]),
            host::Command::Argv(words),
        );
        let stdin = self.stdin.as_deref().unwrap_or_default().into();
        Run { cwd: self.cwd.clone(), stdin, ..Run::shell(script) }
    }

    fn label(&self) -> String {
        let words = [&self.script.path].into_iter().chain(&self.args).cloned().collect();
        host::Command::Argv(words).to_string()
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
}

impl Action for Script {
    fn probes(&self) -> Vec<Probe> {
        self.guards().probes()
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        match self.guards().skip_reason(facts) {
            Some(seen) => Verdict::Same { seen },
            None => Verdict::Change(Diff::act(format!("run {}", self.label()))),
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

    fn on_interrupt(&self) -> Option<OnInterrupt> {
        self.guards().is_empty().then_some(self.on_interrupt.unwrap_or(OnInterrupt::Stop))
    }

    fn outputs(&self, _facts: &[Fact], done: &[EffectResult]) -> Outputs {
        let last = done.last().and_then(|done| if let EffectResult::Host(done) = done { Some(done) } else { None });
        exit_policy::outputs(last)
    }

    fn printed(&self, done: &[EffectResult]) -> String {
        exit_policy::printed(done)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{build, change, file, is_same, perform, refused};
    use super::*;

    fn script(content: &str, rest: &str) -> String {
        format!("script = {{ path = 'scripts/x', content = '''{content}''' }}\n{rest}")
    }

    #[test]
    fn guards_keep_it_from_running() {
        let step = build::<Script>(&script("true", "args = ['a b']\nremoves = '/x'")).unwrap();
        assert!(is_same(&step.verdict(&[file(None)])) && step.on_interrupt().is_none());
        let step = build::<Script>(&script("true", "args = ['a b']")).unwrap();
        assert_eq!(change(&step.verdict(&[])), ["! run scripts/x 'a b'"]);
        assert_eq!(step.on_interrupt(), Some(OnInterrupt::Stop));
        let failed = [EffectResult::Host(host::CommandOutput::new(3, "", "no\n"))];
        assert_eq!(
            step.next_effect(&[], &failed).err().unwrap().message,
            "`scripts/x 'a b'` ended with exit status 3:\nno"
        );
    }

    #[tokio::test]
    async fn it_gets_arguments_and_input_and_is_gone_when_it_runs() {
        let text = "printf '%s|' \"$@\" 'it''s'; cat; readlink /proc/$$/fd/3; exit 7";
        let step = build::<Script>(&script(text, "args = ['a b', '$c']\nstdin = 'in '\nok_exit_codes = [7]")).unwrap();
        let done = perform(&step.run()).await;
        let text = done.stdout.text();
        assert!(text.starts_with("a b|$c|its|in /") && text.ends_with(" (deleted)"), "{text}");
        assert_eq!((done.exit, done.stderr.length), (7, 0));
    }

    #[tokio::test]
    async fn other_interpreters_read_it_too() {
        let text = "x=(a b); echo \"${x[1]} $1\"";
        let step = build::<Script>(&script(text, "interpreter = 'bash -eu'\nargs = ['c']")).unwrap();
        assert_eq!(perform(&step.run()).await.stdout.text(), "b c");
        let step = build::<Script>(&script("x", "interpreter = 'no-such-program'")).unwrap();
        let done = [EffectResult::Host(perform(&step.run()).await)];
        assert!(step.next_effect(&[], &done).err().unwrap().hint.unwrap().contains("installed"));
    }

    #[test]
    fn a_shell_gets_no_script_with_windows_line_ends() {
        let with = |interpreter: &str| {
            let params = format!("script = {{ path = 'x', content = \"a\\r\\nb\" }}\ninterpreter = '{interpreter}'");
            build::<Script>(&params).map(drop)
        };
        assert!(with("python3").is_ok() && with("/usr/bin/perl -w").is_ok());
        for shell in ["sh", "/bin/bash -eu", "env zsh", "busybox sh"] {
            assert!(with(shell).unwrap_err().message.contains("Windows line endings"), "{shell}");
        }
    }

    #[test]
    fn wrong_parameters_are_refused() {
        let secret = crate::secret::Secret::new("a-secret-of-node-script");
        for (toml, parameter) in [
            ("script = ''".to_owned(), "/script"),
            (script("", "interpreter = ''"), "/interpreter"),
            (script("", "interpreter = \"sh '\""), "/interpreter"),
            (script("", "creates = 'x'"), "/creates"),
            (script("", "creates = '/x'\non_interrupt = 'rerun'"), "/on_interrupt"),
            (script("", "changed_when = 'x'"), "/changed_when"),
            (script(secret.expose(), ""), "/script"),
            (script("", &format!("args = ['{}']", secret.expose())), "/args"),
        ] {
            assert_eq!(refused::<Script>(&toml), parameter, "{toml}");
        }
    }
}
