//! Plan × hosts → the graph of units that the engine walks.
//!
//! Knows the plan and the inventory; never runs anything. A phase is a `Begin` and an `End` node with its units between
//! them, so that an edge between two phases is one edge however many hosts they have.
//!
//! Order inside a phase: a step needs the step before it, or those that its `needs` names. Where both run on the same
//! host, only that host's part is waited for, so a slow host holds nobody up.

mod picture;

pub use picture::{dot, mermaid};

use std::collections::HashMap;
use std::sync::Arc;

use petgraph::Direction;
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::event::UnitRef;
use crate::inventory::Host;
use crate::plan::Plan;

/// A node of the graph.
#[derive(Debug, Clone)]
pub enum Node {
    /// A phase's needs are met.
    Begin(usize),
    /// All of a phase's units have ended.
    End(usize),
    /// All units of a step have ended; stands between two steps that must not overlap.
    Join,
    /// Something to do.
    Unit(Unit),
}

/// A step, on a host when it fans out. Indices are those of the plan.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Index in `plan.phases`.
    pub phase: usize,
    /// Index in the phase's `steps`.
    pub step: usize,
    /// The host.
    pub host: Option<Arc<Host>>,
}

/// The units of a plan and what each needs.
#[derive(Debug)]
pub struct Graph {
    dag: DiGraph<Node, ()>,
}

/// Why there is no graph.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// `needs` names something that is not there; static checks say it better.
    #[error("{of} needs {name}, which does not exist")]
    NoSuch {
        /// Who needs it.
        of: String,
        /// What is needed.
        name: String,
    },
    /// Phases or steps that need each other.
    #[error("phases or steps need each other in a circle")]
    Cycle,
}

impl Graph {
    /// The graph of a plan, where `hosts_of` gives the hosts of a pattern.
    ///
    /// # Errors
    /// See [`GraphError`].
    pub fn new(plan: &Plan, mut hosts_of: impl FnMut(&str) -> Vec<Arc<Host>>) -> Result<Self, GraphError> {
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
            let mut steps: Vec<Vec<NodeIndex>> = Vec::new();
            for (number, step) in phase.steps.iter().enumerate() {
                let hosts = step.hosts.as_ref().map(|pattern| hosts_of(&pattern.value));
                let hosts: Vec<_> = hosts.map_or_else(|| vec![None], |hosts| hosts.into_iter().map(Some).collect());
                steps.push(
                    hosts
                        .into_iter()
                        .map(|host| dag.add_node(Node::Unit(Unit { phase: index, step: number, host })))
                        .collect(),
                );
            }
            // An empty step (no host matched) hands its place on to a join node, so that order is kept.
            for units in &mut steps {
                if units.is_empty() {
                    units.push(dag.add_node(Node::Join));
                }
            }
            for (number, step) in phase.steps.iter().enumerate() {
                let needs = match &step.needs {
                    None => number.checked_sub(1).into_iter().collect(),
                    Some(names) => names
                        .iter()
                        .map(|need| {
                            let before = phase.steps.iter().position(|s| s.id.value == need.value);
                            before.ok_or_else(|| no_such(&step.id.value, &need.value))
                        })
                        .collect::<Result<Vec<_>, _>>()?,
                };
                if needs.is_empty() {
                    for unit in &steps[number] {
                        dag.add_edge(begin, *unit, ());
                    }
                }
                for before in needs {
                    connect(&mut dag, &steps[before], &steps[number], looks_across_hosts(plan, index, before, number));
                }
                for unit in &steps[number] {
                    dag.add_edge(*unit, end, ());
                }
            }
            if phase.steps.is_empty() {
                dag.add_edge(begin, end, ());
            }
        }
        toposort(&dag, None).map_err(|_| GraphError::Cycle)?;
        Ok(Self { dag })
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeIndex, &Node)> {
        self.dag.node_indices().map(|i| (i, &self.dag[i]))
    }

    /// One node.
    pub fn node(&self, index: NodeIndex) -> &Node {
        &self.dag[index]
    }

    /// Nodes that need this one.
    pub fn successors(&self, index: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.dag.neighbors_directed(index, Direction::Outgoing)
    }

    /// How many nodes this one needs.
    pub fn needs(&self, index: NodeIndex) -> usize {
        self.dag.neighbors_directed(index, Direction::Incoming).count()
    }

    /// How many units there are.
    pub fn units(&self) -> usize {
        self.dag.node_weights().filter(|n| matches!(n, Node::Unit(_))).count()
    }
}

impl Unit {
    /// Its name in events.
    pub fn reference(&self, plan: &Plan) -> UnitRef {
        let phase = &plan.phases[self.phase];
        UnitRef {
            phase: phase.name.value.clone(),
            step: phase.steps[self.step].id.value.clone(),
            host: self.host.as_ref().map(|h| h.name.clone()),
        }
    }
}

fn connect(dag: &mut DiGraph<Node, ()>, before: &[NodeIndex], after: &[NodeIndex], whole: bool) {
    let host_of = |dag: &DiGraph<Node, ()>, i: NodeIndex| match &dag[i] {
        Node::Unit(unit) => unit.host.as_ref().map(|h| h.name.clone()),
        _ => None,
    };
    let by_host: HashMap<String, NodeIndex> = before.iter().filter_map(|i| Some((host_of(dag, *i)?, *i))).collect();
    let mut join = None;
    for unit in after {
        let same_host = if whole { None } else { host_of(dag, *unit).and_then(|h| by_host.get(&h).copied()) };
        let from = same_host.unwrap_or_else(|| match before {
            [only] => *only,
            many => *join.get_or_insert_with(|| {
                let node = dag.add_node(Node::Join);
                for unit in many {
                    dag.add_edge(*unit, node, ());
                }
                node
            }),
        });
        dag.add_edge(from, *unit, ());
    }
}

/// Whether a step reads the outputs of another one on other hosts (`steps.id.hosts[...]`), so that all must be done.
fn looks_across_hosts(plan: &Plan, phase: usize, before: usize, after: usize) -> bool {
    let steps = &plan.phases[phase].steps;
    let mark = format!("{}.hosts", steps[before].template_name());
    let step = &steps[after];
    let when = step.when.iter().any(|w| w.value.contains(&mark));
    when || serde_json::to_string(&step.params).is_ok_and(|text| text.contains(&mark))
}

fn no_such(of: &str, name: &str) -> GraphError {
    GraphError::NoSuch { of: of.to_owned(), name: name.to_owned() }
}

#[cfg(test)]
mod tests;
