//! Limits of a run, and the part of the plan that it takes.

use std::time::Duration;

use crate::plan::{Step, StepKind};

#[derive(Debug, Clone)]
pub struct Options {
    /// The most tasks at a time.
    pub parallel: usize,
    /// Timeout of steps that have none of their own.
    pub timeout: Duration,
    /// Phases to run; empty: all.
    pub only: Vec<String>,
    /// Phases to leave out.
    pub skip: Vec<String>,
    /// Tags of the steps to run; empty: all steps.
    pub tags: Vec<String>,
    /// Units that count as done, whatever is on record; see [`UnitRef::is_meant_by`].
    pub done: Vec<String>,
    /// Units to run, whatever is on record.
    pub rerun: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        let none = Vec::new;
        let (timeout, parallel) = (Duration::from_secs(300), 64);
        Self { parallel, timeout, only: none(), skip: none(), tags: none(), done: none(), rerun: none() }
    }
}

impl Options {
    /// Whether a phase may run.
    pub fn takes_phase(&self, name: &String) -> bool {
        (self.only.is_empty() || self.only.contains(name)) && !self.skip.contains(name)
    }

    /// Whether some part of the plan may be left out.
    pub(super) fn leaves_out(&self) -> bool {
        [&self.only, &self.skip, &self.tags].iter().any(|names| !names.is_empty())
    }

    /// Whether the tags select a step. Handlers and `on_failure` steps follow the steps of their phase, whatever their tags.
    pub fn takes_step(&self, step: &Step) -> bool {
        step.kind != StepKind::Step
            || self.tags.is_empty()
            || step.tags.iter().any(|tag| self.tags.contains(&tag.value))
    }
}
