//! Turns panics into errors. Answers come from hosts and APIs that may be hostile: if one makes a parser panic, only
//! that call fails.

use std::sync::Arc;

use async_trait::async_trait;

use super::{CallContext, ConnectError, Effect, EffectResult, Fact, Pipeline, PipelineResult, Probe, Target, World};
use crate::defect::catch_panic_async;
use crate::event::Problem;

/// Wraps a world; a panic inside it becomes a [`ConnectError::Defect`].
pub struct Watched(pub Arc<dyn World>);

#[async_trait]
impl World for Watched {
    async fn probe(&self, target: &Target, probes: &[Probe], call: &CallContext) -> Result<Vec<Fact>, ConnectError> {
        catch_panic_async(self.0.probe(target, probes, call)).await.unwrap_or_else(|defect| Err(defect.into()))
    }

    async fn perform(
        &self,
        target: &Target,
        effect: &Effect,
        call: &CallContext,
    ) -> Result<EffectResult, ConnectError> {
        catch_panic_async(self.0.perform(target, effect, call)).await.unwrap_or_else(|defect| Err(defect.into()))
    }

    async fn perform_pipeline(&self, target: &Target, pipeline: Pipeline<'_>, call: &CallContext) -> PipelineResult {
        let performed = catch_panic_async(self.0.perform_pipeline(target, pipeline, call)).await;
        performed.unwrap_or_else(|defect| PipelineResult { error: Some(defect.into()), ..PipelineResult::default() })
    }
}

impl From<Problem> for ConnectError {
    /// The problem is a panic's, from [`caught_in`].
    fn from(Problem { message, hint, .. }: Problem) -> Self {
        Self::Defect { message, hint }
    }
}
