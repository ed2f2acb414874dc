//! What is known of a host ahead of time: the first step of a row that asks its host asks for those behind it too, so
//! that a host where nothing is to be done is done after one round trip. A change is followed, in its own trip, by the
//! questions of the steps behind it whose answers it may have changed.
//!
//! An answer serves the unit that it was asked for, once, and only if no effect on the host could have changed it since.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use petgraph::graph::NodeIndex;

use super::dispatcher::Dispatcher;
use super::row::joins;
use super::state::renderer::Rendered;
use crate::actions::{Boxed, Verdict};
use crate::connect::{Effect, Fact, Probe, host, vault};
use crate::event::UnitRef;
use crate::graph::{Node, Unit};
use crate::plan::{Part, Step};

/// What a unit will ask.
pub type Question = (UnitRef, Vec<Probe>);

/// Answers that came ahead of time, by host.
#[derive(Clone, Default)]
pub struct Ahead(Arc<Mutex<HashMap<String, Host>>>);

#[derive(Default)]
struct Host {
    answers: HashMap<UnitRef, Answer>,
    /// Effects under way.
    changing: HashMap<u64, Effect>,
    /// Looks under way, with the effects that were at work at any time since they began.
    looking: HashMap<u64, Vec<Effect>>,
    next: u64,
}

struct Answer {
    probes: Vec<Probe>,
    facts: Vec<Fact>,
    /// An effect may have changed it since.
    stale: bool,
}

impl Host {
    /// The answer for a unit to these very questions.
    fn fresh(&self, unit: &UnitRef, probes: &[Probe]) -> Option<&Answer> {
        self.answers.get(unit).filter(|answer| !answer.stale && answer.probes == probes)
    }

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
        self.with(host, |host| host.answers.get(unit).is_some_and(|answer| !answer.stale))
    }

    /// The answer for a unit, if there is one to these very questions.
    pub fn take(&self, host: &str, unit: &UnitRef, probes: &[Probe]) -> Option<Vec<Fact>> {
        let answer = self.with(host, |host| host.answers.remove(unit))?;
        (!answer.stale && answer.probes == probes).then_some(answer.facts)
    }

    /// Whether `judge` says so of the last answer for a unit, even if it may be another one by now.
    pub fn judge_last(&self, host: &str, unit: &UnitRef, judge: impl FnOnce(&[Fact]) -> bool) -> bool {
        self.with(host, |host| host.answers.get(unit).is_some_and(|answer| judge(&answer.facts)))
    }

    /// What `judge` makes of the answer; it stays.
    pub fn judge<T>(
        &self,
        host: &str,
        unit: &UnitRef,
        probes: &[Probe],
        judge: impl FnOnce(&[Fact]) -> Option<T>,
    ) -> Option<T> {
        self.with(host, |host| host.fresh(unit, probes).and_then(|answer| judge(&answer.facts)))
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
            let judged = host.fresh(unit, probes).and_then(|answer| judge(&answer.facts))?;
            host.answers.remove(unit).map(|answer| (answer.facts, judged))
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

    /// Effects begin; they end when what is returned first is dropped. What is returned second is a look that comes
    /// behind them.
    pub fn change(&self, host: &str, effects: &[Effect]) -> (Vec<Change>, Look) {
        let (numbers, look) = self.with(host, |host| {
            for effect in effects {
                host.looking.values_mut().for_each(|seen| seen.push(effect.clone()));
                for answer in host.answers.values_mut() {
                    answer.stale |= bear_upon(std::slice::from_ref(effect), &answer.probes);
                }
            }
            let look = host.number();
            host.looking.insert(look, host.changing.values().cloned().collect());
            let numbers: Vec<u64> = effects.iter().map(|_| host.number()).collect();
            host.changing.extend(numbers.iter().copied().zip(effects.iter().cloned()));
            (numbers, look)
        });
        let change = |number| Change { ahead: self.clone(), host: host.to_owned(), number };
        (numbers.into_iter().map(change).collect(), Look { ahead: self.clone(), host: host.to_owned(), number: look })
    }
}

/// A look that is under way.
pub struct Look {
    ahead: Ahead,
    host: String,
    number: u64,
}

