//! The free room on a cluster's nodes, and whether pods fit there. Pure.
//!
//! Follows the scheduler for requests, the number of pods, node selectors and taints, but not for affinity, topology
//! spread, ports and volumes.

mod amount;
mod node;
mod pods;
mod quantity;
mod shortage;
mod taint;
#[cfg(test)]
pub(crate) mod testing;

use serde_json::Value;

pub use amount::Amount;
pub use node::Node;
pub use pods::Pods;
pub use quantity::{Quantity, Round};
pub use taint::Toleration;

use crate::connect::kube::manifest::{list, text};
use crate::connect::kube::{self, KindRef, Query};
use crate::connect::{Fact, Probe};
use crate::event::Problem;

/// A workload, by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    pub namespace: String,
    pub name: String,
}

impl Workload {
    /// Parses `namespace/name`.
    pub fn parse(text: &str) -> Option<Self> {
        let (namespace, name) = text.split_once('/')?;
        let whole = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
        whole.then(|| Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// Whether the pod belongs to this workload.
    fn owns(&self, pod: &Value) -> bool {
        if text(pod, "/metadata/namespace") != self.namespace {
            return false;
        }
        let hash = pod.pointer("/metadata/labels/pod-template-hash").and_then(Value::as_str);
        list(pod, "/metadata/ownerReferences").iter().any(|owner| match (text(owner, "/kind"), hash) {
            // A Deployment owns its pods through a ReplicaSet, whose name is that of the Deployment and a hash.
            ("ReplicaSet", Some(hash)) => text(owner, "/name") == format!("{}-{hash}", self.name),
            _ => text(owner, "/name") == self.name,
        })
    }
}

/// The free room on all nodes.
#[derive(Debug)]
pub struct ClusterCapacity {
    nodes: Vec<Node>,
    /// Number of pods that were placed here and do not exist in the cluster.
    placed: u64,
    /// Sum of the requests of the placed pods.
    placed_requests: Amount,
}

impl ClusterCapacity {
    /// The probes whose answers [`Self::seen`] takes.
    pub fn probes() -> [Probe; 2] {
        let get = |query| Probe::Kube(kube::Probe::Get(query));
        let running = "status.phase!=Succeeded,status.phase!=Failed".to_owned();
        [
            get(Query::all(KindRef::new("v1", "Node"), None)),
            get(Query { fields: Some(running), ..Query::all(KindRef::new("v1", "Pod"), None) }),
        ]
    }

    /// The free room in a cluster, without the pods of `own`; `None` if the facts do not belong to the probes.
    pub fn from_facts(facts: &[Fact], own: &[Workload], headroom: Quantity) -> Option<Self> {
        let [Fact::Kube(kube::Fact::Objects(nodes)), Fact::Kube(kube::Fact::Objects(pods))] = facts else {
            return None;
        };
        let mut nodes: Vec<Node> = nodes.items.iter().map(|n| Node::of(n, headroom)).collect();
        let counts = |pod: &&Value| !kube::pods::ended(pod) && !own.iter().any(|w| w.owns(pod));
        for pod in pods.items.iter().filter(counts) {
            let home = text(pod, "/spec/nodeName");
            if let (Some(node), Some(spec)) = (nodes.iter_mut().find(|n| n.name == home), pod.get("spec")) {
                node.take(Amount::of_pod(spec));
            }
        }
        Some(Self { nodes, placed: 0, placed_requests: Amount::default() })
    }

    /// The nodes that may run the pods, the one with the most room first.
    pub fn nodes(&self, pods: &Pods) -> Vec<&Node> {
        let mut nodes: Vec<&Node> = self.nodes.iter().filter(|n| n.takes(pods)).collect();
        nodes.sort_by_key(|n| std::cmp::Reverse((n.free.memory, n.free.cpu)));
        nodes
    }

    /// How many such pods fit.
    pub fn fits(&self, pods: &Pods) -> u64 {
        let each = self.nodes.iter().filter(|n| n.takes(pods)).map(|n| n.holds(pods.each));
        each.fold(0, u64::saturating_add)
    }

    /// Number of pods that were placed.
    pub fn placed(&self) -> u64 {
        self.placed
    }

    /// Sum of the requests of the placed pods.
    pub fn placed_requests(&self) -> Amount {
        self.placed_requests
    }

    /// Places the pods, all of them or none.
    ///
    /// # Errors
    /// The resource of which there is too little, if the pods do not all fit.
    pub fn place(&mut self, pods: &Pods) -> Result<(), Problem> {
        let Some(replicas) = pods.replicas else { return self.place_on_each(pods) };
        if self.fits(pods) < replicas {
            return Err(self.shortage(pods, replicas));
        }
        for _ in 0..replicas {
            // The fullest node that still fits the pod: larger gaps are kept for larger pods.
            let open = self.nodes.iter_mut().filter(|n| n.takes(pods) && n.holds(pods.each) > 0);
            if let Some(node) = open.min_by_key(|n| (n.free.memory, n.free.cpu)) {
                node.take(pods.each);
                self.placed += 1;
                self.placed_requests = self.placed_requests + pods.each;
            }
        }
        Ok(())
    }

    fn place_on_each(&mut self, pods: &Pods) -> Result<(), Problem> {
        let full = self.nodes.iter().find(|n| n.takes(pods) && n.holds(pods.each) == 0);
        if let Some(node) = full {
            return Err(self.too_full(pods, node));
        }
        for node in self.nodes.iter_mut().filter(|n| n.takes(pods)) {
            node.take(pods.each);
            self.placed += 1;
            self.placed_requests = self.placed_requests + pods.each;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
