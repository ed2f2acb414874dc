//! A unit that probes its host for the units behind it, too, and a unit whose probes are answered by the cache.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::call;
use super::fact_cache::Query;
use super::job::{DEADLINE_GRACE, Execution, ExecutionResult, Job};
use super::unless_failed_on_purpose;
use crate::actions::Verdict;
use crate::connect::{CallContext, ConnectError, Effect, Fact, Probe, host};
use crate::diff::Diff;

/// How long the probes of many units may take together; after that, each unit probes alone.
const PREFETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether a job may probe for the units behind it. Not while its host may be away, or may restore itself.
pub fn may_prefetch(job: &Job) -> bool {
    job.guard.is_none() && !job.resumed
}

/// Whether a job has probes whose answers are not cached.
pub fn needs_probe(job: &Job) -> bool {
    let is_cached = job.host().is_none_or(|host| job.cache.is_fresh(host, &job.unit));
    !job.prefetched && !is_cached && !job.action.probes().is_empty()
}

/// Sends the job's probes and those of the units behind it. A host that is unreachable fails the job; after any other error
/// each unit probes alone, since the error may be the fault of another unit's probe.
pub async fn prefetch(job: &mut Job) {
    job.prefetched = true;
    let Some(host) = job.host() else { return };
    let own = (job.unit.clone(), job.action.probes());
    let queries: Vec<Query> = std::iter::once(own).chain(job.queries.iter().cloned()).collect();
    let probes: Vec<Probe> = queries.iter().flat_map(|(_, probes)| probes).cloned().collect();
    let deadline = Instant::now() + job.timeout.min(PREFETCH_TIMEOUT);
    let call = CallContext { deadline, ..call(job) };
    let read = job.cache.begin_read(host);
    let answer = tokio::time::timeout_at(deadline + DEADLINE_GRACE, job.world.probe(&job.target, &probes, &call));
    match answer.await {
        Ok(Ok(facts)) => read.store(&queries, facts),
        Ok(Err(error @ ConnectError::Unreachable { .. })) if Instant::now() < deadline => {
            *job.unreachable.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
        _ => {}
    }
    job.queries.clear();
}

/// The first effect that the job is likely to have. Where the cache does not tell, a command, which may change any answer.
pub fn first_effect(job: &Job) -> Effect {
    let next = |facts: &[Fact]| job.action.next_effect(facts, &[]).ok().flatten();
    let known = job.host().and_then(|host| job.cache.peek(host, &job.unit, &job.action.probes(), next));
    known.unwrap_or_else(|| Effect::Host(host::Effect::Run(host::Run::shell("true"))))
}

/// The execution of a job whose cached answers say that nothing is to be changed. Then nothing is sent.
pub fn answered_by_cache(job: &Job) -> Option<Execution> {
    if job.guard.is_some() {
        return None;
    }
    let same = |facts: &[Fact]| match job.action.verdict(facts) {
        Verdict::Same { seen } => Some(seen),
        _ => None,
    };
    let (facts, seen) = job.cache.take_if(job.host()?, &job.unit, &job.action.probes(), same)?;
    let (outputs, printed) = (job.action.outputs(&facts, &[]), job.action.printed(&[]));
    let result = ExecutionResult::Same { seen }.unless(job.action.defect());
    let (diff, provides, redacted) = (Diff::default(), Vec::new(), None);
    Some(unless_failed_on_purpose(job, Execution { result, diff, outputs, printed, provides, redacted }))
}
