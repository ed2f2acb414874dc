//! Reduces the events of earlier runs to one record for each unit.
//!
//! A journal begins with the records taken over from the run before ([`EventKind::Remembered`]), so the newest journal
//! alone is enough and older ones may be deleted. Time is a counter of events that continues from run to run: a unit
//! may be kept only if nothing it depends on was touched after the unit was done.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::event::{Event, EventKind, Outcome, Outputs, RecordedState, UnitRef};

/// The record of a unit.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitRecord {
    /// The unit, by its name in the run that recorded it.
    pub unit: UnitRef,
    /// Hash of the definition that was executed.
    pub definition: String,
    /// How the unit ended.
    pub standing: RecordedState,
    /// The outputs, if the unit succeeded.
    pub outputs: Outputs,
    /// Time of its last success.
    pub done: Option<u64>,
    /// Time when the unit may last have changed something.
    pub touched: Option<u64>,
}

impl UnitRecord {
    /// Whether the unit may have changed something, but did not succeed, so that its dependents and handlers have not
    /// run for that change.
    pub fn is_unsettled(&self) -> bool {
        !self.standing.lets_dependents_start() && self.touched.is_some()
    }

    /// Whether the unit was cut off or failed after it may have changed something.
    pub fn may_be_half_done(&self) -> bool {
        matches!(self.standing, RecordedState::Unknown | RecordedState::Failed) && self.touched.is_some()
    }
}

/// Identifies a unit across runs: step, item, host. The phase is left out, since steps may move between phases.
type Key = (String, Option<String>, Option<String>);

/// The records of earlier runs.
#[derive(Debug, Clone, Default)]
pub struct RunHistory {
    units: BTreeMap<Key, UnitRecord>,
    /// Handlers that were notified and have not run since, with the units that notified them.
    handlers: BTreeMap<UnitRef, BTreeSet<UnitRef>>,
}

impl RunHistory {
    /// Reduces the events of a run.
    pub fn from_events(events: &[Event]) -> Self {
        let mut fold = Fold::default();
        events.iter().for_each(|event| fold.apply(&event.kind));
        fold.finish_all()
    }

    /// Keeps only what remains open after a successful run: units that were cut off or failed and were not part of that
    /// run, and handlers that have not run yet.
    #[must_use]
    pub fn only_unsettled(mut self) -> Self {
        self.units.retain(|_, r| r.is_unsettled());
        self
    }

    /// Keeps only what remains open even after a fresh start: handlers that have not run yet, and units that may have
    /// changed something without notifying their handlers. These units are run again, even if they were cut off.
    #[must_use]
    pub fn fresh(self) -> Self {
        let mut remaining = self.only_unsettled();
        remaining.units.values_mut().for_each(|r| r.standing = RecordedState::Failed);
        remaining
    }

    pub fn is_empty(&self) -> bool {
        self.units.is_empty() && self.handlers.is_empty()
    }

    pub fn get(&self, unit: &UnitRef) -> Option<&UnitRecord> {
        self.units.get(&key(unit))
    }

    /// The records of all units.
    pub fn units(&self) -> impl Iterator<Item = &UnitRecord> {
        self.units.values()
    }

    /// The handlers that have not run yet, with the units that notified them.
    pub fn handlers(&self) -> &BTreeMap<UnitRef, BTreeSet<UnitRef>> {
        &self.handlers
    }

    pub fn forget(&mut self, unit: &UnitRef) {
        self.units.remove(&key(unit));
    }

    /// Records that unit `by` notified a handler.
    pub fn add_notification(&mut self, handler: UnitRef, by: UnitRef) {
        self.handlers.entry(handler).or_default().insert(by);
    }

    pub fn forget_handler(&mut self, handler: &UnitRef) {
        self.handlers.remove(handler);
    }

    /// The events with which the next journal begins.
    pub fn records(&self) -> impl Iterator<Item = EventKind> {
        let units = self.units.values().cloned().map(|r| EventKind::Remembered {
            unit: r.unit,
            definition: r.definition,
            standing: r.standing,
            outputs: r.outputs,
            done: r.done,
            touched: r.touched,
        });
        let notifications = |(handler, by): (&UnitRef, &BTreeSet<UnitRef>)| {
            let handler = handler.clone();
            by.clone().into_iter().map(move |by| EventKind::Notified { handler: handler.clone(), by })
        };
        units.chain(self.handlers.iter().flat_map(notifications))
    }
}

fn key(unit: &UnitRef) -> Key {
    (unit.step.clone(), unit.item.clone(), unit.host.clone())
}

