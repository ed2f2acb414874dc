//! What earlier runs recorded, folded into one entry a unit.
//!
//! A journal begins with what its run took over ([`Kind::Remembered`]), so the newest journal alone tells everything:
//! older ones may be deleted. Time is a count of records, which goes on from run to run: a unit may be kept only when
//! nothing that it stands on was touched after it was done.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::event::{Event, EventKind, Outcome, Outputs, RecordedState, UnitRef};

/// What is on record of a unit.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitRecord {
    /// The unit, as it was named then.
    pub unit: UnitRef,
    /// Hash of the definition that ran.
    pub definition: String,
    /// How it stands.
    pub standing: RecordedState,
    /// Its outputs, when it ended well.
    pub outputs: Outputs,
    /// When it ended well last.
    pub done: Option<u64>,
    /// When it may have changed something last.
    pub touched: Option<u64>,
}

impl UnitRecord {
    /// Whether it may have changed something and never told those whom that concerns.
    pub fn is_unsettled(&self) -> bool {
        !self.standing.lets_dependents_start() && self.touched.is_some()
    }

    /// Whether it was cut off or failed when it may have changed something.
    pub fn may_be_half_done(&self) -> bool {
        matches!(self.standing, RecordedState::Unknown | RecordedState::Failed) && self.touched.is_some()
    }
}

/// A unit's place in the memory: step, item, host. Its phase does not matter, since steps may move between phases.
type Key = (String, Option<String>, Option<String>);

/// What earlier runs recorded.
#[derive(Debug, Clone, Default)]
pub struct RunHistory {
    units: BTreeMap<Key, UnitRecord>,
    /// Handlers that were notified and have not run since, with those who asked for them.
    handlers: BTreeMap<UnitRef, BTreeSet<UnitRef>>,
}

impl RunHistory {
    /// From a run's events.
    pub fn from_events(events: &[Event]) -> Self {
        let mut fold = Fold::default();
        events.iter().for_each(|event| fold.take(&event.kind));
        fold.end()
    }

    /// What outlives a run that ended well: who was cut off or failed and was not looked at since (it was left out of
    /// that run), and handlers that are still to run.
    #[must_use]
    pub fn only_unsettled(mut self) -> Self {
        self.units.retain(|_, r| r.is_unsettled());
        self
    }

    /// What outlives even a fresh start: handlers that are still to run, and who may have changed something without
    /// having asked for theirs. That one is done anew, whatever it was cut off at.
    #[must_use]
    pub fn fresh(self) -> Self {
        let mut open = self.only_unsettled();
        open.units.values_mut().for_each(|r| r.standing = RecordedState::Failed);
        open
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty() && self.handlers.is_empty()
    }

    /// What is known of a unit.
    pub fn get(&self, unit: &UnitRef) -> Option<&UnitRecord> {
        self.units.get(&key(unit))
    }

    /// All units.
    pub fn units(&self) -> impl Iterator<Item = &UnitRecord> {
        self.units.values()
    }

    /// The handlers that are still to run, with those who asked for them.
    pub fn handlers(&self) -> &BTreeMap<UnitRef, BTreeSet<UnitRef>> {
        &self.handlers
    }

    /// Forgets a unit.
    pub fn forget(&mut self, unit: &UnitRef) {
        self.units.remove(&key(unit));
    }

    /// Notes that a handler is asked for.
    pub fn add_notification(&mut self, handler: UnitRef, by: UnitRef) {
        self.handlers.entry(handler).or_default().insert(by);
    }

    /// Forgets that a handler was notified.
    pub fn forget_handler(&mut self, handler: &UnitRef) {
        self.handlers.remove(handler);
    }

    /// The records that hand all this on to the next journal.
    pub fn records(&self) -> impl Iterator<Item = EventKind> {
        let units = self.units.values().cloned().map(|r| EventKind::Remembered {
            unit: r.unit,
            definition: r.definition,
            standing: r.standing,
            outputs: r.outputs,
            done: r.done,
            touched: r.touched,
        });
        let asked = |(handler, by): (&UnitRef, &BTreeSet<UnitRef>)| {
            let handler = handler.clone();
            by.clone().into_iter().map(move |by| EventKind::Notified { handler: handler.clone(), by })
        };
        units.chain(self.handlers.iter().flat_map(asked))
    }
}

fn key(unit: &UnitRef) -> Key {
    (unit.step.clone(), unit.item.clone(), unit.host.clone())
}

/// A memory in the making.
#[derive(Default)]
struct Fold {
    memory: RunHistory,
    clock: u64,
    /// Running units, as they stood before.
    running: HashMap<Key, Option<UnitRecord>>,
    /// Running handlers, with the notifications that they answer. One that comes meanwhile is a new one.
    answering: HashMap<UnitRef, BTreeSet<UnitRef>>,
}

impl Fold {
    fn take(&mut self, kind: &EventKind) {
        self.clock += 1;
        match kind {
            EventKind::Remembered { unit, definition, standing, outputs, done, touched } => {
                let (unit, definition, outputs) = (unit.clone(), definition.clone(), outputs.clone());
                self.clock = self.clock.max(done.unwrap_or_default()).max(touched.unwrap_or_default());
                let recorded =
                    UnitRecord { unit, definition, standing: *standing, outputs, done: *done, touched: *touched };
                self.memory.units.insert(key(&recorded.unit), recorded);
            }
            EventKind::Notified { handler, by } => {
                self.memory.handlers.entry(handler.clone()).or_default().insert(by.clone());
            }
            EventKind::UnitStarted { unit, definition, .. } => self.start(unit, definition),
            EventKind::UnitFinished { unit, outcome, definition: Some(definition), outputs, acted, .. } => {
                self.finish(unit, outcome, definition, outputs, *acted);
            }
            // A handler whose condition does not hold has been answered.
            EventKind::UnitFinished { unit, outcome: Outcome::Skipped { .. }, .. } => self.memory.forget_handler(unit),
            EventKind::Undone { unit, .. } => {
                if let Some(recorded) = self.memory.units.get_mut(&key(unit)) {
                    recorded.standing = RecordedState::Undone;
                    recorded.touched = Some(self.clock);
                }
            }
            _ => {}
        }
    }

