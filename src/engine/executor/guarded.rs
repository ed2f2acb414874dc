//! A change that may cut the connection. Its host restores itself unless the change is confirmed in time over a new connection.
//!
//! The host keeps what the change alters as it is altered. Whatever goes wrong from then on, the host restores itself, and the
//! unit waits until it has: then it is known that nothing has changed. A run that finds the guard of another run waits likewise.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::attempt::Attempt;
use super::backoff::Backoff;
use super::guard_link::{CALL_TIMEOUT, GuardLink, MAX_RETRY_DELAY, RESTORE_TIMEOUT, Restoration, joined_lines};
use super::job::ExecutionResult;
use crate::connect::host::{self, GuardPhase, Run};
use crate::connect::{ConnectError, Effect, Fact, Probe};
use crate::digest;
use crate::document::format_duration;
use crate::engine::faults::Point;
use crate::event::{Mode, Problem};
use crate::plan;

/// Waits until the host has restored what an earlier run changed and did not confirm. Returns a result if that fails.
pub async fn wait_for_earlier(attempt: &Attempt<'_>) -> Option<ExecutionResult> {
    let link = GuardLink::new(attempt);
    let state = match link.state(false, attempt.call.deadline).await {
        Ok(state) => state?,
        Err(error) => return Some(ExecutionResult::Failed(error.problem())),
    };
    let unit = &state.unit;
    let seen = format!("the host takes back what {unit} changed in an earlier run and did not confirm");
    if attempt.job.mode == Mode::Preview {
        return matches!(state.phase, GuardPhase::Armed | GuardPhase::Restoring)
            .then_some(ExecutionResult::NotReady { seen });
    }
    link.progress(seen.clone());
    // A host that names a long time is no reason to exceed the timeout of the step.
    let remaining = attempt.call.remaining();
    let is_soon = state.remaining < remaining;
    let timeout = state.remaining.saturating_add(RESTORE_TIMEOUT).min(remaining);
    match link.wait_restored(&state.token, timeout, false).await {
        Restoration::Gone => None,
        Restoration::Finished(state) if state.phase == GuardPhase::RestoredInPart => {
            let what = format!("{seen}, but not all of it worked: {}", joined_lines(&state.output));
            Some(ExecutionResult::Unknown(Problem::new(what).hint(
                "put back what ~/.rollout-guard/kept of the step's user on the host has, and remove ~/.rollout-guard",
            )))
        }
        Restoration::Finished(state) => {
            let forgotten = link.forget(&state.token).await;
            forgotten.err().map(|error| ExecutionResult::Unknown(error.problem()))
        }
        Restoration::TimedOut(last) if !is_soon => {
            let timeout = format_duration(attempt.job.timeout);
            let what = format!("{seen}; that takes longer than the step's {timeout}: {last}");
            Some(ExecutionResult::Failed(Problem::new(what).hint(
                "give the step a longer `timeout`; if the host names a time that cannot be, look at ~/.rollout-guard of \
                 the step's user there",
            )))
        }
        Restoration::TimedOut(last) => Some(ExecutionResult::Unknown(
            Problem::new(format!("{seen}; that did not end: {last}"))
                .hint("look at ~/.rollout-guard of the step's user on the host; what was there before is in `kept`"),
        )),
    }
}

