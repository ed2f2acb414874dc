//! One run of the engine in the simulated world, until it ends or is killed.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::Poll;
use std::time::Duration;

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use serde_json::Map;
use tokio::sync::{mpsc, watch};

use super::actions::registry;
use super::disk::{SimDisk, Trouble};
use super::generate::chance;
use super::life::Life;
use super::model::{INVENTORY, Model};
use super::oracle::{Asked, key};
use super::order::Key;
use super::world::{SimWorld, Weather};
use crate::engine::{Engine, EngineError, Faults, Options, Point, Renderer, Report};
use crate::event::{Event, EventKind, Mode, Outcome, Problem, UnitRef};
use crate::finding::{Findings, Style};
use crate::graph::{Graph, RenderContext};
use crate::inventory::{Host, Inventory};
use crate::journal::{Journal, PreviousRun};
use crate::plan::{Plan, Scope, check};
use crate::template::Templates;

/// The inputs of a run.
pub struct Setup<'a> {
    pub number: usize,
    pub seed: u64,
    pub model: &'a Model,
    /// The model's text, parsed.
    pub plan: &'a Arc<Plan>,
    pub asked: &'a Asked,
    pub earlier: PreviousRun,
    pub troubles: Troubles,
    pub trace: Option<Arc<Mutex<Vec<String>>>>,
}

/// What may go wrong in a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Troubles {
    pub weather: Weather,
    pub disk: Option<Trouble>,
    /// How much of what is not synced survives when the program dies, in thousandths.
    pub survives: usize,
    /// How often the program dies at a point that a unit reaches, in thousandths.
    pub deadly_points: u32,
    /// Before which poll of the engine the program dies.
    pub dies_at_poll: Option<usize>,
    /// When the user interrupts the run: milliseconds after its start, and milliseconds from there to a second
    /// interrupt.
    pub interrupts: Option<(u64, Option<u64>)>,
    /// How many units fail on purpose after they have ended well, in percent.
    pub fails: u32,
    /// How many units run twice on purpose, in percent.
    pub repeats: u32,
}

/// How a run ended.
#[derive(Debug)]
pub enum End {
    Finished(Report),
    /// The journal could not be written.
    Broken,
    Died,
}

/// A run that takes this much virtual time hangs.
const TOO_LONG: Duration = Duration::from_secs(24 * 3600);

/// What a run leaves behind.
pub struct Left {
    pub end: End,
    /// The journal's bytes.
    pub journal: Vec<u8>,
    /// The events that readers received.
    pub published: Vec<Event>,
}

/// Runs the engine until it ends or is killed.
///
/// # Errors
/// The rule that a call broke.
pub fn run(setup: Setup<'_>, world: &SimWorld) -> Result<Left, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|e| e.to_string())?;
    runtime.block_on(one(setup, world))
}

