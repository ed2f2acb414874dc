//! How a unit that has started goes on: alone, by probing for the units behind it first, or as the head of a pipeline.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use petgraph::graph::NodeIndex;

use super::executor::job::{Execution, Job};
use super::executor::prefetch::{answered_by_cache, first_effect, may_prefetch, needs_probe};
use super::in_flight::InFlight;
use super::job_env::JobEnv;
use super::pipeline::{Item, Member, select};
use super::prefetch::queries_behind;
use super::run_spec::RunSpec;
use super::state::RunState;
use crate::actions::ActionRef;
use crate::connect::Effect;
use crate::event::{Mode, UnitRef};
use crate::graph::Unit;

pub(super) enum Launch {
    /// Sends the probes of the unit and of the units behind it.
    Prefetch(NodeIndex, Box<Job>),
    Single(NodeIndex, Box<Job>),
    /// The unit has ended already; its long texts are redacted in a task of their own.
    Ended(NodeIndex, Box<Execution>),
    Pipeline(Vec<Item>),
}

/// A unit that starts, as it is recorded.
pub(super) struct Started {
    pub node: NodeIndex,
    pub unit: Unit,
    pub reference: UnitRef,
    pub definition: String,
    /// Why an earlier run's result does not count.
    pub why: Option<String>,
    /// The unit before it in its pipeline.
    pub with: Option<UnitRef>,
    /// The host on which it runs, if that is not the one of its reference.
    pub on: Option<String>,
    pub action: ActionRef,
    pub acted: Arc<AtomicBool>,
}

impl Started {
    pub(super) fn new(
        node: NodeIndex,
        unit: Unit,
        job: &Job,
        definition: String,
        why: Option<String>,
        with: Option<UnitRef>,
    ) -> Self {
        let reference = job.unit.clone();
        let on = job.host().filter(|on| reference.host.as_deref() != Some(on)).map(str::to_owned);
        let (action, acted) = (Arc::clone(&job.action), Arc::clone(&job.acted));
        Self { node, unit, reference, definition, why, with, on, action, acted }
    }
}

/// How a started unit goes on.
pub(super) enum Prepared {
    /// The cached answers say that nothing is to be changed.
    Ended(Execution),
    /// To be sent out, once the starts of the units that join it are durable.
    Launch(Launch, Vec<Started>),
}

pub(super) fn prepare(
    run: &RunSpec,
    state: &mut RunState,
    in_flight: &InFlight,
    env: &JobEnv,
    node: NodeIndex,
    unit: &Unit,
    mut job: Box<Job>,
) -> Prepared {
    let alone = |launch| Prepared::Launch(launch, Vec::new());
    if let Some(execution) = answered_by_cache(&job) {
        let is_short = execution.is_short();
        return if is_short { Prepared::Ended(execution) } else { alone(Launch::Ended(node, Box::new(execution))) };
    }
    if !may_prefetch(&job) {
        return alone(Launch::Single(node, job));
    }
    if needs_probe(&job) {
        job.queries = queries_behind(run, state, &env.cache, &[node], unit, &[]);
        let has_queries = !job.queries.is_empty();
        return alone(if has_queries { Launch::Prefetch(node, job) } else { Launch::Single(node, job) });
    }
    let Some((planned, members)) = select(run, state, in_flight, env, node, unit, &job) else {
        if run.mode == Mode::Run && !job.action.is_read_only() {
            job.queries = queries_behind(run, state, &env.cache, &[node], unit, &[first_effect(&job)]);
        }
        return alone(Launch::Single(node, job));
    };
    let nodes: Vec<NodeIndex> = [node].into_iter().chain(members.iter().map(|member| member.node)).collect();
    let effects = members.iter().map(|member| &member.planned).chain([&planned]).flat_map(|p| p.effects.clone());
    let effects: Vec<Effect> = effects.collect();
    job.queries = queries_behind(run, state, &env.cache, &nodes, unit, &effects);
    let mut before = job.unit.clone();
    let mut items = vec![Item { node, job, planned }];
    let mut started = Vec::new();
    for Member { node, unit, reference, definition, why, job, planned } in members {
        let with = Some(std::mem::replace(&mut before, reference));
        started.push(Started::new(node, unit, &job, definition, why, with));
        items.push(Item { node, job, planned });
    }
    Prepared::Launch(Launch::Pipeline(items), started)
}
