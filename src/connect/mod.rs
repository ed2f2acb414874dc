//! Access to hosts (ssh, local), Kubernetes, Helm, Vault and HTTP.
//!
//! Everything sent out is data: [`Probe`]s only read, [`Effect`]s change. The answers are data too: [`Fact`]s and
//! [`EffectResult`]s. The trait [`World`] separates the engine from all this: [`RealWorld`] dispatches to the backends
//! of this folder, fakes stand in for it in unit tests and simulation. Knows the inventory and the shared vocabulary;
//! never plans or actions.

// Much of the text handled here comes from other machines: slicing it by byte index could panic.
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

/// A read-only question to one of the backends.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    Host(host::Probe),
    /// A host probe asked of the machine that runs rollout, whatever the step's host; the answer is a [`Fact::Host`].
    Controller(host::Probe),
    Kube(kube::Probe),
    Helm(helm::Probe),
    Vault(vault::Probe),
    /// An HTTP request.
    Http(http::Probe),
}

#[derive(Clone)]
pub enum Fact {
    Host(host::Fact),
    Kube(kube::Fact),
    Helm(helm::Fact),
    Vault(vault::Fact),
    Http(http::Fact),
}

/// A change to the world, as data.
#[derive(Clone)]
pub enum Effect {
    Host(host::Effect),
    /// Copies a file of a host to the machine that runs rollout; results in an [`EffectResult::Host`].
    Fetch(host::Fetch),
    Kube(kube::Effect),
    Helm(helm::Effect),
    Vault(vault::Effect),
    /// Changes nothing. In a pipeline, ends it before the next effect unless all probes still have the given answers.
    /// Results in an [`EffectResult::Host`].
    Expect(Vec<(Probe, Fact)>),
}

/// The result of an [`Effect`] of the same name.
#[derive(Clone)]
pub enum EffectResult {
    Host(host::CommandOutput),
    Kube(kube::EffectResult),
    Helm(helm::EffectResult),
    Vault(vault::EffectResult),
}

impl EffectResult {
    /// Whether the next effect of a pipeline may run: false after a command that exited non-zero.
    pub fn succeeded(&self) -> bool {
        !matches!(self, Self::Host(done) if done.exit != 0)
    }
}

/// Where probes and effects go.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// The host; `None` for a step that runs on the controller.
    pub host: Option<Arc<Host>>,
    /// Whether to run as root on the host.
    pub as_root: bool,
    /// Whether to drop the existing connection and connect anew, now and for all later calls. An existing connection
    /// may keep working when a new login would fail, so a check that a host is reachable needs a new one.
    pub reconnect: bool,
}

/// What the engine sends probes and effects to.
///
/// Dropping a returned future cancels the call: the implementation then ends what it started, also on the other side.
#[async_trait]
pub trait World: Send + Sync {
    /// Answers all `probes` in as few round trips as possible: one fact each, in the order of the probes. Absence of a
    /// thing is a fact; an error means that there is no answer.
    async fn probe(&self, target: &Target, probes: &[Probe], call: &CallContext) -> Result<Vec<Fact>, ConnectError>;

    /// Carries out one effect. After [`ConnectError::Lost`] the effect may or may not have taken place.
    async fn perform(&self, target: &Target, effect: &Effect, call: &CallContext)
    -> Result<EffectResult, ConnectError>;

    /// Carries out a pipeline of effects and its follow-up probes in as few round trips as possible.
    async fn perform_pipeline(&self, target: &Target, pipeline: Pipeline<'_>, call: &CallContext) -> PipelineResult {
        perform_sequentially(self, target, pipeline, call).await
    }
}

/// Effects to carry out in order, each only after all before it have succeeded. A command succeeds by its exit status.
#[derive(Clone, Copy)]
pub struct Pipeline<'a> {
    /// At least one effect. Several must be commands or [instant](host::Effect::is_instant) effects of one host, with
    /// [`Effect::Expect`] between them; a single one may be of any kind.
    pub effects: &'a [Effect],
    /// Timeout of each effect.
    pub timeouts: &'a [Duration],
    /// Probes to answer after the effects: after a single effect always, after several when all succeeded.
    pub on_success: &'a [Probe],
    /// Probes to answer instead when one of several effects failed.
    pub on_failure: &'a [Probe],
    /// Called with the result of each effect, in order, as soon as that result is known.
    pub on_result: &'a (dyn Fn(EffectResult) + Send + Sync),
}

impl Pipeline<'_> {
    pub fn has_several(&self) -> bool {
        self.effects.len() > 1
    }
}

/// The outcome of a [`Pipeline`], besides the results given to [`Pipeline::on_result`].
#[derive(Default)]
pub struct PipelineResult {
    /// Why the pipeline ended early. After [`ConnectError::Lost`] it is unknown how many more effects took place.
    pub error: Option<ConnectError>,
    /// Answers to [`Pipeline::on_success`]; `None` when those probes did not apply or got no answer.
    pub on_success: Option<Vec<Fact>>,
    /// Answers to [`Pipeline::on_failure`]; `None` when those probes did not apply or got no answer.
    pub on_failure: Option<Vec<Fact>>,
}

/// [`World::perform_pipeline`] without batching: one round trip for each effect, and one for the follow-up probes.
pub async fn perform_sequentially<W: World + ?Sized>(
    world: &W,
    target: &Target,
    pipeline: Pipeline<'_>,
    call: &CallContext,
) -> PipelineResult {
    let mut ended_early = false;
    for (effect, timeout) in pipeline.effects.iter().zip(pipeline.timeouts) {
        let call = CallContext { deadline: deadline_after(*timeout), ..call.clone() };
        match world.perform(target, effect, &call).await {
            Ok(done) => {
                ended_early = pipeline.has_several() && !done.succeeded();
                (pipeline.on_result)(done);
            }
            Err(error) => return PipelineResult { error: Some(error), ..PipelineResult::default() },
        }
        if ended_early {
            break;
        }
    }
    let probes = if ended_early { pipeline.on_failure } else { pipeline.on_success };
    let call = CallContext { deadline: Instant::now() + FOLLOW_UP_TIMEOUT, ..call.clone() };
    let facts = if probes.is_empty() { None } else { world.probe(target, probes, &call).await.ok() };
    if ended_early {
        PipelineResult { on_failure: facts, ..PipelineResult::default() }
    } else {
        PipelineResult { on_success: facts, ..PipelineResult::default() }
    }
}
