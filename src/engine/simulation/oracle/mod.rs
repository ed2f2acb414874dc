//! The rules that every run must keep. They are judged by the plan, the events of the journal and the effects that the
//! world received, never by the engine's graph or state.

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

/// A run, with all that its journal has.
pub struct Ran {
    pub number: usize,
    /// The plan, unrolled.
    pub model: Model,
    pub order: Order,
    pub asked: Asked,
    /// All whole events of the journal, with the records of earlier runs at the head.
    pub events: Vec<Event>,
    /// The index of the run's start.
    pub start: usize,
    /// The run's report; `None` if the run was killed or could not write its journal.
    pub report: Option<crate::engine::Report>,
    /// The effects that were sent.
    pub sent: Vec<Sent>,
    /// Units that were made to fail after they had ended well.
    pub mishaps: BTreeSet<Key>,
}

/// The options of a run.
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
    /// Whether the options leave out something of the plan.
    pub fn is_part(&self, model: &Model) -> bool {
        let hosts = || model.steps().flat_map(|(_, step)| step.places()).flatten();
        [&self.only, &self.skip, &self.tags].iter().any(|names| !names.is_empty())
            || self.limit.is_some_and(|limit| hosts().any(|host| !limit.contains(&host)))
    }

    pub fn leaves_out(&self, phase: &str) -> bool {
        !self.only.is_empty() && !self.only.iter().any(|p| p == phase) || self.skip.iter().any(|p| p == phase)
    }
}

/// What the oracle remembers over a chain of runs.
#[derive(Default)]
pub struct Oracle {
    pub history: History,
    handlers: handlers::Demands,
}

impl Oracle {
    /// Judges a run.
    ///
    /// # Errors
    /// The rule that the run broke.
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

    /// Judges a chain after a last run of the whole plan that ended well.
    ///
    /// # Errors
    /// The handler that was lost.
    pub fn judge_end(&self, last: &Ran) -> Result<(), String> {
        self.handlers.all_served(last)
    }
}

/// The key of a unit in the unrolled plan.
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

    /// The last outcome of each unit.
    pub fn outcomes(&self) -> BTreeMap<Key, &Outcome> {
        let ends = self.own().filter_map(|(_, kind)| match kind {
            EventKind::UnitFinished { unit, outcome, .. } => Some((key(unit), outcome)),
            _ => None,
        });
        ends.collect()
    }
}
