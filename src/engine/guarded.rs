//! A change that may cut the connection: its host takes it back by itself, unless we reach it anew in time and say that all
//! is well.
//!
//! What the change alters is kept on the host as it is made. Whatever goes wrong from then on, the host restores, and we
//! wait until it has: then it is known that nothing has changed. A run that comes upon another one's guard waits likewise.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::attempt::Attempt;
use super::faults::Point;
use super::guard_locks::Guard;
use super::job::{DEADLINE_GRACE, Execution, ExecutionResult, Job, human, outlives};
use crate::connect::host::{self, GuardPhase, GuardState, Run};
use crate::connect::{CallContext, ConnectError, Effect, Fact, Probe, Target, deadline_after};
use crate::diff::Diff;
use crate::digest;
use crate::event::{Mode, Problem};
use crate::plan;

/// How long one try to reach the host may take: longer than a connection that nobody answers.
const TRY_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a host that should be restoring is waited for.
const RESTORE_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest pause between two tries.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

impl Job {
    /// Runs a guarded job once.
    pub(super) async fn guarded_attempt(&self, guard: &Guard) -> Execution {
        let mut run = self.go(Diff::default(), Vec::new());
        let _turn = guard.turn.lock().await;
        run.call = self.call();
        let result = match run.earlier_guard().await {
            Some(ending) => ending,
            None => {
                run.call = self.call();
                run.go().await
            }
        };
        self.ended(result, run)
    }
}

/// What was heard of a guard in the end.
enum Heard {
    Restored(GuardState),
    Gone,
    /// Not in time; what was seen last.
    Nothing(String),
}

