//! Runs for the tests of single components, made from the text of a plan.

use std::collections::HashSet;
use std::sync::Arc;

use petgraph::graph::NodeIndex;
use serde_json::Map;

use super::RunState;
use super::renderer::Renderer;
use crate::actions::Registry;
use crate::connect::{CallContext, ConnectError, Effect, EffectResult, Fact, Probe, Target, World};
use crate::engine::admission::{Admission, admit};
use crate::engine::executor::fact_cache::FactCache;
use crate::engine::executor::guard_locks::GuardLocks;
use crate::engine::executor::job::Job;
use crate::engine::in_flight::InFlight;
use crate::engine::job_env::JobEnv;
use crate::engine::options::Options;
use crate::engine::run_spec::RunSpec;
use crate::event::{Event, EventKind, Mode, Outputs, RecordedState, UnitRef, VERSION};
use crate::graph::{Graph, Node, RenderContext, Unit};
use crate::inventory::{Host, Inventory};
use crate::journal::RunHistory;
use crate::plan::{Plan, Scope};
use crate::template::Templates;

/// A run of the plan's phases. A pattern of hosts is a list of their names. The hosts in `unseen` are left out of the
/// run.
pub fn run_without(phases: &str, mode: Mode, unseen: &[&str]) -> RunSpec {
    let text = format!("[plan]\nname = \"test\"\n{phases}");
    let plan = Plan::parse("plan.toml".as_ref(), &text).unwrap_or_else(|findings| panic!("{findings:?}"));
    let templates = Templates::new(".");
    let (scope, findings) = Scope::new(&plan, &Inventory::default(), &Map::new(), &templates);
    assert!(findings.is_empty(), "{findings:?}");
    let hosts = |names: &str| {
        let host = |name: &str| Arc::new(Host { name: name.to_owned(), address: name.to_owned(), ..Host::default() });
        names.split(',').map(host).collect()
    };
    let in_sight = |host: &Host| !unseen.contains(&host.name.as_str());
    let graph = Graph::new(&plan, hosts, in_sight, RenderContext { templates: &templates, scope: &scope }).unwrap();
    let registry = Arc::new(Registry::standard());
    RunSpec { plan: Arc::new(plan), graph, registry, mode, options: Options::default() }
}

/// A run with all hosts.
pub fn run(phases: &str) -> RunSpec {
    run_without(phases, Mode::Run, &[])
}

/// A step of `node.command`.
pub fn step(phase: &str, id: &str, more: &str) -> String {
    part(phase, "step", id, more)
}

/// A step, handler or `on_failure` step of `node.command`.
pub fn part(phase: &str, part: &str, id: &str, more: &str) -> String {
    format!("[[phase.{phase}.{part}]]\nid = \"{id}\"\naction = \"node.command\"\ncommand = \"true\"\n{more}\n")
}

/// A unit by its name.
pub fn unit<'a>(run: &'a RunSpec, name: &str) -> &'a Unit {
    run.graph.units().find(|unit| run.reference(unit).to_string() == name).unwrap_or_else(|| panic!("no unit {name}"))
}

/// The reference of a unit by its name.
pub fn reference(run: &RunSpec, name: &str) -> UnitRef {
    run.reference(unit(run, name))
}

/// The name of a node's unit; `None` for other nodes.
pub fn name(run: &RunSpec, node: NodeIndex) -> Option<String> {
    match run.graph.node(node) {
        Node::Unit(unit) => Some(run.reference(unit).to_string()),
        _ => None,
    }
}

/// The node of a unit by its name.
pub fn node(run: &RunSpec, of: &str) -> NodeIndex {
    let mut nodes = run.graph.nodes().map(|(node, _)| node);
    nodes.find(|node| name(run, *node).as_deref() == Some(of)).unwrap_or_else(|| panic!("no unit {of}"))
}

/// The state of a run before its first node.
pub fn state(run: &RunSpec) -> RunState {
    state_after(run, RunHistory::default())
}

/// The state of a run that takes over a history.
pub fn state_after(run: &RunSpec, memory: RunHistory) -> RunState {
    let templates = Templates::new(".");
    let (scope, _) = Scope::new(&run.plan, &Inventory::default(), &Map::new(), &templates);
    RunState::new(run, Renderer::new(templates, scope, &*run.registry), memory, None)
}

/// The history of one unit with this recorded state.
pub fn memory(unit: UnitRef, definition: &str, standing: RecordedState, touched: Option<u64>) -> RunHistory {
    let (definition, outputs) = (definition.to_owned(), Outputs::new());
    let done = (standing == RecordedState::Succeeded).then_some(1);
    let kind = EventKind::Remembered { unit, definition, standing, outputs, done, touched };
    RunHistory::from_events(&[Event { v: VERSION, seq: 1, at: jiff::Timestamp::UNIX_EPOCH, kind }])
}

/// A world that panics at each call.
struct NoWorld;

#[async_trait::async_trait]
impl World for NoWorld {
    async fn probe(&self, _: &Target, _: &[Probe], _: &CallContext) -> Result<Vec<Fact>, ConnectError> {
        panic!("nothing is to be probed")
    }
    async fn perform(&self, _: &Target, _: &Effect, _: &CallContext) -> Result<EffectResult, ConnectError> {
        panic!("nothing is to be changed")
    }
}

/// The job of a unit, which must be free to start.
pub fn job(run: &RunSpec, cache: &FactCache, name: &str) -> Box<Job> {
    let (unit, reference) = (unit(run, name), reference(run, name));
    let (mut state, none) = (state(run), HashSet::new());
    let admission = admit(run, &mut state, &InFlight::default(), node(run, name), unit, &reference, &none);
    let Admission::Start(admitted) = admission else { panic!("{name} does not start") };
    let (guards, notes) = (GuardLocks::default(), Arc::new(|_: &UnitRef, _| ()));
    let env = JobEnv { world: Arc::new(NoWorld), faults: Arc::new(()), notes, cache: cache.clone(), guards };
    env.job(run, unit, &reference, admitted)
}
