//! Handlers that were asked for and have not run since. Each request is in the journal, so none is lost.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::dispatcher::State;
use crate::event::{Kind, Outcome, UnitRef};
use crate::graph::{Place, Places, Unit};
use crate::journal::JournalError;
use crate::plan::{Part, Step};

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

/// The places where a unit's call is answered: on its own host where the called step runs there, for its own item where
/// that step has it, else on all of its hosts, for all of its items.
pub(super) fn answering(places: &Places, caller: &Place) -> Vec<Place> {
    if places.contains(caller) {
        return vec![caller.clone()];
    }
    let on_host = own(places.iter().collect(), |place| place.host.is_some() && place.host == caller.host);
    let for_item = own(on_host, |place| place.item.is_some() && place.item == caller.item);
    for_item.into_iter().cloned().collect()
}

/// Those that are the caller's own, if there are any.
fn own(places: Vec<&Place>, is_own: impl Fn(&Place) -> bool) -> Vec<&Place> {
    let own: Vec<&Place> = places.iter().copied().filter(|place| is_own(place)).collect();
    if own.is_empty() { places } else { own }
}

impl State {
    /// A unit that changed something, or may have done so, asks for its handlers. Durable with the unit's end.
    pub(super) fn notify(&mut self, unit: &Unit, by: &UnitRef) -> Result<(), JournalError> {
        let step = unit.step(&self.plan);
        for handler in self.calls(unit, Part::Handler, |handler| step.notifies(handler)) {
            self.owed.waiting.entry(handler.clone()).or_default().insert(by.clone());
            self.emitter.emit(Kind::Notified { handler, by: by.clone() })?;
        }
        Ok(())
    }

    /// The units of the handlers, or of what undoes, that a unit's step names, where they answer to it.
    pub(super) fn calls(&self, unit: &Unit, part: Part, names: impl Fn(&Step) -> bool) -> Vec<UnitRef> {
        let phase = &self.plan.phases[unit.phase];
        let here = Place::of(&unit.reference(&self.plan));
        let called = phase.part(part).filter(|(_, step)| names(step)).flat_map(|(number, step)| {
            let places = answering(self.graph.places(unit.phase, number), &here).into_iter();
            places.map(|Place { host, item }| {
                let (phase, step) = (phase.name.value.clone(), step.id.value.clone());
                UnitRef { phase, step, item, host }
            })
        });
        called.collect()
    }
}
