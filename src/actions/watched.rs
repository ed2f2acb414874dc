//! A wrapper around every action: it catches panics, and masks old secrets in diffs.
//!
//! After a panic, only the action's own step fails; its outcome counts as unknown. If the parameters contain a secret,
//! the old values in a diff may be an earlier version of this secret, which is not registered for masking. They are
//! masked, unless they tell nothing.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::{Action, ActionRef, OnInterrupt, Resource, Verdict};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::defect::catch_panic;
use crate::diff::Diff;
use crate::event::{Outputs, Problem};

/// An action that remembers its first panic and refuses all later calls.
pub struct Watched {
    action: ActionRef,
    has_secret: bool,
    defect: OnceLock<Problem>,
}

impl Watched {
    /// Wraps an action; `has_secret`: its parameters contain a secret.
    pub fn wrap(action: ActionRef, has_secret: bool) -> ActionRef {
        Arc::new(Self { action, has_secret, defect: OnceLock::new() })
    }

    fn without_gone(&self, diff: Diff) -> Diff {
        if self.has_secret { diff.mask_removed() } else { diff }
    }

    fn masked(&self, verdict: Verdict) -> Verdict {
        match not_empty(verdict) {
            Verdict::Change(diff) => Verdict::Change(self.without_gone(diff)),
            other => other,
        }
    }

    fn call<T>(&self, question: impl FnOnce(&dyn Action) -> T) -> Result<T, Problem> {
        if let Some(defect) = self.defect.get() {
            return Err(defect.clone());
        }
        catch_panic(|| question(&*self.action)).map_err(|defect| self.defect.get_or_init(|| defect).clone())
    }
}

impl Action for Watched {
    fn probes(&self) -> Vec<Probe> {
        self.call(|action| action.probes()).unwrap_or_default()
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        self.call(|action| self.masked(action.verdict(facts))).unwrap_or_else(Verdict::Blocked)
    }

    fn is_verified(&self) -> bool {
        self.call(|action| action.is_verified()).unwrap_or_default()
    }

    fn verdict_after(&self, facts: &[Fact]) -> Verdict {
        self.call(|action| self.masked(action.verdict_after(facts))).unwrap_or_else(Verdict::Blocked)
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        self.call(|action| action.next_effect(facts, done)).and_then(|next| next)
    }

    fn changed(&self, done: &[EffectResult]) -> bool {
        self.call(|action| action.changed(done)).unwrap_or(true)
    }

    fn is_read_only(&self) -> bool {
        self.call(|action| action.is_read_only()).unwrap_or_default()
    }

    fn on_interrupt(&self) -> Option<OnInterrupt> {
        self.call(|action| action.on_interrupt()).unwrap_or(Some(OnInterrupt::Stop))
    }

    fn completes_at_once(&self) -> bool {
        self.call(|action| action.completes_at_once()).unwrap_or_default()
    }

    fn writes(&self) -> Option<&Path> {
        catch_panic(|| self.action.writes()).unwrap_or_else(|defect| {
            self.defect.get_or_init(|| defect);
            None
        })
    }

    fn edits(&self) -> Vec<String> {
        self.call(|action| action.edits()).unwrap_or_default()
    }

    fn resumed(&self) -> Option<ActionRef> {
        self.call(|action| action.resumed()).ok().flatten().map(|action| Self::wrap(action, self.has_secret))
    }

    fn after_disconnect(&self, facts: &[Fact]) -> Option<ActionRef> {
        self.call(|action| action.after_disconnect(facts))
            .ok()
            .flatten()
            .map(|action| Self::wrap(action, self.has_secret))
    }

    fn outputs(&self, facts: &[Fact], done: &[EffectResult]) -> Outputs {
        self.call(|action| action.outputs(facts, done)).unwrap_or_default()
    }

    fn predicted_diff(&self, facts: &[Fact]) -> Diff {
        self.call(|action| self.without_gone(action.predicted_diff(facts))).unwrap_or_default()
    }

    fn provides(&self, facts: &[Fact]) -> Vec<Resource> {
        self.call(|action| action.provides(facts)).unwrap_or_default()
    }

    fn printed(&self, done: &[EffectResult]) -> String {
        self.call(|action| action.printed(done)).unwrap_or_default()
    }

    fn defect(&self) -> Option<Problem> {
        self.defect.get().cloned()
    }
}

/// An empty change would be made again in every run. Checked in debug builds only.
fn not_empty(verdict: Verdict) -> Verdict {
    let of_nothing = matches!(&verdict, Verdict::Change(diff) if diff.is_empty());
    debug_assert!(!of_nothing, "the action wants a change, and does not say of what");
    verdict
}
