//! What becomes of a unit that has ended: what it means for those that need it, for later runs, and for the one who reads.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use petgraph::graph::NodeIndex;

use super::cleaned::Cleaned;
use super::dispatcher::State;
use super::executor::Ended;
use super::outcome;
use super::state::outputs::would_change;
use super::state::resume::Prior;
use crate::diff::Diff;
use crate::event::{Kind, Mode, Outcome, Outputs, Problem, UnitRef, seconds};
use crate::excerpt;
use crate::graph::Unit;
use crate::journal::{JournalError, NOW};
use crate::plan::{Part, Role};
use crate::secret::shown;

/// How many lines of what a unit printed are kept.
const LINES: usize = 20;

/// Characters of each of these lines that are kept; the step's outputs have all of them.
const LINE: usize = 4000;

/// How a unit ended.
pub(super) struct Finished {
    pub(super) outcome: Outcome,
    pub(super) definition: Option<String>,
    pub(super) diff: Diff,
    pub(super) outputs: Outputs,
    pub(super) output: String,
    pub(super) elapsed: Duration,
    /// Whether anything was sent out that changes something.
    pub(super) acted: bool,
    /// Set when all of it may be told as it is.
    pub(super) cleaned: Option<Box<Cleaned>>,
}

impl Finished {
    pub(super) fn new(outcome: Outcome) -> Self {
        let (diff, outputs, output) = (Diff::default(), Outputs::new(), String::new());
        Self { outcome, definition: None, diff, outputs, output, elapsed: Duration::ZERO, acted: false, cleaned: None }
    }

    /// Whether it failed in a way that is ignored.
    fn warned(&self) -> bool {
        matches!(self.outcome, Outcome::Warned(_))
    }

    fn well(&self) -> bool {
        self.outcome.lets_dependents_start()
    }

    /// Whether it changed something, or failed when it may have.
    fn left_something(&self) -> bool {
        self.outcome == Outcome::Changed || self.acted && (self.warned() || !self.well())
    }
}

impl State {
    /// A task ended by itself.
    pub(super) fn end(&mut self, node: NodeIndex, ended: Ended) -> Result<(), JournalError> {
        let Some(running) = self.running.remove(&node) else { return Ok(()) };
        let pending = self.upstream.get(node).and_then(|upstream| upstream.pending.as_deref());
        let ignores = running.unit.step(&self.run.plan).ignore_errors;
        let outcome = outcome::of(ended.result, self.run.mode, pending, ignores, |thing| self.brings.get(thing));
        for thing in ended.provides {
            self.brings.entry(thing).or_insert_with(|| running.reference.step.clone());
        }
        let finished = Finished {
            outcome,
            definition: Some(running.definition),
            diff: ended.diff,
            outputs: ended.outputs,
            output: if ended.cleaned.is_some() { ended.printed } else { last_lines(&ended.printed) },
            elapsed: running.started.elapsed(),
            acted: running.acted.load(Ordering::SeqCst),
            cleaned: ended.cleaned,
        };
        self.finish(node, &running.unit, running.reference, finished)
    }

    /// Tasks that the user cancelled: where a change was under way, what it did is not known.
    pub(super) fn cancel_running(&mut self) -> Result<(), JournalError> {
        for (node, running) in std::mem::take(&mut self.running) {
            let problem = Problem::new("cancelled").hint("run the plan again to go on from here");
            let acted = running.acted.load(Ordering::SeqCst);
            let outcome = if acted {
                Outcome::Unknown(Problem { message: "cancelled while a change was under way".to_owned(), ..problem })
            } else {
                Outcome::Failed(problem)
            };
            let (definition, elapsed) = (Some(running.definition), running.started.elapsed());
            let finished = Finished { definition, elapsed, acted, ..Finished::new(outcome) };
            self.finish(node, &running.unit, running.reference, finished)?;
        }
        self.report.interrupted = true;
        self.report.ok = false;
        Ok(())
    }

    /// The task of units panicked: what came of those that it did not tell of is not known. Those of a row that were not
    /// sent did not happen.
    pub(super) fn broke(&mut self, nodes: Vec<NodeIndex>, defect: &Problem) -> Result<(), JournalError> {
        let mut first = None;
        for node in nodes {
            let Some(running) = self.running.remove(&node) else { continue };
            let acted = running.acted.load(Ordering::SeqCst);
            let outcome = match &first {
                Some(needs) if !acted => Outcome::Cancelled { needs: UnitRef::to_string(needs) },
                _ => Outcome::Unknown(defect.clone()),
            };
            first.get_or_insert_with(|| running.reference.clone());
            let (definition, elapsed) = (Some(running.definition), running.started.elapsed());
            let finished = Finished { definition, elapsed, acted, ..Finished::new(outcome) };
            self.finish(node, &running.unit, running.reference, finished)?;
        }
        Ok(())
    }

