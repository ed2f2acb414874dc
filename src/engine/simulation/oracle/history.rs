//! The records of a chain of runs, as one list that is searched backwards. The engine decides by a table over a folded
//! state; its decisions are judged by this list.

use std::collections::{BTreeMap, BTreeSet};

use super::{Ran, key};
use crate::engine::simulation::model::{Act, Step, loop_of};
use crate::engine::simulation::order::{Key, answered};
use crate::event::{EventKind, Outcome};
use crate::plan::StepKind;
use crate::secret::MASK;

#[derive(Debug)]
enum Item {
    Start(Key),
    /// A unit ended, or a person said that it was done.
    End(Key, String, End),
    Undone(Key),
    /// A run began whose plan no longer has these units.
    Gone(BTreeSet<Key>),
    /// The run before ended well, so that its results no longer count.
    Over,
    /// A person asked for a fresh start.
    Fresh,
    /// A run ended, or was cut off.
    Cut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Same,
    Changed {
        masked: bool,
    },
    SameMasked,
    Said,
    Failed,
    /// The unit failed before it sent an effect.
    Untouched,
    Unknown,
}

/// The state of a unit by the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Last {
    Nothing,
    /// The place in the list, the definition, and whether the outputs are masked.
    Well(usize, String, bool),
    Failed,
    CutOff,
    Undone,
}

#[derive(Default)]
pub struct History {
    items: Vec<Item>,
    /// The places of each unit in the list.
    places: BTreeMap<Key, Vec<usize>>,
    /// The places where runs end. A unit that is running there is cut off.
    cuts: Vec<usize>,
    /// The last run that started a unit.
    pub started: BTreeMap<Key, usize>,
    ended_well: bool,
    /// Whether a run of the whole plan has begun and none has ended well since.
    whole: bool,
}

impl History {
    /// Takes in the beginning of a run.
    pub fn begin(&mut self, ran: &Ran) {
        if ran.asked.fresh {
            self.push(Item::Fresh);
            self.whole = false;
        } else if self.ended_well && !self.whole {
            self.push(Item::Over);
        }
        self.ended_well = false;
        let part = ran.asked.is_part(&ran.model);
        self.whole |= !part;
        let known: BTreeSet<Key> = self.places.keys().cloned().collect();
        let gone = known.into_iter().filter(|unit| match ran.step(unit) {
            None => true,
            Some(step) => {
                let there = step.places().iter().any(|h| h.map(str::to_owned) == unit.1);
                !there
            }
        });
        let gone: BTreeSet<Key> = gone.collect();
        self.push(Item::Gone(gone));
        for (_, kind) in ran.own() {
            if let EventKind::UnitStarted { unit, .. } = kind {
                self.started.insert(key(unit), ran.number);
            }
        }
    }

    pub fn take(&mut self, kind: &EventKind, ran: &Ran) {
        let (asked, part) = (&ran.asked, ran.asked.is_part(&ran.model));
        match kind {
            EventKind::UnitStarted { unit, .. } => self.push(Item::Start(key(unit))),
            EventKind::UnitFinished { unit, outcome, definition: Some(definition), outputs, acted, .. } => {
                let masked = outputs.values().any(|v| v.as_str().is_some_and(|v| v.contains(MASK)));
                let end = match outcome {
                    Outcome::Same { .. } if masked => End::SameMasked,
                    Outcome::Same { .. } => End::Same,
                    Outcome::Changed => End::Changed { masked },
                    Outcome::Kept { .. } if asked.done.contains(&key(unit)) => End::Said,
                    Outcome::Kept { .. } => return,
                    Outcome::Unknown(_) => End::Unknown,
                    _ if !acted => End::Untouched,
                    _ => End::Failed,
                };
                self.push(Item::End(key(unit), definition.clone(), end));
            }
            EventKind::Undone { unit, .. } => self.push(Item::Undone(key(unit))),
            EventKind::RunFinished { ok, interrupted, .. } => {
                self.ended_well = *ok && !interrupted;
                self.whole &= part || !self.ended_well;
            }
            _ => {}
        }
    }

