//! One run or preview of a plan, from its file to its report; shared by `run`, `plan`, `apply`, `resume` and `prove`.

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

/// The inputs of one run or preview.
pub struct Session<'a> {
    pub selection: &'a Selection,
    pub display: &'a DisplayArgs,
    pub mode: Mode,
    /// Whether to start anew instead of continuing the last run.
    pub fresh: bool,
    /// How long to wait for another run to release the lock; `None`: not at all.
    pub wait_lock: Option<Duration>,
    /// Units from `--done`: taken as done.
    pub done: Vec<String>,
    /// Units from `--rerun`: run again, whatever the journal says.
    pub rerun: Vec<String>,
    /// Faults to inject.
    pub faults: Arc<dyn Faults>,
    /// The saved plan that limits what may change, and its hash.
    pub saved_plan: Option<(SavedPlan, String)>,
    /// Whether this preview is compared with another one, and so needs the plan's key for its hashes.
    pub is_compared: bool,
    /// The command that continues after a failure; default `rollout run PLAN`.
    pub resume_command: Option<String>,
    /// Whether to show no events.
    pub is_quiet: bool,
    /// Whether this is a tick of a service: previews take the locks, too, and SIGHUP stops nothing.
    pub is_tick: bool,
    /// The plan, if it was loaded before.
    pub loaded: Option<Loaded>,
}

/// The result of a run or preview.
pub struct RunResult {
    pub plan: String,
    /// The arguments, for repeating the run.
    pub source: Source,
    pub report: Report,
    /// All events except progress.
    pub events: Vec<Event>,
}

impl<'a> Session<'a> {
    /// A session with the defaults: nothing injected, no saved plan, events shown.
    pub fn new(selection: &'a Selection, display: &'a DisplayArgs, mode: Mode) -> Self {
        Self {
            selection,
            display,
            mode,
            fresh: false,
            wait_lock: None,
            done: Vec::new(),
            rerun: Vec::new(),
            faults: Arc::new(()),
            saved_plan: None,
            is_compared: false,
            resume_command: None,
            is_quiet: false,
            is_tick: false,
            loaded: None,
        }
    }

    /// Loads the plan, takes the locks, reads the secrets, and runs the graph.
    ///
    /// # Errors
    /// When the run cannot start, or its journal cannot be written.
    pub fn run(mut self, options: &Options, terminal: &Terminal) -> Result<RunResult, Failure> {
        let mut loaded = match self.loaded.take() {
            Some(loaded) => loaded,
            None => load::load_checked(&self.selection.plan, options, terminal)?,
        };
        let graph = self.selection.graph(&loaded)?;
        self.check_named_units(&loaded, &graph)?;
        let runtime = tokio::runtime::Runtime::new()?;
        let limits = self.limits();
        let selected = selected(&limits, &loaded, &graph);
        let world = Arc::new(RealWorld::new(&loaded.inventory));
        {
            // Connects while locks and secrets are awaited, so that the first steps find connections ready. The tasks
            // end with the runtime.
            let _inside = runtime.enter();
            world.preconnect(selected.hosts.iter().take(limits.parallel).cloned());
        }
        let locks = match self.mode {
            Mode::Preview if !self.is_tick => None,
            _ => Some(Locks::take(&loaded, &loaded.store()?, self.wait_lock, terminal)?),
        };
        // Only after the locks are held: secrets may change during the wait.
        world.set_sudo_passwords(runtime.block_on(secrets::load(&mut loaded, &selected.secrets, options, terminal))?);
        let mut opened = match (self.mode, locks) {
            (Mode::Run, Some(locks)) => OpenedJournal::for_run(&loaded, self.fresh, locks)?,
            (_, locks) => OpenedJournal { locks, ..OpenedJournal::for_preview(&loaded, self.is_compared)? },
        };
        let locks = opened.locks.take();
        let lost = locks.as_ref().map_or_else(|| watch::channel(None).1, Locks::lost);
        let name = loaded.plan.name.value.clone();
        let source = Source {
            plan: absolute(&loaded.plan.source.path),
            inventory: loaded.inventory.path.as_deref().map(absolute),
            arguments: self.selection.arguments(options),
            saved: self.saved_plan.as_ref().map(|(_, hash)| hash.clone()),
        };
        let saved_plan = self.saved_plan.take();
        let result = runtime.block_on(async {
            let (readers, events) = mpsc::unbounded_channel();
            let style = if self.is_quiet { Style::Nothing } else { output_style(terminal) };
            let shown_events = tokio::spawn(ui::show(events, ui::reader(style, self.text())));
            let registry = Arc::new(Registry::standard());
            let engine = Engine {
                graph,
                renderer: Renderer::new(loaded.templates, loaded.scope, &*registry).with_key(opened.key),
                registry,
                plan: Arc::new(loaded.plan),
                world: world.clone(),
                mode: self.mode,
                run: opened.id,
                source: Some(source.clone()),
                journal: opened.journal,
                earlier: opened.earlier,
                options: limits,
                readers,
                interrupts: signals::watch(*terminal, lost, self.is_tick || detach::is_detached())?,
                faults: self.faults,
                approved: saved_plan.map(|(plan, _)| plan),
            };
            let report = engine.run().await;
            world.close().await;
            // The event stream ended with the engine; waits until the rest is shown.
            let shown_events = shown_events.await;
            let report = report.map_err(|e| {
                let hint = "steps that were running have finished, but count as interrupted; free disk space, or set \
                            another ROLLOUT_STATE_DIR, then run the plan again";
                Failure::Problem(Problem::new(e.to_string()).hint(hint), Exit::Failed)
            })?;
            let events = shown_events.map_err(|e| {
                let what = format!("an internal error of rollout stopped the display of the run: {e}");
                let hint = "please report it; `rollout show` shows what the run did";
                Failure::Problem(Problem::new(what).hint(hint), Exit::Failed)
            })?;
            Ok(RunResult { plan: name, source, report, events })
        });
        // A worker that hangs in a blocking call must not keep the program from exiting.
        runtime.shutdown_timeout(Duration::from_secs(1));
        match (result, locks.and_then(|locks| locks.loss_failure())) {
            (Ok(RunResult { report: Report { interrupted: true, .. }, .. }), Some(failure)) => Err(failure),
            (result, _) => result,
        }
    }

