//! How the units of a pipeline end.

use std::sync::atomic::Ordering;

use super::forecast::Forecast;
use crate::actions::Verdict;
use crate::connect::{ConnectError, Effect, EffectResult};
use crate::engine::executor::attempt::Attempt;
use crate::engine::executor::change::change;
use crate::engine::executor::job::{Execution, ExecutionResult, Job};
use crate::event::Problem;

fn attempt(job: &Job, forecast: Forecast, done: Vec<EffectResult>) -> Attempt<'_> {
    let Forecast { diff, facts, .. } = forecast;
    Attempt { diff, facts, done, ..Attempt::new(job) }
}

/// All effects of the forecast worked.
pub fn ended_sent(job: &Job, forecast: Forecast, done: Vec<EffectResult>) -> Execution {
    let mut attempt = attempt(job, forecast, done);
    let result = match job.action.next_effect(&attempt.facts, &attempt.done) {
        Ok(None) => attempt.all_worked(),
        Ok(Some(_)) => {
            ExecutionResult::Failed(attempt.after_partial(Problem::new("it wants more changes than it foresaw")))
        }
        Err(problem) => ExecutionResult::Failed(attempt.after_bad(problem)),
    };
    attempt.finish(result)
}

/// A command ended: the action judges its result, and continues the change.
pub async fn ended_judged(job: &Job, forecast: Forecast, done: Vec<EffectResult>) -> Execution {
    let mut attempt = attempt(job, forecast, done);
    let result = change(&mut attempt).await;
    attempt.finish(result)
}

/// An effect was refused.
pub fn ended_refused(job: &Job, forecast: Forecast, done: Vec<EffectResult>, error: &ConnectError) -> Execution {
    let attempt = attempt(job, forecast, done);
    let result = ExecutionResult::Failed(attempt.after_partial(error.clone().problem()));
    attempt.finish(result)
}

/// The connection broke, and the effects may have taken place: probes again and continues the change, unless an effect may
/// still be running.
pub async fn ended_lost(job: &Job, forecast: Forecast, error: &ConnectError) -> Execution {
    let is_over = !forecast.effects.iter().any(Effect::may_outlive_connection);
    let mut attempt = attempt(job, forecast, Vec::new());
    let result = match attempt.recover(&error.to_string()).await {
        Some(Verdict::Same { .. }) => ExecutionResult::Changed,
        Some(Verdict::Change(_)) if is_over => {
            attempt.restart_clock();
            change(&mut attempt).await
        }
        _ => ExecutionResult::Unknown(error.clone().problem()),
    };
    attempt.finish(result)
}

/// It is unknown whether the effects took place, and whether those of a unit before this one did.
pub fn ended_in_doubt(job: &Job, forecast: Forecast) -> Execution {
    let problem = Problem::new("it was sent together with what it stands on, of which it is not known how it ended");
    attempt(job, forecast, Vec::new()).finish(ExecutionResult::Unknown(problem))
}

/// The effects did not take place, because `needs` comes first.
pub fn ended_not_sent(job: &Job, needs: &str) -> Execution {
    job.acted.store(false, Ordering::SeqCst);
    Attempt::new(job).finish(ExecutionResult::NotStarted { needs: needs.to_owned() })
}
