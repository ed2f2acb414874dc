//! Handlers that were asked for and have not run since. Each request is in the journal, so none is lost.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::dispatcher::State;
use crate::event::{Kind, Outcome, UnitRef};
use crate::graph::Unit;
use crate::journal::JournalError;

/// The handlers that are owed, with those who asked for them.
#[derive(Debug, Default)]
pub(super) struct Owed {
    waiting: BTreeMap<UnitRef, BTreeSet<UnitRef>>,
    /// What running handlers answer; a request that comes meanwhile is a new one.
    answering: HashMap<UnitRef, BTreeSet<UnitRef>>,
    /// Those whose end is not known: what they began may still be at work, so that this run does not start them again at
    /// a later place of their phase.
    unclear: BTreeSet<UnitRef>,
}

impl Owed {
    pub(super) fn new(waiting: BTreeMap<UnitRef, BTreeSet<UnitRef>>) -> Self {
        Self { waiting, ..Self::default() }
    }

    pub(super) fn has(&self, handler: &UnitRef) -> bool {
        self.waiting.contains_key(handler)
    }

    /// Whether it is not known how it ended in this run.
    pub(super) fn is_unclear(&self, handler: &UnitRef) -> bool {
        self.unclear.contains(handler)
    }

    pub(super) fn start(&mut self, handler: &UnitRef) {
        if let Some(by) = self.waiting.remove(handler) {
            self.answering.insert(handler.clone(), by);
        }
    }

    /// One that ended well without having started was answered too: by its condition, or by a person.
    pub(super) fn end(&mut self, handler: &UnitRef, outcome: &Outcome) {
        if matches!(outcome, Outcome::Unknown(_)) {
            self.unclear.insert(handler.clone());
        }
        let well = outcome.lets_dependents_start();
        match (self.answering.remove(handler), well) {
            (Some(by), false) => self.waiting.entry(handler.clone()).or_default().extend(by),
            (None, true) => drop(self.waiting.remove(handler)),
            _ => {}
        }
    }

    /// Those that a later run must see to.
    pub(super) fn left(&self) -> Vec<UnitRef> {
        self.waiting.keys().cloned().collect()
    }
}

impl State {
    /// A unit that changed something, or may have done so, asks for its handlers. Durable with the unit's end.
    pub(super) fn notify(&mut self, unit: &Unit, by: &UnitRef) -> Result<(), JournalError> {
        for handler in self.graph.handlers_of(&self.plan, unit) {
            self.owed.waiting.entry(handler.clone()).or_default().insert(by.clone());
            self.emitter.emit(Kind::Notified { handler, by: by.clone() })?;
        }
        Ok(())
    }
}
