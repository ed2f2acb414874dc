//! One attempt at a unit: its probes until there is a verdict, its effects one by one, and how it ends.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use super::fact_cache::Query;
use super::job::{DEADLINE_GRACE, Execution, ExecutionResult, Job, Note};
use super::send::RoundTrip;
use crate::actions::{Action, ActionRef, Verdict};
use crate::connect::{CallContext, ConnectError, Effect, EffectResult, Fact, Probe, deadline_after, host, vault};
use crate::diff::{Delta, Diff};
use crate::document::format_duration;
use crate::event::{Mode, Outcome, Outputs, Problem};
use crate::journal::SavedUnit;
use crate::sync::lock;

/// How long one probe of a host may take that may be away.
const AWAY_PROBE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the other side is probed after a connection broke in the middle of a change.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

pub struct Attempt<'a> {
    pub job: &'a Job,
    /// The job's action, or the action that continues an interrupted attempt.
    pub action: ActionRef,
    /// Whether the host may be away for a while, so that a failed probe is repeated.
    pub patient: bool,
    pub call: CallContext,
    pub diff: Diff,
    pub facts: Vec<Fact>,
    /// Results of the effects so far.
    pub done: Vec<EffectResult>,
}

impl<'a> Attempt<'a> {
    /// An attempt with the full timeout of its step.
    pub fn new(job: &'a Job) -> Self {
        let rest = job.action.resumed().filter(|_| job.acted.load(Ordering::SeqCst));
        let patient = job.resumed || rest.is_some();
        let action = rest.unwrap_or_else(|| Arc::clone(&job.action));
        let (diff, facts, done) = (Diff::default(), Vec::new(), Vec::new());
        let mut attempt = Self { job, action, patient, call: CallContext::silent(job.timeout), diff, facts, done };
        attempt.restart_clock();
        attempt
    }

    /// Gives the attempt the full timeout of its step from now on.
    pub fn restart_clock(&mut self) {
        self.call = call(self.job);
    }

    /// Probes until the verdict is neither "wait" nor "missing", or time is up.
    pub async fn judge(&mut self, probes: &[Probe]) -> Result<Verdict, ConnectError> {
        self.judge_by(probes, false, |action, facts| action.verdict(facts)).await
    }

    /// [`Attempt::judge`] by another verdict. With `waiting`, a host that does not answer is probed again, too: what a step waits
    /// for may well take its host down for a moment, as a restart does.
    async fn judge_by(
        &mut self,
        probes: &[Probe],
        mut waiting: bool,
        verdict: fn(&dyn Action, &[Fact]) -> Verdict,
    ) -> Result<Verdict, ConnectError> {
        let mut backoff = Backoff::new(Duration::from_secs(2));
        loop {
            if !probes.is_empty() {
                match self.probe(probes).await {
                    Ok(facts) => self.facts = facts,
                    Err(error) => {
                        let is_defect = matches!(error, ConnectError::Defect { .. });
                        let repeats = self.patient && !is_defect || waiting && is_silence(&error);
                        if !repeats || self.call.remaining() <= backoff.delay() {
                            return Err(error);
                        }
                        (self.call.progress)(error.to_string());
                        backoff.wait().await;
                        continue;
                    }
                }
            }
            let verdict = verdict(&*self.action, &self.facts);
            let seen = match &verdict {
                Verdict::Wait { seen } => seen.clone(),
                Verdict::Missing(resource) => format!("{resource} does not exist yet"),
                _ => return Ok(verdict),
            };
            if self.job.mode == Mode::Preview || self.call.remaining() <= backoff.delay() {
                return Ok(verdict);
            }
            waiting = true;
            (self.call.progress)(seen);
            backoff.wait().await;
        }
    }

    /// Cached answers to the probes, or those of the host.
    async fn probe(&self, probes: &[Probe]) -> Result<Vec<Fact>, ConnectError> {
        let job = self.job;
        if self.patient {
            let deadline = self.call.deadline.min(Instant::now() + AWAY_PROBE_TIMEOUT);
            let call = CallContext { deadline, ..self.call.clone() };
            let answer = job.world.probe(&job.target, probes, &call);
            let answer = tokio::time::timeout_at(deadline + DEADLINE_GRACE, answer).await;
            return answer.unwrap_or_else(|_| Err(ConnectError::unreachable("the host gives no answer")));
        }
        if let Some(facts) = job.host().and_then(|host| job.cache.take(host, &job.unit, probes)) {
            return Ok(facts);
        }
        if let Some(error) = lock(&job.unreachable).take() {
            return Err(error);
        }
        self.within(job.world.probe(&job.target, probes, &self.call)).await
    }

