//! From a plan and its hosts to the graph.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use petgraph::Direction;
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};

use super::spread::{Known, Link, Spread, Spreader};
use super::{Graph, GraphError, Node, Unit};
use crate::inventory::Host;
use crate::plan::{Part, Phase, Plan, Step};

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
        known: Known<'_>,
    ) -> Result<Self, GraphError> {
        let mut spreader = Spreader::new(known, hosts_of, in_sight);
        let mut places = Vec::new();
        let mut dag = DiGraph::new();
        let ends: Vec<(NodeIndex, NodeIndex)> =
            (0..plan.phases.len()).map(|p| (dag.add_node(Node::Begin(p)), dag.add_node(Node::End(p)))).collect();
        for (index, phase) in plan.phases.iter().enumerate() {
            let (begin, end) = ends[index];
            for need in &phase.needs {
                let before = plan.phases.iter().position(|p| p.name.value == need.value);
                let before = before.ok_or_else(|| no_such(&phase.name.value, &need.value))?;
                dag.add_edge(ends[before].1, begin, ());
            }
            known_needs(phase)?;
            let steps = phase.steps.iter().map(|s| spreader.spread(s)).collect::<Result<Vec<_>, _>>()?;
            places.push(steps.iter().map(|s| Arc::clone(&s.places)).collect());
            Build { dag: &mut dag, index, phase, steps, begin, inner: Vec::new() }.build(end)?;
        }
        toposort(&dag, None).map_err(|_| GraphError::Cycle)?;
        Ok(Self { dag, places, limited: spreader.is_limited() })
    }
}

/// The first and the last unit of a step on each host: the same where it is no loop.
#[derive(Default)]
struct Ends {
    first: Vec<NodeIndex>,
    last: Vec<NodeIndex>,
}

/// A phase under construction.
struct Build<'a> {
    dag: &'a mut DiGraph<Node, ()>,
    index: usize,
    phase: &'a Phase,
    /// The units of each step.
    steps: Vec<Spread>,
    begin: NodeIndex,
    /// All units and joins between begin and end.
    inner: Vec<NodeIndex>,
}

