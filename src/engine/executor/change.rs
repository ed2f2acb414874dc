//! A change without a guard: one effect after the other. A connection that breaks is followed by new probes; some changes, such
//! as a reboot, take their host away on purpose.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::attempt::Attempt;
use super::job::ExecutionResult;
use crate::actions::{ActionRef, Verdict};
use crate::connect::ConnectError;
use crate::document::format_duration;
use crate::engine::faults::Point;
use crate::event::Problem;

/// How often a change may lose its connection before its unit gives up.
const MAX_LOST: u32 = 3;

pub async fn change(attempt: &mut Attempt<'_>) -> ExecutionResult {
    let mut lost = 0;
    loop {
        let effect = match attempt.action.next_effect(&attempt.facts, &attempt.done) {
            Ok(Some(effect)) => effect,
            Ok(None) => match attempt.action.after_disconnect(&attempt.facts) {
                Some(_) if lost == MAX_LOST => {
                    return ExecutionResult::Unknown(Problem::new("its host does not go away"));
                }
                Some(rest) => {
                    lost += 1;
                    match until_back(attempt, rest).await {
                        Some(result) => return result,
                        None => continue,
                    }
                }
                None => return attempt.verify().await,
            },
            Err(problem) => return ExecutionResult::Failed(attempt.after_bad(problem)),
        };
        attempt.job.acted.store(true, Ordering::SeqCst);
        let result = attempt.perform(&effect).await;
        attempt.job.faults.reach(Point::AfterEffect, &attempt.job.unit);
        match result {
            Ok(result) => attempt.done.push(result),
            Err(error @ ConnectError::Lost { .. }) => {
                lost += 1;
                if let Some(rest) = attempt.action.after_disconnect(&attempt.facts).filter(|_| lost < MAX_LOST) {
                    match until_back(attempt, rest).await {
                        Some(result) => return result,
                        None => continue,
                    }
                }
                match attempt.recover(&error.to_string()).await {
                    Some(Verdict::Same { .. }) => return ExecutionResult::Changed,
                    // The effect did not take place, or only in part. One that may still be running is not sent twice.
                    Some(Verdict::Change(_)) if !effect.may_outlive_connection() && lost < MAX_LOST => {
                        attempt.done.clear();
                    }
                    _ => return ExecutionResult::Unknown(error.problem()),
                }
            }
            Err(error) => return ExecutionResult::Failed(attempt.after_partial(error.problem())),
        }
    }
}

/// Continues with `rest` once the host is back, with the full timeout of the step. Returns `None` if there is more to do.
async fn until_back(attempt: &mut Attempt<'_>, rest: ActionRef) -> Option<ExecutionResult> {
    attempt.action = rest;
    attempt.patient = true;
    attempt.done.clear();
    attempt.restart_clock();
    let probes = Arc::clone(&attempt.action).probes();
    match attempt.judge(&probes).await {
        Ok(Verdict::Change(_)) => None,
        Ok(Verdict::Same { .. }) => Some(ExecutionResult::Changed),
        Ok(Verdict::Blocked(problem)) => Some(ExecutionResult::Failed(problem)),
        Ok(Verdict::Wait { seen }) => Some(ExecutionResult::Failed(attempt.timed_out(&seen))),
        Ok(Verdict::Missing(resource)) => {
            Some(ExecutionResult::Failed(attempt.timed_out(&format!("{resource} does not exist"))))
        }
        Err(error) => {
            let Problem { message, .. } = error.problem();
            let timeout = format_duration(attempt.job.timeout);
            let problem = Problem::new(format!("not back after {timeout}: {message}"));
            Some(ExecutionResult::Unknown(problem.hint(
                "look at the host; when it is back, run the plan again, which goes on from here; if it only needs longer, give \
                 the step a longer `timeout`",
            )))
        }
    }
}
