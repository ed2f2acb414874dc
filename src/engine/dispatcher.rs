//! The loop of a run: admits ready units, records their starts and ends, and has tasks run them. Only the dispatcher writes
//! the journal and spawns tasks.

use std::collections::HashSet;

use petgraph::graph::NodeIndex;
use tokio::sync::watch;

use super::admission::{Admission, Admitted, admit};
use super::completion::Completion;
use super::executor::job::{Execution, Job, Note};
use super::faults::Point;
use super::in_flight::{InFlight, InFlightUnit};
use super::job_env::JobEnv;
use super::launch::{Launch, Prepared, Started, prepare};
use super::outcome;
use super::recorder::Recorder;
use super::run_spec::RunSpec;
use super::settlement::{Settled, conclude, pass_over, settle};
use super::state::RunState;
use super::state::handlers::Handlers;
use super::tasks::{TaskEvent, Tasks};
use crate::defect::catch_panic;
use crate::event::{EventKind, Mode, Outcome, Problem, UnitRef, seconds};
use crate::graph::{Node, Unit};
use crate::journal::JournalError;
use crate::plan::StepKind;

pub(super) struct Dispatcher {
    pub(super) run: RunSpec,
    pub(super) state: RunState,
    pub(super) recorder: Recorder,
    env: JobEnv,
    tasks: Tasks,
    in_flight: InFlight,
    /// Units whose host has answered their probes and that are to go on.
    prefetched: Vec<(NodeIndex, Box<Job>)>,
    /// Units whose end is recorded and not yet durable.
    unacknowledged: Vec<UnitRef>,
}

impl Dispatcher {
    pub(super) fn new(run: RunSpec, state: RunState, env: JobEnv, tasks: Tasks, recorder: Recorder) -> Self {
        let (in_flight, prefetched, unacknowledged) = (InFlight::default(), Vec::new(), Vec::new());
        Self { run, state, recorder, env, tasks, in_flight, prefetched, unacknowledged }
    }

