//! How many hosts may fail (`max_failures`) before a step or a phase is given up, and what becomes of those that failed.

use std::collections::{BTreeMap, BTreeSet};

use super::dispatcher::State;
use crate::event::{Outcome, Problem};
use crate::graph::{Graph, Unit};
use crate::plan::{Part, Plan, Portion};

/// What a limit is of: a phase, or one of its steps.
type Of = (usize, Option<usize>);

/// The limits of a plan, and how near they are.
#[derive(Debug, Default)]
pub(super) struct Limits(BTreeMap<Of, Limit>);

#[derive(Debug)]
struct Limit {
    /// As in the plan.
    most: Portion,
    /// All hosts that it is about.
    hosts: BTreeSet<String>,
    /// Of these, the ones where something was started.
    begun: BTreeSet<String>,
    failed: BTreeSet<String>,
}

impl Limit {
    fn new(most: Portion) -> Self {
        Self { most, hosts: BTreeSet::new(), begun: BTreeSet::new(), failed: BTreeSet::new() }
    }

    /// Nothing is left of a whole of which all hosts failed.
    fn is_exceeded(&self) -> bool {
        let (failed, all) = (self.failed.len(), self.hosts.len());
        failed > self.most.at_most_of(all) || failed == all
    }

    fn tally(&self) -> String {
        let hosts = if self.hosts.len() == 1 { "host" } else { "hosts" };
        format!("{} of {} {hosts} failed", self.failed.len(), self.hosts.len())
    }
}

impl Limits {
    pub(super) fn new(plan: &Plan, graph: &Graph) -> Self {
        let mut limits: BTreeMap<Of, Limit> = BTreeMap::new();
        for unit in graph.units() {
            let (phase, step) = (&plan.phases[unit.phase], unit.step(plan));
            let Some(host) = unit.host.as_ref().filter(|_| step.part == Part::Step) else { continue };
            let paces = [((unit.phase, None), &phase.pace), ((unit.phase, Some(unit.step)), &step.pace)];
            for (of, pace) in paces {
                let Some(most) = &pace.max_failures else { continue };
                limits.entry(of).or_insert_with(|| Limit::new(most.value)).hosts.insert(host.name.clone());
            }
        }
        Self(limits)
    }

    /// The limits that a unit counts for.
    fn of(unit: &Unit) -> [Of; 2] {
        [(unit.phase, None), (unit.phase, Some(unit.step))]
    }

    /// Something of a unit is about to be done, or is done.
    pub(super) fn begin(&mut self, unit: &Unit) {
        let Some(host) = unit.host.as_ref() else { return };
        for of in Self::of(unit) {
            self.0.get_mut(&of).map(|limit| limit.begun.insert(host.name.clone()));
        }
    }

    /// Why a unit may not start: a limit is exceeded, and its host has not begun.
    pub(super) fn halts(&self, unit: &Unit) -> Option<String> {
        let host = unit.host.as_ref()?;
        let mut limits = Self::of(unit).into_iter().filter_map(|of| self.0.get(&of));
        let exceeded = limits.find(|limit| limit.is_exceeded() && !limit.begun.contains(&host.name))?;
        Some(format!("fewer failures: {}, more than max_failures = {}", exceeded.tally(), exceeded.most))
    }

    /// Takes in that a unit failed; whether the others go on without its host, and if so, how that is told.
    fn allow(&mut self, unit: &Unit) -> Option<String> {
        let host = unit.host.as_ref()?;
        let mut told = None;
        let mut exceeded = false;
        for of in Self::of(unit) {
            let Some(limit) = self.0.get_mut(&of).filter(|limit| limit.hosts.contains(&host.name)) else { continue };
            limit.failed.insert(host.name.clone());
            exceeded |= limit.is_exceeded();
            told = Some(format!("{}, and max_failures = {} lets the others go on", limit.tally(), limit.most));
        }
        told.filter(|_| !exceeded).map(|told| format!("{told}; {} takes no further part", host.name))
    }
}

impl State {
    /// The host that the others go on without, if a unit's outcome is a failure that is allowed; it is told so.
    pub(super) fn goes_on_without(&mut self, unit: &Unit, outcome: &mut Outcome) -> Option<String> {
        let (Outcome::Failed(problem) | Outcome::Unknown(problem)) = outcome else { return None };
        if unit.step(&self.plan).part == Part::OnFailure {
            return None;
        }
        let told = self.limits.allow(unit)?;
        problem.hint = Some(problem.hint.take().map_or_else(|| told.clone(), |hint| format!("{hint}\n{told}")));
        unit.host.as_ref().map(|host| host.name.clone())
    }

    /// A problem that may come from a step's outputs not being there, since it did not end well.
    pub(super) fn lacking(&self, reads: &BTreeSet<String>, problem: Problem) -> Problem {
        let is_it = |name: &&String| problem.message.contains(&format!("`steps.{name}"));
        let Some(who) = reads.iter().find(is_it).and_then(|name| self.lacking.get(name)) else { return problem };
        problem.hint(format!(
            "{who} failed, so its outputs are not there; say what to do then: `when = \"steps.ID.OUTPUT is defined\"`, or \
             `{{{{ steps.ID.OUTPUT | default('…') }}}}`"
        ))
    }
}
