//! The records of earlier runs, as far as they still fit the plan.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::engine::run_spec::RunSpec;
use crate::event::{EventKind, RecordedState, UnitRef};
use crate::graph::{Instance, nearest_instances};
use crate::journal::{RunHistory, UnitRecord};
use crate::plan::{Role, StepKind};

pub struct Resume {
    memory: RunHistory,
}

/// The record of a unit that can change something.
#[derive(Debug, Default)]
pub struct Prior {
    /// When the unit may last have changed something, on the journal's clock.
    pub touched: Option<u64>,
    /// Whether the unit may have changed something and has not notified its handlers.
    pub unsettled: bool,
    /// Whether the unit was undone.
    pub undone: bool,
}

impl Resume {
    pub fn new(memory: RunHistory) -> Self {
        Self { memory }
    }

    /// Drops units that the edited plan no longer has, and moves pending handlers to the phase and hosts where their step is now.
    /// Returns the dropped units with the reason.
    pub fn reconcile(&mut self, run: &RunSpec) -> Vec<(UnitRef, String)> {
        let mut dropped = self.gone(run);
        for (unit, _) in &dropped {
            // The record of a unit that was cut off, or has yet to notify its handlers, stays in case its step comes back.
            if !self.memory.get(unit).is_some_and(UnitRecord::is_unsettled) {
                self.memory.forget(unit);
            }
        }
        let why = "it is still to run, but the plan has no such handler any more";
        dropped.extend(self.move_handlers(run).into_iter().map(|handler| (handler, why.to_owned())));
        dropped
    }

    /// The recorded units that the plan no longer has, with the reason.
    fn gone(&self, run: &RunSpec) -> Vec<(UnitRef, String)> {
        let steps = run.plan.phases.iter().enumerate().flat_map(|(p, phase)| {
            phase.steps.iter().enumerate().map(move |(number, step)| (step.id.value.as_str(), (p, number)))
        });
        let steps: HashMap<&str, (usize, usize)> = steps.collect();
        let gone = self.memory.units().filter_map(|record| {
            let why = match steps.get(record.unit.step.as_str()) {
                None => "the plan has no such step any more",
                Some((phase, step)) => {
                    let places = run.graph.instances(*phase, *step);
                    if places.contains(&Instance::of_unit(&record.unit)) {
                        return None;
                    }
                    let has_host = places.iter().any(|place| place.host == record.unit.host);
                    if has_host { "its `for_each` is another one now" } else { "it no longer runs there" }
                }
            };
            Some((record.unit.clone(), why.to_owned()))
        });
        gone.collect()
    }

    /// Pending handlers follow their step to another phase or to other hosts. Returns those whose step is gone.
    fn move_handlers(&mut self, run: &RunSpec) -> Vec<UnitRef> {
        let handlers = run.plan.phases.iter().enumerate().flat_map(|(p, phase)| {
            phase.steps_of(StepKind::Handler).map(move |(number, step)| (p, number, &phase.name.value, &step.id.value))
        });
        let handlers: Vec<_> = handlers.collect();
        let mut gone = Vec::new();
        for (handler, callers) in self.memory.handlers().clone() {
            self.memory.forget_handler(&handler);
            let mut found = false;
            if let Some((p, number, phase, _)) = handlers.iter().find(|(.., id)| **id == handler.step) {
                let places = run.graph.instances(*p, *number);
                for by in callers {
                    let own = Instance::of_unit(&handler);
                    let now = if places.contains(&own) {
                        vec![own]
                    } else {
                        nearest_instances(places, &Instance::of_unit(&by))
                    };
                    for Instance { host, item } in now {
                        found = true;
                        let (phase, step) = ((*phase).clone(), handler.step.clone());
                        self.memory.add_notification(UnitRef { phase, step, item, host }, by.clone());
                    }
                }
            }
            if !found {
                gone.push(handler);
            }
        }
        gone
    }

    /// The records that open the new journal.
    pub fn records(&self) -> Vec<EventKind> {
        self.memory.records().collect()
    }

    /// Handlers that are still to run, with the units that notified them.
    pub fn handlers(&self) -> &BTreeMap<UnitRef, BTreeSet<UnitRef>> {
        self.memory.handlers()
    }

    pub fn get(&self, unit: &UnitRef) -> Option<&UnitRecord> {
        self.memory.get(unit)
    }

