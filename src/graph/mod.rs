//! Plan × hosts → the graph of units that the engine walks.
//!
//! Knows the plan and the inventory; never runs anything. A phase is a `Begin` and an `End` node with its units between
//! them, so that an edge between two phases is one edge however many hosts they have.
//!
//! Order inside a phase: a step needs the step before it, or those that its `needs` names. Where both run on the same
//! host, only that host's part is waited for, so a slow host holds nobody up. Handlers stand at the end of their phase,
//! and before each step that flushes; the engine passes over those that nobody notified. After everything else of a phase
//! stand the steps that undo it, the last one's first; they are passed over unless the phase failed.
//!
//! A loop is a chain of units on each host, an item after the other.
//!
//! With `serial`, a batch of hosts goes through a phase (or a step) before the next one: a gate stands between the two.

mod batches;
mod build;
mod expansion;
mod picture;
mod targets;

pub use expansion::RenderContext;
pub use picture::{dot, mermaid};
pub use targets::nearest_instances;

use std::collections::BTreeSet;
use std::sync::Arc;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::event::UnitRef;
use crate::inventory::Host;
use crate::plan::{Plan, Step, StepKind};

/// A node of the graph.
#[derive(Debug, Clone)]
pub enum Node {
    /// A phase's needs are met.
    Begin(usize),
    /// All of a phase's units have ended.
    End(usize),
    /// All units of a step have ended; stands between two steps that must not overlap.
    Join,
    /// All units of a batch of hosts have ended; stands before the next batch. The order is all that it is about: nothing
    /// in the next batch stands on what this one did.
    Gate,
    /// Something to do.
    Unit(Unit),
}

/// A step, for an item when it is a loop, on a host when it fans out. Indices are those of the plan.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Index in `plan.phases`.
    pub phase: usize,
    /// Index in the phase's `steps`.
    pub step: usize,
    /// The item's name.
    pub item: Option<Arc<str>>,
    /// The host; none for a step that runs once.
    pub host: Option<Arc<Host>>,
    /// The host whose variables its templates see.
    pub vars_host: Option<Arc<Host>>,
    /// The machine that it runs on; none: this one, as the controller.
    pub runs_on: Option<Arc<Host>>,
}

/// The units of a plan and what each needs.
#[derive(Debug)]
pub struct Graph {
    dag: DiGraph<Node, ()>,
    /// By phase and step.
    instances: Vec<Vec<Arc<Instances>>>,
    limited: bool,
}

/// All that a step runs for, hosts out of sight included.
pub type Instances = BTreeSet<Instance>;

/// What a step runs for: a host, an item, both, or neither, when it runs once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// The host's name.
    pub host: Option<String>,
    /// The item's name.
    pub item: Option<String>,
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
    /// A step without hosts stands between steps that go over their hosts in batches.
    #[error("step {step} runs once, between steps that run batch by batch")]
    BetweenBatches {
        /// The step.
        step: String,
    },
    /// What a step runs for cannot be known before the run; static checks say it better.
    #[error("step {step}: {message}")]
    Expansion {
        /// The step.
        step: String,
        /// What is wrong.
        message: String,
    },
    /// Phases or steps that need each other.
    #[error("phases or steps need each other in a circle")]
    Cycle,
}

impl Graph {
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

    /// Nodes that this one needs.
    pub fn predecessors(&self, index: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.dag.neighbors_directed(index, Direction::Incoming)
    }

    /// Whether a node stands between two batches.
    pub fn is_gate(&self, index: NodeIndex) -> bool {
        matches!(self.dag[index], Node::Gate)
    }

    /// How many units run in their turn; handlers and what undoes come on top.
    pub fn step_count(&self, plan: &Plan) -> usize {
        self.units().filter(|unit| unit.step(plan).kind == StepKind::Step).count()
    }

    /// What a step runs for, hosts out of the graph's sight included.
    pub fn instances(&self, phase: usize, step: usize) -> &Instances {
        &self.instances[phase][step]
    }

    /// Whether a unit is for another item of the same loop on the same host.
    pub fn same_loop(&self, one: NodeIndex, other: NodeIndex) -> bool {
        let (Node::Unit(one), Node::Unit(other)) = (self.node(one), self.node(other)) else { return false };
        let host = |unit: &Unit| unit.host.as_ref().map(|h| h.name.clone());
        let same_step = (one.phase, one.step) == (other.phase, other.step);
        same_step && one.item.is_some() && other.item.is_some() && host(one) == host(other)
    }

    /// Whether some of the plan's hosts are out of sight.
    pub fn is_limited(&self) -> bool {
        self.limited
    }

    /// All units.
    pub fn units(&self) -> impl Iterator<Item = &Unit> {
        self.dag.node_weights().filter_map(|n| if let Node::Unit(unit) = n { Some(unit) } else { None })
    }
}

impl Instance {
    /// A unit's.
    pub fn of_unit(unit: &UnitRef) -> Self {
        Self { host: unit.host.clone(), item: unit.item.clone() }
    }
}

impl Unit {
    /// Its step.
    pub fn step<'p>(&self, plan: &'p Plan) -> &'p Step {
        &plan.phases[self.phase].steps[self.step]
    }

    /// Its name in events.
    pub fn reference(&self, plan: &Plan) -> UnitRef {
        let phase = &plan.phases[self.phase];
        UnitRef {
            phase: phase.name.value.clone(),
            step: phase.steps[self.step].id.value.clone(),
            item: self.item.as_deref().map(str::to_owned),
            host: self.host.as_ref().map(|h| h.name.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
