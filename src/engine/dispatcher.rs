//! Owns all state of a run: which nodes wait for what, what ended how. One task, one `select!`.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use petgraph::graph::NodeIndex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::emitter::Emitter;
use super::executor::{Ended, Job, Note};
use super::marks::Mark;
use super::outcome;
use super::values::{self, Values};
use crate::actions::{Registry, Thing};
use crate::connect::{Target, World};
use crate::diff::Diff;
use crate::event::{Event, Kind, Mode, Outcome, Outputs, Problem, Summary, UnitRef, seconds};
use crate::graph::{Graph, Node, Unit};
use crate::journal::{Decision, Journal, JournalError, Memory, decide};
use crate::plan::{Catalog, Plan, Role, Step};
use crate::secret::MASK;

/// A run, ready to go.
pub struct Engine {
    /// What to do.
    pub plan: Arc<Plan>,
    /// Its units.
    pub graph: Graph,
    /// The code of its actions.
    pub registry: Arc<Registry>,
    /// What templates see.
    pub values: Values,
    /// Where probes and effects go.
    pub world: Arc<dyn World>,
    /// Preview or run.
    pub mode: Mode,
    /// The run's id.
    pub run: String,
    /// Where events are kept; none for previews.
    pub journal: Option<Journal>,
    /// The run that this one goes on from.
    pub resumed_from: Option<String>,
    /// What that run did.
    pub memory: Memory,
    /// Limits and selections.
    pub options: Options,
    /// Takes the events.
    pub readers: mpsc::UnboundedSender<Event>,
    /// How often the user asked to stop: once finishes what runs, twice cancels it.
    pub interrupts: watch::Receiver<u8>,
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
}

impl Default for Options {
    fn default() -> Self {
        Self { parallel: 64, timeout: Duration::from_secs(300), only: Vec::new(), skip: Vec::new(), tags: Vec::new() }
    }
}

/// How a run went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The counts.
    pub summary: Summary,
    /// Whether every unit ended well.
    pub ok: bool,
    /// Whether the user ended it.
    pub interrupted: bool,
    /// Whether a failure was that somebody could not be reached.
    pub unreachable: bool,
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nothing may be done that is not on record.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What the tasks tell the dispatcher.
struct Told {
    unit: UnitRef,
    note: Note,
}

struct Running {
    unit: Unit,
    reference: UnitRef,
    definition: String,
    started: Instant,
    in_effect: Arc<AtomicBool>,
}

/// What is to become of a unit whose turn has come.
enum Turn {
    Ends(Outcome, Option<String>, Outputs),
    Runs(Box<Job>, String),
}

struct State {
    plan: Arc<Plan>,
    graph: Graph,
    registry: Arc<Registry>,
    values: Values,
    world: Arc<dyn World>,
    mode: Mode,
    memory: Memory,
    options: Options,
    emitter: Emitter,
    notes: mpsc::UnboundedSender<Told>,
    ready: VecDeque<NodeIndex>,
    waiting: HashMap<NodeIndex, usize>,
    marks: HashMap<NodeIndex, Mark>,
    running: HashMap<NodeIndex, Running>,
    skipped_phases: HashMap<usize, String>,
    /// Preview: which step brings what is not there yet.
    brings: HashMap<Thing, String>,
    /// Preview: steps (by template name) whose outputs are not known.
    unknown_outputs: HashSet<String>,
    report: Report,
}

