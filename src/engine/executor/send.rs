//! One round trip: effects, and behind them the probes of the units that follow.

use std::task::Poll;
use std::time::Duration;

use super::fact_cache::{Query, ReadTicket};
use super::job::{DEADLINE_GRACE, Job};
use crate::connect::{
    CallContext, ConnectError, Effect, EffectResult, Pipeline, PipelineResult, Probe, deadline_after,
};
use crate::document::format_duration;
use crate::engine::faults::Point;

/// How often a pipeline that takes its time reports the units that have ended.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Effects of jobs of one host; the first job's connection is used.
pub struct RoundTrip<'a> {
    pub jobs: &'a [&'a Job],
    pub effects: &'a [Effect],
    /// The timeout of each effect.
    pub timeouts: &'a [Duration],
    /// Stores the answers of the probes in the fact cache.
    pub read: Option<ReadTicket>,
    /// The probes to send behind the effects.
    pub on_success: &'a [Query],
    /// The probes to send instead of `on_success` when one of several effects failed.
    pub on_failure: &'a [Query],
}

impl RoundTrip<'_> {
    /// Sends the effects. `on_result` takes each result as soon as it is known; `meanwhile` is called now and then. Returns the
    /// error that ended the round trip early.
    pub async fn send(
        self,
        call: &CallContext,
        on_result: &(dyn Fn(EffectResult) + Send + Sync),
        meanwhile: &(dyn Fn() + Send + Sync),
    ) -> Option<ConnectError> {
        let first = self.jobs.first()?;
        let [on_success, on_failure] = [self.on_success, self.on_failure].map(probes);
        let pipeline = Pipeline {
            effects: self.effects,
            timeouts: self.timeouts,
            on_success: &on_success,
            on_failure: &on_failure,
            on_result,
        };
        let mut sending = first.world.perform_pipeline(&first.target, pipeline, call);
        let begun = futures::poll!(&mut sending);
        self.jobs.iter().for_each(|job| job.faults.reach(Point::MidEffect, &job.unit));
        let total = self.timeouts.iter().fold(DEADLINE_GRACE, |total, timeout| total.saturating_add(*timeout));
        let PipelineResult { error, on_success, on_failure } = match begun {
            Poll::Ready(performed) => performed,
            Poll::Pending => {
                let timeout = tokio::time::sleep_until(deadline_after(total));
                tokio::pin!(timeout);
                loop {
                    tokio::select! {
                        performed = &mut sending => break performed,
                        () = tokio::time::sleep(PROGRESS_INTERVAL) => meanwhile(),
                        () = &mut timeout => {
                            let error = ConnectError::lost(format!("no answer within {}", format_duration(first.timeout)));
                            break PipelineResult { error: Some(error), ..PipelineResult::default() };
                        }
                    }
                }
            }
        };
        let Some(read) = self.read else { return error };
        if let Some(facts) = on_success {
            read.store(self.on_success, facts);
        } else if let Some(facts) = on_failure {
            read.store(self.on_failure, facts);
        }
        error
    }
}

fn probes(queries: &[Query]) -> Vec<Probe> {
    queries.iter().flat_map(|(_, probes)| probes).cloned().collect()
}
