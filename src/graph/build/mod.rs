//! From a plan and its hosts to the graph: the units of each phase, batch by batch, with its handlers and what undoes it.

mod edges;
mod phase;
mod wanted;

use std::collections::BTreeSet;
use std::sync::Arc;

use petgraph::Direction;
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};

use phase::{Build, no_such, pattern};
use wanted::{Wanted, known_needs, reach, sorted};

use super::batches::{Segment, segments};
use super::expansion::{Expander, Expansion, HostUnits, RenderContext, UnitSeed};
use super::{Graph, GraphError, Node, Unit};
use crate::inventory::Host;
use crate::plan::{Plan, Step, StepKind};

impl Graph {
    /// The graph of a plan on the hosts that are `in_sight`, where `hosts_of` gives the hosts of a pattern, and `known` says
    /// what loops are over.
    ///
    /// # Errors
    /// See [`GraphError`].
    pub fn new(
        plan: &Plan,
        hosts_of: impl FnMut(&str) -> Vec<Arc<Host>>,
        in_sight: impl Fn(&Host) -> bool,
        known: RenderContext<'_>,
    ) -> Result<Self, GraphError> {
        let mut spreader = Expander::new(known, hosts_of, in_sight);
        let mut places = Vec::new();
        let mut dag = DiGraph::new();
        let ends: Vec<(NodeIndex, NodeIndex)> =
            (0..plan.phases.len()).map(|p| (dag.add_node(Node::Begin(p)), dag.add_node(Node::End(p)))).collect();
        let named = plan.phases_by_name();
        for (index, phase) in plan.phases.iter().enumerate() {
            let (begin, end) = ends[index];
            for need in &phase.needs {
                let before = named.get(need.value.as_str());
                let before = before.ok_or_else(|| no_such(&phase.name.value, &need.value))?;
                dag.add_edge(ends[*before].1, begin, ());
            }
            known_needs(phase)?;
            let steps = phase.steps.iter().map(|s| spreader.expand(s)).collect::<Result<Vec<_>, _>>()?;
            places.push(steps.iter().map(|s| Arc::clone(&s.instances)).collect());
            let hosts =
                |(step, spread): (&Step, &Expansion)| step.fans_out().then(|| spread.hosts().cloned().collect());
            let hosts: Vec<_> = phase.steps.iter().zip(&steps).map(hosts).collect();
            let order = phase.order();
            let reach = reach(phase, &order)?;
            let stretches = segments(phase, &hosts, &reach, || (spreader.hosts_of)("all"))?;
            let (now, inner) = (None, Vec::new());
            let alike = alike(&steps);
            let mut build = Build { dag: &mut dag, index, phase, order, reach, steps, alike, now, begin, inner };
            build.build(stretches, end)?;
        }
        toposort(&dag, None).map_err(|_| GraphError::Cycle)?;
        Ok(Self { dag, instances: places, limited: spreader.is_limited() })
    }
}

/// For each step the first one that has the same hosts; with many of both, steps are compared far more often than that.
fn alike(steps: &[Expansion]) -> Vec<usize> {
    let mut firsts: Vec<(BTreeSet<&str>, usize)> = Vec::new();
    let mut alike = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let names = step.hosts().map(|host| host.name.as_str()).collect();
        let first = firsts.iter().find(|(of, _)| *of == names).map(|(_, first)| *first);
        if first.is_none() {
            firsts.push((names, number));
        }
        alike.push(first.unwrap_or(number));
    }
    alike
}

/// The first and the last unit of a step on each host: the same where it is no loop.
#[derive(Default)]
struct Ends {
    first: Vec<NodeIndex>,
    last: Vec<NodeIndex>,
}

