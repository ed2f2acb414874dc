//! Runs of the engine against the fake world, and what they report.

use std::borrow::Borrow;
use std::path::Path;
use std::sync::Arc;

use serde_json::Map;
use tokio::sync::{mpsc, watch};

use super::actions::registry;
use super::world::FakeWorld;
use crate::engine::simulation::disk::{SimDisk, Trouble};
use crate::engine::simulation::life::Life;
use crate::engine::{Engine, EngineError, Faults, Options, Renderer, Report};
use crate::event::{Event, EventKind, Mode, Outcome, Problem, UnitRef, outcome_name};
use crate::graph::{Graph, RenderContext};
use crate::inventory::{Connection, Host, Inventory};
use crate::journal::{Journal, PreviousRun, RunHistory, SavedPlan, parse};
use crate::plan::{Plan, Scope};
use crate::template::Templates;

/// Runs that follow each other in one world. Each goes on from the history of the run before it.
pub struct Runs {
    pub world: FakeWorld,
    pub options: Options,
    /// The only host in sight; `None`: all.
    pub only_host: Option<&'static str>,
    pub approved: Option<SavedPlan>,
    pub faults: Arc<dyn Faults>,
    /// The disk of the next run's journal.
    pub disk: SimDisk,
    /// The events in the journal of the last run.
    pub recorded: Vec<Event>,
    pub history: RunHistory,
    pub interrupts: watch::Receiver<u8>,
}

impl Default for Runs {
    fn default() -> Self {
        Self::of(&FakeWorld::default())
    }
}

impl Runs {
    pub fn of(world: &FakeWorld) -> Self {
        Self {
            world: world.clone(),
            options: Options::default(),
            only_host: None,
            approved: None,
            faults: Arc::new(()),
            disk: disk(None),
            recorded: Vec::new(),
            history: RunHistory::default(),
            interrupts: watch::channel(0).1,
        }
    }

    pub async fn run(&mut self, plan: impl Borrow<Plan>) -> Ran {
        let (report, events) = self.start(plan.borrow(), Mode::Run).await;
        self.history = RunHistory::from_events(&self.recorded);
        Ran { report: report.unwrap(), events }
    }

    /// A run whose journal may fail.
    pub async fn try_run(&mut self, plan: impl Borrow<Plan>) -> (Result<Report, EngineError>, Vec<Event>) {
        self.start(plan.borrow(), Mode::Run).await
    }

    pub async fn preview(&mut self, plan: impl Borrow<Plan>) -> Ran {
        let (report, events) = self.start(plan.borrow(), Mode::Preview).await;
        Ran { report: report.unwrap(), events }
    }

    /// The user asks the next run to stop, this many times, while a value is written at the path.
    pub fn interrupt_at(&mut self, path: &str, times: u8) {
        let (interrupt, interrupts) = watch::channel(0);
        self.interrupts = interrupts;
        self.world.on_write(path, move || interrupt.send(times).unwrap());
    }

    /// Forgets the end of the last run, as if it had been killed right after it recorded the start of a step.
    pub fn cut_after_start_of(&mut self, step: &str) {
        let starts = |e: &Event| matches!(&e.kind, EventKind::UnitStarted { unit, .. } if unit.step == step);
        self.history = RunHistory::from_events(&self.recorded[..=self.recorded.iter().rposition(starts).unwrap()]);
    }

    /// The next run starts anew, as with `--fresh`.
    pub fn start_fresh(&mut self) {
        self.history = std::mem::take(&mut self.history).fresh();
    }

    async fn start(&mut self, plan: &Plan, mode: Mode) -> (Result<Report, EngineError>, Vec<Event>) {
        let templates = Templates::new(&plan.root);
        let inventory = Inventory::parse("i.toml".as_ref(), "[hosts.'h[1:3]']").unwrap();
        let (scope, errors) = Scope::new(plan, &inventory, &Map::new(), &templates);
        assert!(errors.is_empty(), "{errors:?}");
        let (readers, mut received) = mpsc::unbounded_channel();
        let in_sight = |host: &Host| self.only_host.is_none_or(|name| name == host.name);
        let graph = Graph::new(plan, hosts, in_sight, RenderContext { templates: &templates, scope: &scope });
        let used = std::mem::replace(&mut self.disk, disk(None));
        let journal = Journal::on(Box::new(used.clone()), Path::new("journal"));
        let engine = Engine {
            graph: graph.unwrap(),
            plan: plan.clone().into(),
            registry: registry().into(),
            renderer: Renderer::new(templates, scope, &registry()),
            world: self.world.clone().into(),
            mode,
            run: "r".into(),
            source: None,
            faults: Arc::clone(&self.faults),
            approved: self.approved.clone(),
            journal: (mode == Mode::Run).then_some(journal),
            earlier: PreviousRun { history: self.history.clone(), ..PreviousRun::default() },
            options: self.options.clone(),
            readers,
            interrupts: std::mem::replace(&mut self.interrupts, watch::channel(0).1),
        };
        let report = engine.run().await;
        let mut events = Vec::new();
        while let Some(event) = received.recv().await {
            events.push(event);
        }
        self.recorded = parse(Path::new("journal"), &used.left()).unwrap();
        (report, events)
    }
}

