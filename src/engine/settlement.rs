//! What the end of a unit means for the units that need it, for later runs, and for the user.

use petgraph::graph::NodeIndex;

use super::completion::{Completion, last_lines};
use super::executor::job::{Execution, Redacted};
use super::in_flight::InFlightUnit;
use super::outcome;
use super::run_spec::RunSpec;
use super::state::RunState;
use super::state::outputs::would_change;
use super::state::resume::Prior;
use crate::event::{EventKind, Mode, Outcome, UnitRef, seconds};
use crate::graph::Unit;
use crate::journal::THIS_RUN;
use crate::plan::{Role, StepKind};

/// How a unit ended whose task has reported its result. Returns what [`settle`] takes.
pub(super) fn conclude(
    run: &RunSpec,
    state: &mut RunState,
    node: NodeIndex,
    running: &InFlightUnit,
    execution: Execution,
) -> Completion {
    let pending = state.upstream.get(node).and_then(|upstream| upstream.pending.as_deref());
    let ignores_errors = run.step(&running.unit).ignore_errors;
    let provided_by = &state.provided_by;
    let outcome =
        outcome::of(execution.result, run.mode, pending, ignores_errors, |resource| provided_by.get(resource));
    for resource in execution.provides {
        state.provided_by.entry(resource).or_insert_with(|| running.reference.step.clone());
    }
    Completion {
        diff: execution.diff,
        outputs: execution.outputs,
        output: if execution.redacted.is_some() { execution.printed } else { last_lines(&execution.printed) },
        redacted: execution.redacted,
        ..running.interrupted(|_| outcome)
    }
}

/// An event that is to be recorded.
pub(super) struct Settled {
    pub kind: EventKind,
    /// The number of secrets that were registered when its texts were redacted; `None` if they have not been.
    pub redacted: Option<usize>,
}

impl From<EventKind> for Settled {
    fn from(kind: EventKind) -> Self {
        Self { kind, redacted: None }
    }
}

/// Settles the end of a unit. Returns the events to record, in their order.
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
    // A change by an earlier run is undone, too, even if this run did not reach the unit.
    let did = prior.touched.is_some() && (ran || !prior.undone);
    if run.mode == Mode::Run && (changed || completion.acted || did) {
        state.rollback.record_change(&reference);
    }
    let mut events = Vec::new();
    // A unit that was interrupted before it could notify its handlers notifies them now, even if nothing is left to change.
    if changed || completion.warned() && completion.acted || ran && well && prior.unsettled {
        for handler in run.graph.handlers_of(&run.plan, unit) {
            state.handlers.notify(handler.clone(), reference.clone());
            events.push(EventKind::Notified { handler, by: reference.clone() }.into());
        }
    }
    if step.kind != StepKind::OnFailure {
        state.rollback.record_end(unit.phase, &completion.outcome, excluded_host.as_deref());
    } else if !matches!(completion.outcome, Outcome::Cancelled { .. }) {
        // An undone unit counts as changed, even if nothing was left to undo.
        for undone in state.rollback.finished(run, unit, &reference, well) {
            state.upstream.entry(node).changed(THIS_RUN, &undone);
            events.push(EventKind::Undone { unit: undone, by: reference.clone() }.into());
        }
    }
    if step.kind == StepKind::Handler {
        state.handlers.finished(&reference, &completion.outcome);
    }
    let (outputs, redacted) = match completion.redacted.map(|redacted| *redacted) {
        Some(Redacted { outputs, secrets }) => (outputs, Some(secrets)),
        None => (completion.outputs, None),
    };
    let kind = EventKind::UnitFinished {
        unit: reference,
        outcome: completion.outcome,
        definition: completion.definition,
        diff: completion.diff,
        outputs,
        output: completion.output,
        elapsed: seconds(completion.elapsed),
        acted: completion.acted,
    };
    events.push(Settled { kind, redacted });
    state.scheduler.release_deferred();
    state.complete(run, node);
    events
}

/// Completes a unit that has nothing to do. A change that an earlier run made there still counts for the nodes behind it, except
/// that of an `on_failure` unit: the step that it undid is probed again and reports for itself.
pub(super) fn pass_over(run: &RunSpec, state: &mut RunState, node: NodeIndex, unit: &Unit, reference: &UnitRef) {
    let touched = state.resume.get(reference).and_then(|record| record.touched);
    if let Some(when) = touched.filter(|_| run.step(unit).kind != StepKind::OnFailure) {
        state.upstream.entry(node).changed_by(unit, when, reference);
    }
    state.complete(run, node);
}

/// The host that the run goes on without, if the unit failed within `max_failures`. Adds that to the failure's hint.
fn exclude_host(run: &RunSpec, state: &mut RunState, unit: &Unit, outcome: &mut Outcome) -> Option<String> {
    let (Outcome::Failed(problem) | Outcome::Unknown(problem)) = outcome else { return None };
    if run.step(unit).kind == StepKind::OnFailure {
        return None;
    }
    let told = state.limits.record_failure(unit)?;
    problem.hint = Some(problem.hint.take().map_or_else(|| told.clone(), |hint| format!("{hint}\n{told}")));
    unit.host.as_ref().map(|host| host.name.clone())
}