    /// Carries out one effect. When it is likely the last one, the probes behind it go along in the same round trip.
    pub async fn perform(&mut self, effect: &Effect) -> Result<EffectResult, ConnectError> {
        let job = self.job;
        let effects = std::slice::from_ref(effect);
        let queries = if self.is_likely_last(effect) { self.queries_behind() } else { Vec::new() };
        let (_tickets, read) = job.host().map(|host| job.cache.begin_effects(host, effects)).unzip();
        let timeouts = [self.call.remaining()];
        let trip =
            RoundTrip { jobs: &[job], effects, timeouts: &timeouts, read, on_success: &queries, on_failure: &[] };
        let result = Mutex::new(None);
        let on_result = |new| drop(lock(&result).replace(new));
        let error = trip.send(&self.call, &on_result, &|| {}).await;
        let result = result.into_inner().unwrap_or_else(PoisonError::into_inner);
        result.ok_or_else(|| error.unwrap_or_else(|| ConnectError::lost("it gave no answer")))
    }

    /// Whether no effect follows this one if it ends as it most likely will. Never so for a host that goes away.
    fn is_likely_last(&mut self, effect: &Effect) -> bool {
        if self.patient || self.action.after_disconnect(&self.facts).is_some() {
            return false;
        }
        let likely = match effect {
            Effect::Host(_) | Effect::Fetch(_) | Effect::Expect(_) => {
                EffectResult::Host(host::CommandOutput::new(0, "", ""))
            }
            Effect::Vault(_) => EffectResult::Vault(vault::EffectResult::Written(vault::Data::default())),
            Effect::Kube(_) | Effect::Helm(_) => return true,
        };
        self.done.push(likely);
        let next = self.action.next_effect(&self.facts, &self.done);
        self.done.pop();
        !matches!(next, Ok(Some(_)))
    }

    /// The probes to send behind the last effect: the unit's own if it verifies its change, and those of the units behind it.
    fn queries_behind(&self) -> Vec<Query> {
        let own = self.action.is_verified().then(|| (self.job.unit.clone(), self.action.probes()));
        own.into_iter().chain(self.job.queries.iter().cloned()).collect()
    }

    /// Probes again after the connection broke while an effect was under way. `None` when the probes cannot tell whether the
    /// effect took place.
    pub async fn recover(&mut self, error: &str) -> Option<Verdict> {
        let probes = self.action.probes();
        if probes.is_empty() {
            return None;
        }
        (self.call.progress)(format!("{error}; looking whether it took effect"));
        self.call.deadline = Instant::now() + self.job.timeout.min(RECOVERY_TIMEOUT);
        let mut backoff = Backoff::new(Duration::from_secs(5));
        loop {
            match self.within(self.job.world.probe(&self.job.target, &probes, &self.call)).await {
                Ok(facts) => {
                    self.facts = facts;
                    return Some(self.action.verdict(&self.facts));
                }
                Err(error) if is_silence(&error) && self.call.remaining() > backoff.delay() => backoff.wait().await,
                Err(_) => return None,
            }
        }
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T, ConnectError>>) -> Result<T, ConnectError> {
        let timeout = self.call.remaining().saturating_add(DEADLINE_GRACE);
        tokio::time::timeout(timeout, call).await.unwrap_or_else(|_| {
            Err(ConnectError::failed(format!("no answer within {}", format_duration(self.job.timeout))))
        })
    }

    /// The result when all effects have worked and that is proof enough.
    pub fn all_worked(&mut self) -> ExecutionResult {
        if self.action.changed(&self.done) {
            return ExecutionResult::Changed;
        }
        self.diff = Diff::default();
        ExecutionResult::Same { seen: "it ran and changed nothing".to_owned() }
    }

