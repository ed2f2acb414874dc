//! (skeleton, to be written)

use super::{Call, ConnectError, Target};
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

/// The hosts; connects to each when it is first asked of.
pub struct Backend {}

impl Backend {
    /// For the hosts of an inventory.
    pub fn new(_inventory: &Inventory) -> Self {
        Self {}
    }

    /// Asks all questions in one round trip.
    pub async fn probe(&self, _target: &Target, _probes: &[Probe], _call: &Call) -> Result<Vec<Fact>, ConnectError> {
        Err(ConnectError::failed("not here yet"))
    }

    /// Carries out one effect.
    pub async fn perform(&self, _target: &Target, _effect: &Effect, _call: &Call) -> Result<Done, ConnectError> {
        Err(ConnectError::failed("not here yet"))
    }

    /// Ends all connections.
    pub async fn close(&self) {}
}
