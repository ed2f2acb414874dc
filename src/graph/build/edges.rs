//! Nodes and edges of a phase under construction.

use std::collections::HashMap;

use petgraph::Direction;
use petgraph::graph::NodeIndex;

use super::Build;
use crate::graph::Node;

impl Build<'_> {
    pub(super) fn add(&mut self, node: Node) -> NodeIndex {
        let index = self.dag.add_node(node);
        self.inner.push(index);
        index
    }

    /// A gate behind a batch.
    pub(super) fn gate(&mut self, behind: &[NodeIndex]) -> NodeIndex {
        let gate = self.add(Node::Gate);
        self.edges(behind, &[gate]);
        gate
    }

    /// Nodes of a stretch that nothing in it waits for, but for the next batch of a step.
    pub(super) fn sinks(&self, began: usize) -> Vec<NodeIndex> {
        let is_gate = |n: NodeIndex| matches!(self.dag[n], Node::Gate);
        let is_sink = |n: &NodeIndex| self.dag.neighbors_directed(*n, Direction::Outgoing).all(is_gate);
        self.inner[began..].iter().copied().filter(is_sink).collect()
    }

    /// Lets `after` wait for `before`; where both have the same host, for that host's part only, unless `whole`.
    pub(super) fn connect(&mut self, before: &[NodeIndex], after: &[NodeIndex], whole: bool) {
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

    pub(super) fn edges(&mut self, from: &[NodeIndex], to: &[NodeIndex]) {
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
}
