//! A phase that becomes a part of the graph.

use std::collections::BTreeSet;

use petgraph::graph::{DiGraph, NodeIndex};

use crate::graph::batches::Segment;
use crate::graph::expansion::Expansion;
use crate::graph::{GraphError, Node};
use crate::plan::{Phase, Step};

/// A phase under construction.
pub(super) struct Build<'a> {
    pub(super) dag: &'a mut DiGraph<Node, ()>,
    pub(super) index: usize,
    pub(super) phase: &'a Phase,
    /// For each step those that it needs.
    pub(super) order: Vec<Vec<usize>>,
    /// For each step all that it comes after.
    pub(super) reach: Vec<BTreeSet<usize>>,
    /// The units of each step.
    pub(super) steps: Vec<Expansion>,
    /// For each step the first one that has the same hosts.
    pub(super) alike: Vec<usize>,
    /// The stretch that is built now.
    pub(super) now: Option<Segment>,
    pub(super) begin: NodeIndex,
    /// All units and joins between begin and end.
    pub(super) inner: Vec<NodeIndex>,
}

pub(super) fn pattern(step: &Step) -> Option<&str> {
    step.hosts.as_ref().map(|h| h.value.as_str())
}

pub(super) fn no_such(of: &str, name: &str) -> GraphError {
    GraphError::NoSuch { of: of.to_owned(), name: name.to_owned() }
}
