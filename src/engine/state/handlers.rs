//! Handlers that were notified and have not run since. Each request is in the journal, so none is lost.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::event::{Outcome, UnitRef};

/// Requests that have not been served.
#[derive(Debug, Default)]
pub struct Handlers {
    /// Handlers that are to run, with the units that notified them.
    pending: BTreeMap<UnitRef, BTreeSet<UnitRef>>,
    /// The requests that running handlers serve. A request that comes meanwhile is a new one.
    serving: HashMap<UnitRef, BTreeSet<UnitRef>>,
    /// Handlers whose last result is unknown. They may still be at work, so this run does not start them again at a later
    /// node of their phase.
    unresolved: BTreeSet<UnitRef>,
}

impl Handlers {
    /// Begins with the requests that earlier runs left.
    pub fn new(pending: BTreeMap<UnitRef, BTreeSet<UnitRef>>) -> Self {
        Self { pending, ..Self::default() }
    }

    pub fn notify(&mut self, handler: UnitRef, by: UnitRef) {
        self.pending.entry(handler).or_default().insert(by);
    }

    /// Whether a handler is to run.
    pub fn is_pending(&self, handler: &UnitRef) -> bool {
        self.pending.contains_key(handler)
    }

    /// Whether the handler's last result in this run is unknown.
    pub fn is_unresolved(&self, handler: &UnitRef) -> bool {
        self.unresolved.contains(handler)
    }

    /// Notes that a handler starts, which serves all requests so far.
    pub fn started(&mut self, handler: &UnitRef) {
        if let Some(by) = self.pending.remove(handler) {
            self.serving.insert(handler.clone(), by);
        }
    }

    /// Notes that a handler ended. One that ends well without starting counts as served: its `when` was false, or the user passed
    /// `--done`. One that fails is pending again for the same units.
    pub fn finished(&mut self, handler: &UnitRef, outcome: &Outcome) {
        if matches!(outcome, Outcome::Unknown(_)) {
            self.unresolved.insert(handler.clone());
        }
        let well = outcome.lets_dependents_start();
        match (self.serving.remove(handler), well) {
            (Some(by), false) => self.pending.entry(handler.clone()).or_default().extend(by),
            (None, true) => drop(self.pending.remove(handler)),
            _ => {}
        }
    }

    /// The handlers that a later run must run.
    pub fn pending(&self) -> Vec<UnitRef> {
        self.pending.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Problem;

    fn unit(step: &str) -> UnitRef {
        UnitRef { phase: "p".to_owned(), step: step.to_owned(), item: None, host: None }
    }

    fn notified() -> (Handlers, UnitRef) {
        let (mut handlers, handler) = (Handlers::default(), unit("handler"));
        handlers.notify(handler.clone(), unit("first"));
        (handlers, handler)
    }

    #[test]
    fn a_request_is_served_once() {
        let (mut handlers, handler) = notified();
        assert!(handlers.is_pending(&handler) && !handlers.is_pending(&unit("other")));
        handlers.started(&handler);
        assert!(!handlers.is_pending(&handler));
        handlers.finished(&handler, &Outcome::Changed);
        assert_eq!(handlers.pending(), []);
    }

    #[test]
    fn a_request_that_comes_while_the_handler_runs_is_a_new_one() {
        let (mut handlers, handler) = notified();
        handlers.started(&handler);
        handlers.notify(handler.clone(), unit("second"));
        handlers.finished(&handler, &Outcome::Changed);
        assert_eq!(handlers.pending(), [handler]);
    }

    #[test]
    fn a_handler_that_fails_is_pending_again_for_all_that_notified_it() {
        let (mut handlers, handler) = notified();
        handlers.started(&handler);
        handlers.notify(handler.clone(), unit("second"));
        handlers.finished(&handler, &Outcome::Failed(Problem::new("no")));
        assert_eq!(handlers.pending[&handler], BTreeSet::from([unit("first"), unit("second")]));
        assert!(!handlers.is_unresolved(&handler));
    }

    #[test]
    fn one_that_ends_well_without_starting_is_served() {
        let (mut handlers, handler) = notified();
        handlers.finished(&handler, &Outcome::Skipped { why: "when: false".to_owned() });
        assert!(!handlers.is_pending(&handler));
        handlers.notify(handler.clone(), unit("first"));
        handlers.finished(&handler, &Outcome::Cancelled { needs: "x".to_owned() });
        assert!(handlers.is_pending(&handler), "one that did not start for another reason still is");
    }

    #[test]
    fn one_whose_result_is_unknown_is_unresolved_and_pending() {
        let (mut handlers, handler) = notified();
        handlers.started(&handler);
        handlers.finished(&handler, &Outcome::Unknown(Problem::new("gone")));
        assert!(handlers.is_unresolved(&handler) && handlers.is_pending(&handler));
    }
}
