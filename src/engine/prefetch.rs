//! Which probes of the units behind a unit go along in its round trip: with its own probes, or behind its last effect.

use std::collections::{HashSet, VecDeque};

use petgraph::graph::NodeIndex;

use super::executor::fact_cache::{FactCache, Query, may_invalidate};
use super::pipeline::joins;
use super::run_spec::RunSpec;
use super::state::RunState;
use super::state::renderer::Rendered;
use crate::actions::{ActionRef, Verdict};
use crate::connect::{Effect, Fact, host};
use crate::graph::{Node, Unit};
use crate::plan::StepKind;

/// The most units behind one whose probes go along.
const MAX_UNITS: usize = 64;

/// The probes of the units behind `nodes`, which are units of one host. Only units that wait for nothing but these and others of
/// the same host are considered. A cached answer that `effects` cannot change is not probed again. Behind a command that is likely
/// to run, no probe is sent, since its answer would be stale; except for units that may join a pipeline with a quick command.
pub(super) fn queries_behind(
    run: &RunSpec,
    state: &mut RunState,
    cache: &FactCache,
    nodes: &[NodeIndex],
    unit: &Unit,
    effects: &[Effect],
) -> Vec<Query> {
    let Some(host) = unit.runs_on.clone() else { return Vec::new() };
    let as_root = run.step(unit).as_root;
    let mut passed: HashSet<NodeIndex> = nodes.iter().copied().collect();
    let steps = nodes.iter().filter_map(|node| match run.graph.node(*node) {
        Node::Unit(unit) => Some(run.step(unit)),
        _ => None,
    });
    let mut names: HashSet<String> = steps.clone().map(|step| step.template_name()).collect();
    let mut writes = steps.clone().any(|step| state.renderer.writes_files(step));
    let (mut queries, mut units, mut behind_command) = (Vec::new(), 0, false);
    let mut next: VecDeque<NodeIndex> = nodes.iter().flat_map(|node| run.graph.successors(*node)).collect();
    while let Some(node) = next.pop_front()
        && units < MAX_UNITS
    {
        let waits = |before: NodeIndex| state.scheduler.unmet(before).is_some() && !passed.contains(&before);
        // The end of a phase has the units of all hosts as predecessors: too many to visit each.
        let more = state.scheduler.unmet(node).is_some_and(|needs| needs > passed.len());
        if passed.contains(&node) || more || run.graph.predecessors(node).any(waits) {
            continue;
        }
        match run.graph.node(node).clone() {
            Node::Begin(phase) if run.plan.phases[phase].when.is_some() => continue,
            Node::Gate => continue,
            Node::Begin(_) | Node::End(_) | Node::Join => {}
            Node::Unit(behind) if behind.runs_on.as_ref().is_none_or(|h| h.name != host.name) => continue,
            Node::Unit(behind) => {
                let step = run.step(&behind);
                units += 1;
                // A step before this one may yet write the files that it reads.
                let reads = writes && state.renderer.reads_files(step);
                writes |= state.renderer.writes_files(step);
                if step.kind == StepKind::Step
                    && step.as_root == as_root
                    && !reads
                    && let Some((action, query)) = query_of(run, state, node, &behind, &names)
                    && !stays_fresh(cache, &host.name, &query, effects)
                {
                    let runs = cache.peek_stale(&host.name, &query.0, |facts| runs(&action, facts));
                    if behind_command && !joins(&action) {
                        break;
                    }
                    queries.push(query);
                    if runs && !(joins(&action) && action.completes_at_once()) {
                        break;
                    }
                    behind_command |= runs;
                }
                names.insert(step.template_name());
            }
        }
        passed.insert(node);
        next.extend(run.graph.successors(node));
    }
    queries
}

fn stays_fresh(cache: &FactCache, host: &str, (unit, probes): &Query, effects: &[Effect]) -> bool {
    cache.is_fresh(host, unit) && !may_invalidate(effects, probes)
}

/// A unit's probes; `None` if they depend on outputs of the steps in `names`, or if the unit will not run.
fn query_of(
    run: &RunSpec,
    state: &mut RunState,
    node: NodeIndex,
    unit: &Unit,
    names: &HashSet<String>,
) -> Option<(ActionRef, Query)> {
    let step = run.step(unit);
    // A host that restores itself would make cached answers stale.
    if step.guard.is_some() {
        return None;
    }
    let taken = run.options.takes_phase(&run.plan.phases[unit.phase].name.value) && run.options.takes_step(step);
    if !taken {
        return None;
    }
    let Rendered { action, definition } = state.renderer.prepare(run, node, unit, names)?;
    let reference = run.reference(unit);
    let probes = action.probes();
    let asks = !probes.is_empty() && !state.resume.matches(&reference, &definition);
    asks.then_some((action, (reference, probes)))
}

/// Whether an action will run a command, judged by the facts last seen.
fn runs(action: &ActionRef, facts: &[Fact]) -> bool {
    matches!(action.verdict(facts), Verdict::Change(_))
        && matches!(action.next_effect(facts, &[]), Ok(Some(Effect::Host(host::Effect::Run(_)))))
}