impl Build<'_> {
    fn build(&mut self, end: NodeIndex) -> Result<(), GraphError> {
        let order = self.phase.order();
        let steps: Vec<usize> = self.phase.part(Part::Step).map(|(n, _)| n).collect();
        let units: Vec<Ends> = steps.iter().map(|n| self.units(*n)).collect();
        let reach = reach(self.phase, &order)?;
        for number in &steps {
            let wanted: Vec<usize> = self.wanted(*number, &order[*number], &reach);
            let before: Vec<Vec<NodeIndex>> = wanted.iter().map(|n| units[*n].last.clone()).collect();
            let first = &units[*number].first;
            for (earlier, nodes) in wanted.iter().zip(&before) {
                self.connect(nodes, first, self.looks_across_hosts(*earlier, *number));
            }
            let handlers = if self.phase.steps[*number].flush { self.handlers(&before, &[]) } else { Vec::new() };
            for nodes in &handlers {
                self.connect(nodes, first, false);
            }
            if before.is_empty() && handlers.is_empty() {
                self.edges(&[self.begin], first);
            }
        }
        let sinks = self.sinks();
        self.handlers(&[sinks], &units);
        if self.phase.part(Part::OnFailure).next().is_some() {
            self.undo(&order)?;
        }
        let inner = self.inner.clone();
        self.edges(&inner, &[end]);
        if inner.is_empty() {
            self.dag.add_edge(self.begin, end, ());
        }
        Ok(())
    }

    /// The units of a step. An empty one (no host matched, no item) hands its place on to a join node, so that order is
    /// kept. What undoes a loop takes its items from the last one on.
    fn units(&mut self, step: usize) -> Ends {
        let mut ends = Ends::default();
        for chain in self.steps[step].chains.clone() {
            let unit = |link: Link| {
                let (host, sees) = (chain.host.clone(), chain.sees.clone());
                Node::Unit(Unit { phase: self.index, step, item: link.item, host, sees, machine: link.machine })
            };
            let mut nodes: Vec<Node> = chain.links.into_iter().map(unit).collect();
            if self.phase.steps[step].part == Part::OnFailure {
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

    fn add(&mut self, node: Node) -> NodeIndex {
        let index = self.dag.add_node(node);
        self.inner.push(index);
        index
    }

    /// The earlier steps that a step must be tied to: those that it needs, and of those behind them the ones of which
    /// it needs a part that the steps between do not wait for, since they run on other hosts.
    fn wanted(&self, number: usize, direct: &[usize], reach: &[BTreeSet<usize>]) -> Vec<usize> {
        let behind = reach[number].iter().copied().filter(|n| !direct.contains(n));
        let implied = |earlier: usize| {
            let between = direct.iter().copied().filter(|n| reach[*n].contains(&earlier));
            !self.looks_across_hosts(earlier, number)
                && between.into_iter().any(|between| self.implies(number, between, earlier))
        };
        let behind: Vec<usize> = behind.filter(|earlier| !implied(*earlier)).collect();
        direct.iter().copied().chain(behind).collect()
    }

    /// Whether every unit of a step that waits for its part of the step between has thereby waited for its part of the
    /// earlier step.
    fn implies(&self, number: usize, between: usize, earlier: usize) -> bool {
        let (mine, theirs) = (self.names(number), self.names(between));
        if mine == theirs {
            return true;
        }
        let first = self.names(earlier);
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

    /// The hosts of a step; none when it runs on none, or once.
    fn names(&self, number: usize) -> BTreeSet<&str> {
        self.steps[number].chains.iter().filter_map(|chain| chain.host.as_ref()).map(|h| h.name.as_str()).collect()
    }

    /// All handlers of the phase, one after the other, behind `before` and, of `steps`, behind those that may notify
    /// them. Gives their last units.
    fn handlers(&mut self, before: &[Vec<NodeIndex>], steps: &[Ends]) -> Vec<Vec<NodeIndex>> {
        let mut waits = before.to_vec();
        let mut handlers = Vec::new();
        for (number, handler) in self.phase.part(Part::Handler) {
            let asking = self.phase.part(Part::Step).filter(|(_, step)| step.notifies(handler));
            let asking: Vec<(usize, &Step)> = asking.collect();
            let asked_from_elsewhere = asking.iter().any(|(_, step)| pattern(step) != pattern(handler));
            let units = self.units(number);
            if waits.is_empty() {
                self.edges(&[self.begin], &units.first);
            }
            for nodes in &waits {
                self.connect(nodes, &units.first, asked_from_elsewhere);
            }
            for of in asking.iter().filter_map(|(n, _)| steps.get(*n)) {
                self.connect(&of.last, &units.first, asked_from_elsewhere);
            }
            waits.push(units.last.clone());
            handlers.push(units.last);
        }
        handlers
    }

    /// What undoes the steps, in the opposite order, once all of the phase has ended.
    fn undo(&mut self, order: &[Vec<usize>]) -> Result<(), GraphError> {
        let settled = self.add(Node::Join);
        let all: Vec<NodeIndex> = self.inner.iter().copied().filter(|n| *n != settled).collect();
        self.edges(&all, &[settled]);
        let mut waits = vec![vec![settled]];
        let mut placed = Vec::new();
        // From the first step on, so that what undoes several steps comes where the first of them is undone.
        for number in sorted(self.phase, order)? {
            for name in &self.phase.steps[number].on_failure {
                let undo = self.phase.part(Part::OnFailure).find(|(_, s)| s.id.value == name.value).map(|(n, _)| n);
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

    /// Nodes of the phase that nothing in it waits for.
    fn sinks(&self) -> Vec<NodeIndex> {
        let is_sink = |n: &NodeIndex| self.dag.neighbors_directed(*n, Direction::Outgoing).next().is_none();
        self.inner.iter().copied().filter(is_sink).collect()
    }

    /// Lets `after` wait for `before`; where both have the same host, for that host's part only, unless `whole`.
    fn connect(&mut self, before: &[NodeIndex], after: &[NodeIndex], whole: bool) {
        let mut by_host: HashMap<String, Vec<NodeIndex>> = HashMap::new();
        for node in before {
            if let Some(host) = self.host_of(*node) {
                by_host.entry(host).or_default().push(*node);
            }
        }
        let mut join = None;
        for unit in after {
            let same_host = if whole { None } else { self.host_of(*unit).and_then(|h| by_host.get(&h).cloned()) };
            let from = match (same_host, before) {
                (Some(nodes), _) => nodes,
                (None, [only]) => vec![*only],
                (None, many) => {
                    let node = *join.get_or_insert_with(|| {
                        let node = self.dag.add_node(Node::Join);
                        for from in many {
                            self.dag.add_edge(*from, node, ());
                        }
                        self.inner.push(node);
                        node
                    });
                    vec![node]
                }
            };
            self.edges(&from, &[*unit]);
        }
    }

    fn edges(&mut self, from: &[NodeIndex], to: &[NodeIndex]) {
        for from in from {
            for to in to {
                self.dag.add_edge(*from, *to, ());
            }
        }
    }

    fn host_of(&self, node: NodeIndex) -> Option<String> {
        match &self.dag[node] {
            Node::Unit(unit) => unit.host.as_ref().map(|h| h.name.clone()),
            _ => None,
        }
    }

    /// Whether a step reads the outputs of another one on other hosts (`steps.id.hosts[...]`), so that all must be done.
    fn looks_across_hosts(&self, before: usize, after: usize) -> bool {
        let mark = format!("{}.hosts", self.phase.steps[before].template_name());
        let step = &self.phase.steps[after];
        let when = step.when.iter().any(|w| w.value.contains(&mark));
        when || serde_json::to_string(&step.params).is_ok_and(|text| text.contains(&mark))
    }
}

fn pattern(step: &Step) -> Option<&str> {
    step.hosts.as_ref().map(|h| h.value.as_str())
}

/// The phase's steps, each after those that it needs.
fn sorted(phase: &Phase, order: &[Vec<usize>]) -> Result<Vec<usize>, GraphError> {
    let mut dag = DiGraph::<usize, ()>::new();
    let nodes: Vec<NodeIndex> = phase.part(Part::Step).map(|(n, _)| dag.add_node(n)).collect();
    for (to, node) in nodes.iter().enumerate() {
        for from in &order[to] {
            dag.add_edge(nodes[*from], *node, ());
        }
    }
    let sorted = toposort(&dag, None).map_err(|_| GraphError::Cycle)?;
    Ok(sorted.into_iter().map(|n| dag[n]).collect())
}

/// For each step all that it comes after.
fn reach(phase: &Phase, order: &[Vec<usize>]) -> Result<Vec<BTreeSet<usize>>, GraphError> {
    let mut reach = vec![BTreeSet::new(); order.len()];
    for number in sorted(phase, order)? {
        let mine = order[number].iter().flat_map(|n| reach[*n].iter().copied().chain([*n])).collect();
        reach[number] = mine;
    }
    Ok(reach)
}

/// All `needs` of a phase's steps name steps of it; static checks say it better.
fn known_needs(phase: &Phase) -> Result<(), GraphError> {
    for (_, step) in phase.part(Part::Step) {
        for need in step.needs.iter().flatten() {
            if !phase.part(Part::Step).any(|(_, s)| s.id.value == need.value) {
                return Err(no_such(&step.id.value, &need.value));
            }
        }
    }
    Ok(())
}

fn no_such(of: &str, name: &str) -> GraphError {
    GraphError::NoSuch { of: of.to_owned(), name: name.to_owned() }
}
