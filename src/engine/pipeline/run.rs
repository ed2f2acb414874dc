//! Runs a pipeline: sends it, ends its units as their results arrive, and goes on with the units that did not begin.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use petgraph::graph::NodeIndex;

use super::Item;
use super::end::{ended_in_doubt, ended_judged, ended_lost, ended_not_sent, ended_refused, ended_sent};
use super::forecast::{Forecast, forecast, query_after, take_answer};
use crate::connect::{CallContext, ConnectError, Effect, EffectResult, host};
use crate::engine::executor::attempt;
use crate::engine::executor::fact_cache::Query;
use crate::engine::executor::job::{Execution, ExecutionResult, Job, Note};
use crate::engine::executor::prefetch::answered_by_cache;
use crate::engine::executor::{self, send::RoundTrip};
use crate::engine::faults::Point;
use crate::event::UnitRef;
use crate::sync::lock;

/// Units that have ended, in their order.
pub type Ends = Vec<(NodeIndex, Execution)>;

/// Takes the ends of units while their pipeline goes on.
pub type EndSink<'a> = &'a (dyn Fn(Ends) + Send + Sync);

/// Runs a pipeline until all of its units have ended. Returns the ends that `report` has not taken. Once `stopping` is set, no
/// further unit begins.
pub async fn run(mut items: Vec<Item>, report: EndSink<'_>, stopping: &AtomicBool) -> Ends {
    let queries = items.first_mut().map(|first| std::mem::take(&mut first.job.queries)).unwrap_or_default();
    let mut count = items.len();
    let mut pipeline = PipelineRun { left: items.into(), ends: Vec::new(), failure: None };
    while count > 0 {
        pipeline.send(count, &queries, report).await;
        count = pipeline.go_on(stopping).await;
    }
    pipeline.ends
}

struct PipelineRun {
    /// Units that have not ended.
    left: VecDeque<Item>,
    ends: Ends,
    failure: Option<FirstFailure>,
}

/// The first unit that did not end well.
struct FirstFailure {
    unit: UnitRef,
    /// Whether it is unknown if the unit's effect took place.
    is_unknown: bool,
}

impl FirstFailure {
    fn of(unit: &UnitRef, execution: &Execution) -> Option<Self> {
        let well = matches!(execution.result, ExecutionResult::Same { .. } | ExecutionResult::Changed);
        let is_unknown = matches!(execution.result, ExecutionResult::Unknown(_));
        (!well).then(|| Self { unit: unit.clone(), is_unknown })
    }
}

impl PipelineRun {
    /// Sends the first `count` units in one round trip.
    async fn send(&mut self, count: usize, queries: &[Query], report: EndSink<'_>) {
        let (jobs, forecasts): (Vec<(NodeIndex, Box<Job>)>, VecDeque<Forecast>) =
            self.left.drain(..count).map(|item| ((item.node, item.job), item.planned)).unzip();
        let Some((_, first)) = jobs.first() else { return };
        let all: Vec<&Job> = jobs.iter().map(|(_, job)| &**job).collect();
        let Request { effects, timeouts, has_precondition } = Request::of(&all, &forecasts);
        // The units that do not begin because one before them failed are judged by new answers.
        let on_failure: Vec<Query> = all.iter().skip(1).map(|job| (job.unit.clone(), job.action.probes())).collect();
        let (_tickets, read) = first.cache.begin_effects(first.host().unwrap_or_default(), &effects);
        all.iter().for_each(|job| job.acted.store(true, Ordering::SeqCst));

        let turn = Arc::new(AtomicUsize::new(0));
        let call = call(&all, &turn);
        let nodes: Vec<NodeIndex> = jobs.iter().map(|(node, _)| *node).collect();
        let last = all.last().zip(forecasts.back()).and_then(|(job, forecast)| query_after(job, forecast));
        let on_success: Vec<Query> = last.into_iter().chain(queries.iter().cloned()).collect();
        let progress = Mutex::new(Progress {
            jobs: &all,
            nodes: &nodes,
            has_precondition,
            turn,
            forecasts,
            is_checked: false,
            is_held: false,
            done: Vec::new(),
            ends: std::mem::take(&mut self.ends),
            failure: None,
        });
        let trip = RoundTrip {
            jobs: &all,
            effects: &effects,
            timeouts: &timeouts,
            read: Some(read),
            on_success: &on_success,
            on_failure: &on_failure,
        };
        let meanwhile = || {
            let ends = std::mem::take(&mut lock(&progress).ends);
            if !ends.is_empty() {
                report(ends);
            }
        };
        let error = trip.send(&call, &|result| lock(&progress).take(result), &meanwhile).await;

        let Progress { turn, forecasts, is_held, done, ends, failure, .. } =
            progress.into_inner().unwrap_or_else(PoisonError::into_inner);
        (self.ends, self.failure) = (ends, failure);
        let ended = turn.load(Ordering::SeqCst);
        let rest = jobs.into_iter().skip(ended).zip(forecasts);
        let mut rest: VecDeque<Item> = rest.map(|((node, job), planned)| Item { node, job, planned }).collect();
        if !is_held {
            self.end_begun(&mut rest, done, error).await;
        }
        rest.append(&mut self.left);
        self.left = rest;
    }

