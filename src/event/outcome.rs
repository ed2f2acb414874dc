//! How a unit ended, and the counts of that over a run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Problem;

/// How a unit ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Everything was already as the plan says.
    Same {
        /// The state that was found, in one line; may be empty.
        seen: String,
    },
    /// The unit changed something (run), or would change something (preview).
    Changed,
    /// An earlier run did the unit, and its definition has not changed since.
    Kept {
        /// Whether only a person's answer (`--done`) says so.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        said: bool,
    },
    /// `when` was false, or the selection excludes the step.
    Skipped {
        /// The reason.
        why: String,
    },
    /// The unit would wait for a state that is not reached yet (preview only).
    Waits {
        /// The current state.
        seen: String,
    },
    /// The unit cannot be predicted before an earlier step has run (preview only).
    Pending {
        /// The step or object that the unit needs.
        needs: String,
    },
    /// The unit failed; its effect is known.
    Failed(Problem),
    /// The unit failed, and `ignore_errors` makes that a warning. It has no outputs.
    Warned(Problem),
    /// The unit was interrupted; whether it took effect is not known.
    Unknown(Problem),
    /// The unit did not start, because something that it needs did not succeed.
    Cancelled {
        /// What the unit needed.
        needs: String,
    },
}

impl Outcome {
    pub fn lets_dependents_start(&self) -> bool {
        !matches!(self, Self::Failed(_) | Self::Unknown(_) | Self::Cancelled { .. })
    }
}

/// Number of units by name of outcome (`same`, `changed`, `failed` …).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary(pub BTreeMap<String, usize>);

impl Summary {
    pub fn count(&mut self, outcome: &Outcome) {
        *self.0.entry(outcome_name(outcome).to_owned()).or_default() += 1;
    }

    pub fn get(&self, name: &str) -> usize {
        self.0.get(name).copied().unwrap_or_default()
    }
}

/// The name of an outcome in JSON.
pub fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Same { .. } => "same",
        Outcome::Changed => "changed",
        Outcome::Kept { .. } => "kept",
        Outcome::Skipped { .. } => "skipped",
        Outcome::Waits { .. } => "waits",
        Outcome::Pending { .. } => "pending",
        Outcome::Failed(_) => "failed",
        Outcome::Warned(_) => "warned",
        Outcome::Unknown(_) => "unknown",
        Outcome::Cancelled { .. } => "cancelled",
    }
}
