//! Whether a unit that is ready may start, and how. Decided without asking the world.

use std::collections::HashSet;

use petgraph::graph::NodeIndex;

use super::completion::Completion;
use super::in_flight::InFlight;
use super::run_spec::RunSpec;
use super::state::RunState;
use super::state::renderer::Rendered;
use crate::actions::{Boxed, OnInterrupt};
use crate::event::{Mode, Outcome, Problem, UnitRef};
use crate::graph::Unit;
use crate::journal::{Case, Decision, Recorded, SavedUnit, Why, decide};
use crate::plan::Part;

/// What becomes of a unit.
pub(super) enum Admission {
    /// There is nothing to do, and nobody need know: a handler that nobody notified, an undo with nothing to undo.
    PassOver,
    /// Not yet: a unit that runs on the same host changes a file that this unit changes, too.
    Defer,
    /// It ends without running: skipped, cancelled, kept, refused.
    Ended(Completion),
    Start(Admitted),
}

/// How a unit starts.
pub(super) struct Admitted {
    pub action: Boxed,
    /// Whether the action goes on from an attempt of an earlier run.
    pub resumed: bool,
    pub definition: String,
    /// What a saved plan says of it.
    pub approved: Option<SavedUnit>,
    /// Why it was not kept from an earlier run.
    pub why: Option<String>,
}

impl From<Outcome> for Admission {
    fn from(outcome: Outcome) -> Self {
        Self::Ended(Completion::new(outcome))
    }
}

/// Decides on a unit. `pipeline`: the units behind which it is to be sent.
pub(super) fn admit(
    run: &RunSpec,
    state: &mut RunState,
    in_flight: &InFlight,
    node: NodeIndex,
    unit: &Unit,
    reference: &UnitRef,
    pipeline: &HashSet<NodeIndex>,
) -> Admission {
    let early = match run.step(unit).part {
        Part::Step => precheck_step(run, state, node, unit),
        Part::Handler => precheck_handler(state, node, unit, reference),
        Part::OnFailure => precheck_undo(run, state, node, unit),
    };
    if let Some(admission) = early {
        return admission;
    }
    let rendered = match state.renderer.take(run, node, unit) {
        Ok(rendered) => rendered,
        Err(outcome) => return outcome.into(),
    };
    if run.mode == Mode::Run && in_flight.edits_files_of(&rendered.action, unit, pipeline) {
        state.renderer.keep(node, rendered);
        return Admission::Defer;
    }
    if let Some(file) = rendered.action.writes()
        && let Err(problem) = state.claims.claim(file, reference)
    {
        return Outcome::Failed(problem).into();
    }
    match start_or_keep(run, state, node, unit, reference, rendered) {
        Ok(admitted) => Admission::Start(admitted),
        Err(completion) => Admission::Ended(*completion),
    }
}

/// Whether a step ends before it is rendered.
fn precheck_step(run: &RunSpec, state: &RunState, node: NodeIndex, unit: &Unit) -> Option<Admission> {
    if let Some(why) = state.skipped_phases.get(&unit.phase) {
        return Some(Outcome::Skipped { why: why.clone() }.into());
    }
    let host = unit.host.as_ref().map(|host| host.name.as_str());
    let blocker = state.upstream.get(node).and_then(|upstream| upstream.blocker(host).cloned());
    if let Some(needs) = state.limits.exceeded(unit).or(blocker) {
        return Some(Outcome::Cancelled { needs }.into());
    }
    if !run.options.takes_step(run.step(unit)) {
        return Some(Outcome::Skipped { why: "has none of the tags".to_owned() }.into());
    }
    None
}

/// A handler that cannot run now stays pending. If its last result is unknown, the nodes behind this one are blocked.
fn precheck_handler(state: &mut RunState, node: NodeIndex, unit: &Unit, reference: &UnitRef) -> Option<Admission> {
    let host = unit.host.as_ref().map(|host| host.name.as_str());
    let blocked = state.upstream.get(node).is_some_and(|upstream| upstream.blocker(host).is_some());
    if blocked || state.skipped_phases.contains_key(&unit.phase) || !state.handlers.is_pending(reference) {
        return Some(Admission::PassOver);
    }
    if state.handlers.is_unresolved(reference) {
        state.upstream.entry(node).blocked_by = Some(reference.to_string());
        return Some(Admission::PassOver);
    }
    None
}

