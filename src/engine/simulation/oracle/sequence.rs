//! The order of events within one run: needs, limits, handlers.

use std::collections::{BTreeMap, BTreeSet};

use super::{Ran, key, pace, well};
use crate::engine::simulation::model::HOSTS;
use crate::engine::simulation::order::Key;
use crate::event::{EventKind, Outcome};
use crate::plan::StepKind;

struct Walk<'a> {
    ran: &'a Ran,
    running: BTreeSet<Key>,
    /// Running units that were sent behind another one in a pipeline.
    along: BTreeSet<Key>,
    ended: BTreeMap<Key, &'a Outcome>,
    /// Pending handlers, with the units that notified them.
    open: BTreeMap<Key, BTreeSet<Key>>,
    /// Running handlers, with the units that notified them.
    answering: BTreeMap<Key, BTreeSet<Key>>,
    handler_runs: BTreeMap<Key, usize>,
    /// Units that started or ended well.
    begun: BTreeSet<Key>,
    /// Units that failed within the limits.
    allowed: BTreeSet<Key>,
}

pub fn judge(ran: &Ran) -> Result<(), String> {
    let mut walk = Walk {
        ran,
        running: BTreeSet::new(),
        along: BTreeSet::new(),
        ended: BTreeMap::new(),
        open: BTreeMap::new(),
        answering: BTreeMap::new(),
        handler_runs: BTreeMap::new(),
        begun: BTreeSet::new(),
        allowed: BTreeSet::new(),
    };
    ran.events.iter().try_for_each(|event| walk.take(&event.kind))?;
    walk.left_out()
}

