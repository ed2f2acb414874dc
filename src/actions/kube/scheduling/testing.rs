//! Nodes and pods for unit tests.

use serde_json::{Value, json};

use crate::connect::Fact;
use crate::connect::kube::{self, Objects};

/// A node that is Ready, with its name as a label.
pub fn node(name: &str, cpu: &str, memory: &str) -> Value {
    json!({
        "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "spec": {},
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": "110"},
                   "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// A running pod of a Deployment.
pub fn pod(node: &str, deployment: &str, cpu: &str, memory: &str) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {"name": format!("{deployment}-5f-x"), "namespace": "app", "labels": {"pod-template-hash": "5f"},
                     "ownerReferences": [{"kind": "ReplicaSet", "name": format!("{deployment}-5f")}]},
        "spec": {"nodeName": node, "containers": [{"resources": {"requests": {"cpu": cpu, "memory": memory}}}]},
        "status": {"phase": "Running"},
    })
}

/// The facts of a cluster with these nodes and pods.
pub fn facts(nodes: Vec<Value>, pods: Vec<Value>) -> Vec<Fact> {
    [nodes, pods].map(|items| Fact::Kube(kube::Fact::Objects(Objects::of(items)))).into()
}
