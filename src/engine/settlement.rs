//! What a unit's end means: for the units that need it, for later runs, and for the reader.

use petgraph::graph::NodeIndex;

use super::completion::Completion;
use super::job::Cleaned;
use super::run_spec::RunSpec;
use super::state::RunState;
use super::state::outputs::would_change;
use super::state::resume::Prior;
use crate::event::{Kind, Mode, Outcome, UnitRef, seconds};
use crate::graph::Unit;
use crate::journal::NOW;
use crate::plan::{Part, Role};

/// An event that is to be recorded.
pub(super) struct Settled {
    pub kind: Kind,
    /// How many secrets were registered when its texts were cleaned, if they were.
    pub cleaned: Option<usize>,
}

impl From<Kind> for Settled {
    fn from(kind: Kind) -> Self {
        Self { kind, cleaned: None }
    }
}

/// A unit ended. Returns the events that say so, in their order.
pub(super) fn settle(
    run: &RunSpec,
    state: &mut RunState,
    node: NodeIndex,
    unit: &Unit,
    reference: UnitRef,
    mut completion: Completion,
) -> Vec<Settled> {
    let excluded_host = exclude_host(run, state, unit, &mut completion.outcome);
    let step = run.step(unit);
    let role = run.role(step, None);
    let prior = state.resume.prior(&reference, role);
    let (well, ran) = (completion.well(), completion.definition.is_some());
    if well && !matches!(completion.outcome, Outcome::Skipped { .. }) {
        state.limits.started(unit);
    }
    state.report.count(&completion.outcome);
    propagate_change(state, node, unit, &reference, &completion, &prior, role);
    if !well {
        block_dependents(run, state, node, unit, &reference, &completion.outcome, excluded_host.as_ref());
    }
    if run.mode == Mode::Preview && would_change(&completion.outcome) {
        state.upstream.entry(node).pending = Some(reference.step.clone());
    }
    state.renderer.record(&reference, &completion.outcome, &completion.outputs, run.mode);
    let changed = completion.outcome == Outcome::Changed;
    // What an earlier run did counts too, even where this one did not come to the unit.
    let did = prior.touched.is_some() && (ran || !prior.undone);
    if run.mode == Mode::Run && (changed || completion.acted || did) {
        state.rollback.record_change(&reference);
    }
    let mut events = Vec::new();
    // A unit that was interrupted before it could notify its handlers notifies them now, even if nothing is left to change.
    if changed || completion.warned() && completion.acted || ran && well && prior.unsettled {
        for handler in run.graph.handlers_of(&run.plan, unit) {
            state.handlers.notify(handler.clone(), reference.clone());
            events.push(Kind::Notified { handler, by: reference.clone() }.into());
        }
    }
    if step.part != Part::OnFailure {
        state.rollback.record_end(unit.phase, &completion.outcome, excluded_host.as_deref());
    } else if !matches!(completion.outcome, Outcome::Cancelled { .. }) {
        // What it has undone counts as changed, even when it found nothing left to do.
        for undone in state.rollback.finished(run, unit, &reference, well) {
            state.upstream.entry(node).changed(NOW, &undone);
            events.push(Kind::Undone { unit: undone, by: reference.clone() }.into());
        }
    }
    if step.part == Part::Handler {
        state.handlers.finished(&reference, &completion.outcome);
    }
    let (outputs, cleaned) = match completion.cleaned.map(|cleaned| *cleaned) {
        Some(Cleaned { outputs, secrets }) => (outputs, Some(secrets)),
        None => (completion.outputs, None),
    };
    let kind = Kind::UnitFinished {
        unit: reference,
        outcome: completion.outcome,
        definition: completion.definition,
        diff: completion.diff,
        outputs,
        output: completion.output,
        elapsed: seconds(completion.elapsed),
        acted: completion.acted,
    };
    events.push(Settled { kind, cleaned });
    state.scheduler.release_deferred();
    state.complete(run, node);
    events
}

/// Passes over a unit that has nothing to do. What an earlier run did there still counts for the nodes behind it. An
/// `on_failure` unit passes nothing on: the step that it undid is probed again and reports for itself.
pub(super) fn pass_over(run: &RunSpec, state: &mut RunState, node: NodeIndex, unit: &Unit, reference: &UnitRef) {
    let touched = state.resume.get(reference).and_then(|record| record.touched);
    if let Some(when) = touched.filter(|_| run.step(unit).part != Part::OnFailure) {
        state.upstream.entry(node).changed_by(unit, when, reference);
    }
    state.complete(run, node);
}

/// The host that the others go on without, if the unit failed within `max_failures`. The failure's hint says so.
fn exclude_host(run: &RunSpec, state: &mut RunState, unit: &Unit, outcome: &mut Outcome) -> Option<String> {
    let (Outcome::Failed(problem) | Outcome::Unknown(problem)) = outcome else { return None };
    if run.step(unit).part == Part::OnFailure {
        return None;
    }
    let told = state.limits.record_failure(unit)?;
    problem.hint = Some(problem.hint.take().map_or_else(|| told.clone(), |hint| format!("{hint}\n{told}")));
    unit.host.as_ref().map(|host| host.name.clone())
}

/// Tells the nodes that need the unit what was changed. A check that changed nothing, and a change that was not needed, leave
/// them as they were; a unit that failed and lets others go on may have left something behind.
fn propagate_change(
    state: &mut RunState,
    node: NodeIndex,
    unit: &Unit,
    reference: &UnitRef,
    completion: &Completion,
    prior: &Prior,
    role: Role,
) {
    let upstream = state.upstream.entry(node);
    if completion.left_something() && role == Role::Change {
        upstream.changed_by(unit, NOW, reference);
    } else if let Some(when) = prior.touched {
        upstream.changed_by(unit, when, reference);
    }
}

/// Tells the nodes that need the unit that they may not start, or not on its host.
fn block_dependents(
    run: &RunSpec,
    state: &mut RunState,
    node: NodeIndex,
    unit: &Unit,
    reference: &UnitRef,
    outcome: &Outcome,
    excluded_host: Option<&String>,
) {
    let upstream = state.upstream.entry(node);
    let host = unit.host.as_ref().map(|host| host.name.as_str());
    match (outcome, excluded_host) {
        (_, Some(host)) => drop(upstream.excluded_hosts.insert(host.clone(), reference.to_string())),
        (Outcome::Cancelled { .. }, _) if upstream.blocker(host).is_some() => {}
        (Outcome::Cancelled { needs }, _) => upstream.blocked_by = Some(needs.clone()),
        _ => drop(upstream.blocked_by.get_or_insert_with(|| reference.to_string())),
    }
    if run.step(unit).part == Part::OnFailure && upstream.rollback_failed.is_none() {
        upstream.rollback_failed = Some(reference.to_string());
    }
}
