//! How the world is reached: hosts (ssh, local), Kubernetes, Helm, Vault, HTTP.
//!
//! Everything that goes out is data: [`Probe`]s, which only look, and [`Effect`]s, which change. What comes back is data
//! too: [`Fact`]s and [`Done`]s. [`World`] is the seam: the real one dispatches to a file of this folder each, a fake one
//! stands in for unit tests and simulation. Knows the inventory and the shared vocabulary; never plans or actions.

pub mod error;
pub mod helm;
pub mod host;
pub mod http;
pub mod kube;
mod real;
pub mod secrets;
pub mod tls;
pub mod vault;

use std::sync::Arc;
use tokio::time::Instant;

use async_trait::async_trait;

pub use error::ConnectError;
pub use real::Real;

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
}

/// What an [`Effect`] brought about.
#[derive(Clone)]
pub enum Done {
    /// On a host.
    Host(host::Done),
    /// To a cluster's objects.
    Kube(kube::Done),
    /// To a Helm release.
    Helm(helm::Done),
    /// In Vault.
    Vault(vault::Done),
}

/// Where probes and effects go.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// The host; `None` for a step that runs on the controller.
    pub host: Option<Arc<Host>>,
    /// Whether to be root there.
    pub r#become: bool,
    /// Whether this call and those after it are to connect anew: a connection may outlive what would let it be made.
    pub fresh: bool,
}

/// What every call carries.
#[derive(Clone)]
pub struct Call {
    /// When it must have ended. Implementations bound every wait by it and say what they saw last.
    pub deadline: Instant,
    /// Takes one-line notes on what is seen or done right now; cheap, may drop them.
    pub progress: Arc<dyn Fn(String) + Send + Sync>,
}

impl Call {
    /// A call that must end within `timeout` and reports to nobody.
    pub fn quiet(timeout: std::time::Duration) -> Self {
        Self { deadline: Instant::now() + timeout, progress: Arc::new(|_| {}) }
    }

    /// Time left before the deadline.
    pub fn left(&self) -> std::time::Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// The seam between the tool and the world.
///
/// Dropping a returned future cancels the call: an implementation then ends what it started, also on the other side.
#[async_trait]
pub trait World: Send + Sync {
    /// Asks all `probes`, in as few round trips as possible; one fact each, in their order. Absence is a fact; an error
    /// means that no answer could be had.
    async fn probe(&self, target: &Target, probes: &[Probe], call: &Call) -> Result<Vec<Fact>, ConnectError>;

    /// Carries out one effect. [`ConnectError::Lost`] means that it is not known whether it took place.
    async fn perform(&self, target: &Target, effect: &Effect, call: &Call) -> Result<Done, ConnectError>;

    /// Carries out effects one after the other, each only when all before it have worked, in as few round trips as
    /// possible. Gives what was done, and what ended it early: after [`ConnectError::Lost`] it is not known how many more
    /// took place.
    async fn perform_all(&self, target: &Target, effects: &[Effect], call: &Call) -> (Vec<Done>, Option<ConnectError>) {
        one_by_one(self, target, effects, call).await
    }
}

/// [`World::perform_all`] for a world that has no shorter way: a trip for each effect.
pub async fn one_by_one<W: World + ?Sized>(
    world: &W,
    target: &Target,
    effects: &[Effect],
    call: &Call,
) -> (Vec<Done>, Option<ConnectError>) {
    let mut all = Vec::new();
    for effect in effects {
        match world.perform(target, effect, call).await {
            Ok(done) => all.push(done),
            Err(error) => return (all, Some(error)),
        }
    }
    (all, None)
}
