//! Compensation: what failed phases changed is undone by their `on_failure` steps.

use std::collections::{BTreeSet, HashSet};

use crate::engine::run_spec::RunSpec;
use crate::event::{Outcome, UnitRef};
use crate::graph::{Instance, Unit, nearest_instances};
use crate::plan::StepKind;

#[derive(Debug, Default)]
pub struct Rollback {
    failed: HashSet<usize>,
    /// Phases with a unit whose result is unknown: a person must look at it before anything is undone on top of it.
    unclear: HashSet<usize>,
    /// Hosts that failed within `max_failures`: their own work is undone, and the phase goes on without them.
    excluded_hosts: HashSet<(usize, String)>,
    /// Units that changed something, or may have, in this run or in an earlier one that it goes on from.
    changed: BTreeSet<UnitRef>,
    /// Units that are undone, each with the unit that undid it.
    undone: HashSet<(UnitRef, UnitRef)>,
    /// Units whose work should have been undone and was not.
    incomplete: Vec<UnitRef>,
}

impl Rollback {
    /// Notes that a unit changed something, or may have.
    pub fn record_change(&mut self, unit: &UnitRef) {
        self.changed.insert(unit.clone());
    }

    /// Notes the end of a unit that is no undo. The phase goes on without `excluded_host`.
    pub fn record_end(&mut self, phase: usize, outcome: &Outcome, excluded_host: Option<&str>) {
        match (outcome, excluded_host) {
            (Outcome::Unknown(_), _) => drop(self.unclear.insert(phase)),
            (Outcome::Failed(_), None) => drop(self.failed.insert(phase)),
            (Outcome::Failed(_), Some(host)) => drop(self.excluded_hosts.insert((phase, host.to_owned()))),
            _ => {}
        }
    }

    /// Whether a phase is undone, on all hosts or on the excluded ones.
    pub fn runs_in(&self, phase: usize) -> bool {
        let failed = self.failed.contains(&phase) || self.excluded_hosts.iter().any(|(of, _)| *of == phase);
        failed && !self.unclear.contains(&phase)
    }

    /// Whether a phase is undone on one host.
    fn runs_on(&self, phase: usize, host: Option<&String>) -> bool {
        let alone = host.is_some_and(|host| self.excluded_hosts.contains(&(phase, host.clone())));
        self.runs_in(phase) && (alone || self.failed.contains(&phase))
    }

    /// The units that an `on_failure` unit is to undo: those of the steps that name it, for the same host and item, that may have
    /// changed something and are not undone by it yet.
    pub fn targets(&self, run: &RunSpec, undo: &Unit) -> Vec<UnitRef> {
        let phase = &run.plan.phases[undo.phase];
        let step = run.step(undo);
        let by = run.reference(undo);
        let here = Instance::of_unit(&by);
        let answers = |unit: &UnitRef| {
            let mut steps = phase.steps_of(StepKind::Step);
            steps.any(|(_, of)| of.id.value == unit.step && of.is_undone_by(step))
                && self.runs_on(undo.phase, unit.host.as_ref())
                && nearest_instances(run.graph.instances(undo.phase, undo.step), &Instance::of_unit(unit))
                    .contains(&here)
        };
        let changed = self.changed.iter().filter(|unit| unit.phase == phase.name.value && answers(unit));
        changed.filter(|unit| !self.undone.contains(&((*unit).clone(), by.clone()))).cloned().collect()
    }

    /// An `on_failure` unit has ended. Returns the units that it has undone: none if it ended badly, they are incomplete then.
    /// Another undo of the same unit still has its own part to do.
    pub fn finished(&mut self, run: &RunSpec, undo: &Unit, by: &UnitRef, well: bool) -> Vec<UnitRef> {
        let targets = self.targets(run, undo);
        if !well {
            self.mark_incomplete(targets);
            return Vec::new();
        }
        self.undone.extend(targets.iter().map(|unit| (unit.clone(), by.clone())));
        targets
    }

