//! Which units join a row, and what is known of them. Pure.

use std::collections::{HashSet, VecDeque};

use petgraph::graph::NodeIndex;

use crate::actions::{Boxed, Verdict};
use crate::connect::{Done, Effect, Fact, Probe, host, vault};
use crate::engine::admission::{Admission, admit};
use crate::engine::ahead::{leaves, touches};
use crate::engine::dispatcher::Dispatcher;
use crate::engine::executor::{Job, Planned};
use crate::event::{Mode, UnitRef};
use crate::graph::{Node, Unit};
use crate::inventory::Connection;
use crate::journal::NOW;
use crate::plan::Part;

/// Units that are sent together, at most.
const UNITS: usize = 32;

/// Bytes of effects that are sent together, at most.
const BYTES: usize = 256 * 1024;

/// Most effects of a unit that is sent together with others.
const EFFECTS: usize = 8;

/// A unit of a row that has not begun.
pub struct Member {
    pub node: NodeIndex,
    pub unit: Unit,
    pub reference: UnitRef,
    pub definition: String,
    pub why: Option<String>,
    pub job: Box<Job>,
    pub planned: Planned,
}

impl Dispatcher {
    /// The row that begins with a unit whose turn has come; `None` when it is better sent alone.
    pub fn row(&mut self, node: NodeIndex, unit: &Unit, job: &Job) -> Option<(Planned, Vec<Member>)> {
        if self.run.mode != Mode::Run || self.state.approved.is_some() {
            return None;
        }
        let first = job.planned(&[]).filter(|planned| !planned.is_last)?;
        let is_local = unit.machine.as_ref().is_some_and(|host| host.connection == Connection::Local);
        let mut effects: Vec<Effect> = first.effects.clone();
        let mut nodes = HashSet::from([node]);
        let mut members = Vec::new();
        let mut next: VecDeque<NodeIndex> = self.run.graph.successors(node).collect();
        while let Some(node) = next.pop_front()
            && members.len() + 1 < UNITS
        {
            let waits = |before: NodeIndex| self.state.scheduler.unmet(before).is_some() && !nodes.contains(&before);
            let Node::Unit(behind) = self.run.graph.node(node).clone() else { continue };
            if nodes.contains(&node) || self.run.graph.predecessors(node).any(waits) {
                continue;
            }
            let same_host = behind.machine.as_ref().map(|h| &h.name) == unit.machine.as_ref().map(|h| &h.name);
            let step = behind.step(&self.run.plan);
            let alike = same_host && step.r#become == job.target.r#become;
            let known = |host: &str| self.ahead.knows(host, &behind.reference(&self.run.plan));
            // A step of this machine may make the file that one behind it is rendered from.
            let alike = alike && !(is_local && self.state.renderer.reads_files(step));
            if !alike || step.part != Part::Step || !job.host().is_some_and(known) {
                continue;
            }
            let upstream = self.state.upstream.entry(node);
            match nodes.iter().all(|before| self.run.graph.same_loop(*before, node)) {
                true => upstream.changed_in_loop(NOW, &job.unit),
                false => upstream.changed(NOW, &job.unit),
            }
            let Some(member) = self.member(node, behind, &effects, &nodes) else { continue };
            effects.extend(member.planned.effects.iter().cloned());
            if effects.iter().map(size).sum::<usize>() > BYTES {
                break;
            }
            nodes.insert(node);
            let is_last = member.planned.is_last;
            members.push(member);
            if is_last {
                break;
            }
            next.extend(self.run.graph.successors(node));
        }
        if members.is_empty() {
            return None;
        }
        job.take_answer();
        members.iter().for_each(|member| member.job.take_answer());
        Some((first, members))
    }

    /// A unit that can be sent behind `effects`.
    fn member(&mut self, node: NodeIndex, unit: Unit, effects: &[Effect], row: &HashSet<NodeIndex>) -> Option<Member> {
        let reference = unit.reference(&self.run.plan);
        let admission = admit(&self.run, &mut self.state, &self.in_flight, node, &unit, &reference, row);
        let Admission::Start(admitted) = admission else { return None };
        let (definition, why) = (admitted.definition.clone(), admitted.why.clone());
        let job = self.job(&unit, &reference, admitted);
        let planned = job.planned(effects)?;
        Some(Member { node, unit, reference, definition, why, job, planned })
    }
}

