//! What a run takes over from the one before, and what of that no longer fits the plan.

use std::collections::HashSet;

use super::dispatcher::State;
use crate::event::{Kind, Mode, UnitRef};
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
        for handler in self.handlers_no_longer_there() {
            self.memory.forget_handler(&handler);
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
        let in_graph: HashSet<(&str, Option<&str>)> = self
            .graph
            .units()
            .map(|u| (u.step(&self.plan).id.value.as_str(), u.host.as_ref().map(|h| h.name.as_str())))
            .collect();
        let steps: HashSet<&str> =
            self.plan.phases.iter().flat_map(|p| &p.steps).map(|s| s.id.value.as_str()).collect();
        let gone = self.memory.units().filter(|r| !in_graph.contains(&(&r.unit.step, r.unit.host.as_deref())));
        let gone = gone.filter_map(|r| {
            let why = if !steps.contains(r.unit.step.as_str()) {
                "the plan has no such step any more"
            } else if self.options.limited {
                // It may only be out of this run's sight.
                return None;
            } else {
                "it no longer runs there"
            };
            Some((r.unit.clone(), why.to_owned()))
        });
        gone.collect()
    }

    fn handlers_no_longer_there(&self) -> Vec<UnitRef> {
        let is_there = |handler: &UnitRef| {
            let phase = self.plan.phases.iter().find(|p| p.name.value == handler.phase);
            phase.is_some_and(|p| p.part(Part::Handler).any(|(_, s)| s.id.value == handler.step))
        };
        self.memory.handlers().keys().filter(|handler| !is_there(handler)).cloned().collect()
    }
}
