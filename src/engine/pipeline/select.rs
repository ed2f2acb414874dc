//! Which units join a pipeline.

use std::collections::{HashSet, VecDeque};

use petgraph::graph::NodeIndex;

use super::forecast::{Forecast, forecast, take_answer};
use crate::connect::Effect;
use crate::engine::admission::{Admission, admit};
use crate::engine::executor::job::Job;
use crate::engine::in_flight::InFlight;
use crate::engine::job_env::JobEnv;
use crate::engine::run_spec::RunSpec;
use crate::engine::state::RunState;
use crate::event::{Mode, UnitRef};
use crate::graph::{Node, Unit};
use crate::inventory::Connection;
use crate::journal::THIS_RUN;
use crate::plan::StepKind;

/// The most units of a pipeline.
const MAX_UNITS: usize = 32;

/// The most bytes of effects of a pipeline.
const MAX_BYTES: usize = 256 * 1024;

/// A unit that joins a pipeline; its start is not recorded yet.
pub struct Member {
    pub node: NodeIndex,
    pub unit: Unit,
    pub reference: UnitRef,
    pub definition: String,
    pub why: Option<String>,
    pub job: Box<Job>,
    pub planned: Forecast,
}

/// The forecast of a started unit and the units that join its pipeline; `None` if the unit is to be sent alone.
pub(in crate::engine) fn select(
    run: &RunSpec,
    state: &mut RunState,
    in_flight: &InFlight,
    env: &JobEnv,
    node: NodeIndex,
    unit: &Unit,
    job: &Job,
) -> Option<(Forecast, Vec<Member>)> {
    if run.mode != Mode::Run || state.approved.is_some() {
        return None;
    }
    let first = forecast(job, &[]).filter(|planned| !planned.ends_pipeline)?;
    let is_local = unit.runs_on.as_ref().is_some_and(|host| host.connection == Connection::Local);
    let mut effects: Vec<Effect> = first.effects.clone();
    let mut nodes = HashSet::from([node]);
    let mut members = Vec::new();
    let mut next: VecDeque<NodeIndex> = run.graph.successors(node).collect();
    while let Some(node) = next.pop_front()
        && members.len() + 1 < MAX_UNITS
    {
        let waits = |before: NodeIndex| state.scheduler.unmet(before).is_some() && !nodes.contains(&before);
        let Node::Unit(behind) = run.graph.node(node).clone() else { continue };
        if nodes.contains(&node) || run.graph.predecessors(node).any(waits) {
            continue;
        }
        let same_host = behind.runs_on.as_ref().map(|h| &h.name) == unit.runs_on.as_ref().map(|h| &h.name);
        let step = behind.step(&run.plan);
        let alike = same_host && step.as_root == job.target.as_root;
        let known = |host: &str| env.cache.is_fresh(host, &run.reference(&behind));
        // On this machine, a step may write the file from which a step behind it is rendered.
        let alike = alike && !(is_local && state.renderer.reads_files(step));
        if !alike || step.kind != StepKind::Step || !job.host().is_some_and(known) {
            continue;
        }
        let upstream = state.upstream.entry(node);
        match nodes.iter().all(|before| run.graph.same_loop(*before, node)) {
            true => upstream.changed_in_loop(THIS_RUN, &job.unit),
            false => upstream.changed(THIS_RUN, &job.unit),
        }
        let reference = run.reference(&behind);
        let admission = admit(run, state, in_flight, node, &behind, &reference, &nodes);
        let Admission::Start(admitted) = admission else { continue };
        let (definition, why) = (admitted.definition.clone(), admitted.why.clone());
        let job = env.job(run, &behind, &reference, admitted);
        let Some(planned) = forecast(&job, &effects) else { continue };
        let member = Member { node, unit: behind, reference, definition, why, job, planned };
        effects.extend(member.planned.effects.iter().cloned());
        if effects.iter().map(Effect::payload_size).sum::<usize>() > MAX_BYTES {
            break;
        }
        nodes.insert(node);
        let ends_pipeline = member.planned.ends_pipeline;
        members.push(member);
        if ends_pipeline {
            break;
        }
        next.extend(run.graph.successors(node));
    }
    if members.is_empty() {
        return None;
    }
    take_answer(job);
    members.iter().for_each(|member| take_answer(&member.job));
    Some((first, members))
}