    /// Ends the unit whose turn it was when the round trip ended, `done` being the results of its effects. After a lost
    /// connection, the units behind it may have begun, too.
    async fn end_begun(&mut self, sent: &mut VecDeque<Item>, done: Vec<EffectResult>, error: Option<ConnectError>) {
        let Some(Item { node, job, planned }) = sent.pop_front() else { return };
        let (execution, lost) = match error {
            None if !done.is_empty() => (ended_judged(&job, planned, done).await, None),
            // After a defect it is unknown how far the pipeline came.
            Some(error @ ConnectError::Defect { .. }) => (ended_refused(&job, planned, done, &error), Some(error)),
            Some(error) if !matches!(error, ConnectError::Lost { .. }) => {
                (ended_refused(&job, planned, done, &error), None)
            }
            lost => {
                let lost = lost.unwrap_or_else(|| ConnectError::lost("it gave no answer"));
                (ended_lost(&job, planned, &lost).await, Some(lost))
            }
        };
        self.end(node, &job, execution);
        let Some(lost) = lost else { return };
        for Item { node, job, planned } in sent.drain(..) {
            let execution = match &self.failure {
                None => ended_lost(&job, planned, &lost).await,
                Some(failure) if failure.is_unknown => ended_in_doubt(&job, planned),
                Some(failure) => ended_not_sent(&job, &failure.unit.to_string()),
            };
            self.end(node, &job, execution);
        }
    }

    /// Goes on with the units that did not begin: alone, until one can be sent in a pipeline again. Returns how many units are
    /// to be sent together; 0 when all have ended.
    async fn go_on(&mut self, stopping: &AtomicBool) -> usize {
        loop {
            let Some(head) = self.left.front_mut() else { return 0 };
            head.job.acted.store(false, Ordering::SeqCst);
            let needs = match &self.failure {
                Some(failure) => Some(failure.unit.to_string()),
                None => stopping.load(Ordering::SeqCst).then(|| "a run that is not interrupted".to_owned()),
            };
            let same = if needs.is_none() { answered_by_cache(&head.job) } else { None };
            if same.is_none()
                && needs.is_none()
                && let Some(planned) = forecast(&head.job, &[])
            {
                head.planned = planned;
                return self.plan_together();
            }
            let Some(Item { node, job, .. }) = self.left.pop_front() else { return 0 };
            match (needs, same) {
                (Some(needs), _) => self.ends.push((node, ended_not_sent(&job, &needs))),
                (None, Some(execution)) => self.end(node, &job, execution),
                (None, None) => {
                    let execution = executor::run(&job).await;
                    self.end(node, &job, execution);
                }
            }
        }
    }

    /// Plans the units behind the first one, which is planned. Returns how many can be sent together.
    fn plan_together(&mut self) -> usize {
        let mut effects: Vec<Effect> = Vec::new();
        let mut count = 0;
        for item in &mut self.left {
            if count > 0 {
                item.job.acted.store(false, Ordering::SeqCst);
                let Some(planned) = forecast(&item.job, &effects) else { break };
                item.planned = planned;
            }
            take_answer(&item.job);
            effects.extend(item.planned.effects.iter().cloned());
            count += 1;
            if item.planned.ends_pipeline {
                break;
            }
        }
        count
    }