/// Marks the nodes that need the unit if it changed something, or may have: a unit whose failure is ignored counts, a check or an
/// unneeded change does not.
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
        upstream.changed_by(unit, THIS_RUN, reference);
    } else if let Some(when) = prior.touched {
        upstream.changed_by(unit, when, reference);
    }
}

/// Keeps the nodes that need the unit from starting, or from starting on its host.
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
    if run.step(unit).kind == StepKind::OnFailure && upstream.rollback_failed.is_none() {
        upstream.rollback_failed = Some(reference.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::state::testing::{node, part, reference, run, state, step, unit};
    use crate::event::Problem;

    fn end(run: &RunSpec, state: &mut RunState, name: &str, completion: Completion) -> Vec<EventKind> {
        let settled = settle(run, state, node(run, name), unit(run, name), reference(run, name), completion);
        settled.into_iter().map(|event| event.kind).collect()
    }

    fn changed() -> Completion {
        Completion { definition: Some("d".to_owned()), acted: true, ..Completion::new(Outcome::Changed) }
    }

    fn failed() -> Completion {
        Completion { definition: Some("d".to_owned()), ..Completion::new(Outcome::Failed(Problem::new("no"))) }
    }

    #[test]
    fn a_change_notifies_handlers_and_frees_what_needs_it() {
        let plan = step("p", "s", "notify = [\"h\"]") + &step("p", "t", "") + &part("p", "handler", "h", "");
        let run = run(&plan);
        let mut state = state(&run);
        let before = state.scheduler.unmet(node(&run, "p/t"));
        let events = end(&run, &mut state, "p/s", changed());
        let [EventKind::Notified { handler, by }, EventKind::UnitFinished { unit, outcome, .. }] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!((handler, by, unit), (&reference(&run, "p/h"), &reference(&run, "p/s"), &reference(&run, "p/s")));
        assert_eq!(*outcome, Outcome::Changed);
        assert!(state.handlers.is_pending(handler));
        assert_eq!((before, state.scheduler.unmet(node(&run, "p/t"))), (Some(1), Some(0)));
        assert_eq!(state.upstream.get(node(&run, "p/t")).unwrap().last_change, Some((THIS_RUN, "p/s".to_owned())));
    }

    #[test]
    fn what_was_as_it_should_be_notifies_nobody() {
        let run = run(&(step("p", "s", "notify = [\"h\"]") + &step("p", "t", "") + &part("p", "handler", "h", "")));
        let mut state = state(&run);
        let same =
            Completion { definition: Some("d".to_owned()), ..Completion::new(Outcome::Same { seen: String::new() }) };
        assert_eq!(end(&run, &mut state, "p/s", same).len(), 1);
        assert_eq!(state.upstream.get(node(&run, "p/t")).unwrap().last_change, None);
    }

    #[test]
    fn a_failure_blocks_what_needs_it() {
        let run = run(&(step("p", "s", "") + &step("p", "t", "")));
        let mut state = state(&run);
        end(&run, &mut state, "p/s", failed());
        assert_eq!(state.upstream.get(node(&run, "p/t")).unwrap().blocked_by.as_deref(), Some("p/s"));
        assert!(!state.report.ok && state.rollback.runs_in(0));
    }

    #[test]
    fn a_failure_within_the_limit_excludes_its_host_alone() {
        let plan = format!(
            "[phase.p]\nmax_failures = 1\n{}",
            step("p", "s", "hosts = \"a,b,c\"") + &step("p", "t", "hosts = \"a,b,c\"")
        );
        let run = run(&plan);
        let mut state = state(&run);
        let events = end(&run, &mut state, "p/s@a", failed());
        let [EventKind::UnitFinished { outcome: Outcome::Failed(problem), .. }] = &events[..] else {
            panic!("{events:?}")
        };
        assert!(problem.hint.as_ref().unwrap().ends_with("a takes no further part"), "{problem:?}");
        let upstream = state.upstream.get(node(&run, "p/t@a")).unwrap();
        assert_eq!(upstream.blocker(Some("a")).map(String::as_str), Some("p/s@a"));
        assert_eq!(upstream.blocker(Some("b")), None);
    }

    #[test]
    fn an_undo_that_ends_well_says_what_it_has_undone() {
        let run = run(&(step("p", "s", "on_failure = [\"u\"]") + &part("p", "on_failure", "u", "")));
        let mut state = state(&run);
        end(&run, &mut state, "p/s", Completion { acted: true, ..failed() });
        let events = end(&run, &mut state, "p/u", changed());
        let [EventKind::Undone { unit, by }, EventKind::UnitFinished { .. }] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!((unit, by), (&reference(&run, "p/s"), &reference(&run, "p/u")));
    }

    #[test]
    fn in_a_preview_what_comes_after_a_change_is_pending() {
        let run = RunSpec { mode: Mode::Preview, ..run(&(step("p", "s", "") + &step("p", "t", ""))) };
        let mut state = state(&run);
        end(&run, &mut state, "p/s", Completion::new(Outcome::Changed));
        assert_eq!(state.upstream.get(node(&run, "p/t")).unwrap().pending.as_deref(), Some("s"));
    }
}
