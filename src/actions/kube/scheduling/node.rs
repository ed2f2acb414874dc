//! One node: what it has, what is left of it, and which pods it takes. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::amount::quantity;
use super::taint::Taint;
use super::{Amount, Pods, Quantity};
use crate::connect::kube::{manifest::text, pods};

/// Pods on a node that does not say how many it runs at most: the kubelet's default.
const DEFAULT_MAX_PODS: u64 = 110;

/// A node.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What pods may ask for altogether.
    pub allocatable: Amount,
    /// What is left of it.
    pub free: Amount,
    /// How many more pods it may run.
    pub slots: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    ready: bool,
    taints: Vec<Taint>,
}

impl Node {
    /// An empty node; `headroom` of its memory is never given away.
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

    /// Puts one more pod there.
    pub fn take(&mut self, amount: Amount) {
        self.free = self.free - amount;
        self.slots = self.slots.saturating_sub(1);
    }

    /// How many pods that ask for so much find room.
    pub fn holds(&self, each: Amount) -> u64 {
        let (memory, cpu) = (self.free.memory.times(each.memory), self.free.cpu.times(each.cpu));
        [memory, cpu].into_iter().flatten().fold(self.slots, u64::min)
    }

    /// Whether its labels are those that the pods want.
    pub fn is_selected(&self, pods: &Pods) -> bool {
        pods.selector.iter().all(|(key, value)| self.labels.get(key) == Some(value))
    }

    /// Why it takes no such pods although its labels are right, as what follows its name.
    pub fn obstacle(&self, pods: &Pods) -> Option<String> {
        if !self.ready {
            return Some("is not Ready".to_owned());
        }
        let daemon = pods.replicas.is_none();
        self.taints.iter().find(|t| !t.is_tolerated(&pods.tolerations, daemon)).map(ToString::to_string)
    }

    /// Whether such pods may run there, if there is room.
    pub fn takes(&self, pods: &Pods) -> bool {
        self.is_selected(pods) && self.obstacle(pods).is_none()
    }
}