impl Engine {
    /// Walks the graph to its end.
    ///
    /// # Errors
    /// When the journal cannot be written: the run stops, and nothing is claimed that is not on disk.
    pub async fn run(self) -> Result<Report, EngineError> {
        let started = Instant::now();
        let (notes, told) = mpsc::unbounded_channel();
        let units = self.graph.units();
        let mut interrupts = self.interrupts;
        let mut state = State {
            waiting: self.graph.nodes().map(|(i, _)| (i, self.graph.needs(i))).collect(),
            ready: self.graph.nodes().filter(|(i, _)| self.graph.needs(*i) == 0).map(|(i, _)| i).collect(),
            plan: self.plan,
            graph: self.graph,
            registry: self.registry,
            values: self.values,
            world: self.world,
            mode: self.mode,
            memory: self.memory,
            options: self.options,
            emitter: Emitter::new(self.journal, self.readers),
            notes,
            marks: HashMap::new(),
            running: HashMap::new(),
            skipped_phases: HashMap::new(),
            brings: HashMap::new(),
            unknown_outputs: HashSet::new(),
            report: Report { summary: Summary::default(), ok: true, interrupted: false, unreachable: false },
        };
        state.emitter.emit(Kind::RunStarted {
            run: self.run,
            plan: state.plan.name.value.clone(),
            mode: state.mode,
            units,
            resumed_from: self.resumed_from,
        })?;
        state.walk(&mut interrupts, told).await?;
        let report = state.report.clone();
        state.emitter.emit(Kind::RunFinished {
            summary: report.summary.clone(),
            ok: report.ok,
            interrupted: report.interrupted,
            elapsed: seconds(started.elapsed()),
        })?;
        state.emitter.sync()?;
        Ok(report)
    }
}

