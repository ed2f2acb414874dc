//! Steps in a row on one host whose changes are sent together.
//!
//! Known ahead of time are the answers to what the steps of a row ask. As long as no change of one can have moved the
//! answer that another is judged by, all of them are judged at once, and their effects go out in one trip: each is done
//! only when all before it have worked. All are on record as started before that. What comes of it is what comes of the
//! steps one by one.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::task::Poll;

use petgraph::graph::NodeIndex;
use tokio::time::Instant;

use super::ahead::touches;
use super::dispatcher::State;
use super::executor::{Attempt, Ended, Ending, GRACE, Job, Planned, human};
use super::faults::Point;
use super::turn::Turn;
use crate::actions::Verdict;
use crate::connect::{Call, ConnectError, Done, Effect, Fact, host, vault};
use crate::diff::Diff;
use crate::event::{Mode, Problem, UnitRef};
use crate::graph::{Node, Unit};
use crate::inventory::Connection;
use crate::journal::NOW;
use crate::plan::Part;

/// Units that are sent together, at most.
const UNITS: usize = 32;

/// Bytes of effects that are sent together, at most.
const BYTES: usize = 256 * 1024;

/// A unit of a row.
pub struct Member {
    pub node: NodeIndex,
    pub unit: Unit,
    pub reference: UnitRef,
    pub definition: String,
    pub why: Option<String>,
    pub job: Box<Job>,
    pub planned: Planned,
}

impl State {
    /// The row that begins with a unit whose turn has come; `None` when it is better sent alone.
    pub(super) fn row(&mut self, node: NodeIndex, unit: &Unit, job: &Job) -> Option<(Planned, Vec<Member>)> {
        if self.mode != Mode::Run || self.agreed.is_some() {
            return None;
        }
        let first = job.planned()?;
        let is_local = unit.machine.as_ref().is_some_and(|host| host.connection == Connection::Local);
        let mut effects: Vec<Effect> = first.effects.clone();
        let mut nodes = HashSet::from([node]);
        let mut members = Vec::new();
        let mut next: VecDeque<NodeIndex> = self.graph.successors(node).collect();
        while let Some(node) = next.pop_front()
            && members.len() + 1 < UNITS
        {
            let waits = |before: NodeIndex| self.waiting.contains_key(&before) && !nodes.contains(&before);
            if nodes.contains(&node) || self.graph.predecessors(node).any(waits) {
                continue;
            }
            let Node::Unit(behind) = self.graph.node(node).clone() else { continue };
            let same_host = behind.machine.as_ref().map(|h| &h.name) == unit.machine.as_ref().map(|h| &h.name);
            let step = behind.step(&self.plan);
            let alike = same_host && step.r#become == job.target.r#become;
            let known = |host: &str| self.ahead.knows(host, &behind.reference(&self.plan));
            // A step of this machine may make the file that one behind it is rendered from.
            let alike = alike && !(is_local && self.values.names_files(step));
            if !alike || step.part != Part::Step || !job.host().is_some_and(known) {
                continue;
            }
            let mark = self.marks.entry(node).or_default();
            match nodes.iter().all(|before| self.graph.same_loop(*before, node)) {
                true => mark.touch_in_loop(NOW, &job.unit),
                false => mark.touch(NOW, &job.unit),
            }
            let Some(member) = self.member(node, behind, &effects) else { continue };
            effects.extend(member.planned.effects.iter().cloned());
            if effects.iter().map(size).sum::<usize>() > BYTES {
                break;
            }
            nodes.insert(node);
            members.push(member);
            next.extend(self.graph.successors(node));
        }
        if members.is_empty() {
            return None;
        }
        job.take_answer();
        members.iter().for_each(|member| member.job.take_answer());
        Some((first, members))
    }

