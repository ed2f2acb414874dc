//! One walk over a plan, from its file to its report: what `run`, `plan` and their relatives have in common.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::detach;
use super::exit::Exit;
use super::failure::Failure;
use super::load::{self, Loaded};
use super::lock::Locks;
use super::opened_journal::OpenedJournal;
use super::options::{Format, Options};
use super::secrets;
use super::selection::{DisplayArgs, Selection};
use super::signals;
use super::terminal::Terminal;
use crate::actions::Registry;
use crate::connect::RealWorld;
use crate::engine::{self, Engine, Faults, Renderer, Report};
use crate::event::{Event, Mode, Problem, Source};
use crate::graph::{Graph, Unit};
use crate::inventory::Host;
use crate::journal::SavedPlan;
use crate::ui::{self, DiffStyle, Style, Text};

/// A walk that is asked for.
pub struct Session<'a> {
    /// Which plan.
    pub selection: &'a Selection,
    /// How.
    pub manner: &'a DisplayArgs,
    /// Preview or run.
    pub mode: Mode,
    /// Whether to start anew instead of going on.
    pub fresh: bool,
    /// How long to wait for another run of the plan to end.
    pub wait_lock: Option<Duration>,
    /// Units to take as done.
    pub done: Vec<String>,
    /// Units to run, whatever is on record.
    pub rerun: Vec<String>,
    /// What goes wrong on purpose.
    pub faults: Arc<dyn Faults>,
    /// The saved plan that it must keep to.
    pub agreed: Option<(SavedPlan, String)>,
    /// Whether it is a preview that is compared with another one, and so needs the plan's key for its hashes.
    pub compared: bool,
    /// The command that goes on after a failure, where it is not `rollout run PLAN`.
    pub again: Option<String>,
    /// Whether nothing is shown.
    pub quiet: bool,
}

/// How it went.
pub struct RunResult {
    /// The plan's name.
    pub plan: String,
    /// What was asked for.
    pub source: Source,
    /// The counts.
    pub report: Report,
    /// All that was told.
    pub events: Vec<Event>,
}

impl<'a> Session<'a> {
    /// An ordinary one.
    pub fn new(selection: &'a Selection, manner: &'a DisplayArgs, mode: Mode) -> Self {
        Self {
            selection,
            manner,
            mode,
            fresh: false,
            wait_lock: None,
            done: Vec::new(),
            rerun: Vec::new(),
            faults: Arc::new(()),
            agreed: None,
            compared: false,
            again: None,
            quiet: false,
        }
    }

    /// Loads the plan, takes the locks and walks the graph.
    ///
    /// # Errors
    /// What kept it from starting, or made the journal unusable.
    pub fn go(mut self, options: &Options, terminal: &Terminal) -> Result<RunResult, Failure> {
        let mut loaded = load::checked(&self.selection.plan, options, terminal)?;
        let graph = self.selection.graph(&loaded)?;
        self.named_units(&loaded, &graph)?;
        let runtime = tokio::runtime::Runtime::new()?;
        let limits = self.limits();
        let chosen = chosen(&limits, &loaded, &graph);
        let world = Arc::new(RealWorld::new(&loaded.inventory));
        {
            // While locks and secrets are waited for, so that the first steps need not wait for connections. All that it
            // does ends with the runtime.
            let _inside = runtime.enter();
            world.preconnect(chosen.hosts.iter().take(limits.parallel).cloned());
        }
        let locks = match self.mode {
            Mode::Preview => None,
            Mode::Run => Some(Locks::take(&loaded, &loaded.store()?, self.wait_lock, terminal)?),
        };
        // Not earlier: while one waits for a lock, they may become others.
        world.set_sudo_passwords(runtime.block_on(secrets::load(&mut loaded, &chosen.secrets, options, terminal))?);
        let past = match locks {
            None => OpenedJournal::of_preview(&loaded, self.compared)?,
            Some(locks) => OpenedJournal::open(&loaded, self.fresh, locks)?,
        };
        let locks = past.locks;
        let lost = locks.as_ref().map_or_else(|| watch::channel(None).1, Locks::lost);
        let name = loaded.plan.name.value.clone();
        let source = Source {
            plan: absolute(&loaded.plan.source.path),
            inventory: loaded.inventory.path.as_deref().map(absolute),
            arguments: self.selection.arguments(options),
            saved: self.agreed.as_ref().map(|(_, hash)| hash.clone()),
        };
        let agreed = self.agreed.take();
        let walked = runtime.block_on(async {
            let (readers, events) = mpsc::unbounded_channel();
            let style = if self.quiet { Style::Nothing } else { style(terminal) };
            let shown = tokio::spawn(ui::show(events, ui::reader(style, self.text())));
            let registry = Arc::new(Registry::standard());
            let engine = Engine {
                graph,
                renderer: Renderer::new(loaded.templates, loaded.scope, &*registry).with_key(past.key),
                registry,
                plan: Arc::new(loaded.plan),
                world: world.clone(),
                mode: self.mode,
                run: past.id,
                source: Some(source.clone()),
                journal: past.journal,
                earlier: past.earlier,
                options: limits,
                readers,
                interrupts: signals::watch(*terminal, lost, detach::is_detached())?,
                faults: self.faults,
                approved: agreed.map(|(plan, _)| plan),
            };
            let report = engine.run().await;
            world.close().await;
            // The stream has ended with the engine; what is left of it is still shown.
            let shown = shown.await;
            let report = report.map_err(|e| {
                let hint = "what ran until then was let finish, and counts as cut off; make room, or give another \
                            ROLLOUT_STATE_DIR, and run the plan again";
                Failure::Problem(Problem::new(e.to_string()).hint(hint), Exit::Failed)
            })?;
            let events = shown.map_err(|e| {
                let what = format!("an internal error of rollout kept the run from being shown to its end: {e}");
                let hint = "please report it; `rollout show` tells what the run did";
                Failure::Problem(Problem::new(what).hint(hint), Exit::Failed)
            })?;
            Ok(RunResult { plan: name, source, report, events })
        });
        // A worker that hangs in a blocking call must not hold the program.
        runtime.shutdown_timeout(Duration::from_secs(1));
        match (walked, locks.and_then(|locks| locks.why_stopped())) {
            (Ok(RunResult { report: Report { interrupted: true, .. }, .. }), Some(failure)) => Err(failure),
            (walked, _) => walked,
        }
    }

