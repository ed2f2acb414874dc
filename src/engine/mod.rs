//! Runs the graph: a dispatcher that owns all state of a run, and an executor that runs one unit.
//!
//! Everything that happens leaves as an event; the engine prints nothing. A preview is the same walk with the same
//! probes and verdicts, minus the effects.

mod admission;
mod after;
mod ahead;
mod away;
mod cleaned;
mod completion;
mod dispatcher;
mod emitter;
mod executor;
mod faults;
mod finish;
mod guard;
mod in_flight;
mod look;
mod outcome;
mod prefetch;
mod row;
mod run_spec;
mod send;
mod settlement;
mod start;
mod state;

pub use faults::{Faults, Point};
pub use state::renderer::Renderer;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::actions::Registry;
use crate::connect::World;
use crate::event::{Event, Kind, Mode, Outcome, Source, Summary, UnitRef, seconds};
use crate::graph::Graph;
use crate::journal::{Earlier, Journal, JournalError, SavedPlan};
use crate::plan::{Part, Plan, Step};

/// A run, ready to go.
pub struct Engine {
    /// What to do.
    pub plan: Arc<Plan>,
    /// Its units.
    pub graph: Graph,
    /// The code of its actions.
    pub registry: Arc<Registry>,
    /// Renders the steps' templates.
    pub renderer: Renderer,
    /// Where probes and effects go.
    pub world: Arc<dyn World>,
    /// Preview or run.
    pub mode: Mode,
    /// The run's id.
    pub run: String,
    /// What it was asked for, for the record.
    pub source: Option<Source>,
    /// Where events are kept; none for previews.
    pub journal: Option<Journal>,
    /// What the runs before it have left to it.
    pub earlier: Earlier,
    /// Limits and selections.
    pub options: Options,
    /// Takes the events.
    pub readers: mpsc::UnboundedSender<Event>,
    /// How often the user asked to stop: once finishes what runs, twice cancels it.
    pub interrupts: watch::Receiver<u8>,
    /// The saved plan that it must keep to; none: it does whatever is needed.
    pub agreed: Option<SavedPlan>,
    /// What goes wrong on purpose; `()`: nothing.
    pub faults: Arc<dyn Faults>,
}

/// Limits and selections.
#[derive(Debug, Clone)]
pub struct Options {
    /// Units at a time.
    pub parallel: usize,
    /// Deadline of a step that has none of its own.
    pub timeout: Duration,
    /// Phases to run; empty: all.
    pub only: Vec<String>,
    /// Phases to leave out.
    pub skip: Vec<String>,
    /// Steps to run: those that have one of these tags; empty: all.
    pub tags: Vec<String>,
    /// Units to take as done, whatever is on record; see [`UnitRef::is_meant_by`].
    pub done: Vec<String>,
    /// Units to run, whatever is on record.
    pub rerun: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        let none = Vec::new;
        let (timeout, parallel) = (Duration::from_secs(300), 64);
        Self { parallel, timeout, only: none(), skip: none(), tags: none(), done: none(), rerun: none() }
    }
}

impl Options {
    /// Whether a phase may run.
    pub fn takes_phase(&self, name: &String) -> bool {
        (self.only.is_empty() || self.only.contains(name)) && !self.skip.contains(name)
    }

    /// Whether they leave something of the plan out.
    fn leaves_out(&self) -> bool {
        [&self.only, &self.skip, &self.tags].iter().any(|names| !names.is_empty())
    }

    /// Whether a step may run, as far as its tags go. Handlers and what undoes a phase follow its steps, whatever their
    /// tags.
    pub fn takes_step(&self, step: &Step) -> bool {
        step.part != Part::Step || self.tags.is_empty() || step.tags.iter().any(|tag| self.tags.contains(&tag.value))
    }
}

/// How a run went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The counts.
    pub summary: Summary,
    /// Whether every unit ended well.
    pub ok: bool,
    /// Whether the user ended it.
    pub interrupted: bool,
    /// Whether a failure was that somebody could not be reached.
    pub unreachable: bool,
    /// Units whose work should have been undone and was not.
    pub stuck: Vec<UnitRef>,
}

impl Report {
    /// Counts a unit that ended.
    fn count(&mut self, outcome: &Outcome) {
        self.summary.count(outcome);
        if let Outcome::Failed(problem) | Outcome::Unknown(problem) = outcome {
            self.unreachable |= problem.unreachable;
        }
        self.ok &= outcome.lets_dependents_start();
    }
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nothing may be done that is not on record.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Engine {
    /// Walks the graph to its end.
    ///
    /// # Errors
    /// When the journal cannot be written: the run stops, and nothing is claimed that is not on disk.
    pub async fn run(mut self) -> Result<Report, EngineError> {
        if self.plan.phases.iter().any(|phase| phase.guard.is_some()) {
            Arc::make_mut(&mut self.plan).hand_down_guards(&*self.registry);
        }
        let began = Instant::now();
        let (notes, told) = mpsc::unbounded_channel();
        let mut interrupts = self.interrupts.clone();
        let part = self.options.leaves_out() || self.graph.is_limited();
        let started = Kind::RunStarted {
            run: self.run.clone(),
            plan: self.plan.name.value.clone(),
            mode: self.mode,
            units: self.graph.steps(&self.plan),
            resumed_from: self.earlier.run.clone(),
            whole: if part { self.earlier.whole.clone() } else { Some(self.run.clone()) },
            source: self.source.clone(),
        };
        let mut dispatcher = dispatcher::Dispatcher::new(self, notes);
        let dropped = dispatcher.take_over()?;
        dispatcher.emitter.emit(started)?;
        dropped.into_iter().try_for_each(|kind| dispatcher.emitter.emit(kind))?;
        dispatcher.walk(&mut interrupts, told).await?;
        let mut report = dispatcher.state.report.clone();
        report.stuck = dispatcher.state.rollback.incomplete().to_vec();
        let handlers_left =
            if dispatcher.run.mode == Mode::Run { dispatcher.state.handlers.pending() } else { Vec::new() };
        dispatcher.emitter.emit(Kind::RunFinished {
            summary: report.summary.clone(),
            ok: report.ok,
            interrupted: report.interrupted,
            elapsed: seconds(began.elapsed()),
            handlers_left,
            stuck: report.stuck.clone(),
        })?;
        dispatcher.emitter.commit()?;
        Ok(report)
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
