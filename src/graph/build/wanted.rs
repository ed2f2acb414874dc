//! What each step of a phase waits for, before there is a graph. Pure.

use std::collections::BTreeSet;

use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};

use super::phase::{Build, no_such, pattern};
use crate::graph::GraphError;
use crate::plan::{Phase, StepKind};

/// A step that another one waits for.
pub(super) struct Wanted {
    pub step: usize,
    /// Whether for all of it on every host.
    pub whole: bool,
    /// Whether both run on the same hosts: what the batches before this one did of it, the gate waits for.
    pub alongside: bool,
}

impl Build<'_> {
    /// The earlier steps that a step must be tied to: those that it needs, and of those behind them the ones of which
    /// it needs a part that the steps between do not wait for, since they run on other hosts.
    pub(super) fn wanted(&self, number: usize) -> Vec<Wanted> {
        let (direct, reach) = (&self.order[number], &self.reach);
        let behind = reach[number].iter().copied().filter(|n| !direct.contains(n));
        let implied = |earlier: usize| {
            let between = direct.iter().copied().filter(|n| reach[*n].contains(&earlier));
            !self.looks_across_hosts(earlier, number)
                && between.into_iter().any(|between| self.implies(number, between, earlier))
        };
        let behind: Vec<usize> = behind.filter(|earlier| !implied(*earlier)).collect();
        let wanted = |step| {
            let whole = self.looks_across_hosts(step, number);
            Wanted { step, whole, alongside: !whole && self.go_alongside(step, number) }
        };
        direct.iter().copied().chain(behind).map(wanted).collect()
    }

    /// Whether every unit of a step that waits for its part of the step between has thereby waited for its part of the
    /// earlier step.
    fn implies(&self, number: usize, between: usize, earlier: usize) -> bool {
        // With batches, the step between may run on hosts whose turn comes before that of the earlier step's.
        if self.phase.pace.serial.is_some() {
            return self.go_alongside(number, between);
        }
        if self.alike[number] == self.alike[between] {
            return true;
        }
        let [mine, theirs, first] = [number, between, earlier].map(|step| self.names(step));
        let part = |host: Option<&str>, of: &BTreeSet<&str>| match host {
            Some(host) if of.contains(host) => BTreeSet::from([host.to_owned()]),
            _ => of.iter().map(|h| (*h).to_owned()).collect(),
        };
        let covered = |host: Option<&str>| {
            let waits = part(host, &theirs);
            let reached = match waits.is_empty() {
                true => part(None, &first),
                false => waits.iter().flat_map(|h| part(Some(h), &first)).collect(),
            };
            part(host, &first).is_subset(&reached)
        };
        if mine.is_empty() { covered(None) } else { mine.iter().all(|host| covered(Some(host))) }
    }

    /// Whether two steps run on the same hosts, and thus in the same batches.
    fn go_alongside(&self, one: usize, other: usize) -> bool {
        pattern(&self.phase.steps[one]) == pattern(&self.phase.steps[other]) && self.alike[one] == self.alike[other]
    }

    /// The hosts of a step; none when it runs on none, or once.
    pub(super) fn names(&self, number: usize) -> BTreeSet<&str> {
        self.steps[number].hosts().map(|host| host.name.as_str()).collect()
    }

    /// Whether a step reads the outputs of another one on other hosts (`steps.id.hosts[...]`), so that all must be done.
    fn looks_across_hosts(&self, before: usize, after: usize) -> bool {
        let mark = format!("{}.hosts", self.phase.steps[before].template_name());
        let step = &self.phase.steps[after];
        let when = step.when.iter().any(|w| w.value.contains(&mark));
        when || serde_json::to_string(&step.params).is_ok_and(|text| text.contains(&mark))
    }
}

/// The phase's steps, each after those that it needs.
pub(super) fn sorted(phase: &Phase, order: &[Vec<usize>]) -> Result<Vec<usize>, GraphError> {
    let mut dag = DiGraph::<usize, ()>::new();
    let nodes: Vec<NodeIndex> = phase.steps_of(StepKind::Step).map(|(n, _)| dag.add_node(n)).collect();
    for (to, node) in nodes.iter().enumerate() {
        for from in &order[to] {
            dag.add_edge(nodes[*from], *node, ());
        }
    }
    let sorted = toposort(&dag, None).map_err(|_| GraphError::Cycle)?;
    Ok(sorted.into_iter().map(|n| dag[n]).collect())
}

/// For each step all that it comes after.
pub(super) fn reach(phase: &Phase, order: &[Vec<usize>]) -> Result<Vec<BTreeSet<usize>>, GraphError> {
    let mut reach = vec![BTreeSet::new(); order.len()];
    for number in sorted(phase, order)? {
        let mine = order[number].iter().flat_map(|n| reach[*n].iter().copied().chain([*n])).collect();
        reach[number] = mine;
    }
    Ok(reach)
}

/// All `needs` of a phase's steps name steps of it; static checks say it better.
pub(super) fn known_needs(phase: &Phase) -> Result<(), GraphError> {
    for (_, step) in phase.steps_of(StepKind::Step) {
        for need in step.needs.iter().flatten() {
            if !phase.steps_of(StepKind::Step).any(|(_, s)| s.id.value == need.value) {
                return Err(no_such(&step.id.value, &need.value));
            }
        }
    }
    Ok(())
}