    pub fn end(&mut self) {
        self.cuts.push(self.items.len());
        self.push(Item::Cut);
    }

    fn push(&mut self, item: Item) {
        if let Item::Start(unit) | Item::End(unit, ..) | Item::Undone(unit) = &item {
            self.places.entry(unit.clone()).or_default().push(self.items.len());
        }
        self.items.push(item);
    }

    /// The state of a unit.
    pub fn last(&self, unit: &Key) -> Last {
        let (mut over, mut gone) = (false, false);
        for (n, item) in self.items.iter().enumerate().rev() {
            let found = match item {
                Item::Over => {
                    over = true;
                    continue;
                }
                Item::Gone(units) => {
                    gone |= units.contains(unit);
                    continue;
                }
                Item::Fresh => return Last::Nothing,
                Item::Start(of) if of == unit => Last::CutOff,
                Item::Undone(of) if of == unit => Last::Undone,
                Item::End(of, definition, end) if of == unit => match end {
                    End::Same | End::Said => Last::Well(n, definition.clone(), false),
                    End::SameMasked => Last::Well(n, definition.clone(), true),
                    End::Changed { masked } => Last::Well(n, definition.clone(), *masked),
                    End::Failed | End::Untouched => Last::Failed,
                    End::Unknown => Last::CutOff,
                },
                _ => continue,
            };
            return match found {
                Last::CutOff => Last::CutOff,
                _ if gone => Last::Nothing,
                Last::Failed => Last::Failed,
                _ if over => Last::Nothing,
                found => found,
            };
        }
        Last::Nothing
    }

    /// Whether a unit may have changed something after that place in the list.
    pub fn touched_after(&self, unit: &Key, since: usize) -> bool {
        let Some(places) = self.places.get(unit) else { return false };
        let mut open: Option<usize> = None;
        for place in places.iter().copied().filter(|p| *p > since) {
            // The unit started before, and its run was cut off.
            if open.is_some_and(|o| self.cuts.iter().any(|cut| (o..place).contains(cut))) {
                return true;
            }
            match &self.items[place] {
                Item::Start(..) => open = Some(place),
                Item::End(_, _, End::Same | End::SameMasked | End::Said | End::Untouched) => open = None,
                _ => return true,
            }
        }
        open.is_some()
    }

    /// Units whose changes since the last run that ended well are neither undone nor forgotten.
    pub fn standing(&self) -> BTreeSet<Key> {
        self.places.keys().filter(|unit| self.stands(unit)).cloned().collect()
    }

    fn stands(&self, unit: &Key) -> bool {
        let ends = |item: &Item| match item {
            Item::Over | Item::Fresh => true,
            Item::Gone(units) => units.contains(unit),
            Item::Undone(of) => of == unit,
            _ => false,
        };
        self.touched_after(unit, self.items.iter().rposition(ends).unwrap_or_default())
    }

    /// Judges the engine's decision in an event that is not taken in yet.
    ///
    /// # Errors
    /// The unit that must not be kept or done again.
    pub fn judge(&self, ran: &Ran, index: usize) -> Result<(), String> {
        match &ran.events[index].kind {
            EventKind::UnitFinished { unit, outcome: Outcome::Kept { .. }, definition, .. } => {
                let unit = key(unit);
                let said = ran.asked.done.contains(&unit);
                if said { Ok(()) } else { self.may_keep(ran, &unit, definition.as_deref().unwrap_or_default()) }
            }
            EventKind::UnitStarted { unit, definition, .. } => self.has_cause(ran, &key(unit), definition),
            _ => Ok(()),
        }
    }