/// A job whose changes are sent together with those of others.
impl Job {
    /// What it will do behind `before`, if its verdict is a change, its effects are known, and its host can see whether the
    /// verdict still stands then.
    pub fn planned(&self, before: &[Effect]) -> Option<Planned> {
        // What follows a failure that is ignored must still be done.
        if self.guard.is_some()
            || self.retry.times > 0
            || self.ignores_errors
            || self.action.cut_off().is_some()
            || self.faults.meddles(&self.unit)
        {
            return None;
        }
        let probes = self.action.probes();
        let Expected { facts, compared: expects } =
            self.ahead.judge(self.host()?, &self.unit, &probes, |facts| expected(before, &probes, facts))?;
        let Verdict::Change(diff) = self.action.verdict(&facts) else { return None };
        let (mut effects, mut done) = (Vec::new(), Vec::new());
        while effects.len() < EFFECTS {
            let Some(effect) = self.action.next(&facts, &done).ok()? else {
                let stays = !effects.is_empty() && self.action.away(&facts).is_none();
                // What looks once more is looked at before anything else is done.
                let is_last = self.action.looks_after();
                return stays.then_some(Planned { facts, diff, effects, is_last, expects });
            };
            let answer = answer_of(&self.action, &effect);
            let takes_time = matches!(&effect, Effect::Host(host::Effect::Run(run)) if !host::is_fed_apart(run));
            effects.push(effect);
            match answer {
                Some(answer) => done.push(answer),
                None if takes_time && effects.len() == 1 && self.action.away(&facts).is_none() => {
                    return Some(Planned { facts, diff, effects, is_last: true, expects });
                }
                None => return None,
            }
        }
        None
    }

    /// Its answer is used.
    pub fn take_answer(&self) {
        self.host().and_then(|host| self.ahead.take(host, &self.unit, &self.action.probes()));
    }
}

/// Whether a unit whose command is likely to run may be one of a row, so that what comes behind it may too.
pub fn joins(action: &Boxed) -> bool {
    let comparable = |probe: &Probe| matches!(probe, Probe::Host(host::Probe::Run(_) | host::Probe::File { .. }));
    action.cut_off().is_none() && !action.only_looks() && action.probes().iter().all(comparable)
}

/// What is known of a unit's answers behind effects.
struct Expected {
    /// What they will be.
    facts: Vec<Fact>,
    /// Those that its host must compare then.
    compared: Vec<(Probe, Fact)>,
}

/// `None` when it is not known what the answers will be, or their host cannot compare them.
fn expected(before: &[Effect], probes: &[Probe], facts: &[Fact]) -> Option<Expected> {
    let mut expected = Expected { facts: Vec::new(), compared: Vec::new() };
    for (probe, fact) in probes.iter().zip(facts) {
        let (mut fact, mut is_sure) = (fact.clone(), true);
        for effect in before.iter().filter(|effect| touches(effect, probe)) {
            match leaves(effect, probe, &fact) {
                Some(known) => fact = known,
                None if perhaps(effect, probe) => is_sure = false,
                None => return None,
            }
        }
        if !is_sure {
            if !is_comparable(probe, &fact) {
                return None;
            }
            expected.compared.push((probe.clone(), fact.clone()));
        }
        expected.facts.push(fact);
    }
    Some(expected)
}

/// Whether only running it can tell if an effect moves an answer.
fn perhaps(effect: &Effect, probe: &Probe) -> bool {
    matches!(effect, Effect::Host(host::Effect::Run(_))) || matches!(probe, Probe::Host(host::Probe::Run(_)))
}

fn is_comparable(probe: &Probe, fact: &Fact) -> bool {
    match (probe, fact) {
        (Probe::Host(probe), Fact::Host(fact)) => host::is_comparable(probe, fact),
        // Only simulated hosts hold such values.
        (Probe::Vault(vault::Probe::Read { .. }), Fact::Vault(_)) => true,
        _ => false,
    }
}

/// How much of a message an effect takes, about.
fn size(effect: &Effect) -> usize {
    match effect {
        Effect::Host(host::Effect::WriteFile(file)) => file.content.as_slice().len(),
        Effect::Host(host::Effect::Run(run)) => run.stdin.as_slice().len(),
        _ => 0,
    }
}

/// What an effect answers when it has worked, soon; `None` when that is not known before.
fn answer_of(action: &Boxed, effect: &Effect) -> Option<Done> {
    match effect {
        Effect::Host(host::Effect::Run(run)) if action.is_quick() && !host::is_fed_apart(run) => {
            Some(Done::Host(host::Done::new(0, "", "")))
        }
        Effect::Host(effect) if effect.is_plain() => Some(Done::Host(host::Done::new(0, "", ""))),
        Effect::Vault(vault::Effect::Write { .. }) => Some(Done::Vault(vault::Done::Written(vault::Data::default()))),
        _ => None,
    }
}
