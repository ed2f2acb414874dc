//! Runs the graph.
//!
//! Everything that happens leaves as an event; the engine prints nothing. A preview is the same walk with the same probes and
//! verdicts, without the effects.
//!
//! ```text
//!  Scheduler::next ─► admit ─► record UnitStarted ─► commit ─► spawn ─► executor, pipeline ─► World
//!       ▲              │                                                        │
//!       │              ▼ (ends without running)                                 ▼
//!       └─ complete ◄─ settle ◄──────────────────────────────────────────── Execution
//!                        └─► events ─► recorder (next commit) ─► readers
//! ```
//!
//! - [`run_spec`]: what the run is asked to do; never changes
//! - [`state`]: the components of a run's state, each with its own rules: schedule, upstream state, handlers, failure limits,
//!   rollback, records of earlier runs, templates and outputs, file claims, approval
//! - [`admission`]: whether a ready unit may start, and how; [`settlement`]: what a unit's end means. Both are functions of the
//!   two above: they do no I/O and return data
//! - [`dispatcher`]: the loop, and the only part that records and spawns; [`launch`]: how a started unit goes on;
//!   [`tasks`]: the tasks that run units, and what they report
//! - [`executor`]: one unit from its first probe to its last effect; [`job_env`]: what all running jobs share
//! - [`prefetch`]: one round trip carries the probes of many units of a host
//! - [`pipeline`]: the effects of several units of a host go out in one round trip
//! - [`recorder`]: events become durable, then visible; [`faults`]: what goes wrong on purpose
//!
//! Where to look:
//!
//! - A handler becomes due in [`settlement::settle`], which notifies it; [`admission::admit`] starts it if it is pending.
//! - A result of an earlier run is kept in [`admission::admit`] (`start_or_keep`), by the rules of [`crate::journal`]'s `decide`.
//! - A pipeline takes units until [`pipeline`]'s `select` finds none that can be forecast, or one after which nothing may be sent
//!   (`Forecast::ends_pipeline`); it ends early in `pipeline/run.rs`, when an effect fails or a precondition does not hold.

mod admission;
mod completion;
mod dispatcher;
mod executor;
mod faults;
mod in_flight;
mod job_env;
mod launch;
mod options;
mod outcome;
mod pipeline;
mod prefetch;
mod recorder;
mod redaction;
mod report;
mod run_spec;
mod settlement;
mod state;
mod tasks;

pub use faults::{Faults, Point};
pub use options::Options;
pub use report::{EngineError, Report};
pub use state::renderer::Renderer;

use dispatcher::Dispatcher;
use executor::fact_cache::FactCache;
use executor::guard_locks::GuardLocks;
use job_env::JobEnv;
use recorder::Recorder;
use run_spec::RunSpec;
use state::RunState;
use tasks::Tasks;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::actions::Registry;
use crate::connect::{Watched, World};
use crate::event::{Event, EventKind, Mode, Source, seconds};
use crate::graph::Graph;
use crate::journal::{Journal, PreviousRun, SavedPlan};
use crate::plan::Plan;

/// A run before its start.
pub struct Engine {
    pub plan: Arc<Plan>,
    pub graph: Graph,
    pub registry: Arc<Registry>,
    pub renderer: Renderer,
    /// Where probes and effects go.
    pub world: Arc<dyn World>,
    pub mode: Mode,
    /// The run's id.
    pub run: String,
    /// The arguments of the run, for the record.
    pub source: Option<Source>,
    /// Where events are kept; none for previews.
    pub journal: Option<Journal>,
    /// The records of earlier runs.
    pub earlier: PreviousRun,
    pub options: Options,
    pub readers: mpsc::UnboundedSender<Event>,
    /// How often the user asked to stop: once finishes what runs, twice cancels it.
    pub interrupts: watch::Receiver<u8>,
    /// The saved plan that the run must follow; `None`: the run makes whatever change is needed.
    pub approved: Option<SavedPlan>,
    /// What goes wrong on purpose; `()` for nothing.
    pub faults: Arc<dyn Faults>,
}

impl Engine {
    /// Walks the graph to its end.
    ///
    /// # Errors
    /// If the journal cannot be written: the run stops, and no event is published that is not durable.
    pub async fn run(mut self) -> Result<Report, EngineError> {
        if self.plan.phases.iter().any(|phase| phase.guard.is_some()) {
            Arc::make_mut(&mut self.plan).apply_phase_guards(&*self.registry);
        }
        let began = Instant::now();
        let tasks = Tasks::new();
        let mut interrupts = self.interrupts.clone();
        let part = self.options.leaves_out() || self.graph.is_limited();
        let started = EventKind::RunStarted {
            run: self.run.clone(),
            plan: self.plan.name.value.clone(),
            mode: self.mode,
            units: self.graph.step_count(&self.plan),
            resumed_from: self.earlier.run.clone(),
            whole: if part { self.earlier.whole.clone() } else { Some(self.run.clone()) },
            source: self.source.clone(),
        };
        let sensitive = self.plan.phases.iter().flat_map(|phase| &phase.steps).filter(|step| step.sensitive);
        let recorder = Recorder::new(self.journal, self.readers, sensitive.map(|step| step.id.value.clone()).collect());
        let (plan, graph, registry) = (self.plan, self.graph, self.registry);
        let run = RunSpec { plan, graph, registry, mode: self.mode, options: self.options };
        let state = RunState::new(&run, self.renderer, self.earlier.history, self.approved);
        let (cache, guards) = (FactCache::default(), GuardLocks::default());
        let env = JobEnv {
            world: Arc::new(Watched(self.world)),
            faults: self.faults,
            notes: tasks.note_sink(),
            cache,
            guards,
        };
        let mut dispatcher = Dispatcher::new(run, state, env, tasks, recorder);
        let dropped = dispatcher.take_over()?;
        dispatcher.recorder.record(started)?;
        dropped.into_iter().try_for_each(|kind| dispatcher.recorder.record(kind))?;
        dispatcher.walk(&mut interrupts).await?;
        let mut report = dispatcher.state.report.clone();
        report.stuck = dispatcher.state.rollback.incomplete().to_vec();
        let handlers_left =
            if dispatcher.run.mode == Mode::Run { dispatcher.state.handlers.pending() } else { Vec::new() };
        dispatcher.recorder.record(EventKind::RunFinished {
            summary: report.summary.clone(),
            ok: report.ok,
            interrupted: report.interrupted,
            elapsed: seconds(began.elapsed()),
            handlers_left,
            stuck: report.stuck.clone(),
        })?;
        dispatcher.recorder.commit()?;
        Ok(report)
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
