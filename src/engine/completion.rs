//! The end of a unit, whether it was started or not.

use std::time::Duration;

use super::executor::job::Redacted;
use crate::diff::Diff;
use crate::event::{Outcome, Outputs};
use crate::excerpt;
use crate::secret::shown;

/// The number of lines of a unit's output that are kept.
const MAX_OUTPUT_LINES: usize = 20;

/// The number of characters of each line that are kept; the step's outputs have all of them.
const MAX_LINE_CHARS: usize = 4000;

pub(super) struct Completion {
    pub outcome: Outcome,
    pub definition: Option<String>,
    pub diff: Diff,
    pub outputs: Outputs,
    pub output: String,
    pub elapsed: Duration,
    /// Whether an effect was sent.
    pub acted: bool,
    /// Set if all texts have been redacted.
    pub redacted: Option<Box<Redacted>>,
}

impl Completion {
    pub fn new(outcome: Outcome) -> Self {
        let (diff, outputs, output) = (Diff::default(), Outputs::new(), String::new());
        Self { outcome, definition: None, diff, outputs, output, elapsed: Duration::ZERO, acted: false, redacted: None }
    }

    /// Whether the unit failed and its step has `ignore_errors`.
    pub fn warned(&self) -> bool {
        matches!(self.outcome, Outcome::Warned(_))
    }

    pub fn well(&self) -> bool {
        self.outcome.lets_dependents_start()
    }

    /// Whether the unit changed something, or may have before it failed.
    pub fn left_something(&self) -> bool {
        self.outcome == Outcome::Changed || self.acted && (self.warned() || !self.well())
    }
}

/// The last lines of a text. Secrets are masked before the text is cut, since the redactor would not recognize a part of one.
pub fn last_lines(text: &str) -> String {
    let text = shown(text);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(MAX_OUTPUT_LINES));
    last.map(|line| excerpt::head(line, MAX_LINE_CHARS)).collect::<Vec<_>>().join("\n")
}
