//! Sends a pipeline, and tells what became of each of its units.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use petgraph::graph::NodeIndex;

use super::Item;
use crate::actions::Verdict;
use crate::connect::{CallContext, ConnectError, Effect, EffectResult, host};
use crate::diff::Diff;
use crate::engine::attempt::Attempt;
use crate::engine::fact_cache::Query;
use crate::engine::faults::Point;
use crate::engine::job::{Execution, ExecutionResult, Forecast, Job, Note, outlives};
use crate::engine::send::RoundTrip;
use crate::event::{Problem, UnitRef};
use crate::sync::lock;

/// Units that have ended, in their order.
pub type Ends = Vec<(NodeIndex, Execution)>;

/// Takes ends of units whose pipeline is still under way.
pub type EndSink<'a> = &'a (dyn Fn(Ends) + Send + Sync);

/// Sends a pipeline until all of its units have ended; gives the ends that were not told meanwhile. Once `stopping` is set,
/// nothing more is begun.
pub async fn run(mut row: Vec<Item>, told: EndSink<'_>, stopping: &AtomicBool) -> Ends {
    let queries = row.first_mut().map(|first| std::mem::take(&mut first.job.queries)).unwrap_or_default();
    let mut together = row.len();
    let mut row = PipelineRun { left: row.into(), ends: Vec::new(), bad: None };
    while together > 0 {
        row.send(together, &queries, told).await;
        together = row.go_on(stopping).await;
    }
    row.ends
}

struct PipelineRun {
    /// Units that have not ended.
    left: VecDeque<Item>,
    ends: Ends,
    /// The first one that did not end well, and how.
    bad: Option<FirstFailure>,
}

struct FirstFailure {
    unit: UnitRef,
    /// Whether it is not known whether it took effect.
    is_unknown: bool,
}

impl FirstFailure {
    fn of(unit: &UnitRef, ended: &Execution) -> Option<Self> {
        let well = matches!(ended.result, ExecutionResult::Same { .. } | ExecutionResult::Changed);
        let is_unknown = matches!(ended.result, ExecutionResult::Unknown(_));
        (!well).then(|| Self { unit: unit.clone(), is_unknown })
    }
}

impl PipelineRun {
    /// Sends the first so many units.
    async fn send(&mut self, together: usize, queries: &[Query], told: EndSink<'_>) {
        let (jobs, plans): (Vec<(NodeIndex, Box<Job>)>, VecDeque<Forecast>) =
            self.left.drain(..together).map(|item| ((item.node, item.job), item.planned)).unzip();
        let Some((_, first)) = jobs.first() else { return };
        let all: Vec<&Job> = jobs.iter().map(|(_, job)| &**job).collect();
        let Request { effects, within, preconditions } = Request::of(&all, &plans);
        // Those that do not begin are judged anew.
        let on_failure: Vec<Query> = all.iter().skip(1).map(|job| (job.unit.clone(), job.action.probes())).collect();
        let (_changes, look) = first.cache.begin_effects(first.host().unwrap_or_default(), &effects);
        all.iter().for_each(|job| job.acted.store(true, Ordering::SeqCst));

        let turn = Arc::new(AtomicUsize::new(0));
        let call = call(&all, &turn);
        let ends = std::mem::take(&mut self.ends);
        let nodes: Vec<NodeIndex> = jobs.iter().map(|(node, _)| *node).collect();
        let (asked, held, done) = (false, false, Vec::new());
        let progress =
            Progress { jobs: &all, nodes: &nodes, preconditions, turn, plans, asked, held, done, ends, bad: None };
        let progress = Mutex::new(progress);
        let locked = || lock(&progress);
        let last = all.last().zip(locked().plans.back()).and_then(|(job, planned)| job.query_after(planned));
        let on_success: Vec<Query> = last.into_iter().chain(queries.iter().cloned()).collect();
        let sending = RoundTrip {
            jobs: &all,
            effects: &effects,
            within: &within,
            read: Some(look),
            on_success: &on_success,
            on_failure: &on_failure,
        };
        let meanwhile = || {
            let ends = std::mem::take(&mut locked().ends);
            if !ends.is_empty() {
                told(ends);
            }
        };
        let error = sending.send(&call, &|done| locked().take(done), &meanwhile).await;

        let Progress { turn, plans, held, done, ends, bad, .. } =
            progress.into_inner().unwrap_or_else(PoisonError::into_inner);
        (self.ends, self.bad) = (ends, bad);
        let ended = turn.load(Ordering::SeqCst);
        let rest = jobs.into_iter().skip(ended).zip(plans).map(|((node, job), planned)| Item { node, job, planned });
        let mut rest: VecDeque<Item> = rest.collect();
        if !held {
            self.settle(&mut rest, done, error).await;
        }
        rest.append(&mut self.left);
        self.left = rest;
    }