    fn end(&mut self, node: NodeIndex, job: &Job, execution: Execution) {
        self.failure = self.failure.take().or_else(|| FirstFailure::of(&job.unit, &execution));
        self.ends.push((node, execution));
    }
}

/// The effects to send for some units.
#[derive(Default)]
struct Request {
    effects: Vec<Effect>,
    /// The timeout of each effect.
    timeouts: Vec<Duration>,
    /// By unit, whether an [`Effect::Expect`] comes before its own effects.
    has_precondition: Vec<bool>,
}

impl Request {
    fn of(jobs: &[&Job], forecasts: &VecDeque<Forecast>) -> Self {
        let mut request = Self::default();
        let is_command = |effect: &Effect| matches!(effect, Effect::Host(host::Effect::Run(_)));
        for (job, forecast) in jobs.iter().zip(forecasts) {
            // Behind a command, the host also checks that the pipeline has not been running for long.
            let is_checked = !forecast.preconditions.is_empty() || request.effects.iter().any(is_command);
            request.has_precondition.push(is_checked);
            request.effects.extend(is_checked.then(|| Effect::Expect(forecast.preconditions.clone())));
            request.effects.extend(forecast.effects.iter().cloned());
            request.timeouts.resize(request.effects.len(), job.timeout);
        }
        request
    }
}

/// A call that reports progress for the unit whose turn it is.
fn call(jobs: &[&Job], turn: &Arc<AtomicUsize>) -> CallContext {
    let notes: Vec<_> = jobs.iter().map(|job| Arc::clone(&job.notes)).collect();
    let turn = Arc::clone(turn);
    let progress = Arc::new(move |text| {
        if let Some(notes) = notes.get(turn.load(Ordering::SeqCst)) {
            notes(Note::Progress(text));
        }
    });
    let first = jobs.first().map(|first| attempt::call(first));
    CallContext { progress, ..first.unwrap_or_else(|| CallContext::silent(Duration::ZERO)) }
}

/// How far a round trip has come; results arrive in the order of the effects.
struct Progress<'a> {
    jobs: &'a [&'a Job],
    nodes: &'a [NodeIndex],
    has_precondition: Vec<bool>,
    /// Index of the unit whose results arrive.
    turn: Arc<AtomicUsize>,
    /// The forecasts of that unit and of those behind it.
    forecasts: VecDeque<Forecast>,
    /// Whether the host has checked that unit's precondition.
    is_checked: bool,
    /// Whether that unit did not begin because its precondition does not hold.
    is_held: bool,
    /// That unit's results.
    done: Vec<EffectResult>,
    ends: Ends,
    failure: Option<FirstFailure>,
}

impl Progress<'_> {
    fn take(&mut self, result: EffectResult) {
        let turn = self.turn.load(Ordering::SeqCst);
        let (Some(job), Some(node), Some(forecast)) =
            (self.jobs.get(turn), self.nodes.get(turn), self.forecasts.front())
        else {
            return;
        };
        if self.has_precondition.get(turn) == Some(&true) && !self.is_checked {
            (self.is_checked, self.is_held) = (true, !result.succeeded());
            return;
        }
        let succeeded = result.succeeded();
        self.done.push(result);
        if succeeded && self.done.len() < forecast.effects.len() {
            return;
        }
        job.faults.reach(Point::AfterEffect, &job.unit);
        // These are judged after the round trip.
        if !succeeded || forecast.ends_pipeline {
            return;
        }
        let Some(forecast) = self.forecasts.pop_front() else { return };
        let execution = ended_sent(job, forecast, std::mem::take(&mut self.done));
        self.failure = self.failure.take().or_else(|| FirstFailure::of(&job.unit, &execution));
        self.ends.push((*node, execution));
        self.is_checked = false;
        self.turn.store(turn + 1, Ordering::SeqCst);
    }
}
