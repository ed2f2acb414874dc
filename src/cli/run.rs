//! `rollout run PLAN` and its dry run, `rollout plan PLAN`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::exit::Exit;
use super::failure::Failure;
use super::options::{Format, Options};
use super::terminal::Terminal;
use super::{load, signals};
use crate::actions::Registry;
use crate::connect::Real;
use crate::engine::{self, Engine, Report, Values};
use crate::event::{Mode, Problem, Source};
use crate::graph::Graph;
use crate::journal::{Journal, JournalError, Lock, LockError, Memory, RunState, Store, new_run_id};
use crate::ui::{self, DiffStyle, Style, Text};

/// Arguments of both.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// The plan file
    plan: PathBuf,
    /// Only these hosts (a host pattern, such as `pi-1` or `workers:!pi-2`)
    #[arg(long, value_name = "PATTERN")]
    limit: Option<String>,
    /// Only this phase; what it needs is taken as done. Repeatable
    #[arg(long, value_name = "PHASE")]
    only: Vec<String>,
    /// Leave this phase out; what needs it runs all the same. Repeatable
    #[arg(long, value_name = "PHASE")]
    skip: Vec<String>,
    /// Only steps that have one of these tags; what they need is taken as done. Repeatable, or with commas
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    tags: Vec<String>,
    /// Steps at a time, over all hosts
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    parallel: u32,
    /// How much of the changes to show [default: full in a preview, summary in a run]
    #[arg(long, value_enum)]
    diff: Option<DiffStyle>,
}

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    common: Common,
    /// Only look, and show what would change: the same as `rollout plan`
    #[arg(long)]
    dry_run: bool,
    /// Start anew instead of going on from the last run
    #[arg(long)]
    fresh: bool,
}

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    #[command(flatten)]
    common: Common,
    /// End with exit code 3 when something would change
    #[arg(long)]
    detailed_exit_code: bool,
}

/// `rollout run`.
pub fn run(args: &RunArgs, options: &Options, terminal: &Terminal) -> Result<Exit, Failure> {
    let mode = if args.dry_run { Mode::Preview } else { Mode::Run };
    let report = go(&args.common, mode, args.fresh, options, terminal)?;
    Ok(exit(&report))
}

/// `rollout plan`.
pub fn plan(args: &PlanArgs, options: &Options, terminal: &Terminal) -> Result<Exit, Failure> {
    let report = go(&args.common, Mode::Preview, false, options, terminal)?;
    let pending = report.summary.get("changed") + report.summary.get("pending") > 0;
    match exit(&report) {
        Exit::Ok if pending && args.detailed_exit_code => Ok(Exit::Pending),
        other => Ok(other),
    }
}

