//! Runs one unit, from its first probe to its last effect.
//!
//! - [`job`]: the unit as the dispatcher hands it over, and the result
//! - [`attempt`]: probes, verdict and effects of one attempt; [`change`]: a plain change; [`guarded`]: a change under a guard
//! - [`send`]: one round trip; [`fact_cache`]: answers that came ahead of time; [`prefetch`]: probes for the units behind

pub mod attempt;
mod backoff;
pub mod change;
pub mod fact_cache;
mod guard_link;
pub mod guard_locks;
mod guarded;
pub mod job;
pub mod prefetch;
pub mod send;

use attempt::Attempt;
use job::{Execution, ExecutionResult, Job, Note};

use crate::actions::Verdict;
use crate::event::{Mode, Problem};

/// Runs a unit to its end, with all of its retries.
pub async fn run(job: &Job) -> Execution {
    let mut execution = with_retries(job).await;
    let changed = matches!(execution.result, ExecutionResult::Changed);
    if changed && job.mode == Mode::Run && job.faults.repeats(&job.unit) {
        let again = with_retries(job).await;
        if !matches!(again.result, ExecutionResult::Same { .. } | ExecutionResult::Changed) {
            execution.result = again.result;
        }
    }
    unless_failed_on_purpose(job, execution)
}

/// The execution, or a failure where [`crate::engine::Faults`] wants one.
pub fn unless_failed_on_purpose(job: &Job, mut execution: Execution) -> Execution {
    let ended_well = matches!(execution.result, ExecutionResult::Same { .. } | ExecutionResult::Changed);
    if ended_well && job.mode == Mode::Run && job.faults.fails(&job.unit) {
        execution.result = ExecutionResult::Failed(Problem::new("failed on purpose, after it was done"));
    }
    execution
}

async fn with_retries(job: &Job) -> Execution {
    let mut attempt = 1;
    loop {
        let execution = once(job).await;
        let ExecutionResult::Failed(problem) = &execution.result else { return execution };
        if attempt > job.retry.times || job.mode == Mode::Preview {
            return execution;
        }
        let delay = job.retry.pause(attempt);
        (job.notes)(Note::Retried { attempt, message: problem.message.clone(), delay });
        tokio::time::sleep(delay).await;
        attempt += 1;
    }
}

async fn once(job: &Job) -> Execution {
    let mut attempt = Attempt::new(job);
    let Some(guard) = &job.guard else {
        let result = apply(&mut attempt).await;
        return attempt.finish(result);
    };
    let _turn = guard.turn.lock().await;
    attempt.restart_clock();
    let result = match guarded::wait_for_earlier(&attempt).await {
        Some(result) => result,
        None => {
            attempt.restart_clock();
            apply(&mut attempt).await
        }
    };
    attempt.finish(result)
}

/// Judges, then changes what is to be changed.
async fn apply(attempt: &mut Attempt<'_>) -> ExecutionResult {
    let is_preview = attempt.job.mode == Mode::Preview;
    let probes = attempt.action.probes();
    match attempt.judge(&probes).await {
        Err(error) => ExecutionResult::Failed(error.problem()),
        Ok(Verdict::Same { seen }) => ExecutionResult::Same { seen },
        Ok(Verdict::Blocked(problem)) => ExecutionResult::Failed(problem),
        Ok(Verdict::Wait { seen }) if is_preview => ExecutionResult::NotReady { seen },
        Ok(Verdict::Missing(resource)) if is_preview => {
            attempt.diff = attempt.action.predicted_diff(&attempt.facts);
            ExecutionResult::Missing(resource)
        }
        Ok(Verdict::Wait { seen }) => ExecutionResult::Failed(attempt.timed_out(&seen)),
        Ok(Verdict::Missing(resource)) => {
            ExecutionResult::Failed(attempt.timed_out(&format!("{resource} does not exist")))
        }
        Ok(Verdict::Change(diff)) => {
            attempt.diff = diff;
            match (attempt.diverged(), &attempt.job.guard) {
                (Some(problem), _) => ExecutionResult::Diverged(problem),
                (None, _) if is_preview => ExecutionResult::Changed,
                (None, Some(guard)) => guarded::change(attempt, &guard.plan).await,
                (None, None) => change::change(attempt).await,
            }
        }
    }
}
