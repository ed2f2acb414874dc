//! The real thing: asks and writes over HTTP.

use tokio::sync::{Mutex, OnceCell};

use super::types::{Effect, EffectResult, Fact, Probe};
use crate::connect::{CallContext, ConnectError};
use crate::inventory::{Inventory, Vault};

/// The real thing; connects when first asked.
pub struct Backend {
    pub(super) vault: Vault,
    pub(super) client: OnceCell<reqwest::Client>,
    pub(super) active: Mutex<Option<String>>,
}

impl Backend {
    /// For the endpoints of an inventory.
    pub fn new(inventory: &Inventory) -> Self {
        Self { vault: inventory.vault.clone(), client: OnceCell::new(), active: Mutex::new(None) }
    }

    /// Asks one question.
    ///
    /// # Errors
    /// When no node can answer, the token is missing or not enough. An absent path or a node that is down is a fact.
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