/// Makes the change under a guard and confirms it.
pub async fn change(attempt: &mut Attempt<'_>, plan: &plan::Guard) -> ExecutionResult {
    let job = attempt.job;
    let token = digest::hex(&rand::random::<[u8; 8]>());
    // Until the guard is gone, the host may restore at any moment: no answer given meanwhile may be cached.
    let alters_all = Effect::Host(host::Effect::Guard(host::GuardCommand::Restore { token: token.clone() }));
    let _tickets = job.host().map(|host| job.cache.begin_effects(host, std::slice::from_ref(&alters_all)).0);
    let mut until = None;
    loop {
        let effect = match job.action.next_effect(&attempt.facts, &attempt.done) {
            Ok(Some(effect)) => effect,
            Ok(None) => break,
            Err(problem) => return take_back(attempt, &token, until, attempt.after_bad(problem)).await,
        };
        if until.is_none() {
            // The host begins to count a moment later.
            let begun = Instant::now();
            if let Err(problem) = arm(attempt, plan, &token).await {
                return ExecutionResult::Failed(problem);
            }
            job.acted.store(true, Ordering::SeqCst);
            until = begun.checked_add(plan.time.value);
        }
        let effect = match effect {
            Effect::Host(effect) if !effect.is_revertible() && plan.restore.is_none() => {
                let problem = Problem::new("it wants a change that cannot be kept, and has no `guard_restore`");
                return take_back(attempt, &token, until, problem).await;
            }
            Effect::Host(effect) => {
                let (token, effect) = (token.clone(), Box::new(effect));
                Effect::Host(host::Effect::Guard(host::GuardCommand::Within { token, effect }))
            }
            other => other,
        };
        let result = attempt.perform(&effect).await;
        job.faults.reach(Point::AfterEffect, &job.unit);
        match result {
            Ok(result) => attempt.done.push(result),
            Err(error @ ConnectError::Lost { .. }) if effect.may_outlive_connection() => {
                let problem = attempt.after_partial(error.problem());
                let end = restore(attempt, &token, until, problem, true).await;
                return ExecutionResult::Unknown(end.unwrap_or_else(|problem| problem));
            }
            Err(error) => return take_back(attempt, &token, until, attempt.after_partial(error.problem())).await,
        }
    }
    if let Some(until) = until
        && let Err(problem) =
            (Confirmation { link: GuardLink::new(attempt), plan, token: &token, until }).confirm().await
    {
        return take_back(attempt, &token, Some(until), problem).await;
    }
    attempt.verify().await
}

async fn arm(attempt: &Attempt<'_>, plan: &plan::Guard, token: &str) -> Result<(), Problem> {
    let (token, time, unit) = (token.to_owned(), plan.time.value, attempt.job.unit.to_string());
    let command = host::GuardCommand::Arm { token, time, unit, restore: plan.restore_command().map(str::to_owned) };
    let link = GuardLink::new(attempt);
    link.progress(format!("the host takes the change back in {}", format_duration(time)));
    link.send(command, false, attempt.call.deadline).await.map_err(|error| {
        let is_lost = matches!(error, ConnectError::Lost { .. });
        let mut problem = error.problem();
        if is_lost {
            problem.message += "; it was to be guarded first, and nothing of it was changed";
        }
        problem
    })
}

async fn take_back(attempt: &Attempt<'_>, token: &str, until: Option<Instant>, problem: Problem) -> ExecutionResult {
    match restore(attempt, token, until, problem, false).await {
        Ok(problem) => ExecutionResult::Failed(problem),
        Err(problem) => ExecutionResult::Unknown(problem),
    }
}

/// Has the host restore itself, and waits until it has: `Ok` if that is known. While a command of the unit may be running, the
/// host keeps its copies, to restore once more when the command ends.
async fn restore(
    attempt: &Attempt<'_>,
    token: &str,
    until: Option<Instant>,
    mut problem: Problem,
    is_running: bool,
) -> Result<Problem, Problem> {
    let Some(until) = until else { return Ok(problem) };
    let link = GuardLink::new(attempt);
    link.progress(format!("{}; the host takes it back", problem.message));
    let timeout = until.saturating_duration_since(Instant::now()) + RESTORE_TIMEOUT;
    let (what, is_known) = match link.wait_restored(token, timeout, true).await {
        Restoration::Finished(state) if state.phase == GuardPhase::Restored && is_running => {
            let said = joined_lines(&state.output);
            (format!("the host restored itself: {said}; a command of the step may be at work yet"), true)
        }
        Restoration::Finished(state) if state.phase == GuardPhase::Restored => {
            if let Err(error) = link.forget(token).await {
                tracing::warn!(%error, "could not take a guard away that has done its work");
            }
            (format!("the host restored itself: {}", joined_lines(&state.output)), true)
        }
        Restoration::Finished(state) => {
            problem.hint = Some("what was there before is in ~/.rollout-guard/kept of the step's user".to_owned());
            let said = joined_lines(&state.output);
            (format!("the host restored itself, but not all of it worked: {said}"), false)
        }
        Restoration::Gone => ("whether the host restored itself is not known".to_owned(), false),
        Restoration::TimedOut(seen) => {
            (format!("the host should have restored itself, and was not heard of: {seen}"), false)
        }
    };
    problem.message = format!("{}; {what}", problem.message);
    // A host that has reported its restoration was reached.
    problem.unreachable &= !is_known;
    if is_known { Ok(problem) } else { Err(problem) }
}

/// A change that is to be confirmed before its guard's time is over.
struct Confirmation<'a> {
    link: GuardLink<'a>,
    plan: &'a plan::Guard,
    token: &'a str,
    until: Instant,
}