    /// How those end that may have begun: `done` is what was done of the first one.
    async fn settle(&mut self, sent: &mut VecDeque<Item>, done: Vec<EffectResult>, error: Option<ConnectError>) {
        let Some(Item { node, job, planned }) = sent.pop_front() else { return };
        let (ended, lost) = match error {
            None if !done.is_empty() => (job.judged(planned, done).await, None),
            // Not even where it broke is known.
            Some(error @ ConnectError::Defect { .. }) => (job.refused(planned, done, &error), Some(error)),
            Some(error) if !matches!(error, ConnectError::Lost { .. }) => (job.refused(planned, done, &error), None),
            lost => {
                let lost = lost.unwrap_or_else(|| ConnectError::lost("it gave no answer"));
                (job.lost(planned, &lost).await, Some(lost))
            }
        };
        self.end(node, &job, ended);
        let Some(lost) = lost else { return };
        // All of them were on their way.
        for Item { node, job, planned } in sent.drain(..) {
            let ended = match &self.bad {
                None => job.lost(planned, &lost).await,
                Some(bad) if bad.is_unknown => job.in_doubt(planned),
                Some(bad) => job.not_sent(&bad.unit.to_string()),
            };
            self.end(node, &job, ended);
        }
    }

    /// Goes on with those that did not begin; gives how many of them are to be sent together.
    async fn go_on(&mut self, stopping: &AtomicBool) -> usize {
        loop {
            let Some(head) = self.left.front_mut() else { return 0 };
            head.job.acted.store(false, Ordering::SeqCst);
            let needs = match &self.bad {
                Some(bad) => Some(bad.unit.to_string()),
                None => stopping.load(Ordering::SeqCst).then(|| "a run that is not interrupted".to_owned()),
            };
            let same = if needs.is_none() { head.job.answered_by_cache() } else { None };
            if same.is_none()
                && needs.is_none()
                && let Some(planned) = head.job.planned(&[])
            {
                head.planned = planned;
                return self.together();
            }
            let Some(Item { node, job, .. }) = self.left.pop_front() else { return 0 };
            match (needs, same) {
                (Some(needs), _) => {
                    let ended = job.not_sent(&needs);
                    self.ends.push((node, ended));
                }
                (None, Some(ended)) => self.end(node, &job, ended),
                (None, None) => {
                    let unit = job.unit.clone();
                    let ended = job.run().await;
                    self.bad = self.bad.take().or_else(|| FirstFailure::of(&unit, &ended));
                    self.ends.push((node, ended));
                }
            }
        }
    }

    /// How many units can be sent together, of which the first one is planned.
    fn together(&mut self) -> usize {
        let mut effects: Vec<Effect> = Vec::new();
        let mut together = 0;
        for item in &mut self.left {
            if together > 0 {
                item.job.acted.store(false, Ordering::SeqCst);
                let Some(planned) = item.job.planned(&effects) else { break };
                item.planned = planned;
            }
            item.job.take_answer();
            effects.extend(item.planned.effects.iter().cloned());
            together += 1;
            if item.planned.ends_pipeline {
                break;
            }
        }
        together
    }

    fn end(&mut self, node: NodeIndex, job: &Job, ended: Execution) {
        self.bad = self.bad.take().or_else(|| FirstFailure::of(&job.unit, &ended));
        self.ends.push((node, ended));
    }
}

/// What goes out for some units.
#[derive(Default)]
struct Request {
    effects: Vec<Effect>,
    /// How long each may take.
    within: Vec<Duration>,
    /// Of which units the host first says whether all is as expected, and soon enough.
    preconditions: Vec<bool>,
}

impl Request {
    fn of(jobs: &[&Job], plans: &VecDeque<Forecast>) -> Self {
        let mut sent = Self::default();
        let runs = |effect: &Effect| matches!(effect, Effect::Host(host::Effect::Run(_)));
        for (job, planned) in jobs.iter().zip(plans) {
            let preconditions = !planned.preconditions.is_empty() || sent.effects.iter().any(runs);
            sent.preconditions.push(preconditions);
            sent.effects.extend(preconditions.then(|| Effect::Expect(planned.preconditions.clone())));
            sent.effects.extend(planned.effects.iter().cloned());
            sent.within.resize(sent.effects.len(), job.timeout);
        }
        sent
    }
}

