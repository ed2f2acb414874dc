//! From a plan and its hosts to the graph.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use petgraph::Direction;
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};

use super::batches::{Stretch, stretches};
use super::{Graph, GraphError, Node, Places, Unit};
use crate::inventory::Host;
use crate::plan::{Part, Phase, Plan, Step};

impl Graph {
    /// The graph of a plan on the hosts that are `in_sight`, where `hosts_of` gives the hosts of a pattern.
    ///
    /// # Errors
    /// See [`GraphError`].
    pub fn new(
        plan: &Plan,
        hosts_of: impl FnMut(&str) -> Vec<Arc<Host>>,
        in_sight: impl Fn(&Host) -> bool,
    ) -> Result<Self, GraphError> {
        let mut patterns = Patterns { hosts_of, in_sight, known: HashMap::new() };
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
            let hosts: Vec<_> = phase.steps.iter().map(|s| patterns.of(s).hosts.clone()).collect();
            let order = phase.order();
            let reach = reach(phase, &order)?;
            let stretches = stretches(phase, &hosts, &reach, || (patterns.hosts_of)("all"))?;
            let (now, inner) = (None, Vec::new());
            let mut build = Build { dag: &mut dag, index, phase, order, reach, hosts, now, begin, inner };
            build.build(stretches, end)?;
            places.push(phase.steps.iter().map(|s| Arc::clone(&patterns.of(s).places)).collect());
        }
        toposort(&dag, None).map_err(|_| GraphError::Cycle)?;
        let limited = patterns.known.values().any(|of| of.hosts.as_ref().is_some_and(|h| h.len() < of.places.len()));
        Ok(Self { dag, places, limited })
    }
}

/// The hosts of patterns, each asked for once.
struct Patterns<H, S> {
    hosts_of: H,
    in_sight: S,
    known: HashMap<Option<String>, Hosts>,
}

#[derive(Clone)]
struct Hosts {
    /// Those in sight; `None`: the step does not fan out.
    hosts: Option<Vec<Arc<Host>>>,
    places: Arc<Places>,
}

impl<H: FnMut(&str) -> Vec<Arc<Host>>, S: Fn(&Host) -> bool> Patterns<H, S> {
    fn of(&mut self, step: &Step) -> &Hosts {
        let (hosts_of, in_sight) = (&mut self.hosts_of, &self.in_sight);
        self.known.entry(pattern(step).map(str::to_owned)).or_insert_with(|| match pattern(step) {
            None => Hosts { hosts: None, places: Arc::new([None].into()) },
            Some(pattern) => {
                let mut hosts = hosts_of(pattern);
                let places = hosts.iter().map(|h| Some(h.name.clone())).collect();
                hosts.retain(|h| in_sight(h));
                Hosts { hosts: Some(hosts), places: Arc::new(places) }
            }
        })
    }
}

/// A phase under construction.
struct Build<'a> {
    dag: &'a mut DiGraph<Node, ()>,
    index: usize,
    phase: &'a Phase,
    /// For each step those that it needs.
    order: Vec<Vec<usize>>,
    /// For each step all that it comes after.
    reach: Vec<BTreeSet<usize>>,
    /// The hosts of each step, for those that fan out.
    hosts: Vec<Option<Vec<Arc<Host>>>>,
    /// The stretch that is built now.
    now: Option<Stretch>,
    begin: NodeIndex,
    /// All units and joins between begin and end.
    inner: Vec<NodeIndex>,
}

