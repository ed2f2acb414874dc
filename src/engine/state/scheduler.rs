//! Which nodes may start: each waits for the nodes that it needs.

use std::collections::{HashMap, HashSet, VecDeque};

use petgraph::graph::NodeIndex;

use crate::event::Mode;
use crate::graph::Graph;

/// Dependency counts and the queue of ready nodes.
#[derive(Debug)]
pub struct Scheduler {
    /// How many nodes each node that is not done still waits for.
    unmet: HashMap<NodeIndex, usize>,
    running: HashSet<NodeIndex>,
    ready: VecDeque<NodeIndex>,
    deferred: Vec<NodeIndex>,
    /// Whether all batches are walked at once, as in a preview, which changes nothing.
    ignores_gates: bool,
}

impl Scheduler {
    pub fn new(graph: &Graph, mode: Mode) -> Self {
        let ignores_gates = mode == Mode::Preview;
        let counts = |before: &NodeIndex| !(ignores_gates && graph.is_gate(*before));
        let unmet: HashMap<NodeIndex, usize> =
            graph.nodes().map(|(node, _)| (node, graph.predecessors(node).filter(counts).count())).collect();
        let ready = graph.nodes().map(|(node, _)| node).filter(|node| unmet.get(node) == Some(&0)).collect();
        Self { unmet, running: HashSet::new(), ready, deferred: Vec::new(), ignores_gates }
    }

    /// The next ready node. A node that a pipeline has started ahead of its turn is passed over.
    pub fn next(&mut self) -> Option<NodeIndex> {
        while let Some(node) = self.ready.pop_front() {
            if self.unmet.contains_key(&node) && !self.running.contains(&node) {
                return Some(node);
            }
        }
        None
    }

    /// Notes that a unit starts, in its turn or ahead of it in a pipeline.
    pub fn start(&mut self, node: NodeIndex) {
        self.running.insert(node);
    }

    /// Puts a ready node aside until some unit ends.
    pub fn defer(&mut self, node: NodeIndex) {
        self.deferred.push(node);
    }

    /// Puts deferred nodes back at the end of the queue.
    pub fn release_deferred(&mut self) {
        self.ready.extend(self.deferred.drain(..));
    }

    /// Marks a node as done, so that each successor waits for one node less. Successors that become ready and for which `first`
    /// holds go to the head of the queue.
    pub fn complete(&mut self, graph: &Graph, node: NodeIndex, first: impl Fn(NodeIndex) -> bool) {
        self.unmet.remove(&node);
        self.running.remove(&node);
        if self.ignores_gates && graph.is_gate(node) {
            return;
        }
        for next in graph.successors(node) {
            let Some(unmet) = self.unmet.get_mut(&next) else { continue };
            *unmet -= 1;
            if *unmet == 0 {
                if first(next) {
                    self.ready.push_front(next);
                } else {
                    self.ready.push_back(next);
                }
            }
        }
    }

    /// How many nodes a node still waits for; `None`: it is done.
    pub fn unmet(&self, node: NodeIndex) -> Option<usize> {
        self.unmet.get(&node).copied()
    }

