//! Undoing what a failed phase did.

use std::collections::HashSet;

use petgraph::graph::NodeIndex;

use super::dispatcher::State;
use crate::event::{Kind, Mode, Outcome, UnitRef};
use crate::graph::{Place, Unit, answering};
use crate::journal::{JournalError, NOW};
use crate::plan::Part;

/// Which phases went wrong, and how.
#[derive(Debug, Default)]
pub(super) struct FailedPhases {
    failed: HashSet<usize>,
    /// A unit's end is not known: it must be cleared up before anything is undone on top of it.
    unclear: HashSet<usize>,
    /// Hosts that failed, and the phase goes on without them.
    without: HashSet<(usize, String)>,
}

impl FailedPhases {
    /// A unit has ended; `without`: the phase goes on, without that host.
    pub(super) fn note(&mut self, phase: usize, outcome: &Outcome, without: Option<&str>) {
        match (outcome, without) {
            (Outcome::Unknown(_), _) => drop(self.unclear.insert(phase)),
            (Outcome::Failed(_), None) => drop(self.failed.insert(phase)),
            (Outcome::Failed(_), Some(host)) => drop(self.without.insert((phase, host.to_owned()))),
            _ => {}
        }
    }

    /// Whether something of a phase is undone: all of it, or what was done on hosts that it goes on without.
    pub(super) fn undoes(&self, phase: usize) -> bool {
        let failed = self.failed.contains(&phase) || self.without.iter().any(|(of, _)| *of == phase);
        failed && !self.unclear.contains(&phase)
    }

    /// Whether what was done there in a phase is undone.
    fn undoes_on(&self, phase: usize, host: Option<&String>) -> bool {
        let alone = host.is_some_and(|host| self.without.contains(&(phase, host.clone())));
        self.undoes(phase) && (alone || self.failed.contains(&phase))
    }
}

impl State {
    /// The units whose work a unit of `on_failure` undoes: those that name its step, answer to its place, and may have
    /// changed something.
    pub(super) fn undoes(&self, undo: &Unit) -> Vec<UnitRef> {
        let phase = &self.plan.phases[undo.phase];
        let step = undo.step(&self.plan);
        let by = undo.reference(&self.plan);
        let here = Place::of(&by);
        let answers = |unit: &UnitRef| {
            let mut steps = phase.part(Part::Step);
            steps.any(|(_, of)| of.id.value == unit.step && of.is_undone_by(step))
                && self.failed_phases.undoes_on(undo.phase, unit.host.as_ref())
                && answering(self.graph.places(undo.phase, undo.step), &Place::of(unit)).contains(&here)
        };
        let touched = self.touched.iter().filter(|unit| unit.phase == phase.name.value && answers(unit));
        touched.filter(|unit| !self.undone.contains(&((*unit).clone(), by.clone()))).cloned().collect()
    }

    /// When something that undoes the unit was at work last, in an earlier run, and who that was. It may have been cut off
    /// in the middle, and then nothing else tells that the unit's work may be gone.
    pub(super) fn undone_last(&self, unit: &Unit) -> Option<(u64, String)> {
        let by = self.graph.undoers_of(&self.plan, unit).into_iter();
        by.filter_map(|by| Some((self.memory.get(&by)?.touched?, by.to_string()))).max()
    }

    /// Who began to undo the unit since it was done, and did not come to a good end.
    pub(super) fn undoing(&self, unit: &Unit, done: Option<u64>) -> Option<String> {
        let by = self.graph.undoers_of(&self.plan, unit).into_iter();
        let unfinished = |by: &UnitRef| self.memory.get(by).is_some_and(|r| r.unsettled() && r.touched > done);
        by.into_iter().find(unfinished).map(|by| by.to_string())
    }

    /// At the end of a phase: what this run does not see of the hosts where something should have been undone.
    pub(super) fn out_of_sight(&mut self, phase: usize) {
        if !self.failed_phases.undoes(phase) || self.mode == Mode::Preview {
            return;
        }
        let undoes: Vec<&Unit> = self.graph.units().filter(|u| u.phase == phase).collect();
        let seen: HashSet<UnitRef> = undoes.iter().map(|u| u.reference(&self.plan)).collect();
        let left = undoes.into_iter().filter(|unit| unit.step(&self.plan).part == Part::Step).filter_map(|unit| {
            let reference = unit.reference(&self.plan);
            let by = self.graph.undoers_of(&self.plan, unit);
            let undone = self.failed_phases.undoes_on(phase, reference.host.as_ref());
            (undone && self.touched.contains(&reference) && by.iter().any(|by| !seen.contains(by))).then_some(reference)
        });
        left.collect::<Vec<_>>().into_iter().for_each(|unit| self.stuck(unit));
    }

    pub(super) fn stuck(&mut self, unit: UnitRef) {
        if !self.report.stuck.contains(&unit) {
            self.report.stuck.push(unit);
        }
    }

    /// A unit of `on_failure` has ended. What it has undone is touched, even when it found nothing left to do.
    pub(super) fn undid(&mut self, node: NodeIndex, undo: &Unit, by: &UnitRef, well: bool) -> Result<(), JournalError> {
        for unit in self.undoes(undo) {
            if well {
                self.marks.entry(node).or_default().touch(NOW, &unit);
                // What else undoes the same unit has still to do its part.
                self.undone.insert((unit.clone(), by.clone()));
                self.emitter.emit(Kind::Undone { unit, by: by.clone() })?;
            } else {
                self.stuck(unit);
            }
        }
        Ok(())
    }
}
