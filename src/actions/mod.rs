//! The work of steps: one file per action. `docs/actions.md` is a guide to writing one.
//!
//! An action is a step's parameters plus pure functions: it names its [`Probe`]s, judges the answers ([`Verdict`]) and names
//! the [`Effect`]s. The engine sends probes and effects through [`crate::connect`], so every verdict is tested without a
//! host.

// Actions slice texts that hosts and servers answered: a slice at a wrong byte would panic.
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

/// The action of one step, with its parameters rendered. All methods are pure.
pub trait Action: Send + Sync {
    /// The probes whose answers the verdict needs.
    fn probes(&self) -> Vec<Probe>;

    /// Judges the answers: one fact for each probe, in their order.
    fn verdict(&self, facts: &[Fact]) -> Verdict;

    /// The next effect, or `None` when there is nothing left to do. Called only after [`Verdict::Change`]: first with an
    /// empty `done`, then again with the result of each effect added.
    ///
    /// # Errors
    /// When a result shows that the change failed, such as the exit status of a command.
    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem>;

    /// Whether the effects changed anything. Called after the last effect, for actions that only learn this from the
    /// results, such as the output of a command.
    fn changed(&self, _done: &[EffectResult]) -> bool {
        true
    }

    /// Whether the probes are asked once more after the last effect, and judged by [`Action::verdict_after`].
    ///
    /// For effects that may end well without the wanted state, such as a command that exits with status 0. `false` where the
    /// result is proof already: a file put in place as a whole, a script that checks its own work, an object that the server
    /// returned.
    fn is_verified(&self) -> bool {
        false
    }

    /// The verdict on the answers after the last effect: the step succeeds with [`Verdict::Same`], and is probed again until
    /// its timeout with [`Verdict::Wait`]. Differs from [`Action::verdict`] where `verdict` always returns
    /// [`Verdict::Change`], or where it should say why the change had no effect.
    fn verdict_after(&self, facts: &[Fact]) -> Verdict {
        self.verdict(facts)
    }

    /// Whether this step changes nothing although its action may, such as a command with `changes = false`. A resumed run
    /// repeats the step, as it does with all checks.
    fn is_read_only(&self) -> bool {
        false
    }

    /// How a resumed run proceeds when the step was interrupted and the probes cannot tell whether its effect took place.
    /// `None` where the probes can tell, which is the rule. [`OnInterrupt::Rerun`] only if a second execution does no harm.
    fn on_interrupt(&self) -> Option<OnInterrupt> {
        None
    }

    /// Whether the effects end within moments and have succeeded if their exit status is 0. The engine may then send the
    /// effects of later steps in the same round trip.
    fn completes_at_once(&self) -> bool {
        false
    }

    /// The file that the action writes on the machine that runs the tool. Two units must not write the same file.
    fn writes(&self) -> Option<&Path> {
        None
    }

    /// The files on the host whose new content depends on their old content. Steps that edit the same file never run at the
    /// same time. Default: the files whose content the probes read.
    fn edits(&self) -> Vec<String> {
        let edited = |probe| match probe {
            Probe::Host(crate::connect::host::Probe::File { path, read }) if read.wants_content() => Some(path),
            _ => None,
        };
        self.probes().into_iter().filter_map(edited).collect()
    }

    /// The action that takes this one's place after an earlier attempt failed or was interrupted. For actions whose probes
    /// do not show how far that attempt got.
    fn resumed(&self) -> Option<ActionRef> {
        None
    }

    /// The action that takes this one's place once its effects were sent, if they make the host unreachable for a while, as
    /// a reboot does. Its verdict is [`Verdict::Wait`] until the host is back. Called after the last effect, or when the
    /// connection broke.
    fn after_disconnect(&self, _facts: &[Fact]) -> Option<ActionRef> {
        None
    }

    /// Values for later steps. Called when the step has succeeded, with the latest facts.
    fn outputs(&self, _facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        Outputs::new()
    }

    /// The changes that previews show for [`Verdict::Missing`]: those that are likely once the missing resource exists.
    fn predicted_diff(&self, _facts: &[Fact]) -> Diff {
        Diff::default()
    }

    /// The resources that exist once this step has run, such as kinds and namespaces. Previews use them: a later step that
    /// lacks such a resource is shown as a change, not as a failure.
    fn provides(&self, _facts: &[Fact]) -> Vec<Resource> {
        Vec::new()
    }

    /// Text for people that the step printed. Called when the step ended, whether it succeeded or failed.
    fn printed(&self, _done: &[EffectResult]) -> String {
        String::new()
    }

    /// The panic of an earlier call: no later answer of this action counts. Only [`watched::Watched`] implements this.
    fn defect(&self) -> Option<Problem> {
        None
    }
}

/// How a resumed run treats a step that was interrupted, when nothing shows whether it took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnInterrupt {
    /// Run it again: that does no harm.
    Rerun,
    /// Stop, and let a person look.
    Stop,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The state is the wanted one.
    Same {
        /// The state in one line, such as `istiod 1.27.0, revision 3`; may be empty.
        seen: String,
    },
    /// The state differs. The diff is never empty.
    Change(Diff),
    /// The state is not the wanted one yet, and may become so: the step is probed again until its timeout.
    Wait {
        /// The state in one line.
        seen: String,
    },
    /// The step fails: neither a change nor waiting would help.
    Blocked(Problem),
    /// The state cannot be judged before this resource exists.
    Missing(Resource),
}

impl Verdict {
    /// [`Verdict::Same`] for an empty diff, with the line that `seen` returns; [`Verdict::Change`] for any other diff;
    /// [`Verdict::Blocked`] for an error.
    pub fn judged(diff: Result<Diff, Problem>, seen: impl FnOnce() -> String) -> Self {
        match diff {
            Err(problem) => Self::Blocked(problem),
            Ok(diff) if diff.is_empty() => Self::Same { seen: seen() },
            Ok(diff) => Self::Change(diff),
        }
    }
}

/// Something that one step creates and another one needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// A kind of object that the Kubernetes API serves, such as `Gateway` of `networking.istio.io`.
    Kind {
        /// API group; empty for the core group.
        group: String,
        kind: String,
    },
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

pub type ActionRef = Arc<dyn Action>;
