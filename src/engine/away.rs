//! A change that takes its host away for a while, as a reboot does: a lost connection is then what was asked for.

use std::sync::Arc;

use super::attempt::Attempt;
use super::job::{ExecutionResult, human};
use crate::actions::{ActionRef, Verdict};
use crate::event::Problem;

impl Attempt<'_> {
    /// Goes on with `rest` once the host is back; it has all of the step's time for that. `None`: there is more to do.
    pub async fn until_back(&mut self, rest: ActionRef) -> Option<ExecutionResult> {
        self.action = rest;
        self.patient = true;
        self.done.clear();
        self.call = self.job.call();
        let probes = Arc::clone(&self.action).probes();
        match self.judge(&probes).await {
            Ok(Verdict::Change(_)) => None,
            Ok(Verdict::Same { .. }) => Some(ExecutionResult::Changed),
            Ok(Verdict::Blocked(problem)) => Some(ExecutionResult::Failed(problem)),
            Ok(Verdict::Wait { seen }) => Some(ExecutionResult::Failed(self.timed_out(&seen))),
            Ok(Verdict::Missing(thing)) => {
                Some(ExecutionResult::Failed(self.timed_out(&format!("{thing} does not exist"))))
            }
            Err(error) => {
                let Problem { message, .. } = error.problem();
                let problem = Problem::new(format!("not back after {}: {message}", human(self.job.timeout)));
                Some(ExecutionResult::Unknown(problem.hint(
                    "look at the host; when it is back, run the plan again, which goes on from here; if it only needs \
                     longer, give the step a longer `timeout`",
                )))
            }
        }
    }
}
