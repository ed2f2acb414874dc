//! The summary of a run.

use crate::event::{Outcome, Summary, UnitRef};
use crate::journal::JournalError;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub summary: Summary,
    /// Whether every unit ended well.
    pub ok: bool,
    /// Whether the user interrupted the run.
    pub interrupted: bool,
    /// Whether some unit failed because its host could not be reached.
    pub unreachable: bool,
    /// Units that should have been undone and were not.
    pub stuck: Vec<UnitRef>,
}

impl Report {
    pub(super) fn count(&mut self, outcome: &Outcome) {
        self.summary.count(outcome);
        if let Outcome::Failed(problem) | Outcome::Unknown(problem) = outcome {
            self.unreachable |= problem.unreachable;
        }
        self.ok &= outcome.lets_dependents_start();
    }
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal cannot be written, and nothing may be done that is not on record.
    #[error(transparent)]
    Journal(#[from] JournalError),
}
