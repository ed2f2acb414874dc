//! What comes after effects: whether what was wanted has come about, and what to say when one of them did not work.

use super::attempt::Attempt;
use super::fact_cache::Query;
use super::job::{ExecutionResult, Forecast, Job};
use crate::actions::Verdict;
use crate::connect::{EffectResult, host};
use crate::diff::{Delta, Diff};
use crate::event::Problem;

impl Job {
    /// What is asked behind the effects of a unit that is the last one of those that are sent together, so that it is known
    /// then whether what it wants has come about.
    pub fn query_after(&self, planned: &Forecast) -> Option<Query> {
        let done: Vec<EffectResult> =
            planned.effects.iter().map(|_| EffectResult::Host(host::CommandOutput::new(0, "", ""))).collect();
        let is_all = || matches!(self.action.next_effect(&planned.facts, &done), Ok(None));
        (self.action.is_verified() && is_all()).then(|| (self.unit.clone(), self.action.probes()))
    }
}

impl Attempt<'_> {
    /// What is asked behind the last effect: its own queries, if it looks once more, and those of the units behind it.
    pub fn queries_behind(&self) -> Vec<Query> {
        let own = self.action.is_verified().then(|| (self.job.unit.clone(), self.action.probes()));
        own.into_iter().chain(self.job.queries.iter().cloned()).collect()
    }

    /// How it ends when all was done and that is proof enough.
    pub fn all_worked(&mut self) -> ExecutionResult {
        if self.action.changed(&self.done) {
            return ExecutionResult::Changed;
        }
        self.diff = Diff::default();
        ExecutionResult::Same { seen: "it ran and changed nothing".to_owned() }
    }

    /// How it ends when all was done.
    pub async fn all_done(&mut self) -> ExecutionResult {
        let (worked, probes) = (self.all_worked(), self.action.probes());
        if !matches!(worked, ExecutionResult::Changed) || !self.action.is_verified() || probes.is_empty() {
            return worked;
        }
        match self.judge_by(&probes, true, |action, facts| action.verdict_after(facts)).await {
            Ok(Verdict::Same { .. }) => ExecutionResult::Changed,
            Ok(Verdict::Wait { seen }) => ExecutionResult::Failed(self.timed_out(&seen)),
            Ok(Verdict::Missing(thing)) => ExecutionResult::Failed(self.timed_out(&format!("{thing} does not exist"))),
            Ok(Verdict::Blocked(problem)) => ExecutionResult::Failed(problem),
            Ok(Verdict::Change(diff)) => ExecutionResult::Failed(still(&diff)),
            Err(error) => {
                let mut problem = error.problem();
                problem.message = format!("it was done, but not seen whether it is so now: {}", problem.message);
                ExecutionResult::Unknown(problem)
            }
        }
    }

    /// Of an effect that was not carried out.
    pub fn after_partial(&self, problem: Problem) -> Problem {
        after(problem, self.done.len())
    }

    /// Of an effect, the last one, whose result is bad.
    pub fn after_bad(&self, problem: Problem) -> Problem {
        after(problem, self.done.len().saturating_sub(1))
    }
}

fn after(mut problem: Problem, made: usize) -> Problem {
    if made > 0 {
        problem.message = format!("{} (after {made} of its changes were made)", problem.message);
    }
    problem
}

/// All ended well, and yet this would have to change.
fn still(diff: &Diff) -> Problem {
    let lines: Vec<String> = diff.redacted().0.iter().flat_map(Delta::lines).collect();
    let problem = Problem::new(format!("all of it ended well, but it is still not so:\n{}", lines.join("\n")));
    problem.hint("something on the other side keeps or undoes it: run it again, and look there if it comes again")
}
