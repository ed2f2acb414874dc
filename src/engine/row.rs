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
use super::executor::{Ended, Ending, GRACE, Job, Planned, human};
use super::faults::Point;
use super::turn::Turn;
use crate::connect::{Call, ConnectError, Done, Effect};
use crate::event::{Mode, UnitRef};
use crate::graph::{Node, Unit};
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
            let same_host = behind.host.as_ref().map(|h| &h.name) == unit.host.as_ref().map(|h| &h.name);
            let step = behind.step(&self.plan);
            let alike = same_host && step.r#become == job.target.r#become;
            let known = |host: &str| self.ahead.knows(host, &behind.reference(&self.plan));
            if !alike || step.part != Part::Step || !job.host().is_some_and(known) {
                continue;
            }
            let Some(member) = self.member(node, behind, &effects, &job.unit) else { continue };
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
    fn member(&mut self, node: NodeIndex, unit: Unit, effects: &[Effect], first: &UnitRef) -> Option<Member> {
        let reference = unit.reference(&self.plan);
        self.marks.entry(node).or_default().touch(NOW, first);
        let Turn::Runs { job, definition, why } = self.turn(node, &unit, &reference) else { return None };
        let planned = job.planned()?;
        let bears = |effect: &Effect| job.action.probes().iter().any(|probe| touches(effect, probe));
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
        Effect::Host(crate::connect::host::Effect::WriteFile(file)) => file.content.as_slice().len(),
        _ => 0,
    }
}
