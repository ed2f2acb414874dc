//! From the result of an execution to the outcome that is reported. In a preview, much that would be a failure is only pending.

use super::executor::job::ExecutionResult;
use crate::actions::Resource;
use crate::event::{Mode, Outcome, Problem};

/// The outcome of a result. `pending` is the nearest step upstream that would change something (previews only); `provided_by`
/// returns the step that makes a resource. With `ignores`, a failure is a warning, unless the host could not be reached.
pub fn of<'a>(
    ending: ExecutionResult,
    mode: Mode,
    pending: Option<&str>,
    ignores: bool,
    provided_by: impl Fn(&Resource) -> Option<&'a String>,
) -> Outcome {
    match ending {
        ExecutionResult::Same { seen } => Outcome::Same { seen },
        ExecutionResult::Changed => Outcome::Changed,
        ExecutionResult::Unknown(problem) => Outcome::Unknown(problem),
        ExecutionResult::Diverged(problem) => Outcome::Failed(problem),
        ExecutionResult::NotStarted { needs } => Outcome::Cancelled { needs },
        ExecutionResult::Missing(thing) => match (provided_by(&thing), pending) {
            (Some(step), _) => Outcome::Pending { needs: format!("{thing}, which step {step} brings") },
            (None, Some(step)) => Outcome::Pending { needs: format!("{thing}; after step {step}") },
            (None, None) => Outcome::Failed(
                Problem::new(format!("{thing} does not exist, and no step before this one brings it"))
                    .hint("add the step that installs it, or a `needs` on its phase"),
            ),
        },
        ExecutionResult::NotReady { seen } => match pending {
            Some(step) => Outcome::Pending { needs: format!("step {step} (now: {seen})") },
            None => Outcome::Waits { seen },
        },
        // In a preview the steps upstream have not run, so that a failed probe proves nothing, unless the host did not answer.
        ExecutionResult::Failed(problem) => match pending {
            Some(step) if mode == Mode::Preview && !problem.unreachable => {
                Outcome::Pending { needs: format!("step {step} (now: {})", problem.message) }
            }
            _ if ignores && !problem.unreachable => Outcome::Warned(problem),
            _ => Outcome::Failed(problem),
        },
    }
}

/// The outcome of a unit whose task was cancelled: unknown once an effect was sent.
pub fn cancelled(acted: bool) -> Outcome {
    let problem = Problem::new("cancelled").hint("run the plan again to go on from here");
    if acted {
        Outcome::Unknown(Problem { message: "cancelled while a change was under way".to_owned(), ..problem })
    } else {
        Outcome::Failed(problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::outcome_name;

    fn failed(unreachable: bool) -> ExecutionResult {
        ExecutionResult::Failed(Problem { unreachable, ..Problem::new("no") })
    }

    #[test]
    fn a_failed_look_counts_unless_a_step_before_it_has_yet_to_run() {
        let told = |ending, mode, pending| outcome_name(&of(ending, mode, pending, false, |_| None)).to_owned();
        assert_eq!(told(failed(false), Mode::Preview, None), "failed");
        assert_eq!(told(failed(false), Mode::Preview, Some("a")), "pending");
        assert_eq!(told(failed(true), Mode::Preview, Some("a")), "failed");
        assert_eq!(told(failed(false), Mode::Run, Some("a")), "failed");
    }

    #[test]
    fn only_a_failure_of_the_step_itself_is_ignored() {
        let told = |ending, mode, pending| outcome_name(&of(ending, mode, pending, true, |_| None)).to_owned();
        assert_eq!(told(failed(false), Mode::Run, None), "warned");
        assert_eq!(told(failed(false), Mode::Preview, None), "warned");
        assert_eq!(told(failed(false), Mode::Preview, Some("a")), "pending");
        assert_eq!(told(failed(true), Mode::Run, None), "failed");
        assert_eq!(told(ExecutionResult::Unknown(Problem::new("lost")), Mode::Run, None), "unknown");
        assert_eq!(told(ExecutionResult::Diverged(Problem::new("moved")), Mode::Run, None), "failed");
    }

    #[test]
    fn what_is_missing_waits_for_the_step_that_brings_it() {
        let (step, thing) = ("base".to_owned(), Resource::Namespace("mesh".into()));
        let told =
            |brings, pending| of(ExecutionResult::Missing(thing.clone()), Mode::Preview, pending, false, |_| brings);
        assert_eq!(
            told(Some(&step), None),
            Outcome::Pending { needs: "namespace mesh, which step base brings".into() }
        );
        assert_eq!(told(None, Some("a")), Outcome::Pending { needs: "namespace mesh; after step a".into() });
        assert_eq!(outcome_name(&told(None, None)), "failed");
    }

    #[test]
    fn a_wait_that_no_step_will_end_is_told_as_such() {
        let told =
            |pending| of(ExecutionResult::NotReady { seen: "nothing".into() }, Mode::Preview, pending, false, |_| None);
        assert_eq!(told(None), Outcome::Waits { seen: "nothing".into() });
        assert_eq!(told(Some("a")), Outcome::Pending { needs: "step a (now: nothing)".into() });
    }
}