    fn limits(&self) -> engine::Options {
        engine::Options {
            parallel: self.display.parallel as usize,
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
        let resume_command =
            self.resume_command.clone().unwrap_or_else(|| format!("rollout run {}", self.selection.plan.display()));
        Text::new(self.display.diff.unwrap_or(default), resume_command)
    }

    /// Checks that each name in `--done` and `--rerun` matches a unit.
    fn check_named_units(&self, loaded: &Loaded, graph: &Graph) -> Result<(), Failure> {
        for name in self.done.iter().chain(&self.rerun) {
            if !graph.units().any(|unit| unit.reference(&loaded.plan).is_meant_by(name)) {
                let hint = "write STEP, PHASE/STEP, STEP@HOST or STEP[ITEM]";
                return Err(Failure::usage(Problem::new(format!("no step is named `{name}`")).hint(hint)));
            }
        }
        Ok(())
    }
}

/// The selected part of a graph.
struct Selected {
    secrets: secrets::Consumers,
    /// The hosts of the selected steps, each once, in the order of the steps.
    hosts: Vec<Arc<Host>>,
}

fn selected(limits: &engine::Options, loaded: &Loaded, graph: &Graph) -> Selected {
    let (plan, phases) = (&loaded.plan, &loaded.plan.phases);
    let is_phase_selected = |n: usize| limits.takes_phase(&phases[n].name.value);
    let is_selected = |unit: &&Unit| is_phase_selected(unit.phase) && limits.takes_step(unit.step(plan));
    let units: Vec<&Unit> = graph.units().filter(is_selected).collect();
    let sudo_hosts = units.iter().filter(|unit| unit.step(plan).as_root).filter_map(|unit| unit.host.as_ref());
    let mut names = BTreeSet::new();
    let is_new = |host: &&Arc<Host>| names.insert(host.name.clone());
    Selected {
        secrets: secrets::Consumers {
            phases: (0..phases.len()).filter(|n| is_phase_selected(*n)).collect(),
            steps: units.iter().map(|unit| (unit.phase, unit.step)).collect(),
            passwords: sudo_hosts.filter_map(|host| host.access.password.clone()).collect(),
        },
        hosts: units.iter().filter_map(|unit| unit.host.as_ref()).filter(is_new).cloned().collect(),
    }
}

/// The exit code for a report.
pub fn exit(report: &Report) -> Exit {
    match report {
        Report { interrupted: true, .. } => Exit::Interrupted,
        Report { ok: true, .. } => Exit::Ok,
        Report { unreachable: true, .. } => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

fn output_style(terminal: &Terminal) -> Style {
    match (terminal.format, std::io::IsTerminal::is_terminal(&std::io::stderr())) {
        (Format::Json, _) => Style::Json,
        (Format::Text, true) => Style::Bars,
        (Format::Text, false) => Style::Lines,
    }
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