/// Why one try did not confirm the change.
enum Unconfirmed {
    Again(String),
    Failed(Problem),
}

impl From<ConnectError> for Unconfirmed {
    fn from(error: ConnectError) -> Self {
        Self::Again(error.to_string())
    }
}

impl Confirmation<'_> {
    /// Puts the change into effect, and confirms it over a new connection.
    async fn confirm(&self) -> Result<(), Problem> {
        if let Some(apply) = &self.plan.apply {
            self.link.progress(format!("under guard: {}", apply.value));
            let apply = host::GuardCommand::Apply { token: self.token.to_owned(), command: apply.value.clone() };
            // The command may rightly cut the connection, so that only a refusal counts.
            if let Err(ConnectError::Failed { message, .. }) = self.link.send(apply, false, self.try_deadline()).await {
                return Err(Problem::new(message));
            }
            self.retry(|| self.try_applied()).await?;
        }
        self.link.progress("connects anew, to confirm the change".to_owned());
        self.retry(|| self.try_confirm()).await
    }

    fn try_deadline(&self) -> Instant {
        self.until.min(Instant::now() + CALL_TIMEOUT)
    }

    /// Repeats `try_once` until it succeeds or fails, or the guard's time is over.
    async fn retry<F>(&self, try_once: impl Fn() -> F) -> Result<(), Problem>
    where
        F: Future<Output = Result<(), Unconfirmed>>,
    {
        let time = self.plan.time.value;
        let mut backoff = Backoff::new(MAX_RETRY_DELAY.min(time / 10));
        loop {
            match try_once().await {
                Ok(()) => return Ok(()),
                Err(Unconfirmed::Failed(problem)) => return Err(problem),
                Err(Unconfirmed::Again(seen)) if Instant::now() + backoff.delay() >= self.until => {
                    let time = format_duration(time);
                    return Err(Problem::new(format!("not confirmed within {time}, the time of its guard: {seen}")));
                }
                Err(Unconfirmed::Again(seen)) => self.link.progress(seen),
            }
            backoff.wait().await;
        }
    }

    /// Whether `guard_apply` has ended with status 0.
    async fn try_applied(&self) -> Result<(), Unconfirmed> {
        let state = self.link.state(true, self.try_deadline()).await?;
        let state = state.filter(|s| s.token == self.token && s.phase == GuardPhase::Armed).ok_or_else(too_late)?;
        match state.applied {
            None => Err(Unconfirmed::Again("`guard_apply` is still at work".to_owned())),
            Some(0) => Ok(()),
            Some(exit) => {
                Err(Unconfirmed::Failed(Problem::new(format!("`guard_apply` ended with {exit}: {}", state.output))))
            }
        }
    }

    /// Whether `guard_check` is content and the guard could be disarmed, over a new connection.
    async fn try_confirm(&self) -> Result<(), Unconfirmed> {
        let deadline = self.try_deadline();
        let mut reconnect = true;
        if let Some(check) = &self.plan.check {
            let probe = Probe::Host(host::Probe::Run(Run::shell(&check.value)));
            match self.link.probe(probe, reconnect, self.until).await? {
                Fact::Host(host::Fact::Run(output)) if output.exit == 0 => reconnect = false,
                Fact::Host(host::Fact::Run(output)) => {
                    let said = [output.stdout.last_lines(5), output.stderr.last_lines(5)].join(" ");
                    return Err(Unconfirmed::Again(format!(
                        "`guard_check` ended with {}: {}",
                        output.exit,
                        said.trim()
                    )));
                }
                _ => return Err(Unconfirmed::Again("no answer of `guard_check`".to_owned())),
            }
        }
        let disarm = host::GuardCommand::Disarm { token: self.token.to_owned() };
        let Err(error) = self.link.send(disarm, reconnect, deadline).await else { return Ok(()) };
        if matches!(error, ConnectError::Unreachable { .. }) {
            return Err(error.into());
        }
        // The guard may be disarmed all the same. Nobody else removes an armed guard.
        match self.link.state(true, deadline).await? {
            None => Ok(()),
            Some(state) if state.token == self.token && state.phase == GuardPhase::Armed => Err(error.into()),
            Some(_) => Err(too_late()),
        }
    }
}

fn too_late() -> Unconfirmed {
    Unconfirmed::Failed(Problem::new("the guard's time was over before the change was confirmed"))
}