    fn start(&mut self, unit: &UnitRef, definition: &str) {
        let before = self.memory.get(unit).cloned();
        let done = before.as_ref().and_then(|r| r.done);
        self.running.insert(key(unit), before);
        self.set(unit, definition, RecordedState::Unknown, &Outputs::new(), done, Some(self.clock));
        if let Some(by) = self.memory.handlers.remove(unit) {
            self.answering.insert(unit.clone(), by);
        }
    }

    fn finish(&mut self, unit: &UnitRef, outcome: &Outcome, definition: &str, outputs: &Outputs, acted: bool) {
        let now = Some(self.clock);
        let started = self.running.remove(&key(unit));
        let before = started.unwrap_or_else(|| self.memory.get(unit).cloned());
        if let Outcome::Cancelled { .. } = outcome {
            // It was to be sent together with one that failed, and was not.
            match before {
                Some(before) => drop(self.memory.units.insert(key(unit), before)),
                None => self.memory.forget(unit),
            }
            return;
        }
        let (done, touched) = (before.as_ref().and_then(|r| r.done), before.as_ref().and_then(|r| r.touched));
        let stood = before.map(|r| r.standing);
        let (standing, done, touched) = match outcome {
            Outcome::Same { .. } => (RecordedState::Succeeded, now, touched),
            Outcome::Kept { said: false } if stood == Some(RecordedState::Succeeded) => {
                (RecordedState::Succeeded, done.or(now), touched)
            }
            Outcome::Kept { .. } => (RecordedState::Succeeded, now, touched),
            Outcome::Changed => (RecordedState::Succeeded, now, now),
            Outcome::Unknown(_) => (RecordedState::Unknown, done, now),
            Outcome::Warned(_) => (RecordedState::Warned, done, if acted { now } else { touched }),
            // It never came to change anything.
            _ if !acted && stood == Some(RecordedState::Undone) => (RecordedState::Undone, done, touched),
            _ if !acted => (RecordedState::Failed, done, touched),
            _ => (RecordedState::Failed, done, now),
        };
        self.set(unit, definition, standing, outputs, done, touched);
        match (self.answering.remove(unit), standing.lets_dependents_start()) {
            (Some(by), false) => self.memory.handlers.entry(unit.clone()).or_default().extend(by),
            // A person said that it is done.
            (None, true) => self.memory.forget_handler(unit),
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
        let recorded = UnitRecord { unit: unit.clone(), definition, standing, outputs, done, touched };
        self.memory.units.insert(key(unit), recorded);
    }

    fn end(mut self) -> RunHistory {
        for (handler, by) in self.answering {
            self.memory.handlers.entry(handler).or_default().extend(by);
        }
        self.memory
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
    fn each_end_has_its_standing_and_its_times() {
        let of = |end: Vec<EventKind>| of(&memory([vec![run_started(), started("a")], end].concat()), "a");
        assert_eq!(of(vec![]), (RecordedState::Unknown, None, Some(2)));
        assert_eq!(of(vec![same("a")]), (RecordedState::Succeeded, Some(3), None));
        assert_eq!(of(vec![finished("a", Outcome::Changed)]), (RecordedState::Succeeded, Some(3), Some(3)));
        assert_eq!(of(vec![failed("a")]), (RecordedState::Failed, None, Some(3)));
        assert_eq!(of(vec![finished("a", Outcome::Changed), undone("a")]), (RecordedState::Undone, Some(3), Some(4)));
    }

    #[test]
    fn an_ignored_failure_owes_nothing_and_leaves_nothing_open() {
        let warned = || finished("a", Outcome::Warned(Problem::new("no")));
        let all = memory(vec![run_started(), notified("a", "b"), started("a"), warned()]);
        assert_eq!(of(&all, "a"), (RecordedState::Warned, None, Some(4)));
        assert!(all.handlers().is_empty() && all.only_unsettled().is_empty());
    }

    #[test]
    fn a_second_look_that_finds_all_well_does_not_forget_what_was_touched_before() {
        let twice = vec![run_started(), started("a"), failed("a"), started("a"), same("a")];
        assert_eq!(of(&memory(twice), "a"), (RecordedState::Succeeded, Some(5), Some(3)));
    }

    #[test]
    fn what_is_handed_on_is_remembered_with_its_times() {
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
    fn a_handler_is_owed_until_it_has_run_well_since_it_was_last_asked_for() {
        let owed = |kinds: Vec<EventKind>| !memory([vec![run_started()], kinds].concat()).handlers().is_empty();
        let well = || finished("h", Outcome::Changed);
        assert!(owed(vec![notified("h", "a")]));
        assert!(owed(vec![notified("h", "a"), started("h")]));
        assert!(owed(vec![notified("h", "a"), started("h"), failed("h")]));
        assert!(!owed(vec![notified("h", "a"), started("h"), well()]));
        assert!(owed(vec![notified("h", "a"), started("h"), notified("h", "b"), well()]));
    }

    #[test]
    fn open_ends_outlive_a_good_run() {
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
