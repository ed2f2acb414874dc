//! Where a new line goes in a text.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Text, check_regex, regex};
use crate::event::Problem;
use crate::plan::{ParamError, refuse};

/// An end of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Insert {
    /// Before all lines.
    Start,
    /// After all lines.
    End,
}

/// Where a new line goes.
#[derive(Debug, Clone, Copy)]
pub struct InsertPosition<'a> {
    /// The end of the file to use when neither `after` nor `before` is given, or no line matches.
    pub insert: Option<Insert>,
    /// Expression: insert after the line that matches.
    pub after: Option<&'a str>,
    /// Expression: insert before the line that matches.
    pub before: Option<&'a str>,
    /// Whether to take the first matching line instead of the last.
    pub first_match: bool,
}

impl InsertPosition<'_> {
    /// Refuses both `after` and `before`, and invalid expressions.
    pub fn check(&self) -> Result<(), ParamError> {
        if self.after.is_some() && self.before.is_some() {
            return refuse("before", "give either `after` or `before`, not both");
        }
        check_regex("after", self.after)?;
        check_regex("before", self.before)
    }

    /// The index of the line before which the new one goes; always 0 in an empty text.
    ///
    /// # Errors
    /// When no line matches and `insert` is not given.
    pub fn index(&self, text: &Text) -> Result<usize, Problem> {
        let end = text.lines().len();
        let at_end = |insert| if insert == Insert::Start { 0 } else { end };
        let (pattern, behind) = match (self.after, self.before) {
            _ if end == 0 => return Ok(0),
            (Some(after), _) => (after, 1),
            (_, Some(before)) => (before, 0),
            _ => return Ok(at_end(self.insert.unwrap_or(Insert::End))),
        };
        let regex = regex(pattern)?;
        let found = text.find(self.first_match, |line| regex.is_match(line)).map(|at| at + behind);
        let name = if behind == 1 { "after" } else { "before" };
        found.or(self.insert.map(at_end)).ok_or_else(|| {
            Problem::new(format!("no line matches `{name}`, which is {pattern}"))
                .hint("look at the file on the host; `insert = \"end\"` appends the line when nothing matches")
        })
    }
}