    /// A unit ended, whether it was started or not.
    pub(super) fn finish(
        &mut self,
        node: NodeIndex,
        unit: &Unit,
        reference: UnitRef,
        mut finished: Finished,
    ) -> Result<(), JournalError> {
        let excluded_host = self.exclude_host(unit, &mut finished.outcome);
        let plan = Arc::clone(&self.run.plan);
        let step = unit.step(&plan);
        let role = self.run.role(step, None);
        let prior = self.resume.prior(&reference, role);
        let (well, ran) = (finished.well(), finished.definition.is_some());
        if well && !matches!(finished.outcome, Outcome::Skipped { .. }) {
            self.limits.started(unit);
        }
        self.report(&finished.outcome, well);
        self.propagate_change(node, unit, &reference, &finished, &prior, role);
        if !well {
            self.block_dependents(node, unit, &reference, &finished.outcome, excluded_host.as_ref());
        }
        if self.run.mode == Mode::Preview && would_change(&finished.outcome) {
            self.upstream.entry(node).pending = Some(reference.step.clone());
        }
        self.renderer.record(&reference, &finished.outcome, &finished.outputs, self.run.mode);
        let changed = finished.outcome == Outcome::Changed;
        // What an earlier run did counts too, even where this one did not come to the unit.
        let did = prior.touched.is_some() && (ran || !prior.undone);
        if self.run.mode == Mode::Run && (changed || finished.acted || did) {
            self.rollback.record_change(&reference);
        }
        // Who was cut off before it could tell tells now, even when nothing is left to change.
        if changed || finished.warned() && finished.acted || ran && well && prior.unsettled {
            self.notify(unit, &reference)?;
        }
        if step.part != Part::OnFailure {
            self.rollback.record_end(unit.phase, &finished.outcome, excluded_host.as_deref());
        } else if !matches!(finished.outcome, Outcome::Cancelled { .. }) {
            self.undid(node, unit, &reference, well)?;
        }
        if step.part == Part::Handler {
            self.handlers.finished(&reference, &finished.outcome);
        }
        let (outputs, secrets) = match finished.cleaned.map(|cleaned| *cleaned) {
            Some(Cleaned { outputs, secrets }) => (outputs, Some(secrets)),
            None => (finished.outputs, None),
        };
        let ended = Kind::UnitFinished {
            unit: reference.clone(),
            outcome: finished.outcome,
            definition: finished.definition,
            diff: finished.diff,
            outputs,
            output: finished.output,
            elapsed: seconds(finished.elapsed),
            acted: finished.acted,
        };
        match secrets {
            Some(secrets) => self.emitter.emit_cleaned(ended, secrets)?,
            None => self.emitter.emit(ended)?,
        }
        self.scheduler.release_deferred();
        self.ending.push(reference);
        self.pass(node);
        Ok(())
    }

    fn report(&mut self, outcome: &Outcome, well: bool) {
        self.report.summary.count(outcome);
        if let Outcome::Failed(problem) | Outcome::Unknown(problem) = outcome {
            self.report.unreachable |= problem.unreachable;
        }
        self.report.ok &= well;
    }

    /// Tells the nodes that need the unit what was changed. A check that changed nothing, and a change that was not needed, leave
    /// them as they were; what failed and lets others go on may have left something behind.
    fn propagate_change(
        &mut self,
        node: NodeIndex,
        unit: &Unit,
        reference: &UnitRef,
        finished: &Finished,
        prior: &Prior,
        role: Role,
    ) {
        let upstream = self.upstream.entry(node);
        if finished.left_something() && role == Role::Change {
            upstream.changed_by(unit, NOW, reference);
        } else if let Some(when) = prior.touched {
            upstream.changed_by(unit, when, reference);
        }
    }

    /// Tells those that follow that they may not start, or not on its host.
    fn block_dependents(
        &mut self,
        node: NodeIndex,
        unit: &Unit,
        reference: &UnitRef,
        outcome: &Outcome,
        excluded_host: Option<&String>,
    ) {
        let upstream = self.upstream.entry(node);
        let host = unit.host.as_ref().map(|host| host.name.as_str());
        match (outcome, excluded_host) {
            (_, Some(host)) => drop(upstream.excluded_hosts.insert(host.clone(), reference.to_string())),
            (Outcome::Cancelled { .. }, _) if upstream.blocker(host).is_some() => {}
            (Outcome::Cancelled { needs }, _) => upstream.blocked_by = Some(needs.clone()),
            _ => drop(upstream.blocked_by.get_or_insert_with(|| reference.to_string())),
        }
        if unit.step(&self.run.plan).part == Part::OnFailure && upstream.rollback_failed.is_none() {
            upstream.rollback_failed = Some(reference.to_string());
        }
    }

    /// The host that the others go on without, if the unit failed within `max_failures`. The failure's hint says so.
    fn exclude_host(&mut self, unit: &Unit, outcome: &mut Outcome) -> Option<String> {
        let (Outcome::Failed(problem) | Outcome::Unknown(problem)) = outcome else { return None };
        if unit.step(&self.run.plan).part == Part::OnFailure {
            return None;
        }
        let told = self.limits.record_failure(unit)?;
        problem.hint = Some(problem.hint.take().map_or_else(|| told.clone(), |hint| format!("{hint}\n{told}")));
        unit.host.as_ref().map(|host| host.name.clone())
    }

    /// A unit that changed something, or may have, notifies its handlers. Durable with the unit's end.
    fn notify(&mut self, unit: &Unit, by: &UnitRef) -> Result<(), JournalError> {
        for handler in self.run.graph.handlers_of(&self.run.plan, unit) {
            self.handlers.notify(handler.clone(), by.clone());
            self.emitter.emit(Kind::Notified { handler, by: by.clone() })?;
        }
        Ok(())
    }

    /// An `on_failure` unit has ended. What it has undone counts as changed, even when it found nothing left to do.
    fn undid(&mut self, node: NodeIndex, undo: &Unit, by: &UnitRef, well: bool) -> Result<(), JournalError> {
        for unit in self.rollback.finished(&self.run, undo, by, well) {
            self.upstream.entry(node).changed(NOW, &unit);
            self.emitter.emit(Kind::Undone { unit, by: by.clone() })?;
        }
        Ok(())
    }
}

/// Secrets are masked before the text is cut: a part of one would not be known for it.
pub(super) fn last_lines(text: &str) -> String {
    let text = shown(text);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(LINES));
    last.map(|line| excerpt::head(line, LINE)).collect::<Vec<_>>().join("\n")
}
