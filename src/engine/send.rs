//! Sends effects, and behind them, in the same trip, what the units that follow will ask.

use std::task::Poll;
use std::time::Duration;

use super::fact_cache::{Query, ReadTicket};
use super::faults::Point;
use super::job::{DEADLINE_GRACE, Job, human};
use crate::connect::{
    CallContext, ConnectError, Effect, EffectResult, Pipeline, PipelineResult, Probe, deadline_after,
};

/// How often what has ended so far is told of a pipeline that takes its time.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Effects of jobs, of which the first one is who asks.
pub struct RoundTrip<'a> {
    pub jobs: &'a [&'a Job],
    pub effects: &'a [Effect],
    /// How long each may take.
    pub within: &'a [Duration],
    /// A look that began when the effects did.
    pub read: Option<ReadTicket>,
    /// What it asks.
    pub on_success: &'a [Query],
    /// What it asks when not all effects of several worked.
    pub on_failure: &'a [Query],
}

impl RoundTrip<'_> {
    /// Sends them; `done` takes what was done, as soon as that is known, and `meanwhile` is called now and then. Gives what
    /// ended it early.
    pub async fn send(
        self,
        call: &CallContext,
        done: &(dyn Fn(EffectResult) + Send + Sync),
        meanwhile: &(dyn Fn() + Send + Sync),
    ) -> Option<ConnectError> {
        let first = self.jobs.first()?;
        let [behind, otherwise] = [self.on_success, self.on_failure].map(probes);
        let row = Pipeline {
            effects: self.effects,
            timeouts: self.within,
            on_success: &behind,
            on_failure: &otherwise,
            on_result: done,
        };
        let under_way = || self.jobs.iter().for_each(|job| job.faults.reach(Point::MidEffect, &job.unit));
        let mut sending = first.world.perform_pipeline(&first.target, row, call);
        let begun = futures::poll!(&mut sending);
        under_way();
        let all = self.within.iter().fold(DEADLINE_GRACE, |all, within| all.saturating_add(*within));
        let PipelineResult { error, on_success: behind, on_failure: otherwise } = match begun {
            Poll::Ready(performed) => performed,
            Poll::Pending => {
                let over = tokio::time::sleep_until(deadline_after(all));
                tokio::pin!(over);
                loop {
                    tokio::select! {
                        performed = &mut sending => break performed,
                        () = tokio::time::sleep(PROGRESS_INTERVAL) => meanwhile(),
                        () = &mut over => {
                            let error = ConnectError::lost(format!("no answer within {}", human(first.timeout)));
                            break PipelineResult { error: Some(error), ..PipelineResult::default() };
                        }
                    }
                }
            }
        };
        let Some(look) = self.read else { return error };
        if let Some(facts) = behind {
            look.store(self.on_success, facts);
        } else if let Some(facts) = otherwise {
            look.store(self.on_failure, facts);
        }
        error
    }
}

fn probes(queries: &[Query]) -> Vec<Probe> {
    queries.iter().flat_map(|(_, probes)| probes).cloned().collect()
}
