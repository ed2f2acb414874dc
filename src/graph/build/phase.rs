//! State shared by the functions that add one phase to the graph.

use std::collections::BTreeSet;

use petgraph::graph::{DiGraph, NodeIndex};

use crate::graph::batches::Segment;
use crate::graph::expansion::Expansion;
use crate::graph::{GraphError, Node};
use crate::plan::{Phase, Step};

pub(super) struct Build<'a> {
    pub(super) dag: &'a mut DiGraph<Node, ()>,
    pub(super) index: usize,
    pub(super) phase: &'a Phase,
    /// For each step, the steps that it needs directly.
    pub(super) needs: Vec<Vec<usize>>,
    /// For each step, all steps that it comes after, directly or through others.
    pub(super) transitive_needs: Vec<BTreeSet<usize>>,
    pub(super) steps: Vec<Expansion>,
    /// For each step, the index of the first step with the same hosts. Equal indices mean equal hosts.
    pub(super) host_groups: Vec<usize>,
    /// The segment that is being built. `None` while rollback steps are added.
    pub(super) segment: Option<Segment>,
    pub(super) begin: NodeIndex,
    /// All nodes of the phase between `Begin` and `End`.
    pub(super) phase_nodes: Vec<NodeIndex>,
}

pub(super) fn pattern(step: &Step) -> Option<&str> {
    step.hosts.as_ref().map(|h| h.value.as_str())
}

pub(super) fn unknown_need(of: &str, name: &str) -> GraphError {
    GraphError::NoSuch { of: of.to_owned(), name: name.to_owned() }
}
