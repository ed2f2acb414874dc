//! What becomes of a unit whose turn has come, decided without asking the world.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use petgraph::graph::NodeIndex;

use super::completion::Completion;
use super::dispatcher::{Dispatcher, Running, Told};
use super::executor::Job;
use super::state::renderer::Rendered;
use crate::actions::{Boxed, OnInterrupt};
use crate::connect::Target;
use crate::event::{Mode, Outcome, Problem, UnitRef};
use crate::graph::Unit;
use crate::journal::{Case, Decision, Recorded, Why, decide};
use crate::plan::{Part, Step};
use crate::secret;

/// What becomes of a unit.
pub(super) enum Turn {
    /// Nothing, and nobody need know: a handler that nobody asked for.
    Passes,
    /// Not yet: a unit that runs on its host changes a file that it changes too.
    Waits,
    /// It has ended without having run.
    Ends(Completion),
    /// It runs.
    Runs {
        job: Box<Job>,
        definition: String,
        /// Why it was not kept from an earlier run.
        why: Option<String>,
    },
}

impl Dispatcher {
    /// `row`: the units that it is to be sent behind.
    pub(super) fn turn(&mut self, node: NodeIndex, unit: &Unit, reference: &UnitRef, row: &HashSet<NodeIndex>) -> Turn {
        let plan = Arc::clone(&self.run.plan);
        let step = unit.step(&plan);
        let first = match step.part {
            Part::Step => self.first_of_step(node, unit, step),
            Part::Handler => self.first_of_handler(node, unit, reference),
            Part::OnFailure => self.first_of_undo(node, unit),
        };
        if let Some(turn) = first {
            return turn;
        }
        let rendered = self.state.renderer.take(&self.run, node, unit);
        if let Ok(rendered) = rendered.as_ref()
            && self.is_edited(&rendered.action, unit, row)
        {
            self.state.renderer.keep(node, rendered.clone());
            return Turn::Waits;
        }
        let claimed = rendered.and_then(|rendered| {
            if let Some(file) = rendered.action.writes() {
                self.state.claims.claim(file, reference).map_err(Outcome::Failed)?;
            }
            Ok(rendered)
        });
        match claimed {
            Ok(Rendered { action, definition }) => self.decided(node, unit, reference, step, action, definition),
            Err(outcome) => ends(outcome),
        }
    }

    /// What is known before anything is rendered; `None`: it may run.
    fn first_of_step(&self, node: NodeIndex, unit: &Unit, step: &Step) -> Option<Turn> {
        let done = |outcome| Some(ends(outcome));
        if let Some(why) = self.state.skipped_phases.get(&unit.phase) {
            return done(Outcome::Skipped { why: why.clone() });
        }
        let host = unit.host.as_ref().map(|host| host.name.as_str());
        let blocks = self.state.upstream.get(node).and_then(|upstream| upstream.blocker(host).cloned());
        if let Some(needs) = self.state.limits.exceeded(unit).or(blocks) {
            return done(Outcome::Cancelled { needs });
        }
        if !self.run.options.takes_step(step) {
            return done(Outcome::Skipped { why: "has none of the tags".to_owned() });
        }
        None
    }

    /// A handler that may not run now stays owed; what waits here for one whose end is not known waits in vain.
    fn first_of_handler(&mut self, node: NodeIndex, unit: &Unit, reference: &UnitRef) -> Option<Turn> {
        let host = unit.host.as_ref().map(|host| host.name.as_str());
        let blocked = self.state.upstream.get(node).is_some_and(|upstream| upstream.blocker(host).is_some());
        if blocked || self.state.skipped_phases.contains_key(&unit.phase) || !self.state.handlers.is_pending(reference)
        {
            return Some(Turn::Passes);
        }
        if self.state.handlers.is_unresolved(reference) {
            self.state.upstream.entry(node).blocked_by = Some(reference.to_string());
            return Some(Turn::Passes);
        }
        None
    }

    /// As [`Self::first_of_step`]; what is left where an undo before it failed, is noted.
    fn first_of_undo(&mut self, node: NodeIndex, unit: &Unit) -> Option<Turn> {
        if !self.state.rollback.runs_in(unit.phase) || self.run.mode == Mode::Preview {
            return Some(Turn::Passes);
        }
        let targets = self.state.rollback.targets(&self.run, unit);
        if targets.is_empty() {
            return Some(Turn::Passes);
        }
        let needs = self.state.upstream.get(node)?.rollback_failed.clone()?;
        self.state.rollback.mark_incomplete(targets);
        Some(ends(Outcome::Cancelled { needs }))
    }

