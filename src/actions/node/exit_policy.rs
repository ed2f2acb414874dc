//! How a command ended: whether that is right, whether it changed anything, and what it leaves to later steps. Pure.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::{Map, Value, json};

use crate::connect::{EffectResult, host};
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, refuse};
use crate::template::{Context, Templates};

/// Lines of output in an error.
const MAX_OUTPUT_LINES: usize = 20;

/// What an expression sees, and later steps too.
pub const OUTPUTS: &[Output] = &[
    Output {
        name: "stdout",
        about: "standard output without its last line break; of a long one the first 128 KiB and the last MiB, with a line \
                between that says what is left out; empty when not run",
    },
    Output { name: "stderr", about: "standard error, likewise" },
    Output { name: "exit_code", about: "exit status; null when a guard kept it from running" },
];

/// An expression over the outputs of the command itself, or plain `true` or `false`.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        holds.map_err(|error| Problem::new(format!("`{parameter}` cannot be told: {error}")))
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

impl JsonSchema for Expression {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Expression".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "boolean"] })
    }
}

/// What a step says of a command's end.
pub struct ExitPolicy<'a> {
    /// The command, for people.
    pub line: String,
    /// Exit statuses that are right, unless `failed_when` judges.
    pub ok_exit_codes: &'a [i32],
    /// When it has failed.
    pub failed_when: Option<&'a Expression>,
    /// When it has changed something; default always.
    pub changed_when: Option<&'a Expression>,
}

impl ExitPolicy<'_> {
    /// Refuses what cannot be judged by.
    pub fn check(&self) -> Result<(), ParamError> {
        if self.ok_exit_codes.is_empty() {
            return refuse("ok_exit_codes", "it cannot be empty");
        }
        if self.failed_when.is_some() && self.ok_exit_codes != [0] {
            return refuse("failed_when", "it takes the place of `ok_exit_codes`: give one of them");
        }
        self.failed_when.map_or(Ok(()), |when| when.check("failed_when"))?;
        self.changed_when.map_or(Ok(()), |when| when.check("changed_when"))
    }

    /// Whether it ended well.
    ///
    /// # Errors
    /// When it did not, with the last of what it said.
    pub fn judge(&self, done: &host::CommandOutput) -> Result<(), Problem> {
        let (failed, why) = match self.failed_when {
            None => (!self.ok_exit_codes.contains(&done.exit), ""),
            Some(when) => (when.holds("failed_when", done)?, ", and `failed_when` holds"),
        };
        if !failed {
            return Ok(());
        }
        let said = said(done).last_lines(MAX_OUTPUT_LINES);
        let said = if said.is_empty() { " and printed nothing".to_owned() } else { format!(":\n{said}") };
        let problem = Problem::new(format!("`{}` ended with {}{why}{said}", self.line, status(done.exit)));
        Err(match done.exit {
            127 => problem.hint("is the program installed, and in the PATH of the user that the step runs as?"),
            126 => problem.hint("is it executable, and does `cwd` exist?"),
            _ => problem,
        })
    }

    /// Whether it changed something.
    ///
    /// # Errors
    /// When the expression cannot be told.
    pub fn changed(&self, done: &host::CommandOutput) -> Result<bool, Problem> {
        self.changed_when.map_or(Ok(true), |when| when.holds("changed_when", done))
    }

    /// Both, of the last of what was done.
    ///
    /// # Errors
    /// As those.
    pub fn judge_last(&self, done: &[EffectResult]) -> Result<bool, Problem> {
        let Some(EffectResult::Host(done)) = done.last() else { return Ok(false) };
        self.judge(done)?;
        self.changed(done)
    }
}

/// What it most likely says about its failure.
pub fn said(done: &host::CommandOutput) -> &host::Output {
    if done.stderr.length > 0 { &done.stderr } else { &done.stdout }
}

/// An exit status, for people.
pub fn status(exit: i32) -> String {
    if exit > 128 { format!("exit status {exit} (signal {})", exit - 128) } else { format!("exit status {exit}") }
}

/// The values of [`OUTPUTS`]; `None`: it did not run.
pub fn outputs(done: Option<&host::CommandOutput>) -> Outputs {
    let text = |of: fn(&host::CommandOutput) -> &host::Output| json!(done.map(|d| of(d).text()).unwrap_or_default());
    Outputs::from_iter([
        ("stdout".to_owned(), text(|d| &d.stdout)),
        ("stderr".to_owned(), text(|d| &d.stderr)),
        ("exit_code".to_owned(), done.map_or(Value::Null, |d| json!(d.exit))),
    ])
}

/// What the last command printed.
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
