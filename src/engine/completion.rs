//! How a unit ended, whether it was started or not.

use std::time::Duration;

use super::executor::job::Cleaned;
use crate::diff::Diff;
use crate::event::{Outcome, Outputs};
use crate::excerpt;
use crate::secret::shown;

/// How many lines of what a unit printed are kept.
const MAX_OUTPUT_LINES: usize = 20;

/// Characters of each of these lines that are kept; the step's outputs have all of them.
const MAX_LINE_CHARS: usize = 4000;

/// How a unit ended.
pub(super) struct Completion {
    pub outcome: Outcome,
    pub definition: Option<String>,
    pub diff: Diff,
    pub outputs: Outputs,
    pub output: String,
    pub elapsed: Duration,
    /// Whether anything was sent out that changes something.
    pub acted: bool,
    /// Set when all of it may be told as it is.
    pub cleaned: Option<Box<Cleaned>>,
}

impl Completion {
    pub fn new(outcome: Outcome) -> Self {
        let (diff, outputs, output) = (Diff::default(), Outputs::new(), String::new());
        Self { outcome, definition: None, diff, outputs, output, elapsed: Duration::ZERO, acted: false, cleaned: None }
    }

    /// Whether it failed in a way that is ignored.
    pub fn warned(&self) -> bool {
        matches!(self.outcome, Outcome::Warned(_))
    }

    pub fn well(&self) -> bool {
        self.outcome.lets_dependents_start()
    }

    /// Whether it changed something, or failed when it may have.
    pub fn left_something(&self) -> bool {
        self.outcome == Outcome::Changed || self.acted && (self.warned() || !self.well())
    }
}

/// Secrets are masked before the text is cut: a part of one would not be known for it.
pub fn last_lines(text: &str) -> String {
    let text = shown(text);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(MAX_OUTPUT_LINES));
    last.map(|line| excerpt::head(line, MAX_LINE_CHARS)).collect::<Vec<_>>().join("\n")
}