    /// At the end of a phase: work that this run cannot undo, since the host of its undo is left out of the run.
    pub fn phase_ended(&mut self, run: &RunSpec, phase: usize) {
        if !self.runs_in(phase) {
            return;
        }
        let units: Vec<&Unit> = run.graph.units().filter(|unit| unit.phase == phase).collect();
        let seen: HashSet<UnitRef> = units.iter().map(|unit| run.reference(unit)).collect();
        let left = units.into_iter().filter(|unit| run.step(unit).kind == StepKind::Step).filter_map(|unit| {
            let reference = run.reference(unit);
            let is_undone = self.runs_on(phase, reference.host.as_ref()) && self.changed.contains(&reference);
            let by = || run.graph.undoers_of(&run.plan, unit);
            (is_undone && by().iter().any(|by| !seen.contains(by))).then_some(reference)
        });
        let left = left.collect();
        self.mark_incomplete(left);
    }

    pub fn mark_incomplete(&mut self, units: Vec<UnitRef>) {
        for unit in units {
            if !self.incomplete.contains(&unit) {
                self.incomplete.push(unit);
            }
        }
    }

    /// Units that should have been undone and were not, in the order in which they were found.
    pub fn incomplete(&self) -> &[UnitRef] {
        &self.incomplete
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::state::testing::{part, reference, run, run_without, step, unit};
    use crate::event::{Mode, Problem};

    fn plan() -> String {
        step("p", "made", "hosts = \"a,b\"\non_failure = [\"undo\"]")
            + &step("p", "other", "hosts = \"a,b\"")
            + &part("p", "on_failure", "undo", "hosts = \"a,b\"")
    }

    fn failed() -> Outcome {
        Outcome::Failed(Problem::new("no"))
    }

    #[test]
    fn what_changed_in_a_failed_phase_is_undone_once() {
        let run = run(&plan());
        let (made, undo) = (reference(&run, "p/made@a"), unit(&run, "p/undo@a"));
        let by = run.reference(undo);
        let mut rollback = Rollback::default();
        rollback.record_change(&made);
        rollback.record_change(&reference(&run, "p/other@a"));
        assert!(!rollback.runs_in(0) && rollback.targets(&run, undo).is_empty(), "nothing failed");
        rollback.record_end(0, &failed(), None);
        assert!(rollback.runs_in(0));
        assert_eq!(rollback.targets(&run, undo), std::slice::from_ref(&made));
        assert_eq!(rollback.targets(&run, unit(&run, "p/undo@b")), [], "nothing was changed there");
        assert_eq!(rollback.finished(&run, undo, &by, true), [made]);
        assert_eq!(rollback.targets(&run, undo), []);
        assert_eq!(rollback.incomplete(), []);
    }

    #[test]
    fn an_undo_that_fails_leaves_its_targets_incomplete() {
        let run = run(&plan());
        let (made, undo) = (reference(&run, "p/made@a"), unit(&run, "p/undo@a"));
        let mut rollback = Rollback::default();
        rollback.record_change(&made);
        rollback.record_end(0, &failed(), None);
        assert_eq!(rollback.finished(&run, undo, &run.reference(undo), false), []);
        rollback.mark_incomplete(vec![made.clone()]);
        assert_eq!(rollback.incomplete(), [made], "named once");
    }

    #[test]
    fn nothing_is_undone_on_top_of_an_unknown_result() {
        let mut rollback = Rollback::default();
        rollback.record_end(0, &failed(), None);
        rollback.record_end(0, &Outcome::Unknown(Problem::new("gone")), None);
        assert!(!rollback.runs_in(0));
    }

    #[test]
    fn an_excluded_host_is_undone_alone() {
        let run = run(&plan());
        let mut rollback = Rollback::default();
        ["p/made@a", "p/made@b"].iter().for_each(|name| rollback.record_change(&reference(&run, name)));
        rollback.record_end(0, &failed(), Some("a"));
        assert_eq!(rollback.targets(&run, unit(&run, "p/undo@a")), [reference(&run, "p/made@a")]);
        assert_eq!(rollback.targets(&run, unit(&run, "p/undo@b")), []);
    }

    #[test]
    fn work_on_hosts_that_are_left_out_of_the_run_is_named() {
        let plan = step("p", "made", "on_failure = [\"undo\"]") + &part("p", "on_failure", "undo", "hosts = \"a,b\"");
        let run = run_without(&plan, Mode::Run, &["b"]);
        let mut rollback = Rollback::default();
        rollback.record_change(&reference(&run, "p/made"));
        rollback.phase_ended(&run, 0);
        assert_eq!(rollback.incomplete(), [], "the phase did not fail");
        rollback.record_end(0, &failed(), None);
        rollback.phase_ended(&run, 0);
        assert_eq!(rollback.incomplete(), [reference(&run, "p/made")]);
    }
}