fn exit(report: &Report) -> Exit {
    match report {
        Report { interrupted: true, .. } => Exit::Interrupted,
        Report { ok: true, .. } => Exit::Ok,
        Report { unreachable: true, .. } => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

fn go(args: &Common, mode: Mode, fresh: bool, options: &Options, terminal: &Terminal) -> Result<Report, Failure> {
    let loaded = load::checked(&args.plan, options, terminal)?;
    for phase in args.only.iter().chain(&args.skip) {
        loaded.phase(phase)?;
    }
    for tag in &args.tags {
        loaded.tag(tag)?;
    }
    let limit = args.limit.as_deref().map(|pattern| loaded.hosts(pattern)).transpose()?;
    let graph = Graph::new(&loaded.plan, |pattern| {
        let mut hosts = loaded.hosts(pattern).unwrap_or_default();
        hosts.retain(|h| limit.as_ref().is_none_or(|only| only.iter().any(|o| o.name == h.name)));
        hosts
    })
    .map_err(|e| Failure::usage(Problem::new(e.to_string())))?;

    let past = match mode {
        Mode::Preview => Past { id: new_run_id(), ..Past::default() },
        Mode::Run => Past::open(&loaded, fresh).map_err(|e| locked(e, &args.plan))?,
    };
    let source = Source {
        plan: absolute(&loaded.plan.source.path),
        inventory: loaded.inventory.path.as_deref().map(absolute),
        arguments: Vec::new(),
    };
    let style = match (terminal.format, std::io::IsTerminal::is_terminal(&std::io::stderr())) {
        (Format::Json, _) => Style::Json,
        (Format::Text, true) => Style::Bars,
        (Format::Text, false) => Style::Lines,
    };
    let diff = args.diff.unwrap_or(if mode == Mode::Preview { DiffStyle::Full } else { DiffStyle::Summary });
    let text = Text::new(diff, format!("rollout run {}", args.plan.display()));

    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(async {
        let (readers, events) = mpsc::unbounded_channel();
        let shown = tokio::spawn(ui::show(events, ui::reader(style, text)));
        let world = Arc::new(Real::new(&loaded.inventory));
        let registry = Arc::new(Registry::standard());
        let engine = Engine {
            graph,
            values: Values::new(loaded.templates, loaded.scope, &*registry),
            registry,
            plan: Arc::new(loaded.plan),
            world: world.clone(),
            mode,
            run: past.id,
            source: Some(source),
            faults: Arc::new(()),
            journal: past.journal,
            resumed_from: past.resumed_from,
            memory: past.memory,
            options: engine::Options {
                parallel: args.parallel as usize,
                only: args.only.clone(),
                skip: args.skip.clone(),
                tags: args.tags.clone(),
                ..engine::Options::default()
            },
            readers,
            interrupts: signals::count(*terminal)?,
        };
        let report = engine.run().await;
        world.close().await;
        // The stream has ended with the engine; what is left of it is still shown.
        let _shown = shown.await;
        report.map_err(|e| {
            let hint = "nothing was done that is not on record; make room or give another ROLLOUT_STATE_DIR";
            Failure::Problem(Problem::new(e.to_string()).hint(hint), Exit::Failed)
        })
    });
    // A worker that hangs in a blocking call must not hold the program.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    drop(past.lock);
    report
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// What is on record of this plan, and the right to add to it.
#[derive(Default)]
struct Past {
    id: String,
    lock: Option<Lock>,
    journal: Option<Journal>,
    memory: Memory,
    resumed_from: Option<String>,
}

impl Past {
    /// A run that ended well is over but for its open ends; any other is gone on from, unless a fresh start is asked for.
    fn open(loaded: &load::Loaded, fresh: bool) -> Result<Self, LockError> {
        let store = Store::open(&loaded.plan.source.path, &loaded.plan.name.value, loaded.inventory.path.as_deref())?;
        let id = store.new_run_id();
        let lock = Lock::take(store.folder(), &id)?;
        let mut past = Self { lock: Some(lock), ..Self::default() };
        // Named only now: the run that held the lock until then may have begun after the first look.
        past.id = store.new_run_id();
        let latest = match store.latest() {
            Err(error) if fresh && !matches!(error, JournalError::Io { .. }) => None,
            latest => latest?,
        };
        if let Some((info, events)) = latest {
            let memory = Memory::of(&events);
            past.memory = match info.state {
                _ if fresh => memory.handlers_only(),
                RunState::Succeeded => memory.open_ends(),
                _ => memory,
            };
            let goes_on = !fresh && (info.state != RunState::Succeeded || !past.memory.is_empty());
            past.resumed_from = goes_on.then_some(info.id);
        }
        past.journal = Some(store.create(&past.id)?);
        Ok(past)
    }
}

fn locked(error: LockError, plan: &std::path::Path) -> Failure {
    match error {
        LockError::Held { holder } => Failure::Problem(
            Problem::new(format!("another run of {} is under way: {holder}", plan.display()))
                .hint("wait for it to end; the lock frees itself when its holder does"),
            Exit::Locked,
        ),
        LockError::Journal(error @ JournalError::Io { .. }) => Failure::Problem(
            Problem::new(error.to_string()).hint("ROLLOUT_STATE_DIR names another folder for journals"),
            Exit::Failed,
        ),
        LockError::Journal(error) => Failure::Problem(
            Problem::new(error.to_string())
                .hint("`--fresh` starts anew: the world is the state, so only the memory of that run is lost"),
            Exit::Failed,
        ),
    }
}
