//! Actions judge what hosts and APIs answer. Should one panic over an answer that nobody thought of, its own step ends as
//! unclear, and nothing else.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::{Action, Boxed, OnInterrupt, Thing, Verdict};
use crate::connect::{Done, Effect, Fact, Probe};
use crate::defect::caught;
use crate::diff::Diff;
use crate::event::{Outputs, Problem};

/// An action that remembers its first panic, and refuses to go on from there.
pub struct Watched {
    action: Boxed,
    defect: OnceLock<Problem>,
}

impl Watched {
    /// Watches an action.
    pub fn boxed(action: Boxed) -> Boxed {
        Arc::new(Self { action, defect: OnceLock::new() })
    }

    fn ask<T>(&self, question: impl FnOnce(&dyn Action) -> T) -> Result<T, Problem> {
        if let Some(defect) = self.defect.get() {
            return Err(defect.clone());
        }
        caught(|| question(&*self.action)).map_err(|defect| self.defect.get_or_init(|| defect).clone())
    }
}

impl Action for Watched {
    fn probes(&self) -> Vec<Probe> {
        self.ask(|action| action.probes()).unwrap_or_default()
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        self.ask(|action| says_what(action.verdict(facts))).unwrap_or_else(Verdict::Blocked)
    }

    fn looks_after(&self) -> bool {
        self.ask(|action| action.looks_after()).unwrap_or_default()
    }

    fn verdict_after(&self, facts: &[Fact]) -> Verdict {
        self.ask(|action| says_what(action.verdict_after(facts))).unwrap_or_else(Verdict::Blocked)
    }

    fn next(&self, facts: &[Fact], done: &[Done]) -> Result<Option<Effect>, Problem> {
        self.ask(|action| action.next(facts, done)).and_then(|next| next)
    }

    fn changed(&self, done: &[Done]) -> bool {
        self.ask(|action| action.changed(done)).unwrap_or(true)
    }

    fn only_looks(&self) -> bool {
        self.ask(|action| action.only_looks()).unwrap_or_default()
    }

    fn cut_off(&self) -> Option<OnInterrupt> {
        self.ask(|action| action.cut_off()).unwrap_or(Some(OnInterrupt::Stop))
    }

    fn is_quick(&self) -> bool {
        self.ask(|action| action.is_quick()).unwrap_or_default()
    }

    fn writes(&self) -> Option<&Path> {
        caught(|| self.action.writes()).unwrap_or_else(|defect| {
            self.defect.get_or_init(|| defect);
            None
        })
    }

    fn resumed(&self) -> Option<Boxed> {
        self.ask(|action| action.resumed()).ok().flatten().map(Self::boxed)
    }

    fn away(&self, facts: &[Fact]) -> Option<Boxed> {
        self.ask(|action| action.away(facts)).ok().flatten().map(Self::boxed)
    }

    fn outputs(&self, facts: &[Fact], done: &[Done]) -> Outputs {
        self.ask(|action| action.outputs(facts, done)).unwrap_or_default()
    }

    fn foresees(&self, facts: &[Fact]) -> Diff {
        self.ask(|action| action.foresees(facts)).unwrap_or_default()
    }

    fn provides(&self, facts: &[Fact]) -> Vec<Thing> {
        self.ask(|action| action.provides(facts)).unwrap_or_default()
    }

    fn printed(&self, done: &[Done]) -> String {
        self.ask(|action| action.printed(done)).unwrap_or_default()
    }

    fn defect(&self) -> Option<Problem> {
        self.defect.get().cloned()
    }
}

/// A change of nothing would be made in every run. Looked for in development only.
fn says_what(verdict: Verdict) -> Verdict {
    let of_nothing = matches!(&verdict, Verdict::Change(diff) if diff.is_empty());
    debug_assert!(!of_nothing, "the action wants a change, and does not say of what");
    verdict
}
