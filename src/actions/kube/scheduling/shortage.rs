//! Messages about too little room. Pure.

use std::collections::BTreeSet;

use super::{ClusterCapacity, Node, Pods, Round};
use crate::event::Problem;
use crate::finding::{did_you_mean, listed};

/// Nodes that one message names.
const MAX_NAMED: usize = 3;

impl ClusterCapacity {
    /// Why not all of `replicas` pods fit.
    pub(super) fn shortage(&self, pods: &Pods, replicas: u64) -> Problem {
        let nodes = self.nodes(pods);
        let Some(freest) = nodes.first() else { return self.no_node_accepts(pods) };
        let (name, each) = (&pods.name, pods.each);
        let fits = self.fits(pods);
        let most_cpu = nodes.iter().max_by_key(|n| n.free.cpu).unwrap_or(freest);
        let (asked, left, node) = if fits > 0 {
            let times = if replicas > 1 { format!("{replicas} × ") } else { String::new() };
            let fit = if fits == 1 { "fits" } else { "fit" };
            let asked = format!("{times}{}", requests(pods));
            (asked, format!("only {fits} {fit}: {}", free_room_of(&nodes)), freest)
        } else if freest.free.memory < each.memory {
            (format!("{} memory", each.memory.memory(Round::Up)), memory(freest), freest)
        } else if most_cpu.free.cpu < each.cpu {
            (each.cpu.cpus(Round::Up), cpu(most_cpu), most_cpu)
        } else if nodes.iter().all(|n| n.slots == 0) {
            ("a place".to_owned(), "all nodes run as many pods as they may".to_owned(), freest)
        } else {
            (requests(pods), format!("no node has all of it left: {}", free_room_of(&nodes)), freest)
        };
        let message =
            format!("{name} asks for {asked}; {left}{}{}", self.placed_before_note(), self.rejecting_nodes(pods));
        Problem::new(message).hint(hint(node))
    }

    /// Why a pod that must run on every node does not fit on `node`.
    pub(super) fn too_full(&self, pods: &Pods, node: &Node) -> Problem {
        let (name, asked) = (&pods.name, requests(pods));
        let left =
            format!("{name} asks for {asked} on every node; {}{}", free_room_of(&[node]), self.placed_before_note());
        Problem::new(left).hint(hint(node))
    }

    /// Why no node accepts the pods.
    fn no_node_accepts(&self, pods: &Pods) -> Problem {
        let name = &pods.name;
        if self.nodes.iter().any(|n| n.is_selected(pods)) {
            let barred = self.rejecting_nodes(pods);
            return Problem::new(format!("no node takes {name}{}", barred.replacen(';', ":", 1)))
                .hint("`kubectl get nodes` shows their state; tolerations let pods run in spite of taints");
        }
        let wanted: Vec<String> = pods.selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
        if wanted.is_empty() {
            return Problem::new(format!("no node takes {name}: the cluster has none"))
                .hint("`kubectl get nodes` lists them");
        }
        let mut message = format!("{name} wants nodes with {}, and there is none", wanted.join(","));
        let mut near = None;
        for (key, value) in &pods.selector {
            let there: BTreeSet<&str> =
                self.nodes.iter().filter_map(|n| n.labels.get(key)).map(String::as_str).collect();
            if there.is_empty() {
                message.push_str(&format!("; no node has a label {key}"));
            } else {
                message.push_str(&format!("; {key} is {}", listed(there.iter().copied())));
            }
            if !there.contains(value.as_str()) {
                near = near.or_else(|| did_you_mean(value, there));
            }
        }
        let label = || format!("correct the node selector, or `kubectl label node NAME {}`", wanted.join(" "));
        Problem::new(message).hint(near.unwrap_or_else(label))
    }

    /// The nodes with matching labels that do not accept the pods, and why.
    fn rejecting_nodes(&self, pods: &Pods) -> String {
        let selected = self.nodes.iter().filter(|n| n.is_selected(pods));
        let each: Vec<String> = selected.filter_map(|n| Some(format!("; {} {}", n.name, n.obstacle(pods)?))).collect();
        let more = each.len().saturating_sub(MAX_NAMED);
        let more = if more > 0 { format!("; {more} more nodes take none") } else { String::new() };
        format!("{}{more}", each.iter().take(MAX_NAMED).map(String::as_str).collect::<String>())
    }

    /// A note that other pods were placed before: the free room is then less than `kubectl` shows.
    fn placed_before_note(&self) -> String {
        match self.placed {
            0 => String::new(),
            1 => " beside the chart's other pod".to_owned(),
            n => format!(" beside {n} other pods of the chart"),
        }
    }
}

fn requests(pods: &Pods) -> String {
    format!("{} memory and {}", pods.each.memory.memory(Round::Up), pods.each.cpu.cpus(Round::Up))
}

fn memory(node: &Node) -> String {
    let (left, all) = (node.free.memory.memory(Round::Down), node.allocatable.memory.memory(Round::Down));
    format!("the freest node, {}, has {left} of {all} allocatable left", node.name)
}

fn cpu(node: &Node) -> String {
    let (left, all) = (node.free.cpu.cores(Round::Down), node.allocatable.cpu.cpus(Round::Down));
    format!("the freest node, {}, has {left} of {all} allocatable left", node.name)
}

/// The free room of the nodes, largest first.
fn free_room_of(nodes: &[&Node]) -> String {
    let each: Vec<String> = nodes.iter().take(MAX_NAMED).map(|n| format!("{} has {}", n.name, n.free_room())).collect();
    format!("{} left", each.join(", "))
}

impl Node {
    /// The free room: `3.4Gi, 1.8 CPUs`.
    pub fn free_room(&self) -> String {
        let full = if self.slots == 0 { ", no place for a pod" } else { "" };
        format!("{}, {}{full}", self.free.memory.memory(Round::Down), self.free.cpu.cpus(Round::Down))
    }
}

fn hint(node: &Node) -> String {
    let describe = format!("`kubectl describe node {}` lists who asks for what", node.name);
    format!("lower what it requests, or free some: {describe}")
}
