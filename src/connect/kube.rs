//! (skeleton, to be written)

use super::{Call, ConnectError};
use crate::inventory::Inventory;

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {}
/// An answer.
#[derive(Debug, Clone)]
pub enum Fact {}
/// A change.
#[derive(Debug, Clone)]
pub enum Effect {}
/// Its result.
#[derive(Debug, Clone)]
pub enum Done {}

/// The real thing; connects when first asked.
pub struct Backend {}

impl Backend {
    /// For the endpoints of an inventory.
    pub fn new(_inventory: &Inventory) -> Self {
        Self {}
    }

    /// Asks one question.
    pub async fn probe(&self, _probe: &Probe, _call: &Call) -> Result<Fact, ConnectError> {
        Err(ConnectError::failed("not here yet"))
    }

    /// Carries out one effect.
    pub async fn perform(&self, _effect: &Effect, _call: &Call) -> Result<Done, ConnectError> {
        Err(ConnectError::failed("not here yet"))
    }
}