    /// Whether all nodes are done.
    pub fn is_finished(&self) -> bool {
        self.unmet.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::run_spec::RunSpec;
    use crate::engine::state::testing::{name, node, run, run_without, step};

    /// Takes all nodes that are ready, completes those of no unit, and returns the names of the units.
    fn ready(scheduler: &mut Scheduler, run: &RunSpec) -> Vec<String> {
        let mut units = Vec::new();
        while let Some(next) = scheduler.next() {
            match name(run, next) {
                Some(name) => {
                    scheduler.start(next);
                    units.push(name);
                }
                None => scheduler.complete(&run.graph, next, |_| false),
            }
        }
        units
    }

    fn end(scheduler: &mut Scheduler, run: &RunSpec, unit: &str) {
        scheduler.complete(&run.graph, node(run, unit), |_| false);
    }

    #[test]
    fn a_node_is_ready_when_all_that_it_needs_is_done() {
        let diamond =
            step("p", "top", "") + &step("p", "left", "needs = [\"top\"]") + &step("p", "right", "needs = [\"top\"]");
        let run = run(&(diamond + &step("p", "bottom", "needs = [\"left\", \"right\"]")));
        let mut scheduler = Scheduler::new(&run.graph, Mode::Run);
        assert_eq!(ready(&mut scheduler, &run), ["p/top"]);
        assert_eq!(scheduler.unmet(node(&run, "p/bottom")), Some(2));
        end(&mut scheduler, &run, "p/top");
        assert_eq!(scheduler.unmet(node(&run, "p/top")), None);
        assert_eq!(ready(&mut scheduler, &run).len(), 2);
        end(&mut scheduler, &run, "p/right");
        assert_eq!(ready(&mut scheduler, &run), [""; 0]);
        end(&mut scheduler, &run, "p/left");
        assert_eq!(ready(&mut scheduler, &run), ["p/bottom"]);
        assert!(!scheduler.is_finished());
        end(&mut scheduler, &run, "p/bottom");
        assert_eq!(ready(&mut scheduler, &run), [""; 0]);
        assert!(scheduler.is_finished());
    }

    #[test]
    fn a_gate_holds_back_the_next_batch_in_a_run_and_not_in_a_preview() {
        let plan = format!("[phase.p]\nserial = 1\n{}", step("p", "s", "hosts = \"a,b\""));
        let run = run_without(&plan, Mode::Run, &[]);
        let mut scheduler = Scheduler::new(&run.graph, Mode::Run);
        assert_eq!(ready(&mut scheduler, &run), ["p/s@a"]);
        end(&mut scheduler, &run, "p/s@a");
        assert_eq!(ready(&mut scheduler, &run), ["p/s@b"]);
        let mut preview = Scheduler::new(&run.graph, Mode::Preview);
        let mut at_once = ready(&mut preview, &run);
        at_once.sort();
        assert_eq!(at_once, ["p/s@a", "p/s@b"]);
        // The gate, which was done at once, frees nobody a second time.
        end(&mut preview, &run, "p/s@a");
        end(&mut preview, &run, "p/s@b");
        ready(&mut preview, &run);
        assert!(preview.is_finished());
    }

    #[test]
    fn a_unit_that_was_started_ahead_of_its_turn_is_not_handed_out() {
        let run = run(&(step("p", "one", "") + &step("p", "two", "")));
        let mut scheduler = Scheduler::new(&run.graph, Mode::Run);
        assert_eq!(ready(&mut scheduler, &run), ["p/one"]);
        scheduler.start(node(&run, "p/two"));
        end(&mut scheduler, &run, "p/one");
        assert_eq!(ready(&mut scheduler, &run), [""; 0]);
        end(&mut scheduler, &run, "p/two");
        ready(&mut scheduler, &run);
        assert!(scheduler.is_finished());
    }

    #[test]
    fn deferred_nodes_come_back_in_their_order_behind_the_queue() {
        let all = ["one", "two", "three"].map(|id| step("p", id, "needs = []"));
        let run = run(&all.concat());
        let mut scheduler = Scheduler::new(&run.graph, Mode::Run);
        let begin = scheduler.next().unwrap();
        scheduler.complete(&run.graph, begin, |_| false);
        let first = scheduler.next().unwrap();
        let second = scheduler.next().unwrap();
        scheduler.defer(first);
        scheduler.defer(second);
        scheduler.release_deferred();
        let third = scheduler.next().unwrap();
        assert_eq!([scheduler.next(), scheduler.next(), scheduler.next()], [Some(first), Some(second), None]);
        assert!(![first, second].contains(&third));
    }

    #[test]
    fn what_is_prepared_goes_to_the_head_of_the_queue() {
        let plan =
            step("p", "top", "") + &step("p", "left", "needs = [\"top\"]") + &step("p", "right", "needs = [\"top\"]");
        let run = run(&plan);
        for first in ["p/left", "p/right"] {
            let mut scheduler = Scheduler::new(&run.graph, Mode::Run);
            ready(&mut scheduler, &run);
            scheduler.complete(&run.graph, node(&run, "p/top"), |next| next == node(&run, first));
            assert_eq!(ready(&mut scheduler, &run)[0], first);
        }
    }
}