async fn one(setup: Setup<'_>, world: &SimWorld) -> Result<Left, String> {
    let life = Life::default();
    let disk = SimDisk::new(life.clone(), setup.troubles.disk, setup.troubles.survives);
    let units = setup.model.unrolled();
    let roots = units.steps().filter(|(_, s)| s.as_root).map(|(_, s)| s.id.clone()).collect();
    let weather = setup.troubles.weather;
    world.begin(setup.number, setup.seed, weather, disk.clone(), life.clone(), roots, setup.trace.clone());
    let (readers, mut events) = mpsc::unbounded_channel();
    let (interrupt, interrupts) = watch::channel(0);
    let engine = engine(&setup, world, &disk, &life, readers, interrupts);

    let mut polls = 0;
    let dies_at = setup.troubles.dies_at_poll;
    let mut engine = Box::pin(engine.run());
    let counted = std::future::poll_fn(|cx| {
        polls += 1;
        if dies_at.is_some_and(|at| polls >= at) {
            life.end("between two steps of the engine");
            return Poll::Pending;
        }
        engine.as_mut().poll(cx)
    });
    let user = async {
        if let Some((first, second)) = setup.troubles.interrupts {
            tokio::time::sleep(Duration::from_millis(first)).await;
            world.count("interrupts");
            let _ = interrupt.send(1);
            if let Some(second) = second {
                tokio::time::sleep(Duration::from_millis(second)).await;
                world.count("second interrupts");
                let _ = interrupt.send(2);
            }
        }
        std::future::pending::<()>().await
    };
    let end = tokio::select! {
        biased;
        whereabouts = life.over() => {
            note(&setup.trace, || format!("  killed {whereabouts}"));
            Ok(End::Died)
        }
        result = counted => match result {
            Ok(report) => Ok(End::Finished(report)),
            Err(EngineError::Journal(error @ crate::journal::JournalError::Io { .. })) => {
                note(&setup.trace, || format!("  {error}"));
                Ok(End::Broken)
            }
            Err(error) => Err(error.to_string()),
        },
        () = user => Err("the user ended".to_owned()),
        () = tokio::time::sleep(TOO_LONG) => Err("the run hangs".to_owned()),
    };
    drop(engine);
    let end = match (end?, life.is_over()) {
        (_, true) => End::Died,
        (end, false) => end,
    };
    events.close();
    let mut published = Vec::new();
    while let Ok(event) = events.try_recv() {
        note(&setup.trace, || line(&event));
        disk.published(&event)?;
        if let EventKind::UnitFinished { unit, outcome: Outcome::Unknown(Problem { message, .. }), .. } = &event.kind
            && message.contains("an internal error of rollout")
        {
            return Err(format!("{unit}: {message}"));
        }
        published.push(event);
    }
    world.end();
    if let Some(broken) = world.broken().into_iter().next() {
        return Err(broken);
    }
    Ok(Left { end, journal: disk.left(), published })
}

static THE_INVENTORY: LazyLock<Inventory> =
    LazyLock::new(|| Inventory::parse(Path::new("inventory.toml"), INVENTORY).ok().unwrap());

/// The plan of a model's text. The plan must pass the checks of the command line.
pub fn plan(model: &Model) -> Arc<Plan> {
    let text = model.text();
    let sound = Plan::parse(Path::new("plan.toml"), &text).and_then(|plan| {
        let findings = check(&plan, &THE_INVENTORY, &registry(), &Map::new());
        // A real action runs either on hosts or on the controller. The simulated ones do both.
        let mut errors = Findings::new();
        errors.extend(findings.into_iter().filter(|f| f.code != "no-hosts"));
        errors.or(plan)
    });
    match sound {
        Ok((plan, _)) => plan.into(),
        Err(findings) => panic!("{}", findings.text(Style { color: false, unicode: true, width: 120 })),
    }
}

fn engine(
    setup: &Setup<'_>,
    world: &SimWorld,
    disk: &SimDisk,
    life: &Life,
    readers: mpsc::UnboundedSender<Event>,
    interrupts: watch::Receiver<u8>,
) -> Engine {
    let (inventory, plan) = (&*THE_INVENTORY, setup.plan.clone());
    let asked = setup.asked;
    let in_sight = |host: &Host| asked.limit.is_none_or(|only| only.contains(&host.name.as_str()));
    let templates = Templates::new(&plan.root);
    let (scope, errors) = Scope::new(&plan, inventory, &Map::new(), &templates);
    assert!(errors.is_empty());
    let known = RenderContext { templates: &templates, scope: &scope };
    let graph = Graph::new(&plan, |pattern| inventory.select(pattern).unwrap(), in_sight, known);
    let registry = registry();
    let name = |(step, host): &Key| host.as_ref().map_or(step.clone(), |host| format!("{step}@{host}"));
    let units = setup.model.unrolled();
    let guarded: BTreeSet<String> =
        units.steps().filter(|(_, s)| !s.act.unguarded()).map(|(_, s)| s.id.clone()).collect();
    Engine {
        graph: graph.unwrap(),
        plan,
        renderer: Renderer::new(templates, scope, &registry),
        registry: registry.into(),
        world: Arc::new(world.clone()),
        mode: Mode::Run,
        run: setup.number.to_string(),
        source: None,
        journal: Some(Journal::on(Box::new(disk.clone()), Path::new("journal"))),
        earlier: setup.earlier.clone(),
        options: Options {
            parallel: asked.parallel,
            only: asked.only.clone(),
            skip: asked.skip.clone(),
            tags: asked.tags.clone(),
            done: asked.done.iter().map(name).collect(),
            rerun: asked.rerun.iter().map(name).collect(),
            ..Options::default()
        },
        readers,
        interrupts,
        approved: None,
        faults: Arc::new(Mishaps {
            rng: Mutex::new(SmallRng::seed_from_u64(setup.seed ^ 1)),
            troubles: setup.troubles,
            life: life.clone(),
            world: world.clone(),
            guarded,
        }),
    }
}

