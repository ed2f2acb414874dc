//! What holds of all actions, whatever hosts and APIs answer.
//!
//! Should one panic over an answer that nobody thought of, its own step ends as unknown, and nothing else. Where its
//! parameters hold a secret, what goes by its change may be an earlier one, which nobody has registered, also where the
//! change itself is of something else: it is masked, unless it tells nothing.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::{Action, ActionRef, OnInterrupt, Resource, Verdict};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::defect::catch_panic;
use crate::diff::Diff;
use crate::event::{Outputs, Problem};

/// An action that remembers its first panic, and refuses to go on from there.
pub struct Watched {
    action: ActionRef,
    has_secret: bool,
    defect: OnceLock<Problem>,
}

impl Watched {
    /// Watches an action; `has_secret`: its parameters hold one.
    pub fn boxed(action: ActionRef, has_secret: bool) -> ActionRef {
        Arc::new(Self { action, has_secret, defect: OnceLock::new() })
    }

    fn without_gone(&self, diff: Diff) -> Diff {
        if self.has_secret { diff.mask_removed() } else { diff }
    }

    fn says(&self, verdict: Verdict) -> Verdict {
        match says_what(verdict) {
            Verdict::Change(diff) => Verdict::Change(self.without_gone(diff)),
            other => other,
        }
    }

    fn ask<T>(&self, question: impl FnOnce(&dyn Action) -> T) -> Result<T, Problem> {
        if let Some(defect) = self.defect.get() {
            return Err(defect.clone());
        }
        catch_panic(|| question(&*self.action)).map_err(|defect| self.defect.get_or_init(|| defect).clone())
    }
}

impl Action for Watched {
    fn probes(&self) -> Vec<Probe> {
        self.ask(|action| action.probes()).unwrap_or_default()
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        self.ask(|action| self.says(action.verdict(facts))).unwrap_or_else(Verdict::Blocked)
    }

    fn is_verified(&self) -> bool {
        self.ask(|action| action.is_verified()).unwrap_or_default()
    }

    fn verdict_after(&self, facts: &[Fact]) -> Verdict {
        self.ask(|action| self.says(action.verdict_after(facts))).unwrap_or_else(Verdict::Blocked)
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        self.ask(|action| action.next_effect(facts, done)).and_then(|next| next)
    }

    fn changed(&self, done: &[EffectResult]) -> bool {
        self.ask(|action| action.changed(done)).unwrap_or(true)
    }

    fn is_read_only(&self) -> bool {
        self.ask(|action| action.is_read_only()).unwrap_or_default()
    }

    fn on_interrupt(&self) -> Option<OnInterrupt> {
        self.ask(|action| action.on_interrupt()).unwrap_or(Some(OnInterrupt::Stop))
    }

    fn completes_at_once(&self) -> bool {
        self.ask(|action| action.completes_at_once()).unwrap_or_default()
    }

    fn writes(&self) -> Option<&Path> {
        catch_panic(|| self.action.writes()).unwrap_or_else(|defect| {
            self.defect.get_or_init(|| defect);
            None
        })
    }

    fn edits(&self) -> Vec<String> {
        self.ask(|action| action.edits()).unwrap_or_default()
    }

    fn resumed(&self) -> Option<ActionRef> {
        self.ask(|action| action.resumed()).ok().flatten().map(|action| Self::boxed(action, self.has_secret))
    }

    fn after_disconnect(&self, facts: &[Fact]) -> Option<ActionRef> {
        self.ask(|action| action.after_disconnect(facts))
            .ok()
            .flatten()
            .map(|action| Self::boxed(action, self.has_secret))
    }

    fn outputs(&self, facts: &[Fact], done: &[EffectResult]) -> Outputs {
        self.ask(|action| action.outputs(facts, done)).unwrap_or_default()
    }

    fn predicted_diff(&self, facts: &[Fact]) -> Diff {
        self.ask(|action| self.without_gone(action.predicted_diff(facts))).unwrap_or_default()
    }

    fn provides(&self, facts: &[Fact]) -> Vec<Resource> {
        self.ask(|action| action.provides(facts)).unwrap_or_default()
    }

    fn printed(&self, done: &[EffectResult]) -> String {
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
