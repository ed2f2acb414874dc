//! Pods to be placed.

use std::collections::BTreeMap;

use super::amount::Amount;
use super::taint::Toleration;

/// Pods with the same requests.
#[derive(Debug, Clone, Default)]
pub struct Pods {
    /// The workload of the pods, for people: `namespace/name`.
    pub name: String,
    /// Requests of each pod.
    pub each: Amount,
    /// Number of pods; `None`: one on each node that accepts them, as for a `DaemonSet`.
    pub replicas: Option<u64>,
    /// Labels that a node must have.
    pub selector: BTreeMap<String, String>,
    pub tolerations: Vec<Toleration>,
}