impl<'a> Walk<'a> {
    fn take(&mut self, kind: &'a EventKind) -> Result<(), String> {
        match kind {
            EventKind::Notified { handler, by } => {
                self.open.entry(key(handler)).or_default().insert(key(by));
            }
            EventKind::UnitStarted { unit, with, .. } => {
                let unit = key(unit);
                match with {
                    Some(before) => self.goes_along(&unit, &key(before))?,
                    None => {
                        self.starts(&unit)?;
                        pace::may_begin(self.ran, &unit, &self.ended, &self.begun)?;
                    }
                }
                self.begun.insert(unit.clone());
                if !self.running.insert(unit.clone()) {
                    return Err(format!("{unit:?} runs twice at a time"));
                }
                if self.running.difference(&self.along).count() > self.ran.asked.parallel {
                    return Err(format!("{} units run at a time: {:?}", self.running.len(), self.running));
                }
                if let Some(by) = self.open.remove(&unit) {
                    self.answering.insert(unit, by);
                }
            }
            EventKind::UnitFinished { unit, outcome, .. } => {
                let unit = key(unit);
                self.running.remove(&unit);
                if matches!(outcome, Outcome::Kept { .. }) {
                    self.needs(&unit)?;
                }
                if self.along.remove(&unit) && matches!(outcome, Outcome::Changed) {
                    self.starts(&unit)?;
                }
                if let Some(by) = self.answering.remove(&unit)
                    && !well(outcome)
                {
                    self.open.entry(unit.clone()).or_default().extend(by);
                }
                if matches!(outcome, Outcome::Skipped { .. }) {
                    self.open.remove(&unit);
                }
                if well(outcome) && !matches!(outcome, Outcome::Skipped { .. }) {
                    self.begun.insert(unit.clone());
                }
                self.ended.insert(unit.clone(), outcome);
                let failed = matches!(outcome, Outcome::Failed(_) | Outcome::Unknown(_));
                if failed && pace::allowed(self.ran, &unit, &self.ended) {
                    self.allowed.insert(unit);
                }
            }
            EventKind::RunFinished { handlers_left, .. } => {
                let reported: BTreeSet<Key> = handlers_left.iter().map(key).collect();
                let open: BTreeSet<Key> = self.open.keys().cloned().collect();
                if reported != open {
                    return Err(format!("the run says that {reported:?} are to run, but {open:?} are"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A unit may be sent behind a running unit of its host. It counts as started when all that it needs has ended
    /// well.
    fn goes_along(&mut self, unit: &Key, before: &Key) -> Result<(), String> {
        if !self.running.contains(before) || before.1 != unit.1 {
            return Err(format!("{unit:?} is sent with {before:?}, which is not under way there"));
        }
        self.along.insert(unit.clone());
        Ok(())
    }

    fn starts(&mut self, unit: &Key) -> Result<(), String> {
        let step = self.ran.step(unit).ok_or_else(|| format!("{unit:?} is not in the plan"))?;
        match step.part {
            StepKind::Step => {
                self.needs(unit)?;
                self.batches(unit)?;
                self.flushed(unit)
            }
            StepKind::Handler => {
                self.needs(unit)?;
                let runs = self.handler_runs.entry(unit.clone()).or_default();
                *runs += 1;
                let phase = self.ran.model.steps().find(|(_, s)| s.id == unit.0).map(|(p, _)| p);
                let flushes =
                    phase.map_or(0, |p| p.steps.iter().filter(|s| s.flush && s.part == StepKind::Step).count());
                // Handlers run at the end of each batch, and at the end of the phase.
                let batches = if phase.is_some_and(|p| p.serial.is_some()) { HOSTS.len() } else { 1 };
                if *runs > (flushes + 1) * batches + batches - 1 {
                    return Err(format!("{unit:?} runs {runs} times in a phase with {flushes} flushes"));
                }
                match self.open.contains_key(unit) {
                    true => Ok(()),
                    false => Err(format!("{unit:?} runs, and nobody asked for it")),
                }
            }
            StepKind::OnFailure => Ok(()),
        }
    }

    /// All that a unit needs has ended well, with the handlers of the phases before.
    fn needs(&self, unit: &Key) -> Result<(), String> {
        let order = &self.ran.order;
        for need in order.units_inside(unit).into_iter().chain(order.units_outside(unit)) {
            let Some((phase, step)) = self.ran.model.steps().find(|(_, s)| s.id == need.0) else { continue };
            let fine = match step.part {
                StepKind::Step => self.ended.get(&need).is_some_and(|o| well(o)) && !self.running.contains(&need),
                _ => {
                    let pending = self.open.contains_key(&need) && !self.ran.asked.leaves_out(&phase.name);
                    let out = phase.when == Some(false);
                    !self.running.contains(&need) && (!pending || out)
                }
            };
            if !fine && !self.goes_on_without(&need, unit) {
                return Err(format!("{unit:?} starts before {need:?} has ended well: {:?}", self.ended.get(&need)));
            }
        }
        Ok(())
    }

    /// Whether a unit does not wait for `need`, because the host of `need` has failed within the limits.
    fn goes_on_without(&self, need: &Key, unit: &Key) -> bool {
        let ended = !self.running.contains(need) && need.1 != unit.1;
        ended && need.1.is_some() && self.allowed.iter().any(|failed| failed.1 == need.1)
    }

    /// The batches before that of a unit have ended, without failures beyond the limits.
    fn batches(&self, unit: &Key) -> Result<(), String> {
        for need in pace::earlier_batches(self.ran, unit) {
            let ended = self.ended.get(&need).filter(|_| !self.running.contains(&need));
            let fine = ended.is_some_and(|o| well(o)) || ended.is_some() && self.goes_on_without(&need, unit);
            if !fine {
                return Err(format!("{unit:?} starts before {need:?} of a batch before has ended well"));
            }
        }
        Ok(())
    }

    /// In a run that was not interrupted, each cancelled unit has a reason.
    fn left_out(&self) -> Result<(), String> {
        let cancelled = self.ended.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Cancelled { .. }));
        let mut cancelled = cancelled.filter(|_| self.ran.report.as_ref().is_some_and(|r| !r.interrupted));
        cancelled.try_for_each(|(unit, _)| pace::has_reason(self.ran, unit, &self.ended, &self.allowed))
    }

    /// Before a step that flushes, the handlers have run that the steps before it notified.
    fn flushed(&self, unit: &Key) -> Result<(), String> {
        if !self.ran.step(unit).is_some_and(|s| s.flush) {
            return Ok(());
        }
        let before = self.ran.order.units_inside(unit);
        for (handler, by) in self.open.iter().chain(&self.answering) {
            let Some((phase, _)) = self.ran.model.steps().find(|(_, s)| s.id == handler.0) else { continue };
            let here = phase.steps.iter().any(|s| s.id == unit.0);
            let places = self.ran.order.places(&handler.0);
            let mine = places.contains(&handler.1) && (handler.1 == unit.1 || !places.contains(&unit.1));
            let mine = mine && !self.ran.order.is_later(handler, unit);
            if here && mine && !self.goes_on_without(handler, unit) && by.iter().any(|by| before.contains(by)) {
                return Err(format!("{unit:?} flushes, and {handler:?} has not run, which {by:?} asked for"));
            }
        }
        Ok(())
    }
}
