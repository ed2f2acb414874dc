//! What is known of a host ahead of time: the first step of a row that asks its host asks for those behind it too, so
//! that a host where nothing is to be done is done after one round trip.
//!
//! An answer serves the unit that it was asked for, once, and only if no effect on the host could have changed it since.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use petgraph::graph::NodeIndex;

use super::dispatcher::State;
use crate::connect::{Effect, Fact, Probe, vault};
use crate::event::{Standing, UnitRef};
use crate::graph::{Node, Unit};
use crate::inventory::Connection;
use crate::journal::Recorded;
use crate::plan::{Part, Step};

/// What a unit will ask.
pub type Question = (UnitRef, Vec<Probe>);

/// Answers that came ahead of time, by host.
#[derive(Clone, Default)]
pub struct Ahead(Arc<Mutex<HashMap<String, Host>>>);

#[derive(Default)]
struct Host {
    answers: HashMap<UnitRef, (Vec<Probe>, Vec<Fact>)>,
    /// Effects under way.
    changing: HashMap<u64, Effect>,
    /// Looks under way, with the effects that were at work at any time since they began.
    looking: HashMap<u64, Vec<Effect>>,
    next: u64,
}

impl Host {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Ahead {
    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Host) -> T) -> T {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(hosts.entry(name.to_owned()).or_default())
    }

    /// Whether there is an answer for a unit.
    pub fn knows(&self, host: &str, unit: &UnitRef) -> bool {
        self.with(host, |host| host.answers.contains_key(unit))
    }

    /// The answer for a unit, if there is one to these very questions.
    pub fn take(&self, host: &str, unit: &UnitRef, probes: &[Probe]) -> Option<Vec<Fact>> {
        let (asked, facts) = self.with(host, |host| host.answers.remove(unit))?;
        (asked == probes).then_some(facts)
    }

    /// What `judge` makes of the answer; it stays.
    pub fn judge<T>(
        &self,
        host: &str,
        unit: &UnitRef,
        probes: &[Probe],
        judge: impl FnOnce(&[Fact]) -> Option<T>,
    ) -> Option<T> {
        self.with(host, |host| host.answers.get(unit).filter(|(asked, _)| asked == probes).and_then(|(_, f)| judge(f)))
    }

    /// The same if `judge` makes something of it; else it stays.
    pub fn take_if<T>(
        &self,
        host: &str,
        unit: &UnitRef,
        probes: &[Probe],
        judge: impl FnOnce(&[Fact]) -> Option<T>,
    ) -> Option<(Vec<Fact>, T)> {
        self.with(host, |host| {
            let (asked, facts) = host.answers.get(unit)?;
            let judged = (asked == probes).then(|| judge(facts)).flatten()?;
            host.answers.remove(unit).map(|(_, facts)| (facts, judged))
        })
    }

    /// A look begins.
    pub fn look(&self, host: &str) -> Look {
        let number = self.with(host, |host| {
            let number = host.number();
            host.looking.insert(number, host.changing.values().cloned().collect());
            number
        });
        Look { ahead: self.clone(), host: host.to_owned(), number }
    }

    /// An effect begins; it ends when what is returned is dropped.
    pub fn change(&self, host: &str, effect: &Effect) -> Change {
        let number = self.with(host, |host| {
            let number = host.number();
            host.changing.insert(number, effect.clone());
            host.looking.values_mut().for_each(|effects| effects.push(effect.clone()));
            host.answers.retain(|_, (probes, _)| !probes.iter().any(|probe| touches(effect, probe)));
            number
        });
        Change { ahead: self.clone(), host: host.to_owned(), number }
    }
}

/// A look that is under way.
pub struct Look {
    ahead: Ahead,
    host: String,
    number: u64,
}

impl Look {
    /// It has brought these answers.
    pub fn brought(self, answers: Vec<(Question, Vec<Fact>)>) {
        self.ahead.with(&self.host, |host| {
            let effects = host.looking.get(&self.number).cloned().unwrap_or_default();
            for ((unit, probes), facts) in answers {
                if !probes.iter().any(|probe| effects.iter().any(|effect| touches(effect, probe))) {
                    host.answers.insert(unit, (probes, facts));
                }
            }
        });
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.ahead.with(&self.host, |host| host.looking.remove(&self.number));
    }
}