/// The state while events are reduced to a [`RunHistory`].
#[derive(Default)]
struct Fold {
    history: RunHistory,
    clock: u64,
    /// Running units, with their records from before they started.
    running: HashMap<Key, Option<UnitRecord>>,
    /// Running handlers, with the notifications for which they run. A notification that arrives while a handler runs
    /// requires another run.
    running_handlers: HashMap<UnitRef, BTreeSet<UnitRef>>,
}

impl Fold {
    fn apply(&mut self, kind: &EventKind) {
        self.clock += 1;
        match kind {
            EventKind::Remembered { unit, definition, standing, outputs, done, touched } => {
                let (unit, definition, outputs) = (unit.clone(), definition.clone(), outputs.clone());
                self.clock = self.clock.max(done.unwrap_or_default()).max(touched.unwrap_or_default());
                let record =
                    UnitRecord { unit, definition, standing: *standing, outputs, done: *done, touched: *touched };
                self.history.units.insert(key(&record.unit), record);
            }
            EventKind::Notified { handler, by } => {
                self.history.handlers.entry(handler.clone()).or_default().insert(by.clone());
            }
            EventKind::UnitStarted { unit, definition, .. } => self.start(unit, definition),
            EventKind::UnitFinished { unit, outcome, definition: Some(definition), outputs, acted, .. } => {
                self.finish(unit, outcome, definition, outputs, *acted);
            }
            // A handler that is skipped by its condition needs not run later.
            EventKind::UnitFinished { unit, outcome: Outcome::Skipped { .. }, .. } => self.history.forget_handler(unit),
            EventKind::Undone { unit, .. } => {
                if let Some(record) = self.history.units.get_mut(&key(unit)) {
                    record.standing = RecordedState::Undone;
                    record.touched = Some(self.clock);
                }
            }
            _ => {}
        }
    }

    fn start(&mut self, unit: &UnitRef, definition: &str) {
        let before = self.history.get(unit).cloned();
        let done = before.as_ref().and_then(|r| r.done);
        self.running.insert(key(unit), before);
        self.set(unit, definition, RecordedState::Unknown, &Outputs::new(), done, Some(self.clock));
        if let Some(by) = self.history.handlers.remove(unit) {
            self.running_handlers.insert(unit.clone(), by);
        }
    }

    fn finish(&mut self, unit: &UnitRef, outcome: &Outcome, definition: &str, outputs: &Outputs, acted: bool) {
        let now = Some(self.clock);
        let started = self.running.remove(&key(unit));
        let before = started.unwrap_or_else(|| self.history.get(unit).cloned());
        if let Outcome::Cancelled { .. } = outcome {
            // The unit was queued behind one that failed, and was not sent to the host.
            match before {
                Some(before) => drop(self.history.units.insert(key(unit), before)),
                None => self.history.forget(unit),
            }
            return;
        }
        let (done, touched) = (before.as_ref().and_then(|r| r.done), before.as_ref().and_then(|r| r.touched));
        let earlier_state = before.map(|r| r.standing);
        let (standing, done, touched) = match outcome {
            Outcome::Same { .. } => (RecordedState::Succeeded, now, touched),
            Outcome::Kept { said: false } if earlier_state == Some(RecordedState::Succeeded) => {
                (RecordedState::Succeeded, done.or(now), touched)
            }
            Outcome::Kept { .. } => (RecordedState::Succeeded, now, touched),
            Outcome::Changed => (RecordedState::Succeeded, now, now),
            Outcome::Unknown(_) => (RecordedState::Unknown, done, now),
            Outcome::Warned(_) => (RecordedState::Warned, done, if acted { now } else { touched }),
            // The unit failed before it changed anything.
            _ if !acted && earlier_state == Some(RecordedState::Undone) => (RecordedState::Undone, done, touched),
            _ if !acted => (RecordedState::Failed, done, touched),
            _ => (RecordedState::Failed, done, now),
        };
        self.set(unit, definition, standing, outputs, done, touched);
        match (self.running_handlers.remove(unit), standing.lets_dependents_start()) {
            (Some(by), false) => self.history.handlers.entry(unit.clone()).or_default().extend(by),
            // The user has confirmed that the handler is done.
            (None, true) => self.history.forget_handler(unit),
            _ => {}
        }
    }

    fn set(
        &mut self,
        unit: &UnitRef,
        definition: &str,
        standing: RecordedState,
        outputs: &Outputs,
        done: Option<u64>,
        touched: Option<u64>,
    ) {
        let (outputs, definition) = (outputs.clone(), definition.to_owned());
        let record = UnitRecord { unit: unit.clone(), definition, standing, outputs, done, touched };
        self.history.units.insert(key(unit), record);
    }