/// The faults that befall units on purpose.
struct Mishaps {
    rng: Mutex<SmallRng>,
    troubles: Troubles,
    life: Life,
    world: SimWorld,
    guarded: BTreeSet<String>,
}

impl Faults for Mishaps {
    fn reach(&self, point: Point, unit: &UnitRef) {
        if self.rng.lock().unwrap().random_range(0..1000) < self.troubles.deadly_points {
            self.life.end(format!("{} of {unit}", point.name()));
        }
    }

    fn meddles(&self, _: &UnitRef) -> bool {
        self.troubles.fails > 0 || self.troubles.repeats > 0
    }

    fn fails(&self, unit: &UnitRef) -> bool {
        let fails = chance(&mut self.rng.lock().unwrap(), self.troubles.fails);
        if fails {
            self.world.count("failed after success");
            self.world.mishap(key(unit));
        }
        fails
    }

    fn repeats(&self, unit: &UnitRef) -> bool {
        let repeats =
            chance(&mut self.rng.lock().unwrap(), self.troubles.repeats) && self.guarded.contains(&key(unit).0);
        if repeats {
            self.world.count("repeated");
            // The outcome of the second time says nothing about the first one.
            self.world.mishap(key(unit));
        }
        repeats
    }
}

fn note(trace: &Option<Arc<Mutex<Vec<String>>>>, line: impl FnOnce() -> String) {
    if let Some(trace) = trace {
        trace.lock().unwrap().push(line());
    }
}

/// An event as a line of the trace.
pub fn line(event: &Event) -> String {
    let n = event.seq;
    match &event.kind {
        EventKind::UnitStarted { unit, why, .. } => {
            format!("  {n:3} started  {unit}{}", why.as_ref().map(|w| format!(" ({w})")).unwrap_or_default())
        }
        EventKind::UnitFinished { unit, outcome, .. } => match outcome {
            Outcome::Failed(p) | Outcome::Warned(p) | Outcome::Unknown(p) => {
                format!("  {n:3} {} {unit}: {}", crate::event::outcome_name(outcome), p.message)
            }
            _ => format!("  {n:3} {} {unit}", crate::event::outcome_name(outcome)),
        },
        EventKind::Notified { handler, by } => format!("  {n:3} {by} asks for {handler}"),
        EventKind::Undone { unit, by } => format!("  {n:3} {by} has undone {unit}"),
        EventKind::Dropped { unit, why } => format!("  {n:3} dropped {unit}: {why}"),
        EventKind::RunFinished { ok, interrupted, .. } => format!("  {n:3} end: ok {ok}, interrupted {interrupted}"),
        EventKind::Remembered { unit, standing, done, touched, .. } => {
            format!("  {n:3} remembers {unit} {standing:?}, done {done:?}, touched {touched:?}")
        }
        EventKind::Progress { .. } => format!("  {n:3} ."),
        EventKind::UnitRetried { unit, .. } => format!("  {n:3} retries {unit}"),
        EventKind::RunStarted { .. } => format!("  {n:3} run starts"),
        EventKind::Unknown => format!("  {n:3} ?"),
    }
}
