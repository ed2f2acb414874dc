//! What comes after effects: whether what was wanted has come about, and what to say when one of them did not work.

use super::ahead::Question;
use super::attempt::Attempt;
use super::job::{Ending, Job, Planned};
use crate::actions::Verdict;
use crate::connect::{Done, host};
use crate::diff::{Delta, Diff};
use crate::event::Problem;

impl Job {
    /// What is asked behind the effects of a unit that is the last one of those that are sent together, so that it is known
    /// then whether what it wants has come about.
    pub fn question_after(&self, planned: &Planned) -> Option<Question> {
        let done: Vec<Done> = planned.effects.iter().map(|_| Done::Host(host::Done::new(0, "", ""))).collect();
        let is_all = || matches!(self.action.next(&planned.facts, &done), Ok(None));
        (self.action.looks_after() && is_all()).then(|| (self.unit.clone(), self.action.probes()))
    }
}

impl Attempt<'_> {
    /// What is asked behind the last effect: its own questions, if it looks once more, and those of the units behind it.
    pub fn questions_behind(&self) -> Vec<Question> {
        let own = self.action.looks_after().then(|| (self.job.unit.clone(), self.action.probes()));
        own.into_iter().chain(self.job.questions.iter().cloned()).collect()
    }

    /// How it ends when all was done and that is proof enough.
    pub fn all_worked(&mut self) -> Ending {
        if self.action.changed(&self.done) {
            return Ending::Changed;
        }
        self.diff = Diff::default();
        Ending::Same { seen: "it ran and changed nothing".to_owned() }
    }

    /// How it ends when all was done.
    pub async fn all_done(&mut self) -> Ending {
        let (worked, probes) = (self.all_worked(), self.action.probes());
        if !matches!(worked, Ending::Changed) || !self.action.looks_after() || probes.is_empty() {
            return worked;
        }
        match self.judge_by(&probes, true, |action, facts| action.verdict_after(facts)).await {
            Ok(Verdict::Same { .. }) => Ending::Changed,
            Ok(Verdict::Wait { seen }) => Ending::Failed(self.timed_out(&seen)),
            Ok(Verdict::Missing(thing)) => Ending::Failed(self.timed_out(&format!("{thing} does not exist"))),
            Ok(Verdict::Blocked(problem)) => Ending::Failed(problem),
            Ok(Verdict::Change(diff)) => Ending::Failed(still(&diff)),
            Err(error) => {
                let mut problem = error.problem();
                problem.message = format!("it was done, but not seen whether it is so now: {}", problem.message);
                Ending::Unknown(problem)
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