    /// Whether a unit that runs on the same host, and is none of the row, changes a file that this action changes.
    fn is_edited(&self, action: &Boxed, unit: &Unit, row: &HashSet<NodeIndex>) -> bool {
        let Some(machine) = unit.machine.as_ref().filter(|_| self.run.mode == Mode::Run && !action.only_looks()) else {
            return false;
        };
        let is_beside = |(node, running): &(&NodeIndex, &Running)| {
            running.unit.machine.as_ref().is_some_and(|other| Arc::ptr_eq(other, machine)) && !row.contains(node)
        };
        let mut beside = self.running.iter().filter(is_beside).map(|(_, running)| &running.action).peekable();
        if beside.peek().is_none() {
            return false;
        }
        let edits = action.edits();
        beside.any(|other| !other.only_looks() && other.edits().iter().any(|file| edits.contains(file)))
    }

    fn decided(
        &self,
        node: NodeIndex,
        unit: &Unit,
        reference: &UnitRef,
        step: &Step,
        action: Boxed,
        definition: String,
    ) -> Turn {
        let (mut why, mut action, mut resumed) = (None, action, false);
        if self.run.mode == Mode::Run && !self.named_in(&self.run.options.rerun, reference) {
            let recorded = self.state.resume.get(reference);
            if self.named_in(&self.run.options.done, reference) {
                return kept(definition, recorded, true);
            }
            let undoers = self.run.graph.undoers_of(&self.run.plan, unit);
            let changed = self.state.upstream.get(node).and_then(|upstream| upstream.last_change.clone());
            let below = changed.into_iter().chain(self.state.resume.last_rollback(&undoers)).max();
            let undoing = recorded.and_then(|r| self.state.resume.unfinished_rollback(&undoers, r.done));
            let decision = decide(&Case {
                recorded,
                definition: &definition,
                below: below.as_ref().map(|(when, who)| (*when, who.as_str())),
                undoing: undoing.as_deref(),
                role: self.run.role(step, Some(&action)),
                repeatable: step.part != Part::Step || action.cut_off() != Some(OnInterrupt::Stop),
                read: self.state.renderer.is_read(step),
            });
            match (decision, recorded) {
                // What must run because of what else happened is never kept.
                (Decision::Keep, _) if step.part == Part::Step => {
                    return kept(definition, recorded, false);
                }
                (Decision::Stop(why), _) => return ends(Outcome::Unknown(in_doubt(reference, &why))),
                (Decision::Probe(reason), recorded) => {
                    // What was touched since makes it a new matter.
                    let goes_on =
                        |r: &Recorded| r.goes_on() && below.as_ref().is_none_or(|(at, _)| Some(*at) <= r.touched);
                    if let Some(rest) = recorded.filter(|r| goes_on(r)).and_then(|_| action.resumed()) {
                        (action, resumed) = (rest, true);
                    }
                    why = reason.filter(|w| *w != Why::Check).map(|w| w.to_string());
                }
                _ => {}
            }
        }
        let approved = self.state.approved.as_ref().map(|approved| approved.check(reference, &definition)).transpose();
        let agreed = match approved {
            Ok(approved) => approved,
            Err(problem) => return ends(Outcome::Failed(problem)),
        };
        let notes = self.notes.clone();
        let of = reference.clone();
        let target = Target { host: unit.machine.clone(), r#become: step.r#become, fresh: false };
        let job = Job {
            action,
            resumed,
            unit: reference.clone(),
            guard: step.guard.as_ref().map(|guard| self.guards.guard(guard, &target)),
            target,
            mode: self.run.mode,
            timeout: step.timeout.unwrap_or(self.run.options.timeout),
            retry: step.retry,
            ignores_errors: step.ignore_errors,
            world: Arc::clone(&self.world),
            notes: Arc::new(move |note| {
                let secrets = secret::version();
                let _ = notes.send(Told::Note(of.clone(), note.cleaned(), secrets));
            }),
            acted: Arc::new(AtomicBool::new(false)),
            faults: Arc::clone(&self.faults),
            agreed,
            ahead: self.ahead.clone(),
            questions: Vec::new(),
            looked: false,
            unreachable: Mutex::default(),
        };
        Turn::Runs { job: Box::new(job), definition, why }
    }

    fn named_in(&self, names: &[String], unit: &UnitRef) -> bool {
        names.iter().any(|name| unit.is_meant_by(name))
    }
}

fn ends(outcome: Outcome) -> Turn {
    Turn::Ends(Completion::new(outcome))
}

fn kept(definition: String, recorded: Option<&Recorded>, said: bool) -> Turn {
    let outputs = recorded.map(|r| r.outputs.clone()).unwrap_or_default();
    Turn::Ends(Completion { definition: Some(definition), outputs, ..Completion::new(Outcome::Kept { said }) })
}

fn in_doubt(unit: &UnitRef, why: &Why) -> Problem {
    let what = match why {
        Why::HalfUndone(_) => format!("{why}; whether it is still in effect is not known"),
        _ => "an earlier run was cut off while it did this; whether it took effect is not known".to_owned(),
    };
    let name = unit.to_string();
    let name = shlex::try_quote(&name).unwrap_or_default();
    Problem::new(what).hint(format!(
        "look, then run the plan again with `--done {name}` if it is done, or with `--rerun {name}` to do it now; \
         where that never does harm, write `on_interrupt = \"rerun\"` into the step"
    ))
}