    /// A unit is kept only if it ended well, has the same definition, and no unit before it may have changed something
    /// since.
    fn may_keep(&self, ran: &Ran, unit: &Key, definition: &str) -> Result<(), String> {
        let Some(step) = ran.step(unit) else { return Err(format!("{unit:?} is kept, but not in the plan")) };
        if step.act.is_read_only() {
            return Err(format!("{unit:?} is read-only, and is kept"));
        }
        let Last::Well(done, before, masked) = self.last(unit) else {
            return Err(format!("{unit:?} is kept, but on record is {:?}", self.last(unit)));
        };
        if before != definition {
            return Err(format!("{unit:?} is kept, but its definition changed"));
        }
        let read = |s: &Step| matches!(&s.act, Act::Set { reads: Some(reads), .. } if reads.step == unit.0);
        if masked && ran.model.steps().any(|(_, s)| read(s)) {
            return Err(format!("{unit:?} is kept, but its outputs are not on record"));
        }
        for below in below(ran, unit).into_iter().chain(undoers(ran, unit)) {
            if self.touched_after(&below, done) {
                return Err(format!("{unit:?} is kept, but {below:?} was touched after it"));
            }
        }
        Ok(())
    }

    /// An act that leaves no trace is done again only for a reason.
    fn has_cause(&self, ran: &Ran, unit: &Key, definition: &str) -> Result<(), String> {
        let Some(step) = ran.step(unit).filter(|s| s.part == StepKind::Step) else { return Ok(()) };
        let Act::Do { rerun, .. } = &step.act else { return Ok(()) };
        if ran.asked.rerun.contains(unit) {
            return Ok(());
        }
        let fine = match self.last(unit) {
            Last::Nothing | Last::Failed => true,
            Last::CutOff => *rerun,
            Last::Undone | Last::Well(..) if self.half_undone(ran, unit) => *rerun,
            Last::Undone => true,
            Last::Well(done, before, _) => {
                before != definition || around(ran, unit).iter().any(|u| self.touched_after(u, done))
            }
        };
        match fine {
            true => Ok(()),
            false => Err(format!("{unit:?} is done again without a reason: {:?}", self.last(unit))),
        }
    }
}

impl History {
    /// Whether an undo of the unit has begun since the unit ended well, and has not ended well.
    fn half_undone(&self, ran: &Ran, unit: &Key) -> bool {
        let good = |item: &Item| match item {
            Item::End(of, _, End::Same | End::SameMasked | End::Changed { .. } | End::Said) => of == unit,
            _ => false,
        };
        let Some(done) = self.items.iter().rposition(good) else { return false };
        undoers(ran, unit)
            .into_iter()
            .any(|by| matches!(self.last(&by), Last::CutOff | Last::Failed) && self.touched_after(&by, done))
    }
}

/// The units that undo a unit when its phase fails.
fn undoers(ran: &Ran, unit: &Key) -> Vec<Key> {
    let Some((phase, step)) = ran.model.steps().find(|(_, s)| s.id == unit.0) else { return Vec::new() };
    let undoes = phase.steps.iter().filter(|s| step.on_failure.contains(&s.id));
    undoes.flat_map(|undo| answered(undo, unit.1.as_deref())).collect()
}

/// The units whose changes a unit depends on.
fn below(ran: &Ran, unit: &Key) -> Vec<Key> {
    let mut units = ran.order.units_inside(unit);
    units.extend(ran.order.units_outside(unit));
    // A read-only unit changes nothing.
    units.retain(|unit| ran.step(unit).is_some_and(|s| !s.act.is_read_only()));
    units.retain(|other| !same_loop(unit, other));
    units
}

/// Items of one loop do not depend on each other.
fn same_loop(unit: &Key, other: &Key) -> bool {
    loop_of(&unit.0).is_some() && loop_of(&unit.0) == loop_of(&other.0)
}

/// All units on whose changes a unit may depend.
fn around(ran: &Ran, unit: &Key) -> Vec<Key> {
    let mut units = below(ran, unit);
    if let Some(phase) = ran.model.phases.iter().find(|p| p.steps.iter().any(|s| s.id == unit.0)) {
        let ids = ran.order.at_most_before(&unit.0);
        let near = phase.steps.iter().filter(|s| s.part != StepKind::Step || ids.contains(&s.id));
        units.extend(near.flat_map(|s| ran.order.places(&s.id).iter().map(|h| (s.id.clone(), h.clone()))));
        units.retain(|other| !same_loop(unit, other));
    }
    // Undos on hosts that are left out count, too.
    units.extend(undoers(ran, unit));
    units
}
