//! The room that a cluster's nodes have left, and whether pods find it there. Pure.
//!
//! Judges as the scheduler does by requests, the number of pods, node selectors and taints; not by affinity, spreading,
//! ports and volumes. Knows nodes and pods as objects; never how they were fetched.

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

/// What makes pods: their namespace and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Workload {
    /// From `namespace/name`.
    pub fn read(text: &str) -> Option<Self> {
        let (namespace, name) = text.split_once('/')?;
        let whole = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
        whole.then(|| Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// Whether the pod is one of its own.
    fn has_made(&self, pod: &Value) -> bool {
        if text(pod, "/metadata/namespace") != self.namespace {
            return false;
        }
        let hash = pod.pointer("/metadata/labels/pod-template-hash").and_then(Value::as_str);
        list(pod, "/metadata/ownerReferences").iter().any(|owner| match (text(owner, "/kind"), hash) {
            // A Deployment owns its pods through a ReplicaSet, which is named after both.
            ("ReplicaSet", Some(hash)) => text(owner, "/name") == format!("{}-{hash}", self.name),
            _ => text(owner, "/name") == self.name,
        })
    }
}

/// The room on all nodes.
#[derive(Debug)]
pub struct ClusterCapacity {
    nodes: Vec<Node>,
    /// Pods that have been placed, which the cluster does not have yet.
    placed: u64,
    /// What they ask for altogether.
    given: Amount,
}

impl ClusterCapacity {
    /// The questions whose answers [`Self::seen`] takes.
    pub fn probes() -> [Probe; 2] {
        let get = |query| Probe::Kube(kube::Probe::Get(query));
        let running = "status.phase!=Succeeded,status.phase!=Failed".to_owned();
        [
            get(Query::all(KindRef::new("v1", "Node"), None)),
            get(Query { fields: Some(running), ..Query::all(KindRef::new("v1", "Pod"), None) }),
        ]
    }

    /// The room in a cluster, the pods of `own` not counted; `None` when the facts answer something else.
    pub fn seen(facts: &[Fact], own: &[Workload], headroom: Quantity) -> Option<Self> {
        let [Fact::Kube(kube::Fact::Objects(nodes)), Fact::Kube(kube::Fact::Objects(pods))] = facts else {
            return None;
        };
        let mut nodes: Vec<Node> = nodes.items.iter().map(|n| Node::of(n, headroom)).collect();
        let counts = |pod: &&Value| !kube::pods::ended(pod) && !own.iter().any(|w| w.has_made(pod));
        for pod in pods.items.iter().filter(counts) {
            let home = text(pod, "/spec/nodeName");
            if let (Some(node), Some(spec)) = (nodes.iter_mut().find(|n| n.name == home), pod.get("spec")) {
                node.take(Amount::of_pod(spec));
            }
        }
        Some(Self { nodes, placed: 0, given: Amount::default() })
    }

    /// The nodes that take the pods, freest first.
    pub fn nodes(&self, pods: &Pods) -> Vec<&Node> {
        let mut nodes: Vec<&Node> = self.nodes.iter().filter(|n| n.takes(pods)).collect();
        nodes.sort_by_key(|n| std::cmp::Reverse((n.free.memory, n.free.cpu)));
        nodes
    }

    /// How many pods like these find room.
    pub fn fits(&self, pods: &Pods) -> u64 {
        let each = self.nodes.iter().filter(|n| n.takes(pods)).map(|n| n.holds(pods.each));
        each.fold(0, u64::saturating_add)
    }

    /// How many pods have been placed.
    pub fn placed(&self) -> u64 {
        self.placed
    }

    /// What the pods that have been placed ask for altogether.
    pub fn given(&self) -> Amount {
        self.given
    }

    /// Gives the pods their room.
    ///
    /// # Errors
    /// What there is too little of, when not all of them find room; then none has been given.
    pub fn place(&mut self, pods: &Pods) -> Result<(), Problem> {
        let Some(replicas) = pods.replicas else { return self.place_on_each(pods) };
        if self.fits(pods) < replicas {
            return Err(self.shortage(pods, replicas));
        }
        for _ in 0..replicas {
            // The fullest node that holds it: the larger gaps are left for larger pods.
            let open = self.nodes.iter_mut().filter(|n| n.takes(pods) && n.holds(pods.each) > 0);
            if let Some(node) = open.min_by_key(|n| (n.free.memory, n.free.cpu)) {
                node.take(pods.each);
                self.placed += 1;
                self.given = self.given + pods.each;
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
            self.given = self.given + pods.each;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
