//! One file per action: `probes → verdict → effect`, all as data.
//!
//! An action is a pure value: it says which facts it needs, judges them, and says what to do; the engine does the asking
//! and the doing through [`crate::connect`]. So every verdict is unit-tested without a host. Knows `connect` and the
//! vocabulary; never the engine.

// Much of the text here is what others answered.
#![cfg_attr(not(test), warn(clippy::string_slice))]

pub mod argocd;
pub mod certificate;
#[cfg(test)]
mod checks;
#[cfg(test)]
mod declared;
pub mod helm;
pub mod http;
pub mod istio;
pub mod kube;
pub mod lifetime;
pub mod node;
#[cfg(test)]
mod nonsense;
mod registry;
mod standard;
#[cfg(test)]
mod table;
pub mod vault;
mod watched;

pub use registry::{Registry, Spec};

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};

/// A step's action with its parameters rendered.
pub trait Action: Send + Sync {
    /// The facts that it needs.
    fn probes(&self) -> Vec<Probe>;

    /// Judges the facts; one for each probe, in their order. Pure.
    fn verdict(&self, facts: &[Fact]) -> Verdict;

    /// What to do next, given what has been done so far: `None` when all is done. Called only after
    /// [`Verdict::Change`]; first with `done` empty, then again with each result added. Pure.
    ///
    /// # Errors
    /// When a result shows that the change did not work out (for example a command's exit status).
    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem>;

    /// Whether all that was done changed anything, where only the doing can tell, as a command's output does. Called when
    /// [`Action::next`] has no more to do.
    fn changed(&self, _done: &[EffectResult]) -> bool {
        true
    }

    /// Whether what was done may have ended well and yet not be so: where only an exit status or somebody else's answer says
    /// that it worked. Then the probes are asked once more, in the trip of the last effect, and judged by
    /// [`Action::verdict_after`]. `false` where each effect proves what it did, as a file that is put in place whole, a script
    /// that looks itself, or a server's answer that is the object; and where nothing is left to be looked at.
    fn is_verified(&self) -> bool {
        false
    }

    /// What it says of the facts once all was done: the step has worked with [`Verdict::Same`], and is waited for with
    /// [`Verdict::Wait`]. Differs from [`Action::verdict`] where that one always asks for a change, or to say why it is not
    /// so. Pure.
    fn verdict_after(&self, facts: &[Fact]) -> Verdict {
        self.verdict(facts)
    }

    /// Whether this step only looks although its action could change something, as a command with `changes = false`. A
    /// resumed run makes it again, as it does every check.
    fn is_read_only(&self) -> bool {
        false
    }

    /// What to do when it was cut off in the middle and nobody can tell whether it took effect; `None` where the probes
    /// tell, which is the rule. Of two calls by mistake the second one must do no harm then.
    fn on_interrupt(&self) -> Option<OnInterrupt> {
        None
    }

    /// Whether its commands end in an instant, and have worked if they end with status 0, so that others may be sent behind
    /// them, to be done then.
    fn completes_at_once(&self) -> bool {
        false
    }

    /// The file that it writes on the machine that runs the tool. Units of several hosts or items must not
    /// write the same one.
    fn writes(&self) -> Option<&Path> {
        None
    }

    /// The files of its host that it changes by what is in them: two steps that read one before either has written it would
    /// undo each other's change. Those whose content its probes ask for, unless it says otherwise.
    fn edits(&self) -> Vec<String> {
        let edited = |probe| match probe {
            Probe::Host(crate::connect::host::Probe::File { path, read }) if read.wants_content() => Some(path),
            _ => None,
        };
        self.probes().into_iter().filter_map(edited).collect()
    }

    /// Where the world alone does not tell what an earlier attempt, which was cut off or failed, had come to: the action
    /// that goes on from there.
    fn resumed(&self) -> Option<ActionRef> {
        None
    }

    /// Of a change that takes its host away for a while, as a reboot does: the action as it goes on once it was sent. It
    /// waits ([`Verdict::Wait`]) until the host is back. Asked when [`Action::next`] has no more to do, or the connection
    /// broke.
    fn after_disconnect(&self, _facts: &[Fact]) -> Option<ActionRef> {
        None
    }

    /// Values for later steps; called when the step ended well, with the last facts.
    fn outputs(&self, _facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        Outputs::new()
    }

    /// What it would change once what is missing ([`Verdict::Missing`]) is there; shown in previews.
    fn predicted_diff(&self, _facts: &[Fact]) -> Diff {
        Diff::default()
    }

    /// What later steps may find missing until this one has run: kinds, namespaces ... Used by the preview.
    fn provides(&self, _facts: &[Fact]) -> Vec<Resource> {
        Vec::new()
    }

    /// Text that the step printed, for people; called when the step ended, well or not.
    fn printed(&self, _done: &[EffectResult]) -> String {
        String::new()
    }

    /// That it panicked when it was asked before: then no answer of it counts. Only for what stands around all actions.
    fn defect(&self) -> Option<Problem> {
        None
    }
}

/// `on_interrupt` of an action whose effect leaves no trace that could be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnInterrupt {
    /// Run it again: that does no harm.
    Rerun,
    /// Stop, and let a person look.
    Stop,
}

/// What an action says of the facts.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// All is as asked; `seen` says so in one line (may be empty).
    Same {
        /// For example `istiod 1.27.0, revision 3`.
        seen: String,
    },
    /// This must change.
    Change(Diff),
    /// Not so yet, but time may bring it: probed again until the step's deadline.
    Wait {
        /// What is seen now, one line.
        seen: String,
    },
    /// It cannot be done, and waiting does not help.
    Blocked(Problem),
    /// It cannot be judged until something exists that is not there.
    Missing(Resource),
}

impl Verdict {
    /// The verdict on what would change: an empty diff is [`Verdict::Same`] with what `seen` returns, an error is
    /// [`Verdict::Blocked`].
    pub fn judged(diff: Result<Diff, Problem>, seen: impl FnOnce() -> String) -> Self {
        match diff {
            Err(problem) => Self::Blocked(problem),
            Ok(diff) if diff.is_empty() => Self::Same { seen: seen() },
            Ok(diff) => Self::Change(diff),
        }
    }
}

/// Something that steps make and other steps need.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// A kind of object, served by the API: `networking.istio.io` and `Gateway`.
    Kind {
        /// API group; empty for the core group.
        group: String,
        /// Kind.
        kind: String,
    },
    /// A namespace.
    Namespace(String),
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kind { group, kind } if group.is_empty() => write!(f, "kind {kind}"),
            Self::Kind { group, kind } => write!(f, "kind {kind}.{group}"),
            Self::Namespace(name) => write!(f, "namespace {name}"),
        }
    }
}

/// An action ready to run.
pub type ActionRef = Arc<dyn Action>;