    fn finish_all(mut self) -> RunHistory {
        for (handler, by) in self.running_handlers {
            self.history.handlers.entry(handler).or_default().extend(by);
        }
        self.history
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{events, finished, kept, notified, run_started, started, undone, unit};
    use super::*;
    use crate::event::Problem;

    fn memory(kinds: Vec<EventKind>) -> RunHistory {
        RunHistory::from_events(&events(kinds))
    }

    fn failed(step: &str) -> EventKind {
        finished(step, Outcome::Failed(Problem::new("no")))
    }

    fn same(step: &str) -> EventKind {
        finished(step, Outcome::Same { seen: String::new() })
    }

    fn of(memory: &RunHistory, step: &str) -> (RecordedState, Option<u64>, Option<u64>) {
        let recorded = memory.get(&unit(step)).unwrap();
        (recorded.standing, recorded.done, recorded.touched)
    }

    #[test]
    fn each_outcome_has_its_state_and_times() {
        let of = |end: Vec<EventKind>| of(&memory([vec![run_started(), started("a")], end].concat()), "a");
        assert_eq!(of(vec![]), (RecordedState::Unknown, None, Some(2)));
        assert_eq!(of(vec![same("a")]), (RecordedState::Succeeded, Some(3), None));
        assert_eq!(of(vec![finished("a", Outcome::Changed)]), (RecordedState::Succeeded, Some(3), Some(3)));
        assert_eq!(of(vec![failed("a")]), (RecordedState::Failed, None, Some(3)));
        assert_eq!(of(vec![finished("a", Outcome::Changed), undone("a")]), (RecordedState::Undone, Some(3), Some(4)));
    }

    #[test]
    fn an_ignored_failure_is_settled() {
        let warned = || finished("a", Outcome::Warned(Problem::new("no")));
        let all = memory(vec![run_started(), notified("a", "b"), started("a"), warned()]);
        assert_eq!(of(&all, "a"), (RecordedState::Warned, None, Some(4)));
        assert!(all.handlers().is_empty() && all.only_unsettled().is_empty());
    }

    #[test]
    fn a_later_probe_keeps_the_time_of_the_last_change() {
        let twice = vec![run_started(), started("a"), failed("a"), started("a"), same("a")];
        assert_eq!(of(&memory(twice), "a"), (RecordedState::Succeeded, Some(5), Some(3)));
    }

    #[test]
    fn records_are_passed_on_with_their_times() {
        let first = memory(vec![
            run_started(),
            started("a"),
            finished("a", Outcome::Changed),
            notified("h", "a"),
            started("b"),
        ]);
        let mut next: Vec<EventKind> = first.records().collect();
        next.extend([run_started(), kept("a"), started("c"), finished("c", Outcome::Changed)]);
        let second = memory(next);
        assert_eq!(of(&second, "a"), of(&first, "a"));
        assert_eq!(of(&second, "b"), (RecordedState::Unknown, None, Some(5)));
        assert!(of(&second, "c").1 > of(&second, "b").2, "later runs have later times");
        assert_eq!(second.handlers(), first.handlers());
    }

    #[test]
    fn a_handler_is_open_until_it_succeeds_after_its_last_notification() {
        let owed = |kinds: Vec<EventKind>| !memory([vec![run_started()], kinds].concat()).handlers().is_empty();
        let well = || finished("h", Outcome::Changed);
        assert!(owed(vec![notified("h", "a")]));
        assert!(owed(vec![notified("h", "a"), started("h")]));
        assert!(owed(vec![notified("h", "a"), started("h"), failed("h")]));
        assert!(!owed(vec![notified("h", "a"), started("h"), well()]));
        assert!(owed(vec![notified("h", "a"), started("h"), notified("h", "b"), well()]));
    }

    #[test]
    fn unsettled_units_and_handlers_outlive_a_successful_run() {
        let all = memory(vec![
            run_started(),
            started("good"),
            finished("good", Outcome::Changed),
            started("bad"),
            failed("bad"),
            started("cut"),
            started("undone"),
            finished("undone", Outcome::Changed),
            undone("undone"),
            notified("h", "good"),
        ]);
        let open = all.clone().only_unsettled();
        assert_eq!(open.units().map(|r| r.unit.step.as_str()).collect::<Vec<_>>(), ["bad", "cut", "undone"]);
        assert_eq!(open.handlers().len(), 1);
        let fresh = all.fresh();
        assert_eq!(fresh.units().map(|r| r.standing).collect::<Vec<_>>(), [RecordedState::Failed; 3]);
        assert_eq!(fresh.handlers().len(), 1);
    }
}