impl Look {
    /// It has brought these facts, in the order of the questions.
    pub fn brought(self, questions: &[Question], facts: Vec<Fact>) {
        let mut facts = facts.into_iter();
        self.ahead.with(&self.host, |host| {
            let effects = host.looking.get(&self.number).cloned().unwrap_or_default();
            for (unit, probes) in questions {
                let facts = facts.by_ref().take(probes.len()).collect();
                let stale = bear_upon(&effects, probes);
                host.answers.insert(unit.clone(), Answer { probes: probes.clone(), facts, stale });
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

impl Dispatcher {
    /// What the units behind some of one host will ask, as far as that can be known now: those that wait for nothing but
    /// these and others of the same host, whose effects are seen to here. What is known and stays so after `effects` is not
    /// asked. Nor is what comes behind a command that is likely to run, since it would have to be asked again; but for what
    /// may be sent in a row with a quick one.
    pub(super) fn questions_behind(&mut self, nodes: &[NodeIndex], unit: &Unit, effects: &[Effect]) -> Vec<Question> {
        let Some(host) = unit.machine.clone() else { return Vec::new() };
        let plan = Arc::clone(&self.run.plan);
        let r#become = unit.step(&plan).r#become;
        let mut row: HashSet<NodeIndex> = nodes.iter().copied().collect();
        let steps = nodes.iter().filter_map(|node| match self.run.graph.node(*node) {
            Node::Unit(unit) => Some(unit.step(&plan)),
            _ => None,
        });
        let mut names: HashSet<String> = steps.clone().map(|step| step.template_name()).collect();
        let mut writes = steps.clone().any(|step| self.state.renderer.writes_files(step));
        let (mut questions, mut units, mut behind_command) = (Vec::new(), 0, false);
        let mut next: VecDeque<NodeIndex> = nodes.iter().flat_map(|node| self.run.graph.successors(*node)).collect();
        while let Some(node) = next.pop_front()
            && units < UNITS
        {
            let waits = |before: NodeIndex| self.state.scheduler.unmet(before).is_some() && !row.contains(&before);
            // The end of a phase needs the units of all hosts: too many to look at each of them.
            let more = self.state.scheduler.unmet(node).is_some_and(|needs| needs > row.len());
            if row.contains(&node) || more || self.run.graph.predecessors(node).any(waits) {
                continue;
            }
            match self.run.graph.node(node).clone() {
                Node::Begin(phase) if self.run.plan.phases[phase].when.is_some() => continue,
                Node::Gate => continue,
                Node::Begin(_) | Node::End(_) | Node::Join => {}
                Node::Unit(behind) if behind.machine.as_ref().is_none_or(|h| h.name != host.name) => continue,
                Node::Unit(behind) => {
                    let step = behind.step(&plan);
                    units += 1;
                    // What it reads may yet be written by a step before it.
                    let reads = writes && self.state.renderer.reads_files(step);
                    writes |= self.state.renderer.writes_files(step);
                    if step.part == Part::Step
                        && step.r#become == r#become
                        && !reads
                        && let Some((action, question)) = self.question(node, &behind, step, &names)
                        && !self.stays_known(&host.name, &question, effects)
                    {
                        let runs = self.ahead.judge_last(&host.name, &question.0, |facts| runs(&action, facts));
                        if behind_command && !joins(&action) {
                            break;
                        }
                        questions.push(question);
                        if runs && !(joins(&action) && action.is_quick()) {
                            break;
                        }
                        behind_command |= runs;
                    }
                    names.insert(step.template_name());
                }
            }
            row.insert(node);
            next.extend(self.run.graph.successors(node));
        }
        questions
    }

    fn stays_known(&self, host: &str, (unit, probes): &Question, effects: &[Effect]) -> bool {
        self.ahead.knows(host, unit) && !bear_upon(effects, probes)
    }

    /// What a unit will ask; nothing when that depends on units in `names`, or it will not run.
    fn question(
        &mut self,
        node: NodeIndex,
        unit: &Unit,
        step: &Step,
        names: &HashSet<String>,
    ) -> Option<(Boxed, Question)> {
        // What its host puts back by itself could move what was answered ahead.
        if step.guard.is_some() {
            return None;
        }
        let taken = self.run.options.takes_phase(&self.run.plan.phases[unit.phase].name.value)
            && self.run.options.takes_step(step);
        if !taken {
            return None;
        }
        let Rendered { action, definition } = self.state.renderer.prepare(&self.run, node, unit, names)?;
        let reference = unit.reference(&self.run.plan);
        let probes = action.probes();
        let asks = !probes.is_empty() && !self.state.resume.matches(&reference, &definition);
        asks.then_some((action, (reference, probes)))
    }
}

/// Whether an action will run a command, by what was last known.
fn runs(action: &Boxed, facts: &[Fact]) -> bool {
    matches!(action.verdict(facts), Verdict::Change(_))
        && matches!(action.next(facts, &[]), Ok(Some(Effect::Host(host::Effect::Run(_)))))
}

/// Whether any of the effects may change the answer to any of the questions.
fn bear_upon(effects: &[Effect], probes: &[Probe]) -> bool {
    probes.iter().any(|probe| effects.iter().any(|effect| touches(effect, probe)))
}

/// What is not about the host is not known ahead.
pub fn touches(effect: &Effect, probe: &Probe) -> bool {
    match (effect, probe) {
        (Effect::Host(effect), Probe::Host(probe)) => effect.touches(probe),
        (Effect::Expect(_), _) => false,
        (Effect::Fetch(fetch), Probe::Host(probe) | Probe::Controller(probe)) => fetch.touches(probe),
        // Only simulated hosts hold such values.
        (Effect::Vault(vault::Effect::Write { path, .. }), Probe::Vault(vault::Probe::Read { path: seen })) => {
            path == seen
        }
        _ => true,
    }
}

/// The answer that an effect leaves, when the one before it was `seen` and the other is sure; only of what is known ahead.
pub fn leaves(effect: &Effect, probe: &Probe, seen: &Fact) -> Option<Fact> {
    match (effect, probe, seen) {
        (Effect::Host(effect), Probe::Host(probe), Fact::Host(seen)) => effect.leaves(probe, seen).map(Fact::Host),
        // Only simulated hosts hold such values.
        (Effect::Vault(vault::Effect::Write { path, body }), Probe::Vault(vault::Probe::Read { path: read }), _)
            if path == read =>
        {
            Some(Fact::Vault(vault::Fact::Found { data: body.clone(), at: jiff::Timestamp::UNIX_EPOCH }))
        }
        _ => None,
    }
}
