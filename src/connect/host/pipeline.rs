//! Sends several effects and their follow-up probes as one request.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::frame::When;
use super::probes::Batch;
use super::request::{Purpose, Request};
use super::types::{CommandOutput, Effect, Fact, Probe};
use super::{Backend, effects, exposed};
use crate::connect::{CallContext, ConnectError, FOLLOW_UP_TIMEOUT, Target};
use crate::defect::catch_panic_async;
use crate::sync::lock;

/// A [`crate::connect::Pipeline`] of one host.
pub struct Pipeline<'a> {
    pub effects: Vec<Effect>,
    /// Timeout of each effect.
    pub timeouts: &'a [Duration],
    /// Probes to answer after the effects.
    pub on_success: Vec<Probe>,
    /// Probes to answer instead when one of several effects failed.
    pub on_failure: Vec<Probe>,
    /// Called with the result of each effect.
    pub on_result: &'a (dyn Fn(CommandOutput) + Send + Sync),
}

impl Pipeline<'_> {
    fn has_several(&self) -> bool {
        self.effects.len() > 1
    }

    /// The effects before the first one that would show a secret to other users of the host, and the error for that
    /// one. It and all later effects are not sent.
    fn effects_to_send(&self) -> (&[Effect], Option<ConnectError>) {
        let check = |(at, effect)| exposed::check_effect(effect).err().map(|error| (at, error));
        match self.effects.iter().enumerate().find_map(check) {
            Some((at, error)) => (&self.effects[..at], Some(error)),
            None => (&self.effects, None),
        }
    }
}

/// The results of the effects so far.
#[derive(Default)]
struct Progress {
    done: usize,
    ended_early: bool,
    /// Why the pipeline ended early, unless a command exited non-zero.
    error: Option<ConnectError>,
}

/// Follow-up probes, and how many parts of the request they take: 0 when they are not sent.
struct FollowUp<'a> {
    batch: Batch<'a>,
    parts: usize,
}

impl<'a> FollowUp<'a> {
    fn add(probes: &'a [Probe], when: When, request: &mut Request) -> Self {
        let batch = Batch::new(probes);
        // A shell that took a large payload cannot read further parts.
        let is_sent = request.payload.is_none() && exposed::check_probes(probes).is_ok();
        let parts = if is_sent { batch.request().parts } else { Vec::new() };
        let count = parts.len();
        request.follow_ups.extend(parts.into_iter().map(|part| (part, when)));
        Self { batch, parts: count }
    }
}

impl Backend {
    /// Carries out effects in one round trip, each only after all before it have succeeded, and then the follow-up
    /// probes. Returns why the pipeline ended early, and the answers to `on_success` and `on_failure`. Several effects
    /// must each be [instant](Effect::is_instant), a command or an expectation.
    pub async fn perform_pipeline(
        &self,
        target: &Target,
        pipeline: Pipeline<'_>,
        call: &CallContext,
    ) -> (Option<ConnectError>, [Option<Vec<Fact>>; 2]) {
        // The answer of a guard has several parts, and probes after it could show what the host is about to restore.
        if let [effect @ Effect::Guard(_)] = &pipeline.effects[..] {
            let done = self.perform(target, effect, call).await.map(pipeline.on_result);
            return (done.err(), [None, None]);
        }
        let (effects, exposed) = pipeline.effects_to_send();
        let mut request = match effects {
            [] => return (exposed, [None, None]),
            [effect] if !pipeline.has_several() => effects::request(effect),
            effects => effects::pipeline_request(effects),
        };
        request.timeouts = pipeline.timeouts[..effects.len()].to_vec();
        let (succeeded, failed) =
            if pipeline.has_several() { (When::AllSucceeded, When::AnyFailed) } else { (When::Always, When::Always) };
        let none: &[Probe] = &[];
        let [on_success, on_failure] =
            if exposed.is_none() { [&pipeline.on_success[..], &pipeline.on_failure[..]] } else { [none, none] };
        let on_success = FollowUp::add(on_success, succeeded, &mut request);
        let on_failure = FollowUp::add(on_failure, failed, &mut request);

        let progress = Mutex::new(Progress::default());
        let on_part = |at: usize, done: CommandOutput| {
            let mut progress = lock(&progress);
            let Some(effect) = effects.get(at).filter(|_| !progress.ended_early) else { return };
            match effects::judge(effect, done) {
                Ok(done) => {
                    progress.done += 1;
                    progress.ended_early = pipeline.has_several() && done.exit != 0;
                    (pipeline.on_result)(done);
                }
                Err(error) => (progress.ended_early, progress.error) = (true, Some(error)),
            }
        };
        let remote = self.remote(target);
        let answers = remote.call_each(target.as_root, request, Purpose::Change, call, Some(&on_part)).await;
        let Progress { done, ended_early, error } = std::mem::take(&mut *lock(&progress));
        let mut answers = match answers {
            Ok(answers) => answers.into_iter().skip(effects.len()),
            // An effect that was refused before the connection broke was the first error.
            Err(lost) => return (Some(error.unwrap_or(lost)), [None, None]),
        };
        let call = CallContext { deadline: Instant::now() + FOLLOW_UP_TIMEOUT, ..call.clone() };
        let outputs: Vec<CommandOutput> = answers.by_ref().take(on_success.parts).collect();
        let facts = if !ended_early && done == effects.len() {
            [self.facts_of(target, &on_success, &outputs, &call).await, None]
        } else {
            let outputs: Vec<CommandOutput> = answers.collect();
            [None, self.facts_of(target, &on_failure, &outputs, &call).await]
        };
        (error.or(exposed), facts)
    }

    async fn facts_of(
        &self,
        target: &Target,
        follow_up: &FollowUp<'_>,
        done: &[CommandOutput],
        call: &CallContext,
    ) -> Option<Vec<Fact>> {
        if follow_up.parts == 0 {
            return None;
        }
        // A malformed answer to a follow-up probe must not count as a failure of the effect.
        catch_panic_async(self.facts(target, &follow_up.batch, done, call)).await.ok()?.ok()
    }
}
