//! The style, sign and word of each outcome, and the words of the summary.

use anstyle::{AnsiColor, Style};

use crate::diff::Diff;
use crate::event::{Mode, Outcome, Summary, outcome_name};

pub const GOOD: Style = AnsiColor::Green.on_default();
pub const CHANGE: Style = AnsiColor::Yellow.on_default();
pub const BAD: Style = AnsiColor::Red.on_default();
pub const HINT: Style = AnsiColor::Cyan.on_default();
pub const QUIET: Style = Style::new().dimmed();

/// The style, sign and word for an outcome. The word is the name in JSON, unless another word says more.
pub fn appearance(outcome: &Outcome, diff: &Diff, mode: Mode) -> (Style, char, &'static str) {
    let (style, sign) = match outcome {
        Outcome::Same { .. } => (GOOD, '✓'),
        Outcome::Changed => (CHANGE, '±'),
        Outcome::Kept { .. } => (QUIET, '✓'),
        Outcome::Skipped { .. } => (QUIET, '↷'),
        Outcome::Waits { .. } => (HINT, '…'),
        // The change is known, but has to wait for an earlier step.
        Outcome::Pending { .. } if !diff.is_empty() => (CHANGE, '±'),
        Outcome::Pending { .. } => (HINT, '…'),
        Outcome::Failed(_) => (BAD, '✗'),
        Outcome::Warned(_) => (CHANGE, '!'),
        Outcome::Unknown(_) => (BAD, '?'),
        Outcome::Cancelled { .. } => (QUIET, '⊘'),
    };
    let word = match outcome {
        Outcome::Same { .. } => "ok",
        Outcome::Changed if mode == Mode::Preview => "would do",
        Outcome::Cancelled { .. } => "not run",
        _ => outcome_name(outcome),
    };
    (style, sign, word)
}

pub fn counts(summary: &Summary, mode: Mode) -> String {
    let names = [
        ("failed", "failed"),
        ("unknown", "unknown"),
        ("warned", "failed and ignored"),
        ("changed", if mode == Mode::Preview { "would change" } else { "changed" }),
        ("pending", "pending"),
        ("waits", "waiting"),
        ("kept", "kept"),
        ("same", "ok"),
        ("skipped", "skipped"),
        ("cancelled", "not run"),
    ];
    let parts: Vec<String> = names
        .iter()
        .filter(|(key, _)| summary.get(key) > 0)
        .map(|(key, word)| format!("{} {word}", summary.get(key)))
        .collect();
    if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") }
}
