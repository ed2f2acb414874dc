//! What a run is limited to.

use std::time::Duration;

use crate::plan::{Step, StepKind};

/// Limits and selections.
#[derive(Debug, Clone)]
pub struct Options {
    /// Units at a time.
    pub parallel: usize,
    /// Deadline of a step that has none of its own.
    pub timeout: Duration,
    /// Phases to run; empty: all.
    pub only: Vec<String>,
    /// Phases to leave out.
    pub skip: Vec<String>,
    /// Steps to run: those that have one of these tags; empty: all.
    pub tags: Vec<String>,
    /// Units to take as done, whatever is on record; see [`UnitRef::is_meant_by`].
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

    /// Whether they leave something of the plan out.
    pub(super) fn leaves_out(&self) -> bool {
        [&self.only, &self.skip, &self.tags].iter().any(|names| !names.is_empty())
    }

    /// Whether a step may run, as far as its tags go. Handlers and what undoes a phase follow its steps, whatever their
    /// tags.
    pub fn takes_step(&self, step: &Step) -> bool {
        step.part != StepKind::Step
            || self.tags.is_empty()
            || step.tags.iter().any(|tag| self.tags.contains(&tag.value))
    }
}
