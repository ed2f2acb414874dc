//! Handlers that were asked for and have not run since. Each request is in the journal, so none is lost.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::dispatcher::State;
use crate::event::{Kind, UnitRef};
use crate::graph::{Graph, Unit};
use crate::journal::JournalError;
use crate::plan::{Part, Plan, Step};

/// The handlers that are owed, with those who asked for them.
#[derive(Debug, Default)]
pub(super) struct Owed {
    waiting: BTreeMap<UnitRef, BTreeSet<UnitRef>>,
    /// What running handlers answer; a request that comes meanwhile is a new one.
    answering: HashMap<UnitRef, BTreeSet<UnitRef>>,
}

impl Owed {
    pub(super) fn new(waiting: BTreeMap<UnitRef, BTreeSet<UnitRef>>) -> Self {
        Self { waiting, answering: HashMap::new() }
    }

    pub(super) fn has(&self, handler: &UnitRef) -> bool {
        self.waiting.contains_key(handler)
    }

    pub(super) fn start(&mut self, handler: &UnitRef) {
        if let Some(by) = self.waiting.remove(handler) {
            self.answering.insert(handler.clone(), by);
        }
    }

    pub(super) fn end(&mut self, handler: &UnitRef, well: bool) {
        if let Some(by) = self.answering.remove(handler)
            && !well
        {
            self.waiting.entry(handler.clone()).or_default().extend(by);
        }
    }

    /// Those that a later run must see to.
    pub(super) fn left(&self) -> Vec<UnitRef> {
        self.waiting.keys().cloned().collect()
    }
}

/// Where the units of handlers and of what undoes are: by phase and step, with their hosts.
#[derive(Debug, Default)]
pub(super) struct Called(HashMap<(usize, usize), BTreeSet<Option<String>>>);

impl Called {
    pub(super) fn new(plan: &Plan, graph: &Graph) -> Self {
        let mut called: HashMap<(usize, usize), BTreeSet<Option<String>>> = HashMap::new();
        for unit in graph.units().filter(|unit| unit.step(plan).part != Part::Step) {
            let host = unit.host.as_ref().map(|h| h.name.clone());
            called.entry((unit.phase, unit.step)).or_default().insert(host);
        }
        Self(called)
    }

    /// Whether a handler, or what undoes, runs on a host.
    pub(super) fn runs_on(&self, phase: usize, step: usize, host: Option<&String>) -> bool {
        self.0.get(&(phase, step)).is_some_and(|hosts| hosts.contains(&host.cloned()))
    }

    /// The hosts on which a unit's call is answered: its own where the called step runs there, else all of its hosts.
    pub(super) fn hosts(&self, phase: usize, step: usize, caller: Option<&str>) -> Vec<Option<String>> {
        let Some(hosts) = self.0.get(&(phase, step)) else { return Vec::new() };
        let own = caller.map(str::to_owned);
        if own.is_some() && hosts.contains(&own) { vec![own] } else { hosts.iter().cloned().collect() }
    }
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

    /// The units of the handlers, or of what undoes, that a unit's step names, on the hosts where they answer to it.
    pub(super) fn calls(&self, unit: &Unit, part: Part, names: impl Fn(&Step) -> bool) -> Vec<UnitRef> {
        let phase = &self.plan.phases[unit.phase];
        let host = unit.host.as_ref().map(|h| h.name.as_str());
        let called = phase.part(part).filter(|(_, step)| names(step)).flat_map(|(number, step)| {
            let hosts = self.called.hosts(unit.phase, number, host);
            hosts.into_iter().map(|host| UnitRef { phase: phase.name.value.clone(), step: step.id.value.clone(), host })
        });
        called.collect()
    }
}
