//! The Vault backend: dispatches probes and effects to HTTP requests.

use tokio::sync::{Mutex, OnceCell};

use super::types::{Effect, EffectResult, Fact, Probe};
use crate::connect::{CallContext, ConnectError};
use crate::inventory::{Inventory, Vault};

/// Vault access for one inventory; the HTTP client is built on first use.
pub struct Backend {
    pub(super) vault: Vault,
    pub(super) client: OnceCell<reqwest::Client>,
    pub(super) active: Mutex<Option<String>>,
}

impl Backend {
    pub fn new(inventory: &Inventory) -> Self {
        Self { vault: inventory.vault.clone(), client: OnceCell::new(), active: Mutex::new(None) }
    }

    /// Answers one probe.
    ///
    /// # Errors
    /// When no node can answer, or the token is missing or lacks a right. An absent path or a node that is down is a
    /// fact.
    pub async fn probe(&self, probe: &Probe, call: &CallContext) -> Result<Fact, ConnectError> {
        match probe {
            Probe::Health => Ok(Fact::Health(self.health(call).await?)),
            Probe::Read { path } => self.read(path, call).await,
        }
    }

    /// Carries out one effect.
    ///
    /// # Errors
    /// [`ConnectError::Lost`] when the connection broke after the request went out.
    pub async fn perform(&self, effect: &Effect, call: &CallContext) -> Result<EffectResult, ConnectError> {
        match effect {
            Effect::Write { path, body } => Ok(EffectResult::Written(self.write(path, body, call).await?)),
            Effect::SignCsr(request) => self.sign(request, call).await,
        }
    }
}