    /// The parts of a unit's record that matter when the unit ends. A check has none.
    pub fn prior(&self, unit: &UnitRef, role: Role) -> Prior {
        let recorded = self.memory.get(unit).filter(|_| role == Role::Change);
        Prior {
            touched: recorded.and_then(|record| record.touched),
            unsettled: recorded.is_some_and(UnitRecord::is_unsettled),
            undone: recorded.is_some_and(|record| record.standing == RecordedState::Undone),
        }
    }

    /// Whether a unit would be kept if nothing changed upstream.
    pub fn matches(&self, unit: &UnitRef, definition: &str) -> bool {
        let matches =
            |record: &UnitRecord| record.standing == RecordedState::Succeeded && record.definition == definition;
        self.memory.get(unit).is_some_and(matches)
    }

    /// The undo unit that ran last of these, and when. It may have been cut off in the middle; then no other record says that the
    /// change it undoes may be gone.
    pub fn last_rollback(&self, undoers: &[UnitRef]) -> Option<(u64, String)> {
        undoers.iter().filter_map(|by| Some((self.memory.get(by)?.touched?, by.to_string()))).max()
    }

    /// The first of these undo units that began after `done` and did not end well.
    pub fn unfinished_rollback(&self, undoers: &[UnitRef], done: Option<u64>) -> Option<String> {
        let unfinished =
            |by: &&UnitRef| self.memory.get(by).is_some_and(|record| record.is_unsettled() && record.touched > done);
        undoers.iter().find(unfinished).map(UnitRef::to_string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::state::testing::{memory, part, run, step};

    fn unit(phase: &str, step: &str, item: Option<&str>, host: Option<&str>) -> UnitRef {
        let [item, host] = [item, host].map(|name| name.map(str::to_owned));
        UnitRef { phase: phase.into(), step: step.into(), item, host }
    }

    /// Why a unit with this recorded state is dropped, and whether its record stays.
    fn dropped(run: &RunSpec, unit: &UnitRef, state: RecordedState) -> (Option<String>, bool) {
        let mut resume = Resume::new(memory(unit.clone(), "", state, Some(1)));
        let dropped = resume.reconcile(run).into_iter().find(|(dropped, _)| dropped == unit);
        (dropped.map(|(_, why)| why), resume.get(unit).is_some())
    }

    #[test]
    fn units_that_the_edited_plan_no_longer_has_are_dropped() {
        let run = run(&(step("p", "s", "hosts = \"a,b\"") + &step("p", "l", "for_each = [\"x\"]")));
        for (unit, why) in [
            (unit("p", "s", None, Some("a")), None),
            // A step keeps its record when it moves to another phase.
            (unit("q", "s", None, Some("a")), None),
            (unit("p", "t", None, Some("a")), Some("the plan has no such step any more")),
            (unit("p", "s", None, Some("c")), Some("it no longer runs there")),
            (unit("p", "l", Some("y"), None), Some("its `for_each` is another one now")),
        ] {
            let result = dropped(&run, &unit, RecordedState::Succeeded);
            assert_eq!(result, (why.map(str::to_owned), why.is_none()), "{unit}");
        }
    }

    #[test]
    fn the_record_of_a_unit_that_was_cut_off_stays() {
        let run = run(&step("p", "s", ""));
        let gone = unit("p", "t", None, None);
        let (why, stays) = dropped(&run, &gone, RecordedState::Unknown);
        assert!(why.is_some() && stays);
    }

    #[test]
    fn pending_handlers_follow_their_step() {
        let hosts = "hosts = \"a,b\"";
        let run = run(&(step("q", "s", &format!("notify = [\"h\"]\n{hosts}")) + &part("q", "handler", "h", hosts)));
        let by = unit("p", "s", None, Some("a"));
        let pending = |handler: UnitRef| {
            let mut history = RunHistory::default();
            history.add_notification(handler, by.clone());
            let mut resume = Resume::new(history);
            let dropped = resume.reconcile(&run).len();
            (resume.handlers().keys().cloned().collect::<Vec<_>>(), dropped)
        };
        let now = vec![unit("q", "h", None, Some("a"))];
        assert_eq!(pending(unit("p", "h", None, Some("a"))), (now.clone(), 0), "to another phase");
        assert_eq!(pending(unit("p", "h", None, None)), (now, 0), "to the host of the unit that notified it");
        assert_eq!(pending(unit("p", "g", None, Some("a"))), (vec![], 1), "the plan has no such handler");
    }
}
