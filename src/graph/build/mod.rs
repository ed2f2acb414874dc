//! Builds the graph from a plan and its hosts: the units of each phase, batch by batch, with handlers and rollback
//! steps.

mod dependencies;
mod edges;
mod phase;

use std::collections::BTreeSet;
use std::sync::Arc;

use petgraph::Direction;
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};

use dependencies::{Dependency, check_needs, topological_steps, transitive_needs};
use phase::{Build, pattern, unknown_need};

use super::batches::{Segment, segments};
use super::expansion::{Expander, Expansion, HostUnits, RenderContext, UnitSeed};
use super::{Graph, GraphError, Node, Unit};
use crate::inventory::Host;
use crate::plan::{Plan, Step, StepKind};

impl Graph {
    /// Builds the graph of a plan, with units only for hosts that `in_sight` accepts. `hosts_of` resolves a host
    /// pattern; `render` renders the items of loops and the names in `delegate_to`.
    ///
    /// # Errors
    /// See [`GraphError`].
    pub fn new(
        plan: &Plan,
        hosts_of: impl FnMut(&str) -> Vec<Arc<Host>>,
        in_sight: impl Fn(&Host) -> bool,
        render: RenderContext<'_>,
    ) -> Result<Self, GraphError> {
        let mut expander = Expander::new(render, hosts_of, in_sight);
        let mut instances = Vec::new();
        let mut dag = DiGraph::new();
        let ends: Vec<(NodeIndex, NodeIndex)> =
            (0..plan.phases.len()).map(|p| (dag.add_node(Node::Begin(p)), dag.add_node(Node::End(p)))).collect();
        let named = plan.phases_by_name();
        for (index, phase) in plan.phases.iter().enumerate() {
            let (begin, end) = ends[index];
            for need in &phase.needs {
                let before = named.get(need.value.as_str());
                let before = before.ok_or_else(|| unknown_need(&phase.name.value, &need.value))?;
                dag.add_edge(ends[*before].1, begin, ());
            }
            check_needs(phase)?;
            let steps = phase.steps.iter().map(|s| expander.expand(s)).collect::<Result<Vec<_>, _>>()?;
            instances.push(steps.iter().map(|s| Arc::clone(&s.instances)).collect());
            let hosts =
                |(step, expansion): (&Step, &Expansion)| step.fans_out().then(|| expansion.hosts().cloned().collect());
            let hosts: Vec<_> = phase.steps.iter().zip(&steps).map(hosts).collect();
            let needs = phase.order();
            let transitive_needs = transitive_needs(phase, &needs)?;
            let segments = segments(phase, &hosts, &transitive_needs, || (expander.hosts_of)("all"))?;
            let mut build = Build {
                dag: &mut dag,
                index,
                phase,
                needs,
                transitive_needs,
                host_groups: host_groups(&steps),
                steps,
                segment: None,
                begin,
                phase_nodes: Vec::new(),
            };
            build.build_phase(segments, end)?;
        }
        toposort(&dag, None).map_err(|_| GraphError::Cycle)?;
        Ok(Self { dag, instances, limited: expander.is_limited() })
    }
}

/// For each step, the index of the first step with the same set of hosts. Comparing two of these indices is much
/// cheaper than comparing the sets.
fn host_groups(steps: &[Expansion]) -> Vec<usize> {
    let mut firsts: Vec<(BTreeSet<&str>, usize)> = Vec::new();
    let mut groups = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let names = step.hosts().map(|host| host.name.as_str()).collect();
        let first = firsts.iter().find(|(of, _)| *of == names).map(|(_, first)| *first);
        if first.is_none() {
            firsts.push((names, number));
        }
        groups.push(first.unwrap_or(number));
    }
    groups
}

/// The first and the last unit of a step on each host. They differ only for a loop.
#[derive(Default)]
struct ChainEnds {
    first: Vec<NodeIndex>,
    last: Vec<NodeIndex>,
}