impl Build<'_> {
    fn build(&mut self, stretches: Vec<Stretch>, end: NodeIndex) -> Result<(), GraphError> {
        let mut units = vec![Vec::new(); self.phase.part(Part::Step).count()];
        let mut before = Vec::new();
        for stretch in stretches {
            let gate = stretch.waits().then(|| self.gate(&before));
            let (began, nodes) = (self.inner.len(), self.dag.node_count());
            self.stretch(stretch, &mut units);
            before = self.inner[began..].to_vec();
            if let Some(gate) = gate {
                let inside = |n: NodeIndex| n.index() >= nodes;
                let is_first = |n: &NodeIndex| !self.dag.neighbors_directed(*n, Direction::Incoming).any(inside);
                let firsts: Vec<NodeIndex> = before.iter().copied().filter(is_first).collect();
                self.edges(&[gate], &firsts);
            }
        }
        self.now = None;
        if self.phase.part(Part::OnFailure).next().is_some() {
            self.undo()?;
        }
        let inner = self.inner.clone();
        self.edges(&inner, &[end]);
        if inner.is_empty() {
            self.dag.add_edge(self.begin, end, ());
        }
        Ok(())
    }

    /// Builds a stretch; `units` are those of each step so far. What a batch needs of other hosts, the batches before it
    /// have done.
    fn stretch(&mut self, stretch: Stretch, units: &mut [Vec<NodeIndex>]) {
        let (steps, handlers) = (stretch.steps.clone(), stretch.handlers);
        // A batch begins where the one before has ended; what comes after all of them runs no handler before that.
        let began = if stretch.is_batch() { self.inner.len() } else { 0 };
        let earlier = self.sinks(began);
        self.now = Some(stretch);
        let mut here = vec![Vec::new(); units.len()];
        for number in &steps {
            here[*number] = self.units(*number);
            units[*number].extend(&here[*number]);
        }
        for number in &steps {
            let wanted: Vec<usize> = self.wanted(*number);
            let same = |n: usize| pattern(&self.phase.steps[n]) == pattern(&self.phase.steps[*number]);
            let own = |n: &usize| steps.contains(n) && same(*n) && !self.looks_across_hosts(*n, *number);
            let before = wanted.iter().map(|n| if own(n) { here[*n].clone() } else { units[*n].clone() });
            let before: Vec<Vec<NodeIndex>> = before.collect();
            for (earlier, nodes) in wanted.iter().zip(&before) {
                self.connect(nodes, &here[*number], self.looks_across_hosts(*earlier, *number));
            }
            let mut handlers = Vec::new();
            if self.phase.steps[*number].flush {
                let waits = [before.as_slice(), std::slice::from_ref(&earlier)].concat();
                handlers = self.handlers(&waits, &[]);
            }
            for nodes in &handlers {
                self.connect(nodes, &here[*number], false);
            }
            if before.is_empty() && handlers.is_empty() {
                self.edges(&[self.begin], &here[*number]);
            }
            self.batches(*number, &here[*number]);
        }
        if handlers {
            let sinks = self.sinks(began);
            self.handlers(&[sinks], &here);
        }
    }

    /// Lets the units of a step with `serial` wait for the batch before theirs.
    fn batches(&mut self, number: usize, units: &[NodeIndex]) {
        let mut rest = units;
        let mut before: &[NodeIndex] = &[];
        for size in self.phase.steps[number].pace.batches(units.len()) {
            let (batch, behind) = rest.split_at(size);
            if !before.is_empty() {
                let gate = self.gate(before);
                self.edges(&[gate], batch);
            }
            (before, rest) = (batch, behind);
        }
    }

    /// A gate behind a batch.
    fn gate(&mut self, behind: &[NodeIndex]) -> NodeIndex {
        let gate = self.add(Node::Gate);
        self.edges(behind, &[gate]);
        gate
    }

    /// The units of a step. An empty one (no host matched) hands its place on to a join node, so that order is kept.
    fn units(&mut self, step: usize) -> Vec<NodeIndex> {
        let hosts: Vec<Option<Arc<Host>>> = match &self.hosts[step] {
            None => vec![None],
            Some(_) => self.hosts_now(step).into_iter().map(Some).collect(),
        };
        let nodes: Vec<Node> = if hosts.is_empty() {
            vec![Node::Join]
        } else {
            hosts.into_iter().map(|host| Node::Unit(Unit { phase: self.index, step, host })).collect()
        };
        nodes.into_iter().map(|node| self.add(node)).collect()
    }

    /// The hosts of a step in this stretch. Handlers also run on hosts of no batch, and where a host of the batch that they
    /// do not run on asks for them.
    fn hosts_now(&self, number: usize) -> Vec<Arc<Host>> {
        let hosts = self.hosts[number].iter().flatten();
        let Some(stretch) = &self.now else { return hosts.cloned().collect() };
        let step = &self.phase.steps[number];
        let is_handler = step.part == Part::Handler;
        let from_elsewhere = is_handler && self.asked_from_elsewhere(stretch, number, step);
        let takes = |host: &&Arc<Host>| stretch.has(host) || is_handler && (from_elsewhere || stretch.leaves_out(host));
        hosts.filter(takes).cloned().collect()
    }

    fn asked_from_elsewhere(&self, stretch: &Stretch, number: usize, handler: &Step) -> bool {
        let own: BTreeSet<&str> = self.hosts[number].iter().flatten().map(|host| host.name.as_str()).collect();
        let asking = self.phase.part(Part::Step).filter(|(_, step)| step.notifies(handler));
        let mut hosts = asking.flat_map(|(n, _)| self.hosts[n].iter().flatten());
        hosts.any(|host| stretch.has(host) && !own.contains(host.name.as_str()))
    }

    fn add(&mut self, node: Node) -> NodeIndex {
        let index = self.dag.add_node(node);
        self.inner.push(index);
        index
    }

    /// The earlier steps that a step must be tied to: those that it needs, and of those behind them the ones of which
    /// it needs a part that the steps between do not wait for, since they run on other hosts.
    fn wanted(&self, number: usize) -> Vec<usize> {
        let (direct, reach) = (&self.order[number], &self.reach);
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
        if pattern(&self.phase.steps[number]) == pattern(&self.phase.steps[between]) {
            return true;
        }
        // The step between may run on hosts whose turn comes before that of the earlier step's.
        if self.phase.pace.serial.is_some() {
            return false;
        }
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
        self.hosts[number].iter().flatten().map(|h| h.name.as_str()).collect()
    }

    /// All handlers of the phase, one after the other, behind `before` and, of `steps`, behind those that may notify
    /// them. Gives their units.
    fn handlers(&mut self, before: &[Vec<NodeIndex>], steps: &[Vec<NodeIndex>]) -> Vec<Vec<NodeIndex>> {
        let mut waits: Vec<_> = before.iter().filter(|nodes| !nodes.is_empty()).cloned().collect();
        let mut handlers = Vec::new();
        for (number, handler) in self.phase.part(Part::Handler) {
            let asking = self.phase.part(Part::Step).filter(|(_, step)| step.notifies(handler));
            let asking: Vec<(usize, &Step)> = asking.collect();
            let asked_from_elsewhere = asking.iter().any(|(_, step)| pattern(step) != pattern(handler));
            let units = self.units(number);
            if waits.is_empty() {
                self.edges(&[self.begin], &units);
            }
            for nodes in &waits {
                self.connect(nodes, &units, asked_from_elsewhere);
            }
            for nodes in asking.iter().filter_map(|(n, _)| steps.get(*n)).filter(|nodes| !nodes.is_empty()) {
                self.connect(nodes, &units, asked_from_elsewhere);
            }
            waits.push(units.clone());
            handlers.push(units);
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
                self.connect(nodes, &units, false);
            }
            waits.push(units);
        }
        Ok(())
    }

    /// Nodes of a stretch that nothing in it waits for, but for the next batch of a step.
    fn sinks(&self, began: usize) -> Vec<NodeIndex> {
        let is_gate = |n: NodeIndex| matches!(self.dag[n], Node::Gate);
        let is_sink = |n: &NodeIndex| self.dag.neighbors_directed(*n, Direction::Outgoing).all(is_gate);
        self.inner[began..].iter().copied().filter(is_sink).collect()
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
