//! Judges how a command ended: whether it failed, whether it changed anything, and which outputs later steps get. Pure.

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::{Map, Value, json};

use crate::connect::{EffectResult, host};
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, refuse};
use crate::template::{Context, Templates};

use super::failure::{exit_status, last_output};

/// Names that expressions may use; also the outputs of the step.
pub const OUTPUTS: &[Output] = &[
    Output {
        name: "stdout",
        about: "standard output without its last line break; long output is cut to the first 128 KiB and the last MiB, with a \
                line between them that says how much is missing; empty when the command did not run",
    },
    Output { name: "stderr", about: "standard error, shortened in the same way" },
    Output { name: "exit_code", about: "exit status; null when a guard prevented the run" },
];

/// An expression over the command's outputs, or plain `true` or `false`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(inline, with = "String", description = "", extend("type" = ["string", "boolean"]))]
pub struct Expression(String);

impl Expression {
    fn check(&self, parameter: &str) -> Result<(), ParamError> {
        let templates = Templates::new("");
        let names = match templates.names_in_expression(&self.0) {
            Ok(names) => names,
            Err(error) => return refuse(parameter, error.message),
        };
        if let Some(name) = names.iter().find(|name| !OUTPUTS.iter().any(|output| output.name == root(name))) {
            let message = format!("`{name}` is not known here: there are `exit_code`, `stdout` and `stderr`");
            return refuse(parameter, message);
        }
        match templates.unknown_filters(&format!("{{{{ {} }}}}", self.0)).first() {
            Some(filter) => refuse(parameter, format!("there is no filter `{filter}`")),
            None => Ok(()),
        }
    }

    fn holds(&self, parameter: &str, done: &host::CommandOutput) -> Result<bool, Problem> {
        let context = Context::new(&outputs(Some(done)).into_iter().collect::<Map<String, Value>>());
        let holds = Templates::new("").is_true(&self.0, &context);
        holds.map_err(|error| Problem::new(format!("`{parameter}` cannot be evaluated: {error}")))
    }
}

fn root(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExpressionVisitor)
    }
}

struct ExpressionVisitor;

impl Visitor<'_> for ExpressionVisitor {
    type Value = Expression;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an expression such as \"exit_code > 1\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Expression, E> {
        Ok(Expression(text.to_owned()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Expression, E> {
        Ok(Expression(value.to_string()))
    }
}

/// The parameters of a step that judge a command's end.
pub struct ExitPolicy<'a> {
    /// The command as error messages show it.
    pub line: String,
    /// Exit statuses of success; not used when `failed_when` is set.
    pub ok_exit_codes: &'a [i32],
    /// Holds when the command failed.
    pub failed_when: Option<&'a Expression>,
    /// Holds when the command changed something; `None`: always.
    pub changed_when: Option<&'a Expression>,
}

impl ExitPolicy<'_> {
    /// Checks the parameters before any command runs.
    pub fn check(&self) -> Result<(), ParamError> {
        if self.ok_exit_codes.is_empty() {
            return refuse("ok_exit_codes", "it cannot be empty");
        }
        if self.failed_when.is_some() && self.ok_exit_codes != [0] {
            return refuse("failed_when", "it replaces `ok_exit_codes`: give only one of the two");
        }
        self.failed_when.map_or(Ok(()), |when| when.check("failed_when"))?;
        self.changed_when.map_or(Ok(()), |when| when.check("changed_when"))
    }

    /// Fails when the command failed; the error shows the end of its output.
    pub fn judge(&self, done: &host::CommandOutput) -> Result<(), Problem> {
        let (failed, why) = match self.failed_when {
            None => (!self.ok_exit_codes.contains(&done.exit), ""),
            Some(when) => (when.holds("failed_when", done)?, ", and `failed_when` holds"),
        };
        if !failed {
            return Ok(());
        }
        let output = last_output(done);
        let output = if output.is_empty() { " and printed nothing".to_owned() } else { format!(":\n{output}") };
        let problem = Problem::new(format!("`{}` ended with {}{why}{output}", self.line, exit_status(done.exit)));
        Err(match done.exit {
            127 => problem.hint("is the program installed, and in the PATH of the user that the step runs as?"),
            126 => problem.hint("is the file executable, and does `cwd` exist?"),
            _ => problem,
        })
    }

    /// Whether the command changed something.
    ///
    /// # Errors
    /// When the expression cannot be evaluated.
    pub fn changed(&self, done: &host::CommandOutput) -> Result<bool, Problem> {
        self.changed_when.map_or(Ok(true), |when| when.holds("changed_when", done))
    }

    /// [`Self::judge`] and [`Self::changed`] for the last effect.
    pub fn judge_last(&self, done: &[EffectResult]) -> Result<bool, Problem> {
        let Some(EffectResult::Host(done)) = done.last() else { return Ok(false) };
        self.judge(done)?;
        self.changed(done)
    }
}

