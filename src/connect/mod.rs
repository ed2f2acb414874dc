//! How the world is reached: hosts (ssh, local), Kubernetes, Helm, Vault, HTTP.
//!
//! Everything that goes out is data: [`Probe`]s, which only look, and [`Effect`]s, which change. What comes back is data
//! too: [`Fact`]s and [`Done`]s. [`World`] is the seam: the real one dispatches to a file of this folder each, a fake one
//! stands in for unit tests and simulation. Knows the inventory and the shared vocabulary; never plans or actions.

// Much of the text here is what others answered.
#![cfg_attr(not(test), warn(clippy::string_slice))]

mod call;
pub mod error;
pub mod helm;
pub mod host;
pub mod http;
pub mod kube;
mod real;
mod relations;
pub mod secrets;
pub mod tls;
pub mod vault;
mod watched;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use async_trait::async_trait;

pub use call::{CallContext, FOLLOW_UP_TIMEOUT, deadline_after};
pub use error::ConnectError;
pub use real::RealWorld;
pub use relations::is_comparable;
pub use watched::Watched;

use crate::inventory::Host;

/// A question about the world; asking changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// About a host.
    Host(host::Probe),
    /// The same, about the machine that runs the tool, whatever the step's host; the answer is a [`Fact::Host`].
    Controller(host::Probe),
    /// About a cluster's objects.
    Kube(kube::Probe),
    /// About a Helm release.
    Helm(helm::Probe),
    /// About Vault.
    Vault(vault::Probe),
    /// What a URL answers.
    Http(http::Probe),
}

/// The answer to a [`Probe`] of the same name.
#[derive(Clone)]
pub enum Fact {
    /// Of a host.
    Host(host::Fact),
    /// Of a cluster's objects.
    Kube(kube::Fact),
    /// Of a Helm release.
    Helm(helm::Fact),
    /// Of Vault.
    Vault(vault::Fact),
    /// Of a URL.
    Http(http::Fact),
}

/// A change to the world, as data.
#[derive(Clone)]
pub enum Effect {
    /// On a host.
    Host(host::Effect),
    /// Copies a file of a host to the machine that runs the tool; brings about a [`Done::Host`].
    Fetch(host::Fetch),
    /// To a cluster's objects.
    Kube(kube::Effect),
    /// To a Helm release.
    Helm(helm::Effect),
    /// In Vault.
    Vault(vault::Effect),
    /// Changes nothing: in a row, ends it before what follows unless all answers are what they were. Brings about a
    /// [`Done::Host`].
    Expect(Vec<(Probe, Fact)>),
}

/// What an [`Effect`] brought about.
#[derive(Clone)]
pub enum EffectResult {
    /// On a host.
    Host(host::CommandOutput),
    /// To a cluster's objects.
    Kube(kube::EffectResult),
    /// To a Helm release.
    Helm(helm::EffectResult),
    /// In Vault.
    Vault(vault::EffectResult),
}

impl EffectResult {
    /// Whether what follows it in a row may be done.
    pub fn succeeded(&self) -> bool {
        !matches!(self, Self::Host(done) if done.exit != 0)
    }
}

/// Where probes and effects go.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// The host; `None` for a step that runs on the controller.
    pub host: Option<Arc<Host>>,
    /// Whether to be root there.
    pub as_root: bool,
    /// Whether this call and those after it are to connect anew: a connection may outlive what would let it be made.
    pub reconnect: bool,
}

/// The seam between the tool and the world.
///
/// Dropping a returned future cancels the call: an implementation then ends what it started, also on the other side.
#[async_trait]
pub trait World: Send + Sync {
    /// Asks all `probes`, in as few round trips as possible; one fact each, in their order. Absence is a fact; an error
    /// means that no answer could be had.
    async fn probe(&self, target: &Target, probes: &[Probe], call: &CallContext) -> Result<Vec<Fact>, ConnectError>;

    /// Carries out one effect. [`ConnectError::Lost`] means that it is not known whether it took place.
    async fn perform(&self, target: &Target, effect: &Effect, call: &CallContext)
    -> Result<EffectResult, ConnectError>;

    /// Carries out a row of effects, and then asks, in as few round trips as possible.
    async fn perform_pipeline(&self, target: &Target, row: Pipeline<'_>, call: &CallContext) -> PipelineResult {
        perform_sequentially(self, target, row, call).await
    }
}

/// Effects that are carried out one after the other, each only when all before it have worked: a command, by its exit
/// status.
#[derive(Clone, Copy)]
pub struct Pipeline<'a> {
    /// At least one. Commands and plain effects on a host, with [`Effect::Expect`] between them; or a single one of any kind.
    pub effects: &'a [Effect],
    /// How long each may take.
    pub timeouts: &'a [Duration],
    /// What is asked behind them: of a single effect always, of several when all worked.
    pub on_success: &'a [Probe],
    /// What is asked of several in its place when not all of them worked.
    pub on_failure: &'a [Probe],
    /// Takes what was done, in its order, as soon as that is known.
    pub on_result: &'a (dyn Fn(EffectResult) + Send + Sync),
}

impl Pipeline<'_> {
    /// Whether there is one after another.
    pub fn has_several(&self) -> bool {
        self.effects.len() > 1
    }
}

/// What became of effects that were sent together.
#[derive(Default)]
pub struct PipelineResult {
    /// What ended it early: after [`ConnectError::Lost`] it is not known how many more took place.
    pub error: Option<ConnectError>,
    /// The answers to what was asked behind them, when that was to be asked and they could be had.
    pub on_success: Option<Vec<Fact>>,
    /// The answers to what was asked otherwise, likewise.
    pub on_failure: Option<Vec<Fact>>,
}

/// [`World::perform_all`] for a world that has no shorter way: a trip for each effect, and one to ask.
pub async fn perform_sequentially<W: World + ?Sized>(
    world: &W,
    target: &Target,
    row: Pipeline<'_>,
    call: &CallContext,
) -> PipelineResult {
    let mut ended_early = false;
    for (effect, within) in row.effects.iter().zip(row.timeouts) {
        let call = CallContext { deadline: deadline_after(*within), ..call.clone() };
        match world.perform(target, effect, &call).await {
            Ok(done) => {
                ended_early = row.has_several() && !done.succeeded();
                (row.on_result)(done);
            }
            Err(error) => return PipelineResult { error: Some(error), ..PipelineResult::default() },
        }
        if ended_early {
            break;
        }
    }
    let probes = if ended_early { row.on_failure } else { row.on_success };
    let call = CallContext { deadline: Instant::now() + FOLLOW_UP_TIMEOUT, ..call.clone() };
    let facts = if probes.is_empty() { None } else { world.probe(target, probes, &call).await.ok() };
    if ended_early {
        PipelineResult { on_failure: facts, ..PipelineResult::default() }
    } else {
        PipelineResult { on_success: facts, ..PipelineResult::default() }
    }
}
