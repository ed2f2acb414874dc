//! How the dispatcher takes in that units have ended.

use std::sync::atomic::Ordering;

use petgraph::graph::NodeIndex;

use super::completion::{Completion, last_lines};
use super::dispatcher::Dispatcher;
use super::job::Execution;
use super::outcome;
use super::settlement::{Settled, settle};
use crate::event::{Outcome, Problem, UnitRef};
use crate::graph::Unit;
use crate::journal::JournalError;

impl Dispatcher {
    /// A task ended by itself.
    pub(super) fn end(&mut self, node: NodeIndex, ended: Execution) -> Result<(), JournalError> {
        let Some(running) = self.in_flight.remove(node) else { return Ok(()) };
        let pending = self.state.upstream.get(node).and_then(|upstream| upstream.pending.as_deref());
        let ignores = running.unit.step(&self.run.plan).ignore_errors;
        let provided_by = &self.state.provided_by;
        let outcome = outcome::of(ended.result, self.run.mode, pending, ignores, |thing| provided_by.get(thing));
        for thing in ended.provides {
            self.state.provided_by.entry(thing).or_insert_with(|| running.reference.step.clone());
        }
        let completion = Completion {
            outcome,
            definition: Some(running.definition),
            diff: ended.diff,
            outputs: ended.outputs,
            output: if ended.cleaned.is_some() { ended.printed } else { last_lines(&ended.printed) },
            elapsed: running.started.elapsed(),
            acted: running.acted.load(Ordering::SeqCst),
            cleaned: ended.cleaned,
        };
        self.finish(node, &running.unit, running.reference, completion)
    }

    /// Tasks that the user cancelled: where a change was under way, what it did is not known.
    pub(super) fn cancel_running(&mut self) -> Result<(), JournalError> {
        for (node, running) in self.in_flight.take() {
            let problem = Problem::new("cancelled").hint("run the plan again to go on from here");
            let acted = running.acted.load(Ordering::SeqCst);
            let outcome = if acted {
                Outcome::Unknown(Problem { message: "cancelled while a change was under way".to_owned(), ..problem })
            } else {
                Outcome::Failed(problem)
            };
            let (definition, elapsed) = (Some(running.definition), running.started.elapsed());
            let completion = Completion { definition, elapsed, acted, ..Completion::new(outcome) };
            self.finish(node, &running.unit, running.reference, completion)?;
        }
        self.state.report.interrupted = true;
        self.state.report.ok = false;
        Ok(())
    }

    /// The task of units panicked: what came of those that it did not tell of is not known. Those of a pipeline that were not
    /// sent did not happen.
    pub(super) fn broke(&mut self, nodes: Vec<NodeIndex>, defect: &Problem) -> Result<(), JournalError> {
        let mut first = None;
        for node in nodes {
            let Some(running) = self.in_flight.remove(node) else { continue };
            let acted = running.acted.load(Ordering::SeqCst);
            let outcome = match &first {
                Some(needs) if !acted => Outcome::Cancelled { needs: UnitRef::to_string(needs) },
                _ => Outcome::Unknown(defect.clone()),
            };
            first.get_or_insert_with(|| running.reference.clone());
            let (definition, elapsed) = (Some(running.definition), running.started.elapsed());
            let completion = Completion { definition, elapsed, acted, ..Completion::new(outcome) };
            self.finish(node, &running.unit, running.reference, completion)?;
        }
        Ok(())
    }

    /// Records what a unit's end means.
    pub(super) fn finish(
        &mut self,
        node: NodeIndex,
        unit: &Unit,
        reference: UnitRef,
        completion: Completion,
    ) -> Result<(), JournalError> {
        for Settled { kind, cleaned } in settle(&self.run, &mut self.state, node, unit, reference.clone(), completion) {
            match cleaned {
                Some(secrets) => self.recorder.record_cleaned(kind, secrets)?,
                None => self.recorder.record(kind)?,
            }
        }
        self.ending.push(reference);
        Ok(())
    }
}
