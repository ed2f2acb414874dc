//! One node: its capacity, its free room, and the pods that it accepts. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::amount::quantity;
use super::taint::Taint;
use super::{Amount, Pods, Quantity};
use crate::connect::kube::{manifest::text, pods};

/// Maximum number of pods if the node does not give one: the kubelet's default.
const DEFAULT_MAX_PODS: u64 = 110;

#[derive(Debug, Clone)]
pub struct Node {
    pub name: String,
    /// Sum that the requests of all pods may reach.
    pub allocatable: Amount,
    /// The part of `allocatable` that no pod has requested.
    pub free: Amount,
    /// How many more pods the node may run.
    pub slots: u64,
    pub labels: BTreeMap<String, String>,
    ready: bool,
    taints: Vec<Taint>,
}

impl Node {
    /// A node without pods; `headroom` of its memory stays free.
    pub fn of(node: &Value, headroom: Quantity) -> Self {
        let has = |name| quantity(node.pointer("/status/allocatable"), name);
        let of = |name| has(name).unwrap_or_default();
        let allocatable = Amount { cpu: of("cpu"), memory: of("memory") };
        let kept = Amount { memory: headroom, ..Amount::default() };
        let labels = node.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
        Self {
            name: text(node, "/metadata/name").to_owned(),
            allocatable,
            free: allocatable - kept,
            slots: has("pods").and_then(|q| q.times(Quantity::whole(1))).unwrap_or(DEFAULT_MAX_PODS),
            labels: labels.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect(),
            ready: pods::condition(node, "Ready").is_some_and(|c| text(c, "/status") == "True"),
            taints: Taint::of(node),
        }
    }

    /// Places one pod.
    pub fn take(&mut self, amount: Amount) {
        self.free = self.free - amount;
        self.slots = self.slots.saturating_sub(1);
    }

    /// How many pods with these requests fit.
    pub fn holds(&self, each: Amount) -> u64 {
        let (memory, cpu) = (self.free.memory.times(each.memory), self.free.cpu.times(each.cpu));
        [memory, cpu].into_iter().flatten().fold(self.slots, u64::min)
    }

    /// Whether the node has the labels that the pods select.
    pub fn is_selected(&self, pods: &Pods) -> bool {
        pods.selector.iter().all(|(key, value)| self.labels.get(key) == Some(value))
    }

    /// Why the node does not accept the pods although its labels match; the text follows the node's name.
    pub fn obstacle(&self, pods: &Pods) -> Option<String> {
        if !self.ready {
            return Some("is not Ready".to_owned());
        }
        let daemon = pods.replicas.is_none();
        self.taints.iter().find(|t| !t.is_tolerated(&pods.tolerations, daemon)).map(ToString::to_string)
    }

    /// Whether the pods may run on the node if they fit.
    pub fn takes(&self, pods: &Pods) -> bool {
        self.is_selected(pods) && self.obstacle(pods).is_none()
    }
}