    fn limits(&self) -> engine::Options {
        engine::Options {
            parallel: self.manner.parallel as usize,
            only: self.selection.only.clone(),
            skip: self.selection.skip.clone(),
            tags: self.selection.tags.clone(),
            done: self.done.clone(),
            rerun: self.rerun.clone(),
            ..engine::Options::default()
        }
    }

    fn text(&self) -> Text {
        let default = if self.mode == Mode::Preview { DiffStyle::Full } else { DiffStyle::Summary };
        let again = self.again.clone().unwrap_or_else(|| format!("rollout run {}", self.selection.plan.display()));
        Text::new(self.manner.diff.unwrap_or(default), again)
    }

    /// Makes sure that each unit that a person named exists.
    fn named_units(&self, loaded: &Loaded, graph: &Graph) -> Result<(), Failure> {
        for name in self.done.iter().chain(&self.rerun) {
            if !graph.units().any(|unit| unit.reference(&loaded.plan).is_meant_by(name)) {
                let hint = "write STEP, PHASE/STEP, STEP@HOST or STEP[ITEM]";
                return Err(Failure::usage(Problem::new(format!("no step is named `{name}`")).hint(hint)));
            }
        }
        Ok(())
    }
}

/// What may run of a graph.
struct Selected {
    secrets: secrets::Chosen,
    /// The hosts of its steps, in their order.
    hosts: Vec<Arc<Host>>,
}

fn chosen(limits: &engine::Options, loaded: &Loaded, graph: &Graph) -> Selected {
    let (plan, phases) = (&loaded.plan, &loaded.plan.phases);
    let named = |n: usize| limits.takes_phase(&phases[n].name.value);
    let takes = |unit: &&Unit| named(unit.phase) && limits.takes_step(unit.step(plan));
    let units: Vec<&Unit> = graph.units().filter(takes).collect();
    let of_sudo = units.iter().filter(|unit| unit.step(plan).as_root).filter_map(|unit| unit.host.as_ref());
    let mut seen = BTreeSet::new();
    let new = |host: &&Arc<Host>| seen.insert(host.name.clone());
    Selected {
        secrets: secrets::Chosen {
            phases: (0..phases.len()).filter(|n| named(*n)).collect(),
            steps: units.iter().map(|unit| (unit.phase, unit.step)).collect(),
            passwords: of_sudo.filter_map(|host| host.access.password.clone()).collect(),
        },
        hosts: units.iter().filter_map(|unit| unit.host.as_ref()).filter(new).cloned().collect(),
    }
}

/// How a walk ends the program.
pub fn exit(report: &Report) -> Exit {
    match report {
        Report { interrupted: true, .. } => Exit::Interrupted,
        Report { ok: true, .. } => Exit::Ok,
        Report { unreachable: true, .. } => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

fn style(terminal: &Terminal) -> Style {
    match (terminal.format, std::io::IsTerminal::is_terminal(&std::io::stderr())) {
        (Format::Json, _) => Style::Json,
        (Format::Text, true) => Style::Bars,
        (Format::Text, false) => Style::Lines,
    }
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
