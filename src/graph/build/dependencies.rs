//! Computes which earlier steps each step of a phase depends on, before any node exists. Pure functions over step
//! indices.

use std::collections::BTreeSet;

use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};

use super::phase::{Build, pattern, unknown_need};
use crate::graph::GraphError;
use crate::plan::{Phase, StepKind};

/// A step that another step waits for.
pub(super) struct Dependency {
    pub step: usize,
    /// Whether to wait for all hosts of the step, and not only for the waiting unit's own host.
    pub all_hosts: bool,
    /// Whether both steps run on the same hosts. In a batch, only the units of that batch matter then: the gate before
    /// the batch already waits for the earlier ones.
    pub same_hosts: bool,
}

impl Build<'_> {
    /// The earlier steps that need an edge to a step: its direct needs, and those transitive needs that the steps
    /// between do not cover because they run on other hosts.
    pub(super) fn dependencies(&self, number: usize) -> Vec<Dependency> {
        let (direct, transitive) = (&self.needs[number], &self.transitive_needs);
        let indirect = transitive[number].iter().copied().filter(|n| !direct.contains(n));
        let is_covered = |earlier: usize| {
            let between = direct.iter().copied().filter(|n| transitive[*n].contains(&earlier));
            !self.reads_other_hosts(earlier, number)
                && between.into_iter().any(|between| self.covers(number, between, earlier))
        };
        let indirect: Vec<usize> = indirect.filter(|earlier| !is_covered(*earlier)).collect();
        let dependency = |step| {
            let all_hosts = self.reads_other_hosts(step, number);
            Dependency { step, all_hosts, same_hosts: !all_hosts && self.run_on_same_hosts(step, number) }
        };
        direct.iter().copied().chain(indirect).map(dependency).collect()
    }

    /// Whether each unit of step `number` that waits for step `between` has thereby also waited for step `earlier` on
    /// its host.
    fn covers(&self, number: usize, between: usize, earlier: usize) -> bool {
        // With batches, step `between` may run in an earlier batch than step `earlier` does.
        if self.phase.pace.serial.is_some() {
            return self.run_on_same_hosts(number, between);
        }
        if self.host_groups[number] == self.host_groups[between] {
            return true;
        }
        let [own_hosts, between_hosts, earlier_hosts] = [number, between, earlier].map(|step| self.host_names(step));
        let hosts_of = |host: Option<&str>, of: &BTreeSet<&str>| match host {
            Some(host) if of.contains(host) => BTreeSet::from([host.to_owned()]),
            _ => of.iter().map(|h| (*h).to_owned()).collect(),
        };
        let covered = |host: Option<&str>| {
            let waits = hosts_of(host, &between_hosts);
            let reached = match waits.is_empty() {
                true => hosts_of(None, &earlier_hosts),
                false => waits.iter().flat_map(|h| hosts_of(Some(h), &earlier_hosts)).collect(),
            };
            hosts_of(host, &earlier_hosts).is_subset(&reached)
        };
        if own_hosts.is_empty() { covered(None) } else { own_hosts.iter().all(|host| covered(Some(host))) }
    }

    /// Whether two steps run on the same hosts, and so in the same batches.
    fn run_on_same_hosts(&self, one: usize, other: usize) -> bool {
        pattern(&self.phase.steps[one]) == pattern(&self.phase.steps[other])
            && self.host_groups[one] == self.host_groups[other]
    }

    /// Names of the hosts that a step fans out over. Empty for a step that runs once or without hosts.
    pub(super) fn host_names(&self, number: usize) -> BTreeSet<&str> {
        self.steps[number].hosts().map(|host| host.name.as_str()).collect()
    }

    /// Whether step `after` reads `steps.ID.hosts[...]` of step `before`. Then it must wait for all hosts of `before`.
    fn reads_other_hosts(&self, before: usize, after: usize) -> bool {
        let reference = format!("{}.hosts", self.phase.steps[before].template_name());
        let step = &self.phase.steps[after];
        let when = step.when.iter().any(|w| w.value.contains(&reference));
        when || serde_json::to_string(&step.params).is_ok_and(|text| text.contains(&reference))
    }
}

/// Indices of the phase's steps, each after the steps that it needs.
pub(super) fn topological_steps(phase: &Phase, order: &[Vec<usize>]) -> Result<Vec<usize>, GraphError> {
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

/// For each step, all steps that it comes after, directly or through others.
pub(super) fn transitive_needs(phase: &Phase, order: &[Vec<usize>]) -> Result<Vec<BTreeSet<usize>>, GraphError> {
    let mut reach = vec![BTreeSet::new(); order.len()];
    for number in topological_steps(phase, order)? {
        let all = order[number].iter().flat_map(|n| reach[*n].iter().copied().chain([*n])).collect();
        reach[number] = all;
    }
    Ok(reach)
}

/// Checks that all `needs` of a phase's steps name steps of that phase. The static checks report the same with a better
/// message.
pub(super) fn check_needs(phase: &Phase) -> Result<(), GraphError> {
    for (_, step) in phase.steps_of(StepKind::Step) {
        for need in step.needs.iter().flatten() {
            if !phase.steps_of(StepKind::Step).any(|(_, s)| s.id.value == need.value) {
                return Err(unknown_need(&step.id.value, &need.value));
            }
        }
    }
    Ok(())
}
