//! Answers come from hosts and APIs that may be hostile. Should one make the code that reads it panic, only the call ends.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Call, ConnectError, Done, Effect, Fact, Performed, Probe, Row, Target, World};
use crate::defect::caught_in;
use crate::event::Problem;

/// A world whose panics are errors.
pub struct Watched(pub Arc<dyn World>);

#[async_trait]
impl World for Watched {
    async fn probe(&self, target: &Target, probes: &[Probe], call: &Call) -> Result<Vec<Fact>, ConnectError> {
        caught_in(self.0.probe(target, probes, call)).await.unwrap_or_else(|defect| Err(defect.into()))
    }

    async fn perform(&self, target: &Target, effect: &Effect, call: &Call) -> Result<Done, ConnectError> {
        caught_in(self.0.perform(target, effect, call)).await.unwrap_or_else(|defect| Err(defect.into()))
    }

    async fn perform_all(&self, target: &Target, row: Row<'_>, call: &Call) -> Performed {
        let performed = caught_in(self.0.perform_all(target, row, call)).await;
        performed.unwrap_or_else(|defect| Performed { error: Some(defect.into()), ..Performed::default() })
    }
}

impl From<Problem> for ConnectError {
    /// Of a panic.
    fn from(Problem { message, hint, .. }: Problem) -> Self {
        Self::Defect { message, hint }
    }
}