/// The values of [`OUTPUTS`]; `None` stands for a command that did not run.
pub fn outputs(done: Option<&host::CommandOutput>) -> Outputs {
    let text = |of: fn(&host::CommandOutput) -> &host::Output| json!(done.map(|d| of(d).text()).unwrap_or_default());
    Outputs::from_iter([
        ("stdout".to_owned(), text(|d| &d.stdout)),
        ("stderr".to_owned(), text(|d| &d.stderr)),
        ("exit_code".to_owned(), done.map_or(Value::Null, |d| json!(d.exit))),
    ])
}

/// Standard output and standard error of the last command.
pub fn printed(done: &[EffectResult]) -> String {
    let Some(EffectResult::Host(done)) = done.last() else { return String::new() };
    let texts = [&done.stdout, &done.stderr].map(host::Output::text);
    texts.iter().filter(|text| !text.is_empty()).map(String::as_str).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge<'a>(failed_when: Option<&'a Expression>, changed_when: Option<&'a Expression>) -> ExitPolicy<'a> {
        ExitPolicy { line: "x".into(), ok_exit_codes: &[0], failed_when, changed_when }
    }

    #[test]
    fn expressions_see_status_and_output() {
        let failed = Expression("exit_code > 1 or 'error' in stderr".into());
        let judge = judge(Some(&failed), None);
        assert!(judge.check().is_ok());
        assert!(judge.judge(&host::CommandOutput::new(1, "", "")).is_ok());
        let problem = judge.judge(&host::CommandOutput::new(0, "", "an error")).unwrap_err();
        assert_eq!(problem.message, "`x` ended with exit status 0, and `failed_when` holds:\nan error");
    }

    #[test]
    fn a_command_has_changed_something_unless_the_expression_says_no() {
        let done = |stdout: &str| host::CommandOutput::new(0, stdout, "");
        assert_eq!(judge(None, None).changed(&done("")), Ok(true));
        let never: Expression = serde_json::from_str("false").unwrap();
        assert_eq!(judge(None, Some(&never)).changed(&done("")), Ok(false));
        let when = Expression("stdout is endingwith('created')".into());
        assert_eq!(judge(None, Some(&when)).changed(&done("created\n")), Ok(true));
        assert_eq!(judge(None, Some(&when)).changed(&done("unchanged\n")), Ok(false));
        let wrong = Expression("stdout / 2".into());
        assert!(judge(None, Some(&wrong)).changed(&done("a")).unwrap_err().message.contains("`changed_when` cannot"));
    }

    #[test]
    fn mistyped_names_and_filters_are_refused() {
        for (text, part) in [
            ("exit > 1", "`exit` is not known here"),
            ("'a' in stdout | uper", "no filter `uper`"),
            ("stdout ==", "does not parse"),
        ] {
            let error = judge(None, Some(&Expression(text.into()))).check().unwrap_err();
            assert!(error.pointer == "/changed_when" && error.message.contains(part), "{}", error.message);
        }
    }
}