/// A call whose progress is that of the unit whose turn it is.
fn call(jobs: &[&Job], turn: &Arc<AtomicUsize>) -> CallContext {
    let notes: Vec<_> = jobs.iter().map(|job| Arc::clone(&job.notes)).collect();
    let turn = Arc::clone(turn);
    let progress = Arc::new(move |text| {
        if let Some(notes) = notes.get(turn.load(Ordering::SeqCst)) {
            notes(Note::Progress(text));
        }
    });
    CallContext { progress, ..jobs.first().map_or_else(|| CallContext::silent(Duration::ZERO), |first| first.call()) }
}

/// What is known of units that were sent together.
struct Progress<'a> {
    jobs: &'a [&'a Job],
    nodes: &'a [NodeIndex],
    /// Of which the host first says whether all is as expected.
    preconditions: Vec<bool>,
    /// Whose turn it is.
    turn: Arc<AtomicUsize>,
    /// What that one and those behind it will do.
    plans: VecDeque<Forecast>,
    /// Whether that one's host has said whether all is as expected.
    asked: bool,
    /// Whether it was not begun, since it is not.
    held: bool,
    /// What was done of it.
    done: Vec<EffectResult>,
    ends: Ends,
    bad: Option<FirstFailure>,
}

impl Progress<'_> {
    fn take(&mut self, done: EffectResult) {
        let turn = self.turn.load(Ordering::SeqCst);
        let (Some(job), Some(node), Some(planned)) = (self.jobs.get(turn), self.nodes.get(turn), self.plans.front())
        else {
            return;
        };
        if self.preconditions.get(turn) == Some(&true) && !self.asked {
            (self.asked, self.held) = (true, !done.succeeded());
            return;
        }
        let lets_on = done.succeeded();
        self.done.push(done);
        if lets_on && self.done.len() < planned.effects.len() {
            return;
        }
        job.faults.reach(Point::AfterEffect, &job.unit);
        if !lets_on || planned.ends_pipeline {
            return;
        }
        let Some(planned) = self.plans.pop_front() else { return };
        let ended = job.sent(planned, std::mem::take(&mut self.done));
        self.bad = self.bad.take().or_else(|| FirstFailure::of(&job.unit, &ended));
        self.ends.push((*node, ended));
        self.asked = false;
        self.turn.store(turn + 1, Ordering::SeqCst);
    }
}

impl Job {
    fn attempt_of(&self, planned: Forecast, done: Vec<EffectResult>) -> Attempt<'_> {
        Attempt { done, ..self.go(planned.diff, planned.facts) }
    }

    /// All of it was done.
    fn sent(&self, planned: Forecast, done: Vec<EffectResult>) -> Execution {
        let mut run = self.attempt_of(planned, done);
        let result = match self.action.next_effect(&run.facts, &run.done) {
            Ok(None) => run.all_worked(),
            Ok(Some(_)) => {
                ExecutionResult::Failed(run.after_partial(Problem::new("it wants more changes than it foresaw")))
            }
            Err(problem) => ExecutionResult::Failed(run.after_bad(problem)),
        };
        self.ended(result, run)
    }

    /// A command of it ended: it says whether that is right, and goes on then.
    async fn judged(&self, planned: Forecast, done: Vec<EffectResult>) -> Execution {
        let mut run = self.attempt_of(planned, done);
        let result = run.change().await;
        self.ended(result, run)
    }

    /// One of its effects was refused.
    fn refused(&self, planned: Forecast, done: Vec<EffectResult>, error: &ConnectError) -> Execution {
        let run = self.attempt_of(planned, done);
        let result = ExecutionResult::Failed(run.after_partial(error.clone().problem()));
        self.ended(result, run)
    }

    /// The connection broke, and it may have been done: looks, and does what is left, unless it may still be at work.
    async fn lost(&self, planned: Forecast, error: &ConnectError) -> Execution {
        let is_over = !planned.effects.iter().any(outlives);
        let mut run = self.attempt_of(planned, Vec::new());
        let result = match run.recover(&error.to_string()).await {
            Some(Verdict::Same { .. }) => ExecutionResult::Changed,
            Some(Verdict::Change(_)) if is_over => {
                run.call = self.call();
                run.change().await
            }
            _ => ExecutionResult::Unknown(error.clone().problem()),
        };
        self.ended(result, run)
    }

    /// Whether it was done is not known, nor whether what it stands on was.
    fn in_doubt(&self, planned: Forecast) -> Execution {
        let problem =
            Problem::new("it was sent together with what it stands on, of which it is not known how it ended");
        self.ended(ExecutionResult::Unknown(problem), self.attempt_of(planned, Vec::new()))
    }

    /// It was not done, since something must be first.
    fn not_sent(&self, needs: &str) -> Execution {
        self.acted.store(false, Ordering::SeqCst);
        self.ended(ExecutionResult::NotStarted { needs: needs.to_owned() }, self.go(Diff::default(), Vec::new()))
    }
}
