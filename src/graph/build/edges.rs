//! Adds nodes and edges for the phase that is being built.

use std::collections::HashMap;

use petgraph::Direction;
use petgraph::graph::NodeIndex;

use super::Build;
use crate::graph::Node;

impl Build<'_> {
    pub(super) fn add_node(&mut self, node: Node) -> NodeIndex {
        let index = self.dag.add_node(node);
        self.phase_nodes.push(index);
        index
    }

    /// Adds a gate that waits for all nodes of a batch.
    pub(super) fn add_gate(&mut self, behind: &[NodeIndex]) -> NodeIndex {
        let gate = self.add_node(Node::Gate);
        self.add_edges(behind, &[gate]);
        gate
    }

    /// The nodes added since index `first_node` of `phase_nodes` that no node waits for, gates not counted.
    pub(super) fn sinks(&self, first_node: usize) -> Vec<NodeIndex> {
        let is_gate = |n: NodeIndex| matches!(self.dag[n], Node::Gate);
        let is_sink = |n: &NodeIndex| self.dag.neighbors_directed(*n, Direction::Outgoing).all(is_gate);
        self.phase_nodes[first_node..].iter().copied().filter(is_sink).collect()
    }

    /// Makes the nodes `after` wait for the nodes `before`. A node on a host waits only for the `before` nodes on its
    /// host, if there are any and `all_hosts` is false; otherwise it waits for all of them. A join node stands in for
    /// many nodes, to keep the number of edges small.
    pub(super) fn connect(&mut self, before: &[NodeIndex], after: &[NodeIndex], all_hosts: bool) {
        let mut by_host: HashMap<String, Vec<NodeIndex>> = HashMap::new();
        for node in before {
            if let Some(host) = self.host_of(*node) {
                by_host.entry(host).or_default().push(*node);
            }
        }
        let mut join = None;
        for unit in after {
            let same_host = if all_hosts { None } else { self.host_of(*unit).and_then(|h| by_host.get(&h).cloned()) };
            let from = match (same_host, before) {
                (Some(nodes), _) => nodes,
                (None, [only]) => vec![*only],
                (None, many) => {
                    let node = *join.get_or_insert_with(|| {
                        let node = self.dag.add_node(Node::Join);
                        for from in many {
                            self.dag.add_edge(*from, node, ());
                        }
                        self.phase_nodes.push(node);
                        node
                    });
                    vec![node]
                }
            };
            self.add_edges(&from, &[*unit]);
        }
    }

    pub(super) fn add_edges(&mut self, from: &[NodeIndex], to: &[NodeIndex]) {
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
