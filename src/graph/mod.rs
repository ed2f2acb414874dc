//! Turns a plan and its hosts into the graph of units that the engine walks.
//!
//! Depends on the plan and the inventory only, and runs nothing. A phase is a `Begin` and an `End` node with its units
//! between them, so that an edge between two phases is one edge however many hosts they have.
//!
//! Order inside a phase: a step needs the step before it, or the steps that its `needs` names. If both run on the same
//! host, the step waits for that host only, so a slow host does not delay the others. Handlers run at the end of their
//! phase and before each step with `flush`; the engine skips handlers that no step notified. The rollback steps of a
//! phase come last, in reverse order; they are skipped unless the phase failed.
//!
//! On each host, the items of a loop are a chain of units: each item waits for the one before.
//!
//! With `serial`, a batch of hosts completes the phase (or the step) before the next batch starts. A gate node stands
//! between two batches.

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
    /// The phases that this phase needs have ended.
    Begin(usize),
    End(usize),
    /// All units of a step have ended. Replaces an edge from each unit of one step to each unit of another.
    Join,
    /// All units of a batch of hosts have ended; the next batch starts after it. A gate only orders the batches: the
    /// next batch does not depend on what this one did.
    Gate,
    Unit(Unit),
}

/// One execution of a step: on one host if the step fans out, for one item if it is a loop. Indices are those of the
/// plan.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Index in `plan.phases`.
    pub phase: usize,
    /// Index in the phase's `steps`.
    pub step: usize,
    /// Key of the loop item.
    pub item: Option<Arc<str>>,
    /// The host. `None` for a step that runs once.
    pub host: Option<Arc<Host>>,
    /// The host whose variables its templates see.
    pub vars_host: Option<Arc<Host>>,
    /// The machine on which the unit runs. `None`: on the controller.
    pub runs_on: Option<Arc<Host>>,
}

/// The units of a plan and what each of them waits for.
#[derive(Debug)]
pub struct Graph {
    dag: DiGraph<Node, ()>,
    /// Instances of each step, by phase and step index.
    instances: Vec<Vec<Arc<Instances>>>,
    limited: bool,
}

/// All instances of a step, including those on hosts that are not visible in this run.
pub type Instances = BTreeSet<Instance>;

/// The host and the item that a unit of a step is for; neither if the step runs once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// Name of the host.
    pub host: Option<String>,
    /// Key of the loop item.
    pub item: Option<String>,
}

/// Why the graph cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// `needs` names a step or phase that does not exist. The static checks report this with a better message.
    #[error("{of} needs {name}, which does not exist")]
    NoSuch {
        /// The step or phase with the `needs`.
        of: String,
        /// The name that does not exist.
        name: String,
    },
    /// A step without hosts stands between steps that run in batches.
    #[error("step {step} runs once, between steps that run batch by batch")]
    BetweenBatches {
        /// Id of the step.
        step: String,
    },
    /// The hosts or items of a step cannot be determined before the run. The static checks report this with a better
    /// message.
    #[error("step {step}: {message}")]
    Expansion {
        /// Id of the step.
        step: String,
        message: String,
    },
    #[error("phases or steps need each other in a circle")]
    Cycle,
}

impl Graph {
    pub fn nodes(&self) -> impl Iterator<Item = (NodeIndex, &Node)> {
        self.dag.node_indices().map(|i| (i, &self.dag[i]))
    }

    pub fn node(&self, index: NodeIndex) -> &Node {
        &self.dag[index]
    }

    /// The nodes that wait for this node.
    pub fn successors(&self, index: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.dag.neighbors_directed(index, Direction::Outgoing)
    }

    /// The nodes for which this node waits.
    pub fn predecessors(&self, index: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.dag.neighbors_directed(index, Direction::Incoming)
    }

    pub fn is_gate(&self, index: NodeIndex) -> bool {
        matches!(self.dag[index], Node::Gate)
    }

    /// Number of units, handlers and rollback steps not counted.
    pub fn step_count(&self, plan: &Plan) -> usize {
        self.units().filter(|unit| unit.step(plan).kind == StepKind::Step).count()
    }

    /// All instances of a step, including those on hosts that are not visible in this run.
    pub fn instances(&self, phase: usize, step: usize) -> &Instances {
        &self.instances[phase][step]
    }

    /// Whether two units are items of the same loop on the same host.
    pub fn same_loop(&self, one: NodeIndex, other: NodeIndex) -> bool {
        let (Node::Unit(one), Node::Unit(other)) = (self.node(one), self.node(other)) else { return false };
        let host = |unit: &Unit| unit.host.as_ref().map(|h| h.name.clone());
        let same_step = (one.phase, one.step) == (other.phase, other.step);
        same_step && one.item.is_some() && other.item.is_some() && host(one) == host(other)
    }

    /// Whether some of the plan's hosts are not visible in this run.
    pub fn is_limited(&self) -> bool {
        self.limited
    }

    pub fn units(&self) -> impl Iterator<Item = &Unit> {
        self.dag.node_weights().filter_map(|n| if let Node::Unit(unit) = n { Some(unit) } else { None })
    }
}

impl Instance {
    /// The instance to which a unit belongs.
    pub fn of_unit(unit: &UnitRef) -> Self {
        Self { host: unit.host.clone(), item: unit.item.clone() }
    }
}

impl Unit {
    pub fn step<'p>(&self, plan: &'p Plan) -> &'p Step {
        &plan.phases[self.phase].steps[self.step]
    }

    /// The unit's name in events.
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