impl State {
    async fn walk(
        &mut self,
        interrupts: &mut watch::Receiver<u8>,
        mut told: mpsc::UnboundedReceiver<Told>,
    ) -> Result<(), JournalError> {
        let mut tasks: JoinSet<(NodeIndex, Ended)> = JoinSet::new();
        let mut stop = *interrupts.borrow_and_update();
        loop {
            if stop == 0 {
                self.dispatch(&mut tasks)?;
            }
            if tasks.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                Ok(()) = interrupts.changed(), if stop < 2 => {
                    stop = *interrupts.borrow_and_update();
                    if stop >= 2 {
                        tasks.shutdown().await;
                        self.cancel_running()?;
                    }
                }
                Some(told) = told.recv() => self.note(told)?,
                Some(joined) = tasks.join_next() => {
                    // A task that panicked is a defect of ours: let it be seen as what it is.
                    let (node, ended) = joined.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
                    while let Ok(told) = told.try_recv() {
                        self.note(told)?;
                    }
                    self.end(node, ended)?;
                }
            }
        }
        // Only an interrupt leaves nodes behind.
        if !self.waiting.is_empty() {
            self.report.interrupted = true;
            self.report.ok = false;
        }
        Ok(())
    }

    /// Starts all that may start. Their starts are made durable together, before anything of them is sent out.
    fn dispatch(&mut self, tasks: &mut JoinSet<(NodeIndex, Ended)>) -> Result<(), JournalError> {
        let mut batch = Vec::new();
        while self.running.len() < self.options.parallel {
            let Some(node) = self.ready.pop_front() else { break };
            match self.graph.node(node).clone() {
                Node::Begin(phase) => self.begin(node, phase),
                Node::End(_) | Node::Join => self.pass(node),
                Node::Unit(unit) => {
                    let reference = unit.reference(&self.plan);
                    match self.turn(node, &unit, &reference) {
                        Turn::Ends(outcome, definition, outputs) => {
                            let finished = Finished { definition, outputs, ..Finished::new(outcome) };
                            self.finish(node, &unit, reference, finished)?;
                        }
                        Turn::Runs(job, definition) => {
                            self.emitter.emit(Kind::UnitStarted {
                                unit: reference.clone(),
                                definition: definition.clone(),
                                attempt: 1,
                            })?;
                            let in_effect = Arc::clone(&job.in_effect);
                            let started = Instant::now();
                            self.running.insert(node, Running { unit, reference, definition, started, in_effect });
                            batch.push((node, job));
                        }
                    }
                }
            }
        }
        if !batch.is_empty() {
            self.emitter.sync()?;
        }
        for (node, job) in batch {
            tasks.spawn(async move { (node, job.run().await) });
        }
        Ok(())
    }

    fn begin(&mut self, node: NodeIndex, index: usize) {
        let phase = &self.plan.phases[index];
        let name = &phase.name.value;
        let left_out =
            !self.options.only.is_empty() && !self.options.only.contains(name) || self.options.skip.contains(name);
        if left_out {
            self.skipped_phases.insert(index, "left out".to_owned());
        } else if let Some(when) = &phase.when {
            match self.values.holds(&when.value, None) {
                Ok(true) => {}
                Ok(false) => drop(self.skipped_phases.insert(index, format!("when: {}", when.value))),
                Err(problem) => {
                    let why = format!("the `when` of phase {name}: {}", problem.message);
                    self.marks.entry(node).or_default().blocked_by.get_or_insert(why);
                }
            }
        }
        self.pass(node);
    }

    /// Decides what becomes of a unit, without asking the world.
    fn turn(&mut self, node: NodeIndex, unit: &Unit, reference: &UnitRef) -> Turn {
        let ends = |outcome| Turn::Ends(outcome, None, Outputs::new());
        let mark = self.marks.get(&node).cloned().unwrap_or_default();
        if let Some(why) = self.skipped_phases.get(&unit.phase) {
            return ends(Outcome::Skipped { why: why.clone() });
        }
        if let Some(needs) = mark.blocked_by {
            return ends(Outcome::Cancelled { needs });
        }
        let step = self.plan.phases[unit.phase].steps[unit.step].clone();
        let host = unit.host.as_deref();
        let wanted = &self.options.tags;
        if !wanted.is_empty() && !step.tags.iter().any(|tag| wanted.contains(&tag.value)) {
            return ends(Outcome::Skipped { why: "has none of the tags".to_owned() });
        }
        let Some(kind) = self.registry.kind(&step.action.value).copied() else {
            return ends(Outcome::Failed(Problem::new(format!("no action is named {}", step.action.value))));
        };
        let reads = self.values.reads(&step);
        if let Some(needs) = reads.iter().find(|s| self.unknown_outputs.contains(*s)) {
            return ends(Outcome::Pending { needs: format!("outputs of step {needs}") });
        }
        if let Some(when) = &step.when {
            match self.values.holds(&when.value, host) {
                Ok(true) => {}
                Ok(false) => return ends(Outcome::Skipped { why: format!("when: {}", when.value) }),
                Err(problem) => return ends(Outcome::Failed(prefixed("when", problem))),
            }
        }
        let params = match self.values.resolve(&step, host, &reads) {
            Ok(params) => params,
            Err(problem) => return ends(Outcome::Failed(problem)),
        };
        let action = match self.registry.build(&step.action.value, &params) {
            Ok(action) => action,
            Err(error) => {
                let parameter = error.pointer.trim_start_matches('/').replace('/', ".");
                return ends(Outcome::Failed(prefixed(&parameter, Problem::new(error.message))));
            }
        };
        let definition = values::definition(&step, &params, host);
        let role = if action.only_looks() { Role::Check } else { kind.role };
        if self.mode == Mode::Run {
            let recorded = self.memory.get(reference);
            if decide(recorded, &definition, mark.changed, role) == Decision::Keep {
                let outputs = recorded.map(|r| r.outputs.clone()).unwrap_or_default();
                return Turn::Ends(Outcome::Kept, Some(definition), outputs);
            }
        }
        let notes = self.notes.clone();
        let of = reference.clone();
        let job = Job {
            action,
            target: Target { host: unit.host.clone(), r#become: step.r#become },
            mode: self.mode,
            timeout: step.timeout.unwrap_or(self.options.timeout),
            retry: step.retry,
            world: Arc::clone(&self.world),
            notes: Arc::new(move |note| drop(notes.send(Told { unit: of.clone(), note }))),
            in_effect: Arc::new(AtomicBool::new(false)),
        };
        Turn::Runs(Box::new(job), definition)
    }

    fn note(&mut self, told: Told) -> Result<(), JournalError> {
        let unit = told.unit;
        self.emitter.emit(match told.note {
            Note::Progress(message) => Kind::Progress { unit, message },
            Note::Retried { attempt, message, delay } => {
                Kind::UnitRetried { unit, attempt, message, delay: seconds(delay) }
            }
        })
    }

    /// A task ended by itself.
    fn end(&mut self, node: NodeIndex, ended: Ended) -> Result<(), JournalError> {
        let Some(running) = self.running.remove(&node) else { return Ok(()) };
        let mark = self.marks.get(&node).cloned().unwrap_or_default();
        let outcome = outcome::of(ended.result, self.mode, mark.pending.as_deref(), |thing| self.brings.get(thing));
        for thing in ended.provides {
            self.brings.entry(thing).or_insert_with(|| running.reference.step.clone());
        }
        let finished = Finished {
            outcome,
            definition: Some(running.definition),
            diff: ended.diff,
            outputs: ended.outputs,
            output: last_lines(&ended.printed, 20),
            elapsed: running.started.elapsed(),
        };
        self.finish(node, &running.unit, running.reference, finished)
    }

    /// Tasks that the user cancelled: where an effect was under way, what it did is not known.
    fn cancel_running(&mut self) -> Result<(), JournalError> {
        let running: Vec<(NodeIndex, Running)> = self.running.drain().collect();
        for (node, running) in running {
            let problem = Problem::new("cancelled").hint("run the plan again to go on from here");
            let outcome = if running.in_effect.load(Ordering::SeqCst) {
                Outcome::Unknown(Problem { message: "cancelled while a change was under way".to_owned(), ..problem })
            } else {
                Outcome::Failed(problem)
            };
            let mut finished = Finished::new(outcome);
            finished.definition = Some(running.definition);
            finished.elapsed = running.started.elapsed();
            self.finish(node, &running.unit, running.reference, finished)?;
        }
        self.report.interrupted = true;
        self.report.ok = false;
        Ok(())
    }

    fn finish(
        &mut self,
        node: NodeIndex,
        unit: &Unit,
        reference: UnitRef,
        finished: Finished,
    ) -> Result<(), JournalError> {
        let step: &Step = &self.plan.phases[unit.phase].steps[unit.step];
        let role = self.registry.kind(&step.action.value).map_or(Role::Change, |k| k.role);
        let outcome = &finished.outcome;
        self.report.summary.count(outcome);
        if let Outcome::Failed(problem) | Outcome::Unknown(problem) = outcome {
            self.report.unreachable |= problem.unreachable;
        }
        let mark = self.marks.entry(node).or_default();
        if outcome.lets_dependents_start() {
            // A check that changed nothing, and a change that was not needed, leave what follows as it was.
            mark.changed |= *outcome == Outcome::Changed && role == Role::Change;
            if matches!(outcome, Outcome::Changed | Outcome::Pending { .. } | Outcome::Waits { .. })
                && self.mode == Mode::Preview
            {
                mark.pending = Some(reference.step.clone());
                self.unknown_outputs.insert(step.template_name());
            } else {
                self.values.remember(&reference.step, reference.host.as_deref(), finished.outputs.clone());
            }
        } else {
            self.report.ok = false;
            if mark.blocked_by.is_none() {
                mark.blocked_by = Some(reference.to_string());
            }
        }
        let sensitive = step.sensitive;
        let hide = |text: String| if sensitive && !text.is_empty() { MASK.to_owned() } else { text };
        self.emitter.emit(Kind::UnitFinished {
            unit: reference,
            outcome: finished.outcome,
            definition: finished.definition,
            diff: if sensitive { finished.diff.masked() } else { finished.diff },
            outputs: if sensitive { masked(&finished.outputs) } else { finished.outputs },
            output: hide(finished.output),
            elapsed: seconds(finished.elapsed),
        })?;
        self.pass(node);
        Ok(())
    }

    /// Hands a node's mark on and makes ready whom it was the last need of.
    fn pass(&mut self, node: NodeIndex) {
        self.waiting.remove(&node);
        let mark = self.marks.remove(&node).unwrap_or_default();
        for next in self.graph.successors(node).collect::<Vec<_>>() {
            self.marks.entry(next).or_default().merge(&mark);
            if let Some(needs) = self.waiting.get_mut(&next) {
                *needs -= 1;
                if *needs == 0 {
                    self.ready.push_back(next);
                }
            }
        }
    }
}

struct Finished {
    outcome: Outcome,
    definition: Option<String>,
    diff: Diff,
    outputs: Outputs,
    output: String,
    elapsed: Duration,
}

impl Finished {
    fn new(outcome: Outcome) -> Self {
        let (diff, outputs, output) = (Diff::default(), Outputs::new(), String::new());
        Self { outcome, definition: None, diff, outputs, output, elapsed: Duration::ZERO }
    }
}

fn masked(outputs: &Outputs) -> Outputs {
    outputs.keys().map(|name| (name.clone(), MASK.into())).collect()
}

fn prefixed(what: &str, mut problem: Problem) -> Problem {
    if !what.is_empty() {
        problem.message = format!("{what}: {}", problem.message);
    }
    problem
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