    /// A unit that will be sent behind `effects`, if its verdict is a change that they do not bear upon.
    fn member(&mut self, node: NodeIndex, unit: Unit, effects: &[Effect]) -> Option<Member> {
        let reference = unit.reference(&self.plan);
        let Turn::Runs { job, definition, why } = self.turn(node, &unit, &reference) else { return None };
        let planned = job.planned()?;
        let probes = job.action.probes();
        let bears = |effect: &Effect| probes.iter().any(|probe| touches(effect, probe));
        if effects.iter().any(bears) {
            return None;
        }
        Some(Member { node, unit, reference, definition, why, job, planned })
    }
}

/// Sends a row and tells what became of each of its units, in their order.
pub async fn run(row: Vec<(NodeIndex, Box<Job>, Planned)>) -> Vec<(NodeIndex, Ended)> {
    let Some((_, first, _)) = row.first() else { return Vec::new() };
    let effects: Vec<Effect> = row.iter().flat_map(|(_, _, planned)| planned.effects.clone()).collect();
    let host = first.host().unwrap_or_default().to_owned();
    let _changes: Vec<_> = effects.iter().map(|effect| first.ahead.change(&host, effect)).collect();
    row.iter().for_each(|(_, job, _)| job.acted.store(true, Ordering::SeqCst));
    let call = Call { deadline: Instant::now() + first.timeout, ..first.call() };
    let (done, error) = send(&row, &effects, &call).await;
    for (_, job, _) in &row {
        job.faults.reach(Point::AfterEffect, &job.unit);
    }
    settle(row, done, error).await
}

async fn send(
    row: &[(NodeIndex, Box<Job>, Planned)],
    effects: &[Effect],
    call: &Call,
) -> (Vec<Done>, Option<ConnectError>) {
    let first = &row[0].1;
    let under_way = || row.iter().for_each(|(_, job, _)| job.faults.reach(Point::MidEffect, &job.unit));
    let mut sending = first.world.perform_all(&first.target, effects, call);
    if let Poll::Ready(done) = futures::poll!(&mut sending) {
        under_way();
        return done;
    }
    under_way();
    match tokio::time::timeout(call.left() + GRACE, sending).await {
        Ok(done) => done,
        Err(_) => (Vec::new(), Some(ConnectError::lost(format!("no answer within {}", human(first.timeout))))),
    }
}

async fn settle(
    row: Vec<(NodeIndex, Box<Job>, Planned)>,
    done: Vec<Done>,
    error: Option<ConnectError>,
) -> Vec<(NodeIndex, Ended)> {
    let mut done = done.into_iter();
    let mut ended: Vec<(NodeIndex, Ended)> = Vec::new();
    // The first one that did not end well: those behind it were not sent, or must not be sent again.
    // Where it is not known whether it took effect, nothing is known of them either.
    let mut bad: Option<(UnitRef, bool)> = None;
    for (node, job, planned) in row {
        let mine: Vec<Done> = done.by_ref().take(planned.effects.len()).collect();
        let end = match (&bad, mine.len() == planned.effects.len(), error.clone()) {
            (Some((_, true)), ..) => job.in_doubt(planned),
            (Some((needs, false)), ..) => {
                job.acted.store(false, Ordering::SeqCst);
                job.not_sent(needs)
            }
            (None, true, _) => job.sent(planned, mine),
            (None, false, Some(error @ ConnectError::Lost { .. })) => job.lost(planned, &error).await,
            (None, false, error) => {
                let error = error.unwrap_or_else(|| ConnectError::lost("it gave no answer"));
                job.refused(planned, mine, &error)
            }
        };
        if !matches!(end.result, Ending::Same { .. } | Ending::Changed) && bad.is_none() {
            bad = Some((job.unit.clone(), matches!(end.result, Ending::Unknown(_))));
        }
        ended.push((node, end));
    }
    ended
}

/// How much of a message an effect takes, about.
fn size(effect: &Effect) -> usize {
    match effect {
        Effect::Host(host::Effect::WriteFile(file)) => file.content.as_slice().len(),
        _ => 0,
    }
}

