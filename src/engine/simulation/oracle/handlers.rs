//! No handler is lost: a handler runs after each change of a step that notifies it.

use std::collections::BTreeSet;

use super::{Ran, key, well};
use crate::engine::simulation::order::{Key, answered};
use crate::event::{EventKind, Outcome};

/// A handler that must run after a moment: a run, and the number of its events that were durable.
#[derive(Debug)]
struct Demand {
    handler: Key,
    by: Key,
    since: (usize, usize),
}

#[derive(Default)]
pub struct Demands(Vec<Demand>);

impl Demands {
    /// Adds the demands of a run's changes, and removes those that its handlers have served.
    pub fn take(&mut self, ran: &Ran) {
        // A handler that the plan no longer has is not pending. One that moved to other hosts is pending there.
        let follow = |demand: Demand| {
            let Some(handler) = ran.model.step(&demand.handler.0) else { return Vec::new() };
            if handler.places().iter().any(|h| h.map(str::to_owned) == demand.handler.1) {
                return vec![demand];
            }
            let moved = answered(handler, demand.by.1.as_deref()).into_iter();
            moved.map(|handler| Demand { handler, by: demand.by.clone(), since: demand.since }).collect()
        };
        self.0 = std::mem::take(&mut self.0).into_iter().flat_map(follow).collect();
        for sent in ran.sent.iter().filter(|s| s.changed) {
            let Some((phase, step)) = ran.model.steps().find(|(_, s)| s.id == sent.unit.0) else { continue };
            for handler in phase.steps.iter().filter(|s| step.notify.contains(&s.id)) {
                for handler in answered(handler, sent.unit.1.as_deref()) {
                    self.0.push(Demand { handler, by: sent.unit.clone(), since: sent.at });
                }
            }
        }
        let mut starts: Vec<(Key, usize)> = Vec::new();
        for (index, kind) in ran.own() {
            match kind {
                EventKind::UnitStarted { unit, .. } => starts.push((key(unit), index)),
                EventKind::UnitFinished { unit, outcome, definition: Some(_), .. } if well(outcome) => {
                    let unit = key(unit);
                    let Some((_, start)) = starts.iter().rev().find(|(of, _)| *of == unit) else { continue };
                    self.0.retain(|d| d.handler != unit || d.since > (ran.number, *start));
                }
                // A handler whose condition does not hold need not run.
                EventKind::UnitFinished { unit, outcome: Outcome::Skipped { .. }, .. } => {
                    self.0.retain(|d| d.handler != key(unit) || d.since > (ran.number, index));
                }
                _ => {}
            }
        }
    }

    /// After a run of the whole plan that ended well, no handler is pending whose step is still in the plan.
    pub fn all_served(&self, last: &Ran) -> Result<(), String> {
        let outcomes = last.outcomes();
        let asks: BTreeSet<(Key, Key)> = last
            .model
            .steps()
            .flat_map(|(phase, step)| {
                let handlers = phase.steps.iter().filter(|h| step.notify.contains(&h.id));
                handlers.flat_map(move |h| {
                    last.order.places(&step.id).iter().flat_map(move |host| {
                        let by = (step.id.clone(), host.clone());
                        answered(h, host.as_deref()).into_iter().map(move |handler| (by.clone(), handler))
                    })
                })
            })
            .collect();
        for demand in &self.0 {
            let skipped = matches!(outcomes.get(&demand.by), Some(Outcome::Skipped { .. }) | None);
            if !skipped && asks.contains(&(demand.by.clone(), demand.handler.clone())) {
                return Err(format!("a handler is lost: {demand:?}"));
            }
        }
        Ok(())
    }
}