    /// Writes the records of earlier runs at the head of the journal, without those of units that the edited plan no longer
    /// has. Returns the events that report these.
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
    /// Each turn of the loop ends with one commit: the ends of the units that ended and the starts of those that follow become
    /// durable together, then the latter are spawned. When the journal cannot be written, running units finish, nothing is
    /// started, and no event that is not durable is published.
    pub(super) async fn walk(&mut self, interrupts: &mut watch::Receiver<u8>) -> Result<(), JournalError> {
        let mut stop = *interrupts.borrow_and_update();
        let mut broken = None;
        loop {
            let prefetched = std::mem::take(&mut self.prefetched);
            let launches = if stop == 0 && broken.is_none() {
                self.dispatch(prefetched)
            } else {
                Ok(prefetched.into_iter().map(|(node, job)| Launch::Single(node, job)).collect())
            };
            match launches.and_then(|launches| self.commit().map(|()| launches)) {
                Ok(launches) => launches.into_iter().for_each(|launch| self.tasks.spawn(launch, &*self.env.faults)),
                Err(error) => drop(broken.get_or_insert(error)),
            }
            self.tasks.set_stopping(stop > 0 || broken.is_some());
            if self.tasks.len() == 0 {
                break;
            }
            tokio::select! {
                biased;
                Ok(()) = interrupts.changed(), if stop < 2 => {
                    stop = *interrupts.borrow_and_update();
                    if stop >= 2 {
                        self.handle_waiting()?;
                        self.tasks.abort_all().await;
                        self.prefetched.clear();
                        self.cancel_running()?;
                    }
                }
                event = self.tasks.next() => {
                    self.handle(event)?;
                    self.handle_waiting()?;
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

    fn commit(&mut self) -> Result<(), JournalError> {
        self.recorder.commit()?;
        for unit in self.unacknowledged.drain(..) {
            self.env.faults.reach(Point::AfterOutcome, &unit);
        }
        Ok(())
    }

    /// Starts what may start, as far as the limit of parallel tasks allows, and returns what is to be spawned.
    fn dispatch(&mut self, prefetched: Vec<(NodeIndex, Box<Job>)>) -> Result<Vec<Launch>, JournalError> {
        let mut launches = Vec::new();
        for (node, job) in prefetched {
            let Some(unit) = self.in_flight.get(node).map(|running| running.unit.clone()) else { continue };
            launches.extend(self.go_on(node, &unit, job)?);
        }
        while self.tasks.len() + launches.len() < self.run.options.parallel {
            let Some(node) = self.state.scheduler.next() else { break };
            match self.run.graph.node(node).clone() {
                Node::Begin(phase) => self.begin_phase(node, phase),
                Node::End(phase) => {
                    if self.run.mode == Mode::Run {
                        self.state.rollback.phase_ended(&self.run, phase);
                    }
                    self.state.complete(&self.run, node);
                }
                Node::Join | Node::Gate => self.state.complete(&self.run, node),
                Node::Unit(unit) => launches.extend(self.dispatch_unit(node, unit)?),
            }
        }
        Ok(launches)
    }

    fn begin_phase(&mut self, node: NodeIndex, index: usize) {
        let phase = &self.run.plan.phases[index];
        let name = &phase.name.value;
        if !self.run.options.takes_phase(name) {
            self.state.skipped_phases.insert(index, "left out".to_owned());
        } else if let Some(when) = &phase.when {
            match catch_panic(|| self.state.renderer.holds(&when.value, None)).and_then(|holds| holds) {
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

    fn dispatch_unit(&mut self, node: NodeIndex, unit: Unit) -> Result<Option<Launch>, JournalError> {
        let reference = unit.reference(&self.run.plan);
        // A handler has several nodes when steps flush it. Whether it runs here is known once it has ended at the other node.
        if self.run.step(&unit).kind == StepKind::Handler && self.in_flight.runs(&reference) {
            self.state.scheduler.defer(node);
            return Ok(None);
        }
        let none = HashSet::new();
        match admit(&self.run, &mut self.state, &self.in_flight, node, &unit, &reference, &none) {
            Admission::Defer => self.state.scheduler.defer(node),
            Admission::PassOver => pass_over(&self.run, &mut self.state, node, &unit, &reference),
            Admission::Ended(completion) => self.complete(node, &unit, reference, completion)?,
            Admission::Start(admitted) => return self.start(node, unit, &reference, admitted),
        }
        Ok(None)
    }

    fn start(
        &mut self,
        node: NodeIndex,
        unit: Unit,
        reference: &UnitRef,
        admitted: Admitted,
    ) -> Result<Option<Launch>, JournalError> {
        let (definition, why) = (admitted.definition.clone(), admitted.why.clone());
        let job = self.env.job(&self.run, &unit, reference, admitted);
        self.record_start(Started::new(node, unit.clone(), &job, definition, why, None))?;
        self.go_on(node, &unit, job)
    }

    /// Continues a unit whose start is recorded.
    fn go_on(&mut self, node: NodeIndex, unit: &Unit, job: Box<Job>) -> Result<Option<Launch>, JournalError> {
        match prepare(&self.run, &mut self.state, &self.in_flight, &self.env, node, unit, job) {
            Prepared::Ended(execution) => self.end(node, execution).map(|()| None),
            Prepared::Launch(launch, joined) => {
                joined.into_iter().try_for_each(|started| self.record_start(started))?;
                Ok(Some(launch))
            }
        }
    }

    fn record_start(&mut self, started: Started) -> Result<(), JournalError> {
        let Started { node, unit, reference, definition, why, with, on, action, acted } = started;
        self.env.faults.reach(Point::BeforeIntent, &reference);
        self.state.handlers.started(&reference);
        self.state.limits.started(&unit);
        let (of, hash) = (reference.clone(), definition.clone());
        self.recorder.record(EventKind::UnitStarted { unit: of, definition: hash, attempt: 1, with, on, why })?;
        self.state.scheduler.start(node);
        self.in_flight.insert(node, InFlightUnit::new(unit, action, reference, definition, acted));
        Ok(())
    }

    fn handle_waiting(&mut self) -> Result<(), JournalError> {
        self.tasks.drain().into_iter().try_for_each(|event| self.handle(event))
    }

    fn handle(&mut self, event: TaskEvent) -> Result<(), JournalError> {
        match event {
            TaskEvent::Note(unit, Note::Progress(message), secrets) => {
                self.recorder.record_redacted(EventKind::Progress { unit, message }, secrets)
            }
            TaskEvent::Note(unit, Note::Retried { attempt, message, delay }, secrets) => {
                let kind = EventKind::UnitRetried { unit, attempt, message, delay: seconds(delay) };
                self.recorder.record_redacted(kind, secrets)
            }
            TaskEvent::Prefetched(node, job) => {
                self.prefetched.push((node, job));
                Ok(())
            }
            TaskEvent::Ended(units) => units.into_iter().try_for_each(|(node, execution)| self.end(node, execution)),
            TaskEvent::Panicked(nodes, defect) => self.end_panicked(nodes, &defect),
        }
    }

    fn end(&mut self, node: NodeIndex, execution: Execution) -> Result<(), JournalError> {
        let Some(running) = self.in_flight.remove(node) else { return Ok(()) };
        let completion = conclude(&self.run, &mut self.state, node, &running, execution);
        self.complete(node, &running.unit, running.reference, completion)
    }

    /// Ends the units of cancelled tasks.
    fn cancel_running(&mut self) -> Result<(), JournalError> {
        for (node, running) in self.in_flight.take() {
            self.interrupt(node, running, outcome::cancelled)?;
        }
        self.state.report.interrupted = true;
        self.state.report.ok = false;
        Ok(())
    }

    /// Ends the units of a task that panicked. How the first of them ended is unknown; of the others of a pipeline, only those
    /// that were sent.
    fn end_panicked(&mut self, nodes: Vec<NodeIndex>, defect: &Problem) -> Result<(), JournalError> {
        let mut first: Option<String> = None;
        for node in nodes {
            let Some(running) = self.in_flight.remove(node) else { continue };
            let name = running.reference.to_string();
            self.interrupt(node, running, |acted| match &first {
                Some(needs) if !acted => Outcome::Cancelled { needs: needs.clone() },
                _ => Outcome::Unknown(defect.clone()),
            })?;
            first.get_or_insert(name);
        }
        Ok(())
    }

    /// Ends a unit from which nothing more will be heard; `outcome` takes whether an effect was sent.
    fn interrupt(
        &mut self,
        node: NodeIndex,
        running: InFlightUnit,
        outcome: impl FnOnce(bool) -> Outcome,
    ) -> Result<(), JournalError> {
        let completion = running.interrupted(outcome);
        self.complete(node, &running.unit, running.reference, completion)
    }

    /// Records the end of a unit and what follows from it.
    fn complete(
        &mut self,
        node: NodeIndex,
        unit: &Unit,
        reference: UnitRef,
        completion: Completion,
    ) -> Result<(), JournalError> {
        for Settled { kind, redacted } in settle(&self.run, &mut self.state, node, unit, reference.clone(), completion)
        {
            match redacted {
                Some(secrets) => self.recorder.record_redacted(kind, secrets)?,
                None => self.recorder.record(kind)?,
            }
        }
        self.unacknowledged.push(reference);
        Ok(())
    }
}
