//! Pods that want room.

use std::collections::BTreeMap;

use super::amount::Amount;
use super::taint::Toleration;

/// Alike pods that want room.
#[derive(Debug, Clone, Default)]
pub struct Pods {
    /// Whose they are, for people: `namespace/name`.
    pub name: String,
    /// What each asks for.
    pub each: Amount,
    /// How many there are; `None`: one on each node that takes them, as of a `DaemonSet`.
    pub replicas: Option<u64>,
    /// Labels of the nodes that take them.
    pub selector: BTreeMap<String, String>,
    /// Taints that they tolerate.
    pub tolerations: Vec<Toleration>,
}