impl Attempt<'_> {
    /// Waits until the host has put back what an earlier run left unconfirmed; how the job ends if that cannot be had.
    async fn earlier_guard(&self) -> Option<ExecutionResult> {
        let standing = match self.look_at_guard(false, self.call.deadline).await {
            Ok(standing) => standing?,
            Err(error) => return Some(ExecutionResult::Failed(error.problem())),
        };
        let unit = &standing.unit;
        let seen = format!("the host takes back what {unit} changed in an earlier run and did not confirm");
        if self.job.mode == Mode::Preview {
            return matches!(standing.phase, GuardPhase::Armed | GuardPhase::Restoring)
                .then_some(ExecutionResult::NotReady { seen });
        }
        (self.call.progress)(seen.clone());
        // What the host says is no reason to wait longer than the step may.
        let left = self.call.remaining();
        let is_soon = standing.left < left;
        match self.restored(&standing.token, standing.left.saturating_add(RESTORE_TIMEOUT).min(left), false).await {
            Heard::Gone => None,
            Heard::Restored(standing) if standing.phase == GuardPhase::RestoredInPart => {
                let what = format!("{seen}, but not all of it worked: {}", lines(&standing.said));
                Some(ExecutionResult::Unknown(Problem::new(what).hint(
                    "put back what ~/.rollout-guard/kept of the step's user on the host has, and remove ~/.rollout-guard",
                )))
            }
            Heard::Restored(standing) => {
                let forget = host::GuardCommand::Forget { token: standing.token };
                let forgotten = self.send(forget, false, Instant::now() + TRY_TIMEOUT).await;
                forgotten.err().map(|error| ExecutionResult::Unknown(error.problem()))
            }
            Heard::Nothing(last) if !is_soon => {
                let what = format!("{seen}; that takes longer than the step's {}: {last}", human(self.job.timeout));
                Some(ExecutionResult::Failed(Problem::new(what).hint(
                    "give the step a longer `timeout`; if the host names a time that cannot be, look at ~/.rollout-guard of \
                     the step's user there",
                )))
            }
            Heard::Nothing(last) => {
                Some(ExecutionResult::Unknown(Problem::new(format!("{seen}; that did not end: {last}")).hint(
                    "look at ~/.rollout-guard of the step's user on the host; what was there before is in `kept`",
                )))
            }
        }
    }

    /// Makes the change under its guard.
    pub(super) async fn change_guarded(&mut self, guard: &Guard) -> ExecutionResult {
        let (job, plan) = (self.job, &guard.plan);
        let token = digest::hex(&rand::random::<[u8; 8]>());
        // What is kept may come back at any moment until the guard is gone: no answer of meanwhile is to be relied on.
        let alters_all = Effect::Host(host::Effect::Guard(host::GuardCommand::Restore { token: token.clone() }));
        let _change = job.host().map(|host| job.cache.begin_effects(host, std::slice::from_ref(&alters_all)).0);
        let mut until = None;
        loop {
            let effect = match job.action.next_effect(&self.facts, &self.done) {
                Ok(Some(effect)) => effect,
                Ok(None) => break,
                Err(problem) => return self.take_back(&token, until, self.after_bad(problem)).await,
            };
            if until.is_none() {
                let time = plan.time.value;
                let restore = plan.restores_by().map(str::to_owned);
                let arm = host::GuardCommand::Arm { token: token.clone(), time, unit: job.unit.to_string(), restore };
                (self.call.progress)(format!("the host takes the change back in {}", human(time)));
                // The host begins to count a moment later.
                let begun = Instant::now();
                if let Err(error) = self.send(arm, false, self.call.deadline).await {
                    let lost = matches!(error, ConnectError::Lost { .. });
                    let mut problem = error.problem();
                    if lost {
                        problem.message += "; it was to be guarded first, and nothing of it was changed";
                    }
                    return ExecutionResult::Failed(problem);
                }
                job.acted.store(true, Ordering::SeqCst);
                until = begun.checked_add(time);
            }
            let effect = match effect {
                Effect::Host(effect) if !effect.is_revertible() && plan.restore.is_none() => {
                    let problem = Problem::new("it wants a change that cannot be kept, and has no `guard_restore`");
                    return self.take_back(&token, until, problem).await;
                }
                Effect::Host(effect) => {
                    let (token, effect) = (token.clone(), Box::new(effect));
                    Effect::Host(host::Effect::Guard(host::GuardCommand::Within { token, effect }))
                }
                other => other,
            };
            let done = self.perform(&effect).await;
            job.faults.reach(Point::AfterEffect, &job.unit);
            match done {
                Ok(done) => self.done.push(done),
                Err(error @ ConnectError::Lost { .. }) if outlives(&effect) => {
                    let end = self.taken_back(&token, until, self.after_partial(error.problem()), true).await;
                    return ExecutionResult::Unknown(end.unwrap_or_else(|problem| problem));
                }
                Err(error) => return self.take_back(&token, until, self.after_partial(error.problem())).await,
            }
        }
        if let Some(end) = until
            && let Err(problem) = self.confirm(plan, &token, end).await
        {
            return self.take_back(&token, until, problem).await;
        }
        self.all_done().await
    }

    /// Puts the change into effect, and tells the host over a new connection that all is well.
    async fn confirm(&self, plan: &plan::Guard, token: &str, until: Instant) -> Result<(), Problem> {
        if let Some(apply) = &plan.apply {
            (self.call.progress)(format!("under guard: {}", apply.value));
            let apply = host::GuardCommand::Apply { token: token.to_owned(), command: apply.value.clone() };
            // It may cut the connection, and be right to do so.
            if let Err(ConnectError::Failed { message, .. }) =
                self.send(apply, false, until.min(Instant::now() + TRY_TIMEOUT)).await
            {
                return Err(Problem::new(message));
            }
            self.tries(plan, until, || self.applied(token, until)).await?;
        }
        (self.call.progress)("connects anew, to confirm the change".to_owned());
        self.tries(plan, until, || self.confirmed(plan, token, until)).await
    }

    /// Tries again until there is an answer or the host's time is over.
    async fn tries<F>(&self, plan: &plan::Guard, until: Instant, once: impl Fn() -> F) -> Result<(), Problem>
    where
        F: Future<Output = Result<(), Try>>,
    {
        let mut pause = Duration::from_millis(200);
        loop {
            match once().await {
                Ok(()) => return Ok(()),
                Err(Try::Ends(problem)) => return Err(problem),
                Err(Try::Again(seen)) if Instant::now() + pause >= until => {
                    let time = human(plan.time.value);
                    return Err(Problem::new(format!("not confirmed within {time}, the time of its guard: {seen}")));
                }
                Err(Try::Again(seen)) => (self.call.progress)(seen),
            }
            sleep(pause).await;
            pause = (pause * 2).min(plan.time.value / 10).min(MAX_RETRY_DELAY);
        }
    }

    /// Whether the change is in effect.
    async fn applied(&self, token: &str, until: Instant) -> Result<(), Try> {
        let standing = self.look_at_guard(true, until.min(Instant::now() + TRY_TIMEOUT)).await?;
        let standing = standing.filter(|s| s.token == token && s.phase == GuardPhase::Armed).ok_or_else(too_late)?;
        match standing.applied {
            None => Err(Try::Again("`guard_apply` is still at work".to_owned())),
            Some(0) => Ok(()),
            Some(exit) => Err(Try::Ends(Problem::new(format!("`guard_apply` ended with {exit}: {}", standing.said)))),
        }
    }

    /// Whether the host can be reached anew and is told so.
    async fn confirmed(&self, plan: &plan::Guard, token: &str, until: Instant) -> Result<(), Try> {
        let deadline = until.min(Instant::now() + TRY_TIMEOUT);
        let mut fresh = true;
        if let Some(check) = &plan.check {
            let probe = Probe::Host(host::Probe::Run(Run::shell(&check.value)));
            match self.ask(probe, fresh, until).await? {
                Fact::Host(host::Fact::Run(done)) if done.exit == 0 => fresh = false,
                Fact::Host(host::Fact::Run(done)) => {
                    let said = [done.stdout.last_lines(5), done.stderr.last_lines(5)].join(" ");
                    return Err(Try::Again(format!("`guard_check` ended with {}: {}", done.exit, said.trim())));
                }
                _ => return Err(Try::Again("no answer of `guard_check`".to_owned())),
            }
        }
        let Err(error) = self.send(host::GuardCommand::Disarm { token: token.to_owned() }, fresh, deadline).await
        else {
            return Ok(());
        };
        if matches!(error, ConnectError::Unreachable { .. }) {
            return Err(error.into());
        }
        // It may have worked all the same: only who confirms a guard takes it away.
        match self.look_at_guard(true, deadline).await? {
            None => Ok(()),
            Some(standing) if standing.token == token && standing.phase == GuardPhase::Armed => Err(error.into()),
            Some(_) => Err(too_late()),
        }
    }

    async fn take_back(&self, token: &str, until: Option<Instant>, problem: Problem) -> ExecutionResult {
        match self.taken_back(token, until, problem, false).await {
            Ok(problem) => ExecutionResult::Failed(problem),
            Err(problem) => ExecutionResult::Unknown(problem),
        }
    }

    /// Has the host restore what was there before, and waits until it has: `Ok` if that is known. While a command of it
    /// may be at work, the host keeps what it has, to restore once more when that ends.
    async fn taken_back(
        &self,
        token: &str,
        until: Option<Instant>,
        mut problem: Problem,
        at_work: bool,
    ) -> Result<Problem, Problem> {
        let Some(until) = until else { return Ok(problem) };
        (self.call.progress)(format!("{}; the host takes it back", problem.message));
        let time = until.saturating_duration_since(Instant::now()) + RESTORE_TIMEOUT;
        let (what, known) = match self.restored(token, time, true).await {
            Heard::Restored(standing) if standing.phase == GuardPhase::Restored && at_work => (
                format!(
                    "the host restored itself: {}; a command of the step may be at work yet",
                    lines(&standing.said)
                ),
                true,
            ),
            Heard::Restored(standing) if standing.phase == GuardPhase::Restored => {
                let forget = host::GuardCommand::Forget { token: token.to_owned() };
                if let Err(error) = self.send(forget, false, Instant::now() + TRY_TIMEOUT).await {
                    tracing::warn!(%error, "could not take a guard away that has done its work");
                }
                (format!("the host restored itself: {}", lines(&standing.said)), true)
            }
            Heard::Restored(standing) => {
                let what = format!("the host restored itself, but not all of it worked: {}", lines(&standing.said));
                problem.hint = Some("what was there before is in ~/.rollout-guard/kept of the step's user".to_owned());
                (what, false)
            }
            Heard::Gone => ("whether the host restored itself is not known".to_owned(), false),
            Heard::Nothing(seen) => {
                (format!("the host should have restored itself, and was not heard of: {seen}"), false)
            }
        };
        problem.message = format!("{}; {what}", problem.message);
        // Who told that has been reached.
        problem.unreachable &= !known;
        if known { Ok(problem) } else { Err(problem) }
    }

    /// Waits until the host has restored itself. A guard of our own, or one whose timer a reboot has ended, is told to.
    async fn restored(&self, token: &str, time: Duration, own: bool) -> Heard {
        let deadline = deadline_after(time);
        let mut pause = Duration::from_millis(200);
        loop {
            let seen = match self.look_at_guard(own, deadline.min(Instant::now() + TRY_TIMEOUT)).await {
                Ok(Some(standing)) if standing.token == token => match standing.phase {
                    GuardPhase::Restored | GuardPhase::RestoredInPart => return Heard::Restored(standing),
                    GuardPhase::Armed if standing.alive && !own => format!("it does so in {}", human(standing.left)),
                    _ => {
                        let restore = host::GuardCommand::Restore { token: token.to_owned() };
                        let told = self.send(restore, false, deadline.min(Instant::now() + TRY_TIMEOUT)).await;
                        told.err().map_or_else(|| "it is at it".to_owned(), |error| error.to_string())
                    }
                },
                Ok(_) => return Heard::Gone,
                Err(error) => error.to_string(),
            };
            if Instant::now() + pause >= deadline {
                return Heard::Nothing(seen);
            }
            (self.call.progress)(seen);
            sleep(pause).await;
            pause = (pause * 2).min(MAX_RETRY_DELAY);
        }
    }

    async fn look_at_guard(&self, fresh: bool, deadline: Instant) -> Result<Option<GuardState>, ConnectError> {
        match self.ask(Probe::Host(host::Probe::Guard), fresh, deadline).await? {
            Fact::Host(host::Fact::Guard(standing)) => Ok(standing),
            _ => Err(ConnectError::failed("the host does not tell how its guard stands")),
        }
    }

    async fn ask(&self, probe: Probe, fresh: bool, deadline: Instant) -> Result<Fact, ConnectError> {
        let (target, call) = self.reach(fresh, deadline);
        let probes = [probe];
        let answer = timeout_at(deadline + DEADLINE_GRACE, self.job.world.probe(&target, &probes, &call)).await;
        let facts = answer.unwrap_or_else(|_| Err(ConnectError::failed("no answer in time")))?;
        facts.into_iter().next().ok_or_else(|| ConnectError::failed("no answer"))
    }

    async fn send(&self, guard: host::GuardCommand, fresh: bool, deadline: Instant) -> Result<(), ConnectError> {
        let (target, call) = self.reach(fresh, deadline);
        let effect = Effect::Host(host::Effect::Guard(guard));
        let answer = timeout_at(deadline + DEADLINE_GRACE, self.job.world.perform(&target, &effect, &call)).await;
        answer.unwrap_or_else(|_| Err(ConnectError::lost("no answer in time"))).map(drop)
    }

    fn reach(&self, fresh: bool, deadline: Instant) -> (Target, CallContext) {
        (Target { reconnect: fresh, ..self.job.target.clone() }, CallContext { deadline, ..self.call.clone() })
    }
}

/// Why one try did not bring what was asked for.
enum Try {
    Again(String),
    Ends(Problem),
}

impl From<ConnectError> for Try {
    fn from(error: ConnectError) -> Self {
        Self::Again(error.to_string())
    }
}

fn too_late() -> Try {
    Try::Ends(Problem::new("the guard's time was over before the change was confirmed"))
}

/// The last lines as one.
fn lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("; ")
}
