//! What must be true of every run, told from the plan's rules, the journal's own events and what the world saw; never
//! from the engine's graph or memory.

mod acts;
mod handlers;
mod history;
mod pace;
mod sequence;
mod undo;

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Model, Step, of_item};
use super::order::{Key, Order};
use super::world::Sent;
use crate::event::{Event, EventKind, Outcome, UnitRef};

pub use history::History;

/// A run as it is left on disk.
pub struct Ran {
    pub number: usize,
    /// Unrolled.
    pub model: Model,
    pub order: Order,
    pub asked: Asked,
    /// All whole events of its journal, from what it took over to the last that is left.
    pub events: Vec<Event>,
    /// Where the run's start stands among them.
    pub start: usize,
    /// The run's own end; `None` when it was killed or lost its journal.
    pub report: Option<crate::engine::Report>,
    /// What was sent out in it.
    pub sent: Vec<Sent>,
    /// Units that were made to fail after they had ended well.
    pub mishaps: BTreeSet<Key>,
}

/// What a run was asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub limit: Option<&'static [&'static str]>,
    pub only: Vec<String>,
    pub skip: Vec<String>,
    pub tags: Vec<String>,
    pub done: Vec<Key>,
    pub rerun: Vec<Key>,
    pub fresh: bool,
    pub parallel: usize,
}

impl Asked {
    /// Whether it leaves something of the plan out.
    pub fn is_part(&self, model: &Model) -> bool {
        let hosts = || model.steps().flat_map(|(_, step)| step.places()).flatten();
        [&self.only, &self.skip, &self.tags].iter().any(|names| !names.is_empty())
            || self.limit.is_some_and(|limit| hosts().any(|host| !limit.contains(&host)))
    }

    pub fn leaves_out(&self, phase: &str) -> bool {
        !self.only.is_empty() && !self.only.iter().any(|p| p == phase) || self.skip.iter().any(|p| p == phase)
    }
}

/// Everything that is remembered over a chain of runs.
#[derive(Default)]
pub struct Oracle {
    pub history: History,
    handlers: handlers::Demands,
}

impl Oracle {
    /// Judges a run.
    ///
    /// # Errors
    /// The rule that it broke.
    pub fn judge(&mut self, ran: &Ran) -> Result<(), String> {
        sequence::judge(ran)?;
        self.history.begin(ran);
        let standing: BTreeSet<Key> = self.history.standing();
        for index in ran.start..ran.events.len() {
            self.history.judge(ran, index)?;
            undo::judge(ran, index, &self.history)?;
            self.history.take(&ran.events[index].kind, ran);
        }
        self.history.end();
        undo::all_done(ran, &standing)?;
        acts::judge(ran)?;
        self.handlers.take(ran);
        Ok(())
    }

    /// Judges the end of a chain, after a run of the whole plan that ended well.
    ///
    /// # Errors
    /// The handler that was lost.
    pub fn judge_end(&self, last: &Ran) -> Result<(), String> {
        self.handlers.all_served(last)
    }
}

/// A unit, an item of a loop as a step of its own.
pub fn key(unit: &UnitRef) -> Key {
    let step = unit.item.as_ref().map_or(unit.step.clone(), |item| of_item(&unit.step, item));
    (step, unit.host.clone())
}

pub fn well(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Same { .. } | Outcome::Changed | Outcome::Kept { .. } | Outcome::Skipped { .. } | Outcome::Warned(_)
    )
}

impl Ran {
    pub fn own(&self) -> impl Iterator<Item = (usize, &EventKind)> {
        self.events.iter().enumerate().skip(self.start).map(|(n, e)| (n, &e.kind))
    }

    pub fn step(&self, key: &Key) -> Option<&Step> {
        self.model.step(&key.0)
    }

    /// How each unit ended last.
    pub fn outcomes(&self) -> BTreeMap<Key, &Outcome> {
        let ends = self.own().filter_map(|(_, kind)| match kind {
            EventKind::UnitFinished { unit, outcome, .. } => Some((key(unit), outcome)),
            _ => None,
        });
        ends.collect()
    }
}
