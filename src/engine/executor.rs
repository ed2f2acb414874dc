//! Runs one unit: probes, verdict, effects, retries, deadline.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::Attempt;
use super::faults::Point;
use super::job::{DEADLINE_GRACE, Execution, ExecutionResult, Job, Note, human, outlives};
use super::send::RoundTrip;
use crate::actions::{Action, Verdict};
use crate::connect::{CallContext, ConnectError, Effect, EffectResult, Fact, Probe, deadline_after, host, vault};
use crate::diff::Diff;
use crate::event::{Mode, Outcome, Outputs, Problem};
use crate::journal::SavedUnit;
use crate::sync::lock;

impl Job {
    /// Runs it to its end.
    pub async fn run(self) -> Execution {
        let mut ended = self.attempts().await;
        if matches!(ended.result, ExecutionResult::Changed) && self.mode == Mode::Run && self.faults.repeats(&self.unit)
        {
            let again = self.attempts().await;
            if !matches!(again.result, ExecutionResult::Same { .. } | ExecutionResult::Changed) {
                ended.result = again.result;
            }
        }
        self.unless_it_fails_on_purpose(ended)
    }

    pub fn unless_it_fails_on_purpose(&self, mut ended: Execution) -> Execution {
        let well = matches!(ended.result, ExecutionResult::Same { .. } | ExecutionResult::Changed);
        if well && self.mode == Mode::Run && self.faults.fails(&self.unit) {
            ended.result = ExecutionResult::Failed(Problem::new("failed on purpose, after it was done"));
        }
        ended
    }

    async fn attempts(&self) -> Execution {
        let mut attempt = 1;
        loop {
            let ended = self.attempt().await;
            let ExecutionResult::Failed(problem) = &ended.result else { return ended };
            if attempt > self.retry.times || self.mode == Mode::Preview {
                return ended;
            }
            let delay = self.retry.pause(attempt);
            (self.notes)(Note::Retried { attempt, message: problem.message.clone(), delay });
            tokio::time::sleep(delay).await;
            attempt += 1;
        }
    }

    async fn attempt(&self) -> Execution {
        if let Some(guard) = &self.guard {
            return self.guarded_attempt(guard).await;
        }
        let mut run = self.go(Diff::default(), Vec::new());
        let result = run.go().await;
        self.ended(result, run)
    }

    /// A go at it, with what is known so far.
    pub fn go(&self, diff: Diff, facts: Vec<Fact>) -> Attempt<'_> {
        let rest = self.action.resumed().filter(|_| self.acted.load(Ordering::SeqCst));
        let patient = self.resumed || rest.is_some();
        let action = rest.unwrap_or_else(|| Arc::clone(&self.action));
        Attempt { job: self, action, patient, call: self.call(), diff, facts, done: Vec::new() }
    }

    /// A call that has all of its time.
    pub fn call(&self) -> CallContext {
        let notes = Arc::clone(&self.notes);
        let progress = Arc::new(move |text| notes(Note::Progress(text)));
        CallContext { deadline: deadline_after(self.timeout), progress }
    }

    /// How it ended.
    pub fn ended(&self, result: ExecutionResult, run: Attempt<'_>) -> Execution {
        let ended_well = matches!(result, ExecutionResult::Same { .. } | ExecutionResult::Changed);
        let known = ended_well && !(self.mode == Mode::Preview && matches!(result, ExecutionResult::Changed));
        let outputs = if known { run.action.outputs(&run.facts, &run.done) } else { Outputs::new() };
        let previewed =
            self.mode == Mode::Preview && matches!(result, ExecutionResult::Changed | ExecutionResult::Missing(_));
        let provides = if previewed { self.action.provides(&run.facts) } else { Vec::new() };
        let printed = self.action.printed(&run.done);
        let defect = run.action.defect().or_else(|| self.action.defect());
        Execution { printed, diff: run.diff, outputs, provides, result: result.unless(defect), cleaned: None }
    }
}

