//! What a preview found: the units whose part of the world is not as the plan says.

use crate::diff::Diff;
use crate::event::{Event, EventKind, Outcome, Problem, UnitRef};

/// A unit that would change something.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftedUnit {
    pub unit: UnitRef,
    pub diff: Diff,
}

/// The result of a preview.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Drift {
    /// Units in order.
    pub same: usize,
    pub drifted: Vec<DriftedUnit>,
    /// Units behind a drifted one, of which nothing is known yet.
    pub pending: usize,
    pub failed: Vec<(UnitRef, Problem)>,
}

impl Drift {
    pub fn of(events: &[Event]) -> Self {
        let mut drift = Self::default();
        for event in events {
            let EventKind::UnitFinished { unit, outcome, diff, .. } = &event.kind else { continue };
            match outcome {
                Outcome::Changed => drift.drifted.push(DriftedUnit { unit: unit.clone(), diff: diff.clone() }),
                Outcome::Pending { .. } => drift.pending += 1,
                Outcome::Waits { seen } => {
                    drift
                        .failed
                        .push((unit.clone(), Problem::new(format!("it waits, and no step will end that: {seen}"))));
                }
                Outcome::Failed(problem) | Outcome::Unknown(problem) => {
                    drift.failed.push((unit.clone(), problem.clone()));
                }
                Outcome::Same { .. } | Outcome::Kept { .. } | Outcome::Warned(_) => drift.same += 1,
                Outcome::Skipped { .. } | Outcome::Cancelled { .. } => {}
            }
        }
        drift
    }

    pub fn is_in_order(&self) -> bool {
        self.drifted.is_empty() && self.failed.is_empty()
    }
}