impl Build<'_> {
    fn build_phase(&mut self, segments: Vec<Segment>, end: NodeIndex) -> Result<(), GraphError> {
        let dependencies: Vec<Vec<Dependency>> =
            self.phase.steps_of(StepKind::Step).map(|(n, _)| self.dependencies(n)).collect();
        let mut units = vec![Vec::new(); dependencies.len()];
        let mut before = Vec::new();
        for segment in segments {
            let gate = segment.waits_for_previous().then(|| self.add_gate(&before));
            let (first_node, nodes) = (self.phase_nodes.len(), self.dag.node_count());
            self.build_segment(segment, &dependencies, &mut units);
            before = self.phase_nodes[first_node..].to_vec();
            if let Some(gate) = gate {
                let inside = |n: NodeIndex| n.index() >= nodes;
                let is_first = |n: &NodeIndex| !self.dag.neighbors_directed(*n, Direction::Incoming).any(inside);
                let firsts: Vec<NodeIndex> = before.iter().copied().filter(is_first).collect();
                self.add_edges(&[gate], &firsts);
            }
        }
        self.segment = None;
        if self.phase.steps_of(StepKind::OnFailure).next().is_some() {
            self.add_rollback_units()?;
        }
        let nodes = self.phase_nodes.clone();
        self.add_edges(&nodes, &[end]);
        if nodes.is_empty() {
            self.dag.add_edge(self.begin, end, ());
        }
        Ok(())
    }

    /// Adds the units of a segment and connects them. `units` collects the last units of each step over all segments so
    /// far. A step that needs other hosts finds them there, since earlier batches have already been added.
    fn build_segment(&mut self, segment: Segment, dependencies: &[Vec<Dependency>], units: &mut [Vec<NodeIndex>]) {
        let (steps, handlers) = (segment.steps.clone(), segment.handlers);
        // A batch looks only at its own nodes. The segment after all batches looks at all nodes, so that no handler
        // runs before they ended.
        let first_node = if segment.is_batch() { self.phase_nodes.len() } else { 0 };
        let earlier = self.sinks(first_node);
        self.segment = Some(segment);
        let mut here: Vec<ChainEnds> = units.iter().map(|_| ChainEnds::default()).collect();
        for number in &steps {
            here[*number] = self.add_units(*number);
            units[*number].extend(&here[*number].last);
        }
        for number in &steps {
            let first = &here[*number].first;
            let nodes = |needed: &Dependency| match needed.same_hosts && steps.contains(&needed.step) {
                true => here[needed.step].last.clone(),
                false => units[needed.step].clone(),
            };
            let before: Vec<Vec<NodeIndex>> = dependencies[*number].iter().map(nodes).collect();
            for (dependency, nodes) in dependencies[*number].iter().zip(&before) {
                self.connect(nodes, first, dependency.all_hosts);
            }
            let mut handlers = Vec::new();
            if self.phase.steps[*number].flush {
                let waits = [before.as_slice(), std::slice::from_ref(&earlier)].concat();
                handlers = self.add_handlers(&waits, &[]);
            }
            for nodes in &handlers {
                self.connect(nodes, first, false);
            }
            if before.is_empty() && handlers.is_empty() {
                self.add_edges(&[self.begin], first);
            }
            self.chain_batches(*number, &here[*number]);
        }
        if handlers {
            let sinks = self.sinks(first_node);
            self.add_handlers(&[sinks], &here);
        }
    }

    /// With `serial` on a step: makes its units wait for those of the batch before.
    fn chain_batches(&mut self, number: usize, units: &ChainEnds) {
        let mut done = 0;
        let mut before: &[NodeIndex] = &[];
        for size in self.phase.steps[number].pace.batches(units.first.len()) {
            let batch = done..done + size;
            if !before.is_empty() {
                let gate = self.add_gate(before);
                self.add_edges(&[gate], &units.first[batch.clone()]);
            }
            done = batch.end;
            before = &units.last[batch];
        }
    }

    /// Adds the units of a step. A step without units (no host matched, no item) gets a join node instead, so that the
    /// order of its neighbours is kept. A rollback step goes through its items in reverse.
    fn add_units(&mut self, step: usize) -> ChainEnds {
        let mut ends = ChainEnds::default();
        for on_host in self.current_host_units(step) {
            let unit = |seed: UnitSeed| {
                let (host, vars_host) = (on_host.host.clone(), on_host.vars_host.clone());
                Node::Unit(Unit { phase: self.index, step, item: seed.item, host, vars_host, runs_on: seed.runs_on })
            };
            let mut nodes: Vec<Node> = on_host.seeds.into_iter().map(unit).collect();
            if self.phase.steps[step].kind == StepKind::OnFailure {
                nodes.reverse();
            }
            let nodes: Vec<NodeIndex> = nodes.into_iter().map(|node| self.add_node(node)).collect();
            for pair in nodes.windows(2) {
                self.dag.add_edge(pair[0], pair[1], ());
            }
            ends.first.extend(nodes.first());
            ends.last.extend(nodes.last());
        }
        if ends.first.is_empty() {
            let join = self.add_node(Node::Join);
            ends = ChainEnds { first: vec![join], last: vec![join] };
        }
        ends
    }

    /// The units of a step on the hosts of the current segment. Handlers also run on hosts that are in no batch, and on
    /// all of their hosts if a step of this batch notifies them from a host on which they do not run.
    fn current_host_units(&self, number: usize) -> Vec<HostUnits> {
        let by_host = self.steps[number].by_host.iter();
        let Some(segment) = &self.segment else { return by_host.cloned().collect() };
        let step = &self.phase.steps[number];
        let is_handler = step.kind == StepKind::Handler;
        let on_all_hosts = is_handler && self.notified_from_other_hosts(segment, number, step);
        let runs_now =
            |host: &Host| segment.contains(host) || is_handler && (on_all_hosts || segment.is_in_no_batch(host));
        by_host.filter(|units| units.host.as_deref().is_none_or(runs_now)).cloned().collect()
    }

    fn notified_from_other_hosts(&self, segment: &Segment, number: usize, handler: &Step) -> bool {
        let own_hosts = self.host_names(number);
        let notifiers = self.phase.steps_of(StepKind::Step).filter(|(_, step)| step.notifies(handler));
        let mut hosts = notifiers.flat_map(|(n, _)| self.steps[n].hosts());
        hosts.any(|host| segment.contains(host) && !own_hosts.contains(host.name.as_str()))
    }

    /// Adds all handlers of the phase, each after the one before it. They wait for the nodes in `before` and for those
    /// of `steps` that may notify them. Returns the last units of each handler.
    fn add_handlers(&mut self, before: &[Vec<NodeIndex>], steps: &[ChainEnds]) -> Vec<Vec<NodeIndex>> {
        let mut waits: Vec<_> = before.iter().filter(|nodes| !nodes.is_empty()).cloned().collect();
        let mut handlers = Vec::new();
        for (number, handler) in self.phase.steps_of(StepKind::Handler) {
            let notifiers = self.phase.steps_of(StepKind::Step).filter(|(_, step)| step.notifies(handler));
            let notifiers: Vec<(usize, &Step)> = notifiers.collect();
            let other_hosts = notifiers.iter().any(|(_, step)| pattern(step) != pattern(handler));
            let units = self.add_units(number);
            if waits.is_empty() {
                self.add_edges(&[self.begin], &units.first);
            }
            for nodes in &waits {
                self.connect(nodes, &units.first, other_hosts);
            }
            for ends in notifiers.iter().filter_map(|(n, _)| steps.get(*n)).filter(|ends| !ends.last.is_empty()) {
                self.connect(&ends.last, &units.first, other_hosts);
            }
            waits.push(units.last.clone());
            handlers.push(units.last);
        }
        handlers
    }

    /// Adds the rollback steps: they run in reverse order of the steps that they undo, after everything else in the
    /// phase has ended.
    fn add_rollback_units(&mut self) -> Result<(), GraphError> {
        let phase_ended = self.add_node(Node::Join);
        let all: Vec<NodeIndex> = self.phase_nodes.iter().copied().filter(|n| *n != phase_ended).collect();
        self.add_edges(&all, &[phase_ended]);
        let mut waits = vec![vec![phase_ended]];
        let mut rollback_steps = Vec::new();
        // A rollback step that is named by several steps is placed for the first of them, so that it runs last.
        for number in topological_steps(self.phase, &self.needs)? {
            for name in &self.phase.steps[number].on_failure {
                let undo =
                    self.phase.steps_of(StepKind::OnFailure).find(|(_, s)| s.id.value == name.value).map(|(n, _)| n);
                let undo = undo.ok_or_else(|| unknown_need(&self.phase.steps[number].id.value, &name.value))?;
                if !rollback_steps.contains(&undo) {
                    rollback_steps.push(undo);
                }
            }
        }
        for undo in rollback_steps.into_iter().rev() {
            let units = self.add_units(undo);
            for nodes in &waits {
                self.connect(nodes, &units.first, false);
            }
            waits.push(units.last);
        }
        Ok(())
    }
}