impl Build<'_> {
    fn build(&mut self, stretches: Vec<Segment>, end: NodeIndex) -> Result<(), GraphError> {
        let wanted: Vec<Vec<Wanted>> = self.phase.steps_of(StepKind::Step).map(|(n, _)| self.wanted(n)).collect();
        let mut units = vec![Vec::new(); wanted.len()];
        let mut before = Vec::new();
        for stretch in stretches {
            let gate = stretch.waits().then(|| self.gate(&before));
            let (began, nodes) = (self.inner.len(), self.dag.node_count());
            self.stretch(stretch, &wanted, &mut units);
            before = self.inner[began..].to_vec();
            if let Some(gate) = gate {
                let inside = |n: NodeIndex| n.index() >= nodes;
                let is_first = |n: &NodeIndex| !self.dag.neighbors_directed(*n, Direction::Incoming).any(inside);
                let firsts: Vec<NodeIndex> = before.iter().copied().filter(is_first).collect();
                self.edges(&[gate], &firsts);
            }
        }
        self.now = None;
        if self.phase.steps_of(StepKind::OnFailure).next().is_some() {
            self.undo()?;
        }
        let inner = self.inner.clone();
        self.edges(&inner, &[end]);
        if inner.is_empty() {
            self.dag.add_edge(self.begin, end, ());
        }
        Ok(())
    }

    /// Builds a stretch; `units` are the last ones of each step so far. What a batch needs of other hosts, the batches
    /// before it have done.
    fn stretch(&mut self, stretch: Segment, wanted: &[Vec<Wanted>], units: &mut [Vec<NodeIndex>]) {
        let (steps, handlers) = (stretch.steps.clone(), stretch.handlers);
        // A batch begins where the one before has ended; what comes after all of them runs no handler before that.
        let began = if stretch.is_batch() { self.inner.len() } else { 0 };
        let earlier = self.sinks(began);
        self.now = Some(stretch);
        let mut here: Vec<Ends> = units.iter().map(|_| Ends::default()).collect();
        for number in &steps {
            here[*number] = self.units(*number);
            units[*number].extend(&here[*number].last);
        }
        for number in &steps {
            let first = &here[*number].first;
            let nodes = |w: &Wanted| match w.alongside && steps.contains(&w.step) {
                true => here[w.step].last.clone(),
                false => units[w.step].clone(),
            };
            let before: Vec<Vec<NodeIndex>> = wanted[*number].iter().map(nodes).collect();
            for (wanted, nodes) in wanted[*number].iter().zip(&before) {
                self.connect(nodes, first, wanted.whole);
            }
            let mut handlers = Vec::new();
            if self.phase.steps[*number].flush {
                let waits = [before.as_slice(), std::slice::from_ref(&earlier)].concat();
                handlers = self.handlers(&waits, &[]);
            }
            for nodes in &handlers {
                self.connect(nodes, first, false);
            }
            if before.is_empty() && handlers.is_empty() {
                self.edges(&[self.begin], first);
            }
            self.batches(*number, &here[*number]);
        }
        if handlers {
            let sinks = self.sinks(began);
            self.handlers(&[sinks], &here);
        }
    }

    /// Lets the units of a step with `serial` wait for the batch before theirs.
    fn batches(&mut self, number: usize, units: &Ends) {
        let mut done = 0;
        let mut before: &[NodeIndex] = &[];
        for size in self.phase.steps[number].pace.batches(units.first.len()) {
            let batch = done..done + size;
            if !before.is_empty() {
                let gate = self.gate(before);
                self.edges(&[gate], &units.first[batch.clone()]);
            }
            done = batch.end;
            before = &units.last[batch];
        }
    }

    /// The units of a step. An empty one (no host matched, no item) hands its place on to a join node, so that order is
    /// kept. What undoes a loop takes its items from the last one on.
    fn units(&mut self, step: usize) -> Ends {
        let mut ends = Ends::default();
        for chain in self.chains_now(step) {
            let unit = |link: UnitSeed| {
                let (host, sees) = (chain.host.clone(), chain.vars_host.clone());
                Node::Unit(Unit {
                    phase: self.index,
                    step,
                    item: link.item,
                    host,
                    vars_host: sees,
                    runs_on: link.runs_on,
                })
            };
            let mut nodes: Vec<Node> = chain.seeds.into_iter().map(unit).collect();
            if self.phase.steps[step].kind == StepKind::OnFailure {
                nodes.reverse();
            }
            let nodes: Vec<NodeIndex> = nodes.into_iter().map(|node| self.add(node)).collect();
            for pair in nodes.windows(2) {
                self.dag.add_edge(pair[0], pair[1], ());
            }
            ends.first.extend(nodes.first());
            ends.last.extend(nodes.last());
        }
        if ends.first.is_empty() {
            let join = self.add(Node::Join);
            ends = Ends { first: vec![join], last: vec![join] };
        }
        ends
    }

    /// The units of a step on the hosts of this stretch. Handlers also run on hosts of no batch, and where a host of the
    /// batch that they do not run on asks for them.
    fn chains_now(&self, number: usize) -> Vec<HostUnits> {
        let chains = self.steps[number].by_host.iter();
        let Some(stretch) = &self.now else { return chains.cloned().collect() };
        let step = &self.phase.steps[number];
        let is_handler = step.kind == StepKind::Handler;
        let from_elsewhere = is_handler && self.asked_from_elsewhere(stretch, number, step);
        let takes = |host: &Host| stretch.has(host) || is_handler && (from_elsewhere || stretch.leaves_out(host));
        chains.filter(|chain| chain.host.as_deref().is_none_or(takes)).cloned().collect()
    }

    fn asked_from_elsewhere(&self, stretch: &Segment, number: usize, handler: &Step) -> bool {
        let own = self.names(number);
        let asking = self.phase.steps_of(StepKind::Step).filter(|(_, step)| step.notifies(handler));
        let mut hosts = asking.flat_map(|(n, _)| self.steps[n].hosts());
        hosts.any(|host| stretch.has(host) && !own.contains(host.name.as_str()))
    }

    /// All handlers of the phase, one after the other, behind `before` and, of `steps`, behind those that may notify
    /// them. Gives their last units.
    fn handlers(&mut self, before: &[Vec<NodeIndex>], steps: &[Ends]) -> Vec<Vec<NodeIndex>> {
        let mut waits: Vec<_> = before.iter().filter(|nodes| !nodes.is_empty()).cloned().collect();
        let mut handlers = Vec::new();
        for (number, handler) in self.phase.steps_of(StepKind::Handler) {
            let asking = self.phase.steps_of(StepKind::Step).filter(|(_, step)| step.notifies(handler));
            let asking: Vec<(usize, &Step)> = asking.collect();
            let asked_from_elsewhere = asking.iter().any(|(_, step)| pattern(step) != pattern(handler));
            let units = self.units(number);
            if waits.is_empty() {
                self.edges(&[self.begin], &units.first);
            }
            for nodes in &waits {
                self.connect(nodes, &units.first, asked_from_elsewhere);
            }
            for of in asking.iter().filter_map(|(n, _)| steps.get(*n)).filter(|of| !of.last.is_empty()) {
                self.connect(&of.last, &units.first, asked_from_elsewhere);
            }
            waits.push(units.last.clone());
            handlers.push(units.last);
        }
        handlers
    }

    /// What undoes the steps, in the opposite order, once all of the phase has ended.
    fn undo(&mut self) -> Result<(), GraphError> {
        let settled = self.add(Node::Join);
        let all: Vec<NodeIndex> = self.inner.iter().copied().filter(|n| *n != settled).collect();
        self.edges(&all, &[settled]);
        let mut waits = vec![vec![settled]];
        let mut placed = Vec::new();
        // From the first step on, so that what undoes several steps comes where the first of them is undone.
        for number in sorted(self.phase, &self.order)? {
            for name in &self.phase.steps[number].on_failure {
                let undo =
                    self.phase.steps_of(StepKind::OnFailure).find(|(_, s)| s.id.value == name.value).map(|(n, _)| n);
                let undo = undo.ok_or_else(|| no_such(&self.phase.steps[number].id.value, &name.value))?;
                if !placed.contains(&undo) {
                    placed.push(undo);
                }
            }
        }
        for undo in placed.into_iter().rev() {
            let units = self.units(undo);
            for nodes in &waits {
                self.connect(nodes, &units.first, false);
            }
            waits.push(units.last);
        }
        Ok(())
    }
}