/// Most effects of a unit that is sent together with others.
const EFFECTS: usize = 8;

/// A job whose changes are sent together with those of others.
impl Job {
    /// What it will do, if that is known, soon done, and its probes tell afterwards whether it was.
    fn planned(&self) -> Option<Planned> {
        // What follows a failure that is ignored must still be done.
        if self.guard.is_some()
            || self.retry.times > 0
            || self.ignores_errors
            || self.action.cut_off().is_some()
            || self.faults.meddles(&self.unit)
        {
            return None;
        }
        let judge = |facts: &[Fact]| match self.action.verdict(facts) {
            Verdict::Change(diff) => Some((facts.to_vec(), diff)),
            _ => None,
        };
        let (facts, diff) = self.ahead.judge(self.host()?, &self.unit, &self.action.probes(), judge)?;
        let (mut effects, mut done) = (Vec::new(), Vec::new());
        while effects.len() < EFFECTS {
            let Some(effect) = self.action.next(&facts, &done).ok()? else {
                return (!effects.is_empty()).then_some(Planned { facts, diff, effects });
            };
            done.push(answer_of(&effect)?);
            effects.push(effect);
        }
        None
    }

    /// Its answer is used.
    fn take_answer(&self) {
        self.host().and_then(|host| self.ahead.take(host, &self.unit, &self.action.probes()));
    }

    fn attempt_of(&self, planned: Planned, done: Vec<Done>) -> Attempt<'_> {
        Attempt { done, ..self.go(planned.diff, planned.facts) }
    }

    /// All of it was done.
    fn sent(&self, planned: Planned, done: Vec<Done>) -> Ended {
        let run = self.attempt_of(planned, done);
        let result = match self.action.next(&run.facts, &run.done) {
            Ok(None) => Ending::Changed,
            Ok(Some(_)) => Ending::Failed(run.after_partial(Problem::new("it wants more changes than it foresaw"))),
            Err(problem) => Ending::Failed(run.after_partial(problem)),
        };
        self.ended(result, run)
    }

    /// One of its effects was refused.
    fn refused(&self, planned: Planned, done: Vec<Done>, error: &ConnectError) -> Ended {
        let run = self.attempt_of(planned, done);
        let result = Ending::Failed(run.after_partial(error.clone().problem()));
        self.ended(result, run)
    }

    /// The connection broke, and it may have been done: looks, and does what is left.
    async fn lost(&self, planned: Planned, error: &ConnectError) -> Ended {
        let mut run = self.attempt_of(planned, Vec::new());
        let result = match run.recover(&error.to_string()).await {
            Some(Verdict::Same { .. }) => Ending::Changed,
            Some(Verdict::Change(_)) => {
                run.call = self.call();
                run.change().await
            }
            _ => Ending::Unknown(error.clone().problem()),
        };
        self.ended(result, run)
    }

    /// Whether it was done is not known, nor whether what it stands on was.
    fn in_doubt(&self, planned: Planned) -> Ended {
        let problem = Problem::new("the connection broke while this and what it stands on was under way");
        self.ended(Ending::Unknown(problem), self.attempt_of(planned, Vec::new()))
    }

    /// It was not done, since one before it did not end well.
    fn not_sent(&self, needs: &UnitRef) -> Ended {
        self.ended(Ending::NotSent { needs: needs.to_string() }, self.go(Diff::default(), Vec::new()))
    }
}

/// What an effect answers when it has worked; `None` when that is not known before.
fn answer_of(effect: &Effect) -> Option<Done> {
    match effect {
        Effect::Host(effect) if effect.is_plain() => Some(Done::Host(host::Done::new(0, "", ""))),
        Effect::Vault(vault::Effect::Write { .. }) => Some(Done::Vault(vault::Done::Written(vault::Data::default()))),
        _ => None,
    }
}
