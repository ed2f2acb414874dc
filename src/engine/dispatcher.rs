//! The loop of a run: admits ready units, records and spawns them, and settles their ends. It alone writes the journal and starts
//! tasks. One task, one `select!`.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use petgraph::graph::NodeIndex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinError;

use super::admission::{Admission, admit};
use super::faults::Point;
use super::in_flight::InFlight;
use super::job::{Job, Note};
use super::job_env::JobEnv;
use super::recorder::Recorder;
use super::run_spec::RunSpec;
use super::settlement::pass_over;
use super::state::RunState;
use super::state::handlers::Handlers;
use super::tasks::{Batch, Launch, TaskMessage, TaskResult, Tasks};
use crate::defect::caught;
use crate::event::{EventKind, Mode, UnitRef, seconds};
use crate::graph::Node;
use crate::journal::JournalError;
use crate::plan::StepKind;

pub(super) struct Dispatcher {
    pub(super) run: RunSpec,
    pub(super) state: RunState,
    pub(super) env: JobEnv,
    pub(super) recorder: Recorder,
    pub(super) in_flight: InFlight,
    /// Units whose host has answered their probes, and that are to go on.
    prefetched: Vec<(NodeIndex, Box<Job>)>,
    /// Units whose end is on its way to the disk.
    pub(super) ending: Vec<UnitRef>,
    /// Set once nothing more is to begin.
    pub(super) stopping: Arc<AtomicBool>,
}

impl Dispatcher {
    pub(super) fn new(run: RunSpec, state: RunState, env: JobEnv, recorder: Recorder) -> Self {
        let (in_flight, prefetched, ending) = (InFlight::default(), Vec::new(), Vec::new());
        Self { run, state, env, recorder, in_flight, prefetched, ending, stopping: Arc::default() }
    }

    /// Writes what earlier runs recorded at the head of the journal, less what the edited plan no longer has. Returns the
    /// events that tell of the latter.
    pub(super) fn take_over(&mut self) -> Result<Vec<EventKind>, JournalError> {
        if self.run.mode == Mode::Preview {
            return Ok(Vec::new());
        }
        let dropped = self.state.resume.reconcile(&self.run);
        self.state.handlers = Handlers::new(self.state.resume.handlers().clone());
        self.state.resume.records().into_iter().try_for_each(|record| self.recorder.record_unpublished(record))?;
        Ok(dropped.into_iter().map(|(unit, why)| EventKind::Dropped { unit, why }).collect())
    }

