//! What a run takes over from the one before, and what of that no longer fits the plan.

use std::collections::HashMap;

use super::dispatcher::State;
use crate::event::{Kind, Mode, UnitRef};
use crate::graph::{Place, answering};
use crate::journal::{JournalError, Recorded};
use crate::plan::Part;

impl State {
    /// Writes what is remembered at the head of the journal, less what the edited plan no longer has; gives the events
    /// that tell of the latter.
    pub(super) fn take_over(&mut self) -> Result<Vec<Kind>, JournalError> {
        if self.mode == Mode::Preview {
            return Ok(Vec::new());
        }
        let mut dropped = Vec::new();
        for (unit, why) in self.no_longer_there() {
            // Should it come back, it must still be known that it was cut off, or has yet to tell what it changed.
            if !self.memory.get(&unit).is_some_and(Recorded::unsettled) {
                self.memory.forget(&unit);
            }
            dropped.push(Kind::Dropped { unit, why });
        }
        for handler in self.move_handlers() {
            let why = "it is still to run, but the plan has no such handler any more".to_owned();
            dropped.push(Kind::Dropped { unit: handler, why });
        }
        self.owed = super::owed::Owed::new(self.memory.handlers().clone());
        for kind in self.memory.records().collect::<Vec<_>>() {
            self.emitter.record(kind)?;
        }
        Ok(dropped)
    }

    fn no_longer_there(&self) -> Vec<(UnitRef, String)> {
        let steps = self.plan.phases.iter().enumerate().flat_map(|(p, phase)| {
            phase.steps.iter().enumerate().map(move |(number, step)| (step.id.value.as_str(), (p, number)))
        });
        let steps: HashMap<&str, (usize, usize)> = steps.collect();
        let gone = self.memory.units().filter_map(|r| {
            let why = match steps.get(r.unit.step.as_str()) {
                None => "the plan has no such step any more",
                Some((phase, step)) => {
                    let places = self.graph.places(*phase, *step);
                    if places.contains(&Place::of(&r.unit)) {
                        return None;
                    }
                    let has_host = places.iter().any(|place| place.host == r.unit.host);
                    if has_host { "its `for_each` is another one now" } else { "it no longer runs there" }
                }
            };
            Some((r.unit.clone(), why.to_owned()))
        });
        gone.collect()
    }

    /// Handlers that are still to run follow their step to another phase or to other hosts; gives those that have none.
    fn move_handlers(&mut self) -> Vec<UnitRef> {
        let plan = self.plan.clone();
        let handlers = plan.phases.iter().enumerate().flat_map(|(p, phase)| {
            phase.part(Part::Handler).map(move |(number, step)| (p, number, &phase.name.value, &step.id.value))
        });
        let handlers: Vec<_> = handlers.collect();
        let mut gone = Vec::new();
        for (handler, askers) in self.memory.handlers().clone() {
            self.memory.forget_handler(&handler);
            let at = |Place { host, item }: Place, phase: &String| UnitRef {
                phase: phase.clone(),
                step: handler.step.clone(),
                item,
                host,
            };
            let mut found = false;
            if let Some((p, number, phase, _)) = handlers.iter().find(|(.., id)| **id == handler.step) {
                let places = self.graph.places(*p, *number);
                for by in askers {
                    let own = Place::of(&handler);
                    let now = if places.contains(&own) { vec![own] } else { answering(places, &Place::of(&by)) };
                    for place in now {
                        found = true;
                        self.memory.ask(at(place, phase), by.clone());
                    }
                }
            }
            if !found {
                gone.push(handler);
            }
        }
        gone
    }
}
