//! The state that a node hands to the nodes that need it: what all of its ancestors come to.

use std::collections::{BTreeMap, HashMap};

use petgraph::graph::NodeIndex;

use crate::event::{Mode, UnitRef};
use crate::graph::{Graph, Unit};

/// The upstream state of one node.
#[derive(Debug, Clone, Default)]
pub struct Upstream {
    /// The first ancestor that did not end well: the node may not start.
    pub blocked_by: Option<String>,
    /// Hosts that failed within `max_failures`, with the unit that failed there: the node may not start on them.
    pub excluded_hosts: BTreeMap<String, String>,
    /// When an ancestor last changed something, on the journal's clock, and which: a result from before then is not kept.
    pub last_change: Option<(u64, String)>,
    /// The last change by an earlier item of the node's own loop. It counts for the nodes after the loop only, since items do not
    /// depend on each other.
    last_change_in_loop: Option<(u64, String)>,
    /// In a preview, the nearest ancestor that would change something.
    pub pending: Option<String>,
    /// The first ancestor that should have undone something and failed: nothing more is undone behind it.
    pub rollback_failed: Option<String>,
}

/// The upstream state of all nodes that are not done.
#[derive(Debug, Default)]
pub struct UpstreamMap(HashMap<NodeIndex, Upstream>);

impl UpstreamMap {
    pub fn get(&self, node: NodeIndex) -> Option<&Upstream> {
        self.0.get(&node)
    }

    pub fn entry(&mut self, node: NodeIndex) -> &mut Upstream {
        self.0.entry(node).or_default()
    }

    /// Hands the state of a node that is done to its successors. A gate lets only `blocked_by` through; in a preview, which
    /// looks at all batches at once, a gate hands nothing on.
    pub fn propagate(&mut self, graph: &Graph, node: NodeIndex, mode: Mode) {
        let in_loop = self.0.remove(&node).unwrap_or_default();
        let in_loop = match (graph.is_gate(node), mode) {
            (true, Mode::Preview) => return,
            (true, Mode::Run) => in_loop.past_gate(),
            (false, _) => in_loop,
        };
        let after_loop = in_loop.clone().leave_loop();
        for next in graph.successors(node) {
            let upstream = if graph.same_loop(node, next) { &in_loop } else { &after_loop };
            self.entry(next).merge(upstream);
        }
    }
}

impl Upstream {
    /// Notes that a unit changed something; the latest change counts.
    pub fn changed(&mut self, when: u64, who: &(impl ToString + ?Sized)) {
        later(&mut self.last_change, when, who);
    }

    /// Notes a change by the node's own unit.
    pub fn changed_by(&mut self, unit: &Unit, when: u64, who: &UnitRef) {
        match unit.item {
            Some(_) => self.changed_in_loop(when, who),
            None => self.changed(when, who),
        }
    }

    /// Notes a change by an earlier item of the node's own loop.
    pub fn changed_in_loop(&mut self, when: u64, who: &(impl ToString + ?Sized)) {
        later(&mut self.last_change_in_loop, when, who);
    }

    /// The state for the nodes after the loop.
    fn leave_loop(mut self) -> Self {
        if let Some((when, who)) = self.last_change_in_loop.take() {
            self.changed(when, &who);
        }
        self
    }

    /// The ancestor because of which a unit on a host may not start.
    pub fn blocker(&self, host: Option<&str>) -> Option<&String> {
        self.blocked_by.as_ref().or_else(|| self.excluded_hosts.get(host?))
    }

    /// The state that passes a gate: only whether to go on.
    fn past_gate(self) -> Self {
        Self { blocked_by: self.blocked_by, ..Self::default() }
    }