/// An effect that is under way.
pub struct Change {
    ahead: Ahead,
    host: String,
    number: u64,
}

impl Drop for Change {
    fn drop(&mut self) {
        self.ahead.with(&self.host, |host| host.changing.remove(&self.number));
    }
}

/// Units behind one that are asked for with it, at most.
const UNITS: usize = 64;

impl State {
    /// What the units behind one will ask of its host, as far as that can be known now: those that wait for nothing but it
    /// and others of the same host, whose effects are seen to here.
    pub(super) fn questions_behind(&mut self, node: NodeIndex, unit: &Unit, reference: &UnitRef) -> Vec<Question> {
        let Some(host) = unit.machine.clone() else { return Vec::new() };
        if self.ahead.knows(&host.name, reference) {
            return Vec::new();
        }
        let step = unit.step(&self.plan);
        let r#become = step.r#become;
        let mut row = HashSet::from([node]);
        let mut names = HashSet::from([step.template_name()]);
        let mut writes = self.values.writes_files(step);
        let mut questions = Vec::new();
        let mut next: VecDeque<NodeIndex> = self.graph.successors(node).collect();
        while let Some(node) = next.pop_front()
            && questions.len() < UNITS
        {
            let waits = |before: NodeIndex| self.waiting.contains_key(&before) && !row.contains(&before);
            if row.contains(&node) || self.graph.predecessors(node).any(waits) {
                continue;
            }
            match self.graph.node(node).clone() {
                Node::Begin(phase) if self.plan.phases[phase].when.is_some() => continue,
                Node::Gate => continue,
                Node::Begin(_) | Node::End(_) | Node::Join => {}
                Node::Unit(behind) if behind.machine.as_ref().is_none_or(|h| h.name != host.name) => continue,
                Node::Unit(behind) => {
                    let step = behind.step(&self.plan).clone();
                    // What it reads may yet be written by a step before it.
                    let reads = writes && self.values.names_files(&step);
                    writes |= self.values.writes_files(&step);
                    if step.part == Part::Step && step.r#become == r#become && !reads {
                        questions.extend(self.question(node, &behind, &step, &names));
                    }
                    names.insert(step.template_name());
                }
            }
            row.insert(node);
            next.extend(self.graph.successors(node));
        }
        questions
    }

    /// What a unit will ask; nothing when that depends on units in `names`, or it will not run.
    fn question(&mut self, node: NodeIndex, unit: &Unit, step: &Step, names: &HashSet<String>) -> Option<Question> {
        // What its host puts back by itself could move what was answered ahead.
        if step.guard.is_some() {
            return None;
        }
        let taken = self.options.takes_phase(&self.plan.phases[unit.phase].name.value) && self.options.takes_step(step);
        let reads = self.values.reads(step);
        if !taken || reads.iter().any(|name| names.contains(name)) {
            return None;
        }
        let (action, definition) = match self.prepared.get(&node) {
            Some(prepared) => prepared.clone(),
            None => self.rendered(unit, step, &reads).ok()?,
        };
        // Steps of this machine may yet make the files that it is rendered from.
        if unit.machine.as_ref().is_some_and(|host| host.connection != Connection::Local) {
            self.prepared.insert(node, (action.clone(), definition.clone()));
        }
        let reference = unit.reference(&self.plan);
        let kept = |r: &Recorded| r.standing == Standing::Succeeded && r.definition == definition;
        let probes = action.probes();
        (!probes.is_empty() && !self.memory.get(&reference).is_some_and(kept)).then_some((reference, probes))
    }
}

/// What is not about the host is not known ahead.
pub fn touches(effect: &Effect, probe: &Probe) -> bool {
    match (effect, probe) {
        (Effect::Host(effect), Probe::Host(probe)) => effect.touches(probe),
        (Effect::Fetch(fetch), Probe::Host(probe) | Probe::Controller(probe)) => fetch.touches(probe),
        // Only simulated hosts hold such values.
        (Effect::Vault(vault::Effect::Write { path, .. }), Probe::Vault(vault::Probe::Read { path: seen })) => {
            path == seen
        }
        _ => true,
    }
}