impl Attempt<'_> {
    pub async fn go(&mut self) -> ExecutionResult {
        let probes = self.action.probes();
        match self.judge(&probes).await {
            Err(error) => ExecutionResult::Failed(error.problem()),
            Ok(Verdict::Same { seen }) => ExecutionResult::Same { seen },
            Ok(Verdict::Blocked(problem)) => ExecutionResult::Failed(problem),
            Ok(Verdict::Wait { seen }) if self.job.mode == Mode::Preview => ExecutionResult::NotReady { seen },
            Ok(Verdict::Missing(thing)) if self.job.mode == Mode::Preview => {
                self.diff = self.action.predicted_diff(&self.facts);
                ExecutionResult::Missing(thing)
            }
            Ok(Verdict::Wait { seen }) => ExecutionResult::Failed(self.timed_out(&seen)),
            Ok(Verdict::Missing(thing)) => ExecutionResult::Failed(self.timed_out(&format!("{thing} does not exist"))),
            Ok(Verdict::Change(diff)) => {
                self.diff = diff;
                if let Some(moved) = self.moved() {
                    return ExecutionResult::Diverged(moved);
                }
                match (self.job.mode, &self.job.guard) {
                    (Mode::Preview, _) => ExecutionResult::Changed,
                    (Mode::Run, Some(guard)) => self.change_guarded(guard).await,
                    (Mode::Run, None) => self.change().await,
                }
            }
        }
    }

    /// Why the change is not the one that the saved plan shows.
    fn moved(&self) -> Option<Problem> {
        let agreed = self.job.approved.as_ref().filter(|agreed| !agreed.is_open())?;
        let (unit, diff) = (agreed.unit.clone(), self.diff.redacted());
        let now = SavedUnit { unit, definition: None, outcome: Outcome::Changed, diff };
        let moved = agreed.moved(&now);
        let what = moved.join("\n");
        (!moved.is_empty()).then(|| {
            Problem::new(format!("it moved since the plan was saved:\n{what}")).hint("save a new plan, and look at it")
        })
    }

    /// Probes until the verdict is more than "not yet", or time is up.
    pub async fn judge(&mut self, probes: &[Probe]) -> Result<Verdict, ConnectError> {
        self.judge_by(probes, false, |action, facts| action.verdict(facts)).await
    }

    /// The same by another verdict. With `waiting`, also while nobody answers.
    pub async fn judge_by(
        &mut self,
        probes: &[Probe],
        mut waiting: bool,
        by: fn(&dyn Action, &[Fact]) -> Verdict,
    ) -> Result<Verdict, ConnectError> {
        let mut pause = Duration::from_millis(200);
        loop {
            if !probes.is_empty() {
                match self.look(probes).await {
                    Ok(facts) => self.facts = facts,
                    Err(error)
                        if (self.patient && !matches!(error, ConnectError::Defect { .. })
                            || waiting && is_silence(&error))
                            && self.call.remaining() > pause =>
                    {
                        (self.call.progress)(error.to_string());
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(MAX_POLL_INTERVAL);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            let verdict = by(&*self.action, &self.facts);
            let seen = match &verdict {
                Verdict::Wait { seen } => seen.clone(),
                Verdict::Missing(thing) => format!("{thing} does not exist yet"),
                _ => return Ok(verdict),
            };
            if self.job.mode == Mode::Preview || self.call.remaining() <= pause {
                return Ok(verdict);
            }
            waiting = true;
            (self.call.progress)(seen);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_POLL_INTERVAL);
        }
    }

    /// The facts: those that came ahead of time, or what the world says now.
    async fn look(&self, probes: &[Probe]) -> Result<Vec<Fact>, ConnectError> {
        let job = self.job;
        if self.patient {
            let call = CallContext {
                deadline: self.call.deadline.min(Instant::now() + AWAY_PROBE_TIMEOUT),
                ..self.call.clone()
            };
            let answer =
                tokio::time::timeout_at(call.deadline + DEADLINE_GRACE, job.world.probe(&job.target, probes, &call));
            return answer.await.unwrap_or_else(|_| Err(ConnectError::unreachable("the host gives no answer")));
        }
        if let Some(facts) = job.host().and_then(|host| job.cache.take(host, &job.unit, probes)) {
            return Ok(facts);
        }
        if let Some(error) = lock(&job.unreachable).take() {
            return Err(error);
        }
        self.within(job.world.probe(&job.target, probes, &self.call)).await
    }

    pub async fn change(&mut self) -> ExecutionResult {
        let mut lost = 0;
        loop {
            let effect = match self.action.next_effect(&self.facts, &self.done) {
                Ok(Some(effect)) => effect,
                Ok(None) => match self.action.after_disconnect(&self.facts) {
                    Some(_) if lost == MAX_LOST_IN_A_ROW => {
                        return ExecutionResult::Unknown(Problem::new("its host does not go away"));
                    }
                    Some(rest) => {
                        lost += 1;
                        match self.until_back(rest).await {
                            Some(ending) => return ending,
                            None => continue,
                        }
                    }
                    None => return self.all_done().await,
                },
                Err(problem) => return ExecutionResult::Failed(self.after_bad(problem)),
            };
            self.job.acted.store(true, Ordering::SeqCst);
            let done = self.perform(&effect).await;
            self.job.faults.reach(Point::AfterEffect, &self.job.unit);
            match done {
                Ok(done) => self.done.push(done),
                Err(error @ ConnectError::Lost { .. }) => {
                    lost += 1;
                    if let Some(rest) = self.action.after_disconnect(&self.facts).filter(|_| lost < MAX_LOST_IN_A_ROW) {
                        match self.until_back(rest).await {
                            Some(ending) => return ending,
                            None => continue,
                        }
                    }
                    match self.recover(&error.to_string()).await {
                        Some(Verdict::Same { .. }) => return ExecutionResult::Changed,
                        // It did not take effect, or only in part. What may still be at work there is not sent twice.
                        Some(Verdict::Change(_)) if !outlives(&effect) && lost < MAX_LOST_IN_A_ROW => self.done.clear(),
                        _ => return ExecutionResult::Unknown(error.problem()),
                    }
                }
                Err(error) => return ExecutionResult::Failed(self.after_partial(error.problem())),
            }
        }
    }

    pub async fn perform(&mut self, effect: &Effect) -> Result<EffectResult, ConnectError> {
        let job = self.job;
        let effects = std::slice::from_ref(effect);
        let queries = if self.is_likely_last(effect) { self.queries_behind() } else { Vec::new() };
        let (_changes, look) = job.host().map(|host| job.cache.begin_effects(host, effects)).unzip();
        let within = [self.call.remaining()];
        let sending =
            RoundTrip { jobs: &[job], effects, within: &within, read: look, on_success: &queries, on_failure: &[] };
        let answer = Mutex::new(None);
        let done = |done| drop(lock(&answer).replace(done));
        let error = sending.send(&self.call, &done, &|| {}).await;
        let answer = answer.into_inner().unwrap_or_else(PoisonError::into_inner);
        answer.ok_or_else(|| error.unwrap_or_else(|| ConnectError::lost("it gave no answer")))
    }

    /// Whether no other effect follows this one, should it end as it most likely will, and its host is not going away or was.
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

    /// The connection broke while an effect was under way: reaches the other side again and looks whether it took
    /// effect. `None` when that cannot be told.
    pub async fn recover(&mut self, error: &str) -> Option<Verdict> {
        let probes = self.action.probes();
        if probes.is_empty() {
            return None;
        }
        (self.call.progress)(format!("{error}; looking whether it took effect"));
        self.call.deadline = Instant::now() + self.job.timeout.min(RECOVERY_TIMEOUT);
        let mut pause = Duration::from_millis(200);
        loop {
            match self.within(self.job.world.probe(&self.job.target, &probes, &self.call)).await {
                Ok(facts) => {
                    self.facts = facts;
                    return Some(self.action.verdict(&self.facts));
                }
                Err(ConnectError::Unreachable { .. } | ConnectError::Lost { .. }) if self.call.remaining() > pause => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                Err(_) => return None,
            }
        }
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T, ConnectError>>) -> Result<T, ConnectError> {
        match tokio::time::timeout(self.call.remaining().saturating_add(DEADLINE_GRACE), call).await {
            Ok(answer) => answer,
            Err(_) => Err(ConnectError::failed(format!("no answer within {}", human(self.job.timeout)))),
        }
    }

    pub fn timed_out(&self, seen: &str) -> Problem {
        Problem::new(format!("not so after {}: {seen}", human(self.job.timeout)))
            .hint("if it only needs longer, give the step a longer `timeout`")
    }
}

/// Whether nobody answered: what a step waits for may well take the other side down for a moment, a restart or a new leader.
fn is_silence(error: &ConnectError) -> bool {
    matches!(error, ConnectError::Unreachable { .. } | ConnectError::Lost { .. })
}

/// The longest pause between two looks.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// How long one look at a host may take that may be away.
const AWAY_PROBE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the other side is looked for after a connection broke in the middle of a change.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a change may be cut off before its step gives up.
const MAX_LOST_IN_A_ROW: u32 = 3;