    /// Adds the state of another predecessor.
    fn merge(&mut self, other: &Self) {
        if self.blocked_by.is_none() {
            self.blocked_by.clone_from(&other.blocked_by);
        }
        for (host, who) in &other.excluded_hosts {
            self.excluded_hosts.entry(host.clone()).or_insert_with(|| who.clone());
        }
        if let Some((when, who)) = &other.last_change {
            self.changed(*when, who);
        }
        if let Some((when, who)) = &other.last_change_in_loop {
            self.changed_in_loop(*when, who);
        }
        if self.rollback_failed.is_none() {
            self.rollback_failed.clone_from(&other.rollback_failed);
        }
        if other.pending.is_some() {
            self.pending.clone_from(&other.pending);
        }
    }
}

fn later(latest: &mut Option<(u64, String)>, when: u64, who: &(impl ToString + ?Sized)) {
    if latest.as_ref().is_none_or(|(before, _)| *before < when) {
        *latest = Some((when, who.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::state::testing::{node, reference, run, step, unit};

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn states_of_several_nodes_become_one() {
        let mut all = Upstream { blocked_by: some("a"), pending: some("a"), ..Upstream::default() };
        all.changed(3, "a");
        all.excluded_hosts.insert("h".to_owned(), "a".to_owned());
        let mut other =
            Upstream { blocked_by: some("b"), pending: some("b"), rollback_failed: some("b"), ..Upstream::default() };
        other.changed(2, "b");
        other.excluded_hosts.extend([("h".to_owned(), "b".to_owned()), ("i".to_owned(), "b".to_owned())]);
        all.merge(&other);
        assert_eq!(all.blocked_by, some("a"), "the first");
        assert_eq!(all.rollback_failed, some("b"), "the first");
        assert_eq!(all.last_change, Some((3, "a".to_owned())), "the latest");
        assert_eq!(all.pending, some("b"), "the last");
        assert_eq!(
            (all.excluded_hosts["h"].as_str(), all.excluded_hosts["i"].as_str()),
            ("a", "b"),
            "the first of each host"
        );
        assert_eq!(all.blocker(Some("i")), Some(&"a".to_owned()), "nothing starts anywhere");
        all.blocked_by = None;
        assert_eq!(
            (all.blocker(Some("i")), all.blocker(Some("k")), all.blocker(None)),
            (Some(&"b".to_owned()), None, None)
        );
        all.merge(&Upstream::default());
        assert_eq!(all.pending, some("b"), "what has none changes none");
    }

    #[test]
    fn a_change_of_an_item_counts_after_the_loop_and_not_for_other_items() {
        let run = run(&(step("p", "each", "for_each = [\"x\", \"y\"]") + &step("p", "after", "")));
        let mut map = UpstreamMap::default();
        let first = node(&run, "p/each[x]");
        map.entry(first).changed_by(unit(&run, "p/each[x]"), 7, &reference(&run, "p/each[x]"));
        map.propagate(&run.graph, first, Mode::Run);
        let second = node(&run, "p/each[y]");
        assert_eq!(map.get(second).unwrap().last_change, None);
        map.propagate(&run.graph, second, Mode::Run);
        assert_eq!(map.get(node(&run, "p/after")).unwrap().last_change, Some((7, "p/each[x]".to_owned())));
        assert!(map.get(first).is_none(), "what is handed on is not kept");
    }

    #[test]
    fn a_gate_lets_through_only_whether_to_go_on() {
        let run = run(&format!("[phase.p]\nserial = 1\n{}", step("p", "s", "hosts = \"a,b\"")));
        let gate = run.graph.nodes().map(|(node, _)| node).find(|node| run.graph.is_gate(*node)).unwrap();
        let second = node(&run, "p/s@b");
        for (mode, blocked_by) in [(Mode::Run, some("x")), (Mode::Preview, None)] {
            let mut map = UpstreamMap::default();
            map.entry(gate).blocked_by = some("x");
            map.entry(gate).changed(7, "x");
            map.propagate(&run.graph, gate, mode);
            let seen = map.get(second).cloned().unwrap_or_default();
            assert_eq!((seen.blocked_by, seen.last_change), (blocked_by, None), "{mode:?}");
        }
    }
}