    /// Walks the graph to its end.
    ///
    /// Each turn of the loop ends with one commit: the ends of what ended and the starts of what follows become durable
    /// together, then the starts are sent out. When the disk fails, what runs is let finish, nothing is started, and
    /// nothing that is not on disk is told.
    pub(super) async fn walk(
        &mut self,
        interrupts: &mut watch::Receiver<u8>,
        mut told: mpsc::UnboundedReceiver<TaskMessage>,
    ) -> Result<(), JournalError> {
        let mut tasks = Tasks::new();
        let mut stop = *interrupts.borrow_and_update();
        let mut broken = None;
        loop {
            let looked = std::mem::take(&mut self.prefetched);
            let batch = if stop == 0 && broken.is_none() {
                self.dispatch(looked, tasks.len())
            } else {
                Ok(looked.into_iter().map(|(node, job)| Launch::Single(node, job)).collect())
            };
            let batch = batch.and_then(|batch| self.commit().map(|()| batch));
            match batch {
                Ok(batch) => self.spawn(batch, &mut tasks),
                Err(error) => drop(broken.get_or_insert(error)),
            }
            self.stopping.store(stop > 0 || broken.is_some(), Ordering::SeqCst);
            if tasks.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                Ok(()) = interrupts.changed(), if stop < 2 => {
                    stop = *interrupts.borrow_and_update();
                    if stop >= 2 {
                        self.drain(&mut tasks, &mut told)?;
                        tasks.shutdown().await;
                        self.prefetched.clear();
                        self.cancel_running()?;
                    }
                }
                Some(first) = told.recv() => {
                    self.handle_message(first)?;
                    self.drain_messages(&mut told)?;
                }
                Some(joined) = tasks.join_next() => {
                    self.handle_result(joined, &mut told)?;
                    self.drain(&mut tasks, &mut told)?;
                }
            }
        }
        // Only an interrupt or a broken journal leaves nodes behind.
        if !self.state.scheduler.is_finished() && broken.is_none() {
            self.state.report.interrupted = true;
            self.state.report.ok = false;
        }
        broken.map_or(Ok(()), Err)
    }

    /// Takes in what has ended meanwhile, so that one commit serves for all.
    fn drain(
        &mut self,
        tasks: &mut Tasks,
        told: &mut mpsc::UnboundedReceiver<TaskMessage>,
    ) -> Result<(), JournalError> {
        while let Some(joined) = tasks.try_join_next() {
            self.handle_result(joined, told)?;
        }
        self.drain_messages(told)
    }

    fn drain_messages(&mut self, told: &mut mpsc::UnboundedReceiver<TaskMessage>) -> Result<(), JournalError> {
        while let Ok(told) = told.try_recv() {
            self.handle_message(told)?;
        }
        Ok(())
    }

    fn handle_result(
        &mut self,
        joined: Result<TaskResult, JoinError>,
        told: &mut mpsc::UnboundedReceiver<TaskMessage>,
    ) -> Result<(), JournalError> {
        // Its units are watched; only what stands around them is left.
        let back = joined.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
        self.drain_messages(told)?;
        match back {
            TaskResult::Prefetched(node, job) => {
                self.prefetched.push((node, job));
                Ok(())
            }
            TaskResult::Ended(units) => self.handle_message(TaskMessage::Ended(units)),
            TaskResult::Broke(nodes, defect) => self.broke(nodes, &defect),
        }
    }

    fn commit(&mut self) -> Result<(), JournalError> {
        self.recorder.commit()?;
        for unit in self.ending.drain(..) {
            self.env.faults.reach(Point::AfterOutcome, &unit);
        }
        Ok(())
    }

    /// Prepares all that goes on or may start beside the tasks that are at work; a pipeline is one, since its units take turns.
    fn dispatch(&mut self, prefetched: Vec<(NodeIndex, Box<Job>)>, at_work: usize) -> Result<Batch, JournalError> {
        let mut batch = Batch::new();
        for (node, job) in prefetched {
            let Some(unit) = self.in_flight.get(node).map(|running| running.unit.clone()) else { continue };
            batch.extend(self.go_on(node, &unit, job)?);
        }
        while at_work + batch.len() < self.run.options.parallel {
            let Some(node) = self.state.scheduler.next() else { break };
            match self.run.graph.node(node).clone() {
                Node::Begin(phase) => self.begin(node, phase),
                Node::End(phase) => {
                    if self.run.mode == Mode::Run {
                        self.state.rollback.phase_ended(&self.run, phase);
                    }
                    self.state.complete(&self.run, node);
                }
                Node::Join | Node::Gate => self.state.complete(&self.run, node),
                Node::Unit(unit) => {
                    let reference = unit.reference(&self.run.plan);
                    // Only when the handler has ended at the other node is it known whether it is to run here too.
                    if self.run.step(&unit).part == StepKind::Handler && self.in_flight.runs(&reference) {
                        self.state.scheduler.defer(node);
                        continue;
                    }
                    let none = HashSet::new();
                    match admit(&self.run, &mut self.state, &self.in_flight, node, &unit, &reference, &none) {
                        Admission::Defer => self.state.scheduler.defer(node),
                        Admission::PassOver => pass_over(&self.run, &mut self.state, node, &unit, &reference),
                        Admission::Ended(finished) => self.finish(node, &unit, reference, finished)?,
                        Admission::Start(admitted) => {
                            if let Some(sent) = self.start(node, unit, reference, admitted)? {
                                batch.push(sent);
                            }
                        }
                    }
                }
            }
        }
        Ok(batch)
    }

    fn begin(&mut self, node: NodeIndex, index: usize) {
        let phase = &self.run.plan.phases[index];
        let name = &phase.name.value;
        if !self.run.options.takes_phase(name) {
            self.state.skipped_phases.insert(index, "left out".to_owned());
        } else if let Some(when) = &phase.when {
            match caught(|| self.state.renderer.holds(&when.value, None)).and_then(|holds| holds) {
                Ok(true) => {}
                Ok(false) => drop(self.state.skipped_phases.insert(index, format!("when: {}", when.value))),
                Err(problem) => {
                    let why = format!("the `when` of phase {name}: {}", problem.message);
                    self.state.upstream.entry(node).blocked_by.get_or_insert(why);
                }
            }
        }
        self.state.complete(&self.run, node);
    }

    fn handle_message(&mut self, told: TaskMessage) -> Result<(), JournalError> {
        match told {
            TaskMessage::Note(unit, Note::Progress(message), secrets) => {
                self.recorder.record_cleaned(EventKind::Progress { unit, message }, secrets)
            }
            TaskMessage::Note(unit, Note::Retried { attempt, message, delay }, secrets) => self
                .recorder
                .record_cleaned(EventKind::UnitRetried { unit, attempt, message, delay: seconds(delay) }, secrets),
            TaskMessage::Ended(units) => units.into_iter().try_for_each(|(node, ended)| self.end(node, ended)),
        }
    }
}
