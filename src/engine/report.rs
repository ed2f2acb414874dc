//! How a run went, in numbers.

use crate::event::{Outcome, Summary, UnitRef};
use crate::journal::JournalError;

/// How a run went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The counts.
    pub summary: Summary,
    /// Whether every unit ended well.
    pub ok: bool,
    /// Whether the user ended it.
    pub interrupted: bool,
    /// Whether a failure was that somebody could not be reached.
    pub unreachable: bool,
    /// Units whose work should have been undone and was not.
    pub stuck: Vec<UnitRef>,
}

impl Report {
    /// Counts a unit that ended.
    pub(super) fn count(&mut self, outcome: &Outcome) {
        self.summary.count(outcome);
        if let Outcome::Failed(problem) | Outcome::Unknown(problem) = outcome {
            self.unreachable |= problem.unreachable;
        }
        self.ok &= outcome.lets_dependents_start();
    }
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nothing may be done that is not on record.
    #[error(transparent)]
    Journal(#[from] JournalError),
}