/// An undo runs in a failed phase only. Behind an undo that failed its targets are incomplete.
fn precheck_undo(run: &RunSpec, state: &mut RunState, node: NodeIndex, unit: &Unit) -> Option<Admission> {
    if !state.rollback.runs_in(unit.phase) || run.mode == Mode::Preview {
        return Some(Admission::PassOver);
    }
    let targets = state.rollback.targets(run, unit);
    if targets.is_empty() {
        return Some(Admission::PassOver);
    }
    let needs = state.upstream.get(node)?.rollback_failed.clone()?;
    state.rollback.mark_incomplete(targets);
    Some(Outcome::Cancelled { needs }.into())
}

/// By what earlier runs recorded: starts the unit, goes on from its last attempt, or ends it as kept or in doubt.
fn start_or_keep(
    run: &RunSpec,
    state: &RunState,
    node: NodeIndex,
    unit: &Unit,
    reference: &UnitRef,
    rendered: Rendered,
) -> Result<Admitted, Box<Completion>> {
    let Rendered { mut action, definition } = rendered;
    let (mut why, mut resumed) = (None, false);
    let named_in = |names: &[String]| names.iter().any(|name| reference.is_meant_by(name));
    let ended = |outcome| Err(Box::new(Completion::new(outcome)));
    if run.mode == Mode::Run && !named_in(&run.options.rerun) {
        let step = run.step(unit);
        let recorded = state.resume.get(reference);
        if named_in(&run.options.done) {
            return Err(Box::new(kept(definition, recorded, true)));
        }
        let undoers = run.graph.undoers_of(&run.plan, unit);
        let changed = state.upstream.get(node).and_then(|upstream| upstream.last_change.clone());
        let below = changed.into_iter().chain(state.resume.last_rollback(&undoers)).max();
        let undoing = recorded.and_then(|record| state.resume.unfinished_rollback(&undoers, record.done));
        let decision = decide(&Case {
            recorded,
            definition: &definition,
            below: below.as_ref().map(|(when, who)| (*when, who.as_str())),
            undoing: undoing.as_deref(),
            role: run.role(step, Some(&action)),
            repeatable: step.part != Part::Step || action.cut_off() != Some(OnInterrupt::Stop),
            read: state.renderer.is_read(step),
        });
        match (decision, recorded) {
            // Handlers and undo steps run because of what else happened: they are never kept.
            (Decision::Keep, _) if step.part == Part::Step => return Err(Box::new(kept(definition, recorded, false))),
            (Decision::Stop(why), _) => return ended(Outcome::Unknown(doubt(reference, &why))),
            (Decision::Probe(reason), recorded) => {
                // A change upstream since the last attempt makes a new start of it.
                let is_latest = |record: &&Recorded| below.as_ref().is_none_or(|(at, _)| Some(*at) <= record.touched);
                let goes_on = recorded.filter(|record| record.goes_on()).filter(is_latest);
                if let Some(rest) = goes_on.and_then(|_| action.resumed()) {
                    (action, resumed) = (rest, true);
                }
                why = reason.filter(|why| *why != Why::Check).map(|why| why.to_string());
            }
            _ => {}
        }
    }
    match state.approved.as_ref().map(|approved| approved.check(reference, &definition)).transpose() {
        Ok(approved) => Ok(Admitted { action, resumed, definition, approved, why }),
        Err(problem) => ended(Outcome::Failed(problem)),
    }
}

fn kept(definition: String, recorded: Option<&Recorded>, said: bool) -> Completion {
    let outputs = recorded.map(|record| record.outputs.clone()).unwrap_or_default();
    Completion { definition: Some(definition), outputs, ..Completion::new(Outcome::Kept { said }) }
}

fn doubt(unit: &UnitRef, why: &Why) -> Problem {
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