    /// The result when all effects have worked; actions that verify their change are probed once more.
    pub async fn verify(&mut self) -> ExecutionResult {
        let (worked, probes) = (self.all_worked(), self.action.probes());
        if !matches!(worked, ExecutionResult::Changed) || !self.action.is_verified() || probes.is_empty() {
            return worked;
        }
        match self.judge_by(&probes, true, |action, facts| action.verdict_after(facts)).await {
            Ok(Verdict::Same { .. }) => ExecutionResult::Changed,
            Ok(Verdict::Change(diff)) => ExecutionResult::Failed(not_as_wanted(&diff)),
            Ok(Verdict::Blocked(problem)) => ExecutionResult::Failed(problem),
            Ok(Verdict::Wait { seen }) => ExecutionResult::Failed(self.timed_out(&seen)),
            Ok(Verdict::Missing(resource)) => {
                ExecutionResult::Failed(self.timed_out(&format!("{resource} does not exist")))
            }
            Err(error) => {
                let mut problem = error.problem();
                problem.message = format!("it was done, but not seen whether it is so now: {}", problem.message);
                ExecutionResult::Unknown(problem)
            }
        }
    }

    /// Why the change is another one than the approved plan shows.
    pub fn diverged(&self) -> Option<Problem> {
        let approved = self.job.approved.as_ref().filter(|approved| !approved.is_undecided())?;
        let (unit, diff) = (approved.unit.clone(), self.diff.redacted());
        let now = SavedUnit { unit, definition: None, outcome: Outcome::Changed, diff };
        let moved = approved.differences(&now);
        let what = moved.join("\n");
        (!moved.is_empty()).then(|| {
            Problem::new(format!("it moved since the plan was saved:\n{what}")).hint("save a new plan, and look at it")
        })
    }

    pub fn timed_out(&self, seen: &str) -> Problem {
        Problem::new(format!("not so after {}: {seen}", format_duration(self.job.timeout)))
            .hint("if it only needs longer, give the step a longer `timeout`")
    }

    /// Adds the number of effects that worked before the one that was not carried out.
    pub fn after_partial(&self, problem: Problem) -> Problem {
        after(problem, self.done.len())
    }

    /// Adds the number of effects that worked before the last one, whose result is bad.
    pub fn after_bad(&self, problem: Problem) -> Problem {
        after(problem, self.done.len().saturating_sub(1))
    }

    /// Ends the attempt.
    pub fn finish(self, result: ExecutionResult) -> Execution {
        let (job, mode) = (self.job, self.job.mode);
        let ended_well = matches!(result, ExecutionResult::Same { .. } | ExecutionResult::Changed);
        let known = ended_well && !(mode == Mode::Preview && matches!(result, ExecutionResult::Changed));
        let outputs = if known { self.action.outputs(&self.facts, &self.done) } else { Outputs::new() };
        let previewed =
            mode == Mode::Preview && matches!(result, ExecutionResult::Changed | ExecutionResult::Missing(_));
        let provides = if previewed { job.action.provides(&self.facts) } else { Vec::new() };
        let printed = job.action.printed(&self.done);
        let defect = self.action.defect().or_else(|| job.action.defect());
        Execution { printed, diff: self.diff, outputs, provides, result: result.unless(defect), redacted: None }
    }
}

/// A call that reports progress for a job and has the full timeout of its step.
pub fn call(job: &Job) -> CallContext {
    let notes = Arc::clone(&job.notes);
    let progress = Arc::new(move |text| notes(Note::Progress(text)));
    CallContext { deadline: deadline_after(job.timeout), progress }
}

fn is_silence(error: &ConnectError) -> bool {
    matches!(error, ConnectError::Unreachable { .. } | ConnectError::Lost { .. })
}

fn after(mut problem: Problem, worked: usize) -> Problem {
    if worked > 0 {
        problem.message = format!("{} (after {worked} of its changes were made)", problem.message);
    }
    problem
}

fn not_as_wanted(diff: &Diff) -> Problem {
    let lines: Vec<String> = diff.redacted().0.iter().flat_map(Delta::lines).collect();
    let problem = Problem::new(format!("all of it ended well, but it is still not so:\n{}", lines.join("\n")));
    problem.hint("something on the other side keeps or undoes it: run it again, and look there if it comes again")
}