/// A disk that may have a fault, and on which nothing survives that is not synced.
pub fn disk(trouble: Option<Trouble>) -> SimDisk {
    SimDisk::new(Life::default(), trouble, 0)
}

/// A run that knows nothing of earlier ones.
pub async fn run(plan: impl Borrow<Plan>, world: &FakeWorld) -> Ran {
    Runs::of(world).run(plan).await
}

pub async fn preview(plan: impl Borrow<Plan>, world: &FakeWorld) -> Ran {
    Runs::of(world).preview(plan).await
}

/// A pattern of hosts is a list of their names. All are this machine, except those whose names begin with "far".
fn hosts(pattern: &str) -> Vec<Arc<Host>> {
    let host = |name: &str| {
        let connection = if name.starts_with("far") { Connection::Ssh } else { Connection::Local };
        Arc::new(Host { address: name.to_owned(), name: name.to_owned(), connection, ..Host::default() })
    };
    pattern.split(',').map(host).collect()
}

/// The report and the events of a run. Units go by their names without the phase, such as `a@h1`.
pub struct Ran {
    pub report: Report,
    pub events: Vec<Event>,
}

fn short(unit: &UnitRef) -> String {
    unit.to_string().split_once('/').unwrap().1.to_owned()
}

impl Ran {
    fn finished(&self) -> impl Iterator<Item = (String, &Outcome)> {
        self.events.iter().filter_map(|event| match &event.kind {
            EventKind::UnitFinished { unit, outcome, .. } => Some((short(unit), outcome)),
            _ => None,
        })
    }

    /// All units with the names of their outcomes, such as `a changed, b same`, sorted by unit.
    pub fn outcomes(&self) -> String {
        let mut all: Vec<String> =
            self.finished().map(|(unit, outcome)| format!("{unit} {}", outcome_name(outcome))).collect();
        all.sort();
        all.join(", ")
    }

    pub fn outcome(&self, unit: &str) -> &Outcome {
        let found = self.finished().find(|(of, _)| of == unit);
        found.unwrap_or_else(|| panic!("{unit} is not in {}", self.outcomes())).1
    }

    /// Units that ended without stopping the units behind them, in the order of their ends.
    pub fn ended_well(&self) -> Vec<String> {
        self.finished().filter(|(_, outcome)| outcome.lets_dependents_start()).map(|(unit, _)| unit).collect()
    }

    pub fn problem(&self, unit: &str) -> &Problem {
        match self.outcome(unit) {
            Outcome::Failed(problem) | Outcome::Unknown(problem) => problem,
            other => panic!("{unit}: {other:?}"),
        }
    }

    /// What kept a unit from starting, or from being known in a preview.
    pub fn needs(&self, unit: &str) -> &str {
        match self.outcome(unit) {
            Outcome::Cancelled { needs } | Outcome::Pending { needs } => needs,
            other => panic!("{unit}: {other:?}"),
        }
    }

    /// Units that started, in their order, each with the reason why its earlier result did not count, such as
    /// `a: it had failed`.
    pub fn started(&self) -> Vec<String> {
        let started = self.events.iter().filter_map(|event| match &event.kind {
            EventKind::UnitStarted { unit, why: Some(why), .. } => Some(format!("{}: {why}", short(unit))),
            EventKind::UnitStarted { unit, .. } => Some(short(unit)),
            _ => None,
        });
        started.collect()
    }

    /// How many progress messages had this text.
    pub fn progress(&self, text: &str) -> usize {
        let is_it = |e: &&Event| matches!(&e.kind, EventKind::Progress { message, .. } if message == text);
        self.events.iter().filter(is_it).count()
    }

    pub fn retries(&self) -> usize {
        self.events.iter().filter(|e| matches!(e.kind, EventKind::UnitRetried { .. })).count()
    }

    /// What was undone, in its order, such as `a by undo-a`.
    pub fn undone(&self) -> Vec<String> {
        let undone = self.events.iter().filter_map(|event| match &event.kind {
            EventKind::Undone { unit, by } => Some(format!("{} by {}", short(unit), short(by))),
            _ => None,
        });
        undone.collect()
    }

    /// Units whose undo did not work or could not run.
    pub fn stuck(&self) -> Vec<String> {
        self.report.stuck.iter().map(short).collect()
    }

    /// Handlers that were notified and have yet to run.
    pub fn handlers_left(&self) -> Vec<String> {
        let Some(EventKind::RunFinished { handlers_left, .. }) = self.events.last().map(|event| &event.kind) else {
            panic!("the run did not end")
        };
        handlers_left.iter().map(short).collect()
    }
}
