//! Whether a ready unit may start, and how. No probe is sent for this decision.

use std::collections::HashSet;

use petgraph::graph::NodeIndex;

use super::completion::Completion;
use super::in_flight::InFlight;
use super::run_spec::RunSpec;
use super::state::RunState;
use super::state::renderer::Rendered;
use crate::actions::{ActionRef, OnInterrupt};
use crate::event::{Mode, Outcome, Problem, UnitRef};
use crate::graph::Unit;
use crate::journal::{Case, Decision, Reason, SavedUnit, UnitRecord, decide};
use crate::plan::StepKind;

pub(super) enum Admission {
    /// The unit has nothing to do and is not reported: a handler that nobody notified, an undo with nothing to undo.
    PassOver,
    /// The unit must wait: another unit of its host edits a file that this unit edits, too.
    Defer,
    /// The unit ends without running: skipped, cancelled, kept or refused.
    Ended(Completion),
    Start(Admitted),
}

/// How a unit starts.
pub(super) struct Admitted {
    pub action: ActionRef,
    /// Whether the action continues an attempt of an earlier run.
    pub resumed: bool,
    pub definition: String,
    /// The unit as the saved plan has it.
    pub approved: Option<SavedUnit>,
    /// Why the result of an earlier run is not kept.
    pub why: Option<String>,
}

impl From<Outcome> for Admission {
    fn from(outcome: Outcome) -> Self {
        Self::Ended(Completion::new(outcome))
    }
}

/// Decides on a unit. `pipeline` has the units behind which the unit is to be sent; empty if it is to be sent alone.
pub(super) fn admit(
    run: &RunSpec,
    state: &mut RunState,
    in_flight: &InFlight,
    node: NodeIndex,
    unit: &Unit,
    reference: &UnitRef,
    pipeline: &HashSet<NodeIndex>,
) -> Admission {
    let early = match run.step(unit).kind {
        StepKind::Step => precheck_step(run, state, node, unit),
        StepKind::Handler => precheck_handler(state, node, unit, reference),
        StepKind::OnFailure => precheck_undo(run, state, node, unit),
    };
    if let Some(admission) = early {
        return admission;
    }
    let rendered = match state.renderer.take(run, node, unit) {
        Ok(rendered) => rendered,
        Err(outcome) => return outcome.into(),
    };
    if run.mode == Mode::Run && in_flight.edits_files_of(run, &rendered.action, unit, pipeline) {
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

/// How a step ends before its templates are rendered; `None` if it goes on.
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

/// Decides by the records of earlier runs: starts the unit, continues its last attempt, keeps its result, or refuses to start it
/// because its last result is unknown.
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
            upstream_change: below.as_ref().map(|(when, who)| (*when, who.as_str())),
            undoing: undoing.as_deref(),
            role: run.role(step, Some(&action)),
            repeatable: step.kind != StepKind::Step || action.on_interrupt() != Some(OnInterrupt::Stop),
            outputs_are_read: state.renderer.is_read(step),
        });
        match (decision, recorded) {
            // Handlers and undo steps run because of other units, so that their own results are never kept.
            (Decision::Keep, _) if step.kind == StepKind::Step => {
                return Err(Box::new(kept(definition, recorded, false)));
            }
            (Decision::Stop(why), _) => return ended(Outcome::Unknown(doubt(reference, &why))),
            (Decision::Probe(reason), recorded) => {
                // After a change upstream, the last attempt is not continued.
                let is_latest = |record: &&UnitRecord| below.as_ref().is_none_or(|(at, _)| Some(*at) <= record.touched);
                let goes_on = recorded.filter(|record| record.may_be_half_done()).filter(is_latest);
                if let Some(rest) = goes_on.and_then(|_| action.resumed()) {
                    (action, resumed) = (rest, true);
                }
                why = reason.filter(|why| *why != Reason::Check).map(|why| why.to_string());
            }
            _ => {}
        }
    }
    match state.approved.as_ref().map(|approved| approved.check(reference, &definition)).transpose() {
        Ok(approved) => Ok(Admitted { action, resumed, definition, approved, why }),
        Err(problem) => ended(Outcome::Failed(problem)),
    }
}

fn kept(definition: String, recorded: Option<&UnitRecord>, said: bool) -> Completion {
    let outputs = recorded.map(|record| record.outputs.clone()).unwrap_or_default();
    Completion { definition: Some(definition), outputs, ..Completion::new(Outcome::Kept { said }) }
}

fn doubt(unit: &UnitRef, why: &Reason) -> Problem {
    let what = match why {
        Reason::HalfUndone(_) => format!("{why}; whether it is still in effect is not known"),
        _ => "an earlier run was cut off while it did this; whether it took effect is not known".to_owned(),
    };
    let name = unit.to_string();
    let name = shlex::try_quote(&name).unwrap_or_default();
    Problem::new(what).hint(format!(
        "look, then run the plan again with `--done {name}` if it is done, or with `--rerun {name}` to do it now; \
         where that never does harm, write `on_interrupt = \"rerun\"` into the step"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::in_flight::InFlightUnit;
    use crate::engine::state::testing::{
        memory, node, part, reference, run, run_without, state, state_after, step, unit,
    };
    use crate::event::RecordedState;

    /// What becomes of a unit, in one word.
    fn admitted(run: &RunSpec, state: &mut RunState, name: &str) -> String {
        let (unit, reference) = (unit(run, name), reference(run, name));
        match admit(run, state, &InFlight::default(), node(run, name), unit, &reference, &HashSet::new()) {
            Admission::PassOver => "pass over".to_owned(),
            Admission::Defer => "defer".to_owned(),
            Admission::Start(admitted) => {
                admitted.why.map_or_else(|| "start".to_owned(), |why| format!("start: {why}"))
            }
            Admission::Ended(Completion { outcome: Outcome::Skipped { why }, .. }) => format!("skipped: {why}"),
            Admission::Ended(Completion { outcome: Outcome::Cancelled { needs }, .. }) => format!("cancelled: {needs}"),
            Admission::Ended(completion) => crate::event::outcome_name(&completion.outcome).to_owned(),
        }
    }

    #[test]
    fn a_step_is_checked_for_its_phase_then_for_what_it_needs_then_for_its_tags() {
        let mut run = run(&step("p", "s", "hosts = \"a,b\""));
        run.options.tags = vec!["other".to_owned()];
        let mut state = state(&run);
        let upstream = state.upstream.entry(node(&run, "p/s@a"));
        upstream.blocked_by = Some("p/before".to_owned());
        state.upstream.entry(node(&run, "p/s@b")).excluded_hosts.insert("a".to_owned(), "p/before@a".to_owned());
        assert_eq!(admitted(&run, &mut state, "p/s@a"), "cancelled: p/before");
        assert_eq!(admitted(&run, &mut state, "p/s@b"), "skipped: has none of the tags");
        state.skipped_phases.insert(0, "left out".to_owned());
        assert_eq!(admitted(&run, &mut state, "p/s@a"), "skipped: left out");
    }

    #[test]
    fn a_step_whose_when_is_false_is_skipped_before_anything_is_asked() {
        let run = run(&step("p", "s", "when = \"1 > 2\""));
        assert_eq!(admitted(&run, &mut state(&run), "p/s"), "skipped: when: 1 > 2");
    }

    #[test]
    fn a_handler_starts_when_it_is_pending_and_blocks_others_when_its_result_is_unknown() {
        let run = run(&(step("p", "s", "notify = [\"h\"]") + &part("p", "handler", "h", "")));
        let (mut state, handler) = (state(&run), reference(&run, "p/h"));
        assert_eq!(admitted(&run, &mut state, "p/h"), "pass over");
        state.handlers.notify(handler.clone(), reference(&run, "p/s"));
        assert_eq!(admitted(&run, &mut state, "p/h"), "start");
        state.handlers.started(&handler);
        state.handlers.finished(&handler, &Outcome::Unknown(Problem::new("gone")));
        assert_eq!(admitted(&run, &mut state, "p/h"), "pass over");
        assert_eq!(state.upstream.get(node(&run, "p/h")).unwrap().blocked_by.as_deref(), Some("p/h"));
    }

    #[test]
    fn an_undo_starts_in_a_failed_phase_where_something_was_changed() {
        let plan = step("p", "s", "on_failure = [\"u\"]") + &part("p", "on_failure", "u", "");
        let run = run(&plan);
        let mut state = state(&run);
        state.rollback.record_change(&reference(&run, "p/s"));
        assert_eq!(admitted(&run, &mut state, "p/u"), "pass over");
        state.rollback.record_end(0, &Outcome::Failed(Problem::new("no")), None);
        assert_eq!(admitted(&run, &mut state, "p/u"), "start");
        state.upstream.entry(node(&run, "p/u")).rollback_failed = Some("p/v".to_owned());
        assert_eq!(admitted(&run, &mut state, "p/u"), "cancelled: p/v");
        assert_eq!(state.rollback.incomplete(), [reference(&run, "p/s")]);
    }

    #[test]
    fn a_preview_undoes_nothing() {
        let plan = step("p", "s", "on_failure = [\"u\"]") + &part("p", "on_failure", "u", "");
        let run = run_without(&plan, Mode::Preview, &[]);
        let mut state = state(&run);
        state.rollback.record_change(&reference(&run, "p/s"));
        state.rollback.record_end(0, &Outcome::Failed(Problem::new("no")), None);
        assert_eq!(admitted(&run, &mut state, "p/u"), "pass over");
    }

    /// The definition of the plan's only unit.
    fn definition(run: &RunSpec, name: &str) -> String {
        state(run).renderer.take(run, node(run, name), unit(run, name)).ok().unwrap().definition
    }

    #[test]
    fn a_unit_that_ended_well_is_kept_until_something_below_it_changes_or_a_person_says_otherwise() {
        let mut run = run(&step("p", "s", "creates = \"/x\""));
        let same = definition(&run, "p/s");
        let remembered =
            |definition: &str| memory(reference(&run, "p/s"), definition, RecordedState::Succeeded, Some(1));
        let (kept, edited) = (remembered(&same), remembered("another"));
        assert_eq!(admitted(&run, &mut state_after(&run, kept.clone()), "p/s"), "kept");
        assert!(admitted(&run, &mut state_after(&run, edited), "p/s").starts_with("start: "));
        let mut changed = state_after(&run, kept.clone());
        changed.upstream.entry(node(&run, "p/s")).changed(7, "p/before");
        assert!(admitted(&run, &mut changed, "p/s").starts_with("start: "));
        run.options.done = vec!["s".to_owned()];
        assert_eq!(admitted(&run, &mut state(&run), "p/s"), "kept");
        run.options.rerun = vec!["s".to_owned()];
        assert_eq!(admitted(&run, &mut state_after(&run, kept), "p/s"), "start", "`--rerun` goes before `--done`");
    }

    #[test]
    fn a_command_that_was_cut_off_is_left_to_a_person() {
        let run = run(&step("p", "s", ""));
        let cut_off = memory(reference(&run, "p/s"), &definition(&run, "p/s"), RecordedState::Unknown, Some(1));
        assert_eq!(admitted(&run, &mut state_after(&run, cut_off), "p/s"), "unknown");
    }

    #[test]
    fn a_unit_waits_for_another_one_that_changes_the_same_file_of_its_host() {
        let edit = |id: &str, file: &str| {
            format!(
                "[[phase.p.step]]\nid = \"{id}\"\naction = \"node.line\"\nneeds = []\nhosts = \"a,b\"\n\
                 path = \"/etc/{file}\"\nline = \"{id}\"\n"
            )
        };
        let run = run(&(edit("one", "x") + &edit("two", "x") + &edit("three", "y")));
        // The pattern's hosts are made for each step: one and the same in a real run.
        let mut state = state(&run);
        let rendered = state.renderer.take(&run, node(&run, "p/one@a"), unit(&run, "p/one@a")).ok().unwrap();
        let mut running = unit(&run, "p/one@a").clone();
        let mut waits = |name: &str, pipeline: &HashSet<NodeIndex>| {
            let other = unit(&run, name);
            if other.host.as_ref().map(|host| &host.name) == running.host.as_ref().map(|host| &host.name) {
                running.runs_on.clone_from(&other.runs_on);
            }
            let mut in_flight = InFlight::default();
            in_flight.insert(
                node(&run, "p/one@a"),
                InFlightUnit {
                    unit: running.clone(),
                    action: rendered.action.clone(),
                    reference: reference(&run, "p/one@a"),
                    definition: String::new(),
                    started: tokio::time::Instant::now(),
                    acted: std::sync::Arc::default(),
                },
            );
            let admission =
                admit(&run, &mut state, &in_flight, node(&run, name), other, &reference(&run, name), pipeline);
            matches!(admission, Admission::Defer)
        };
        assert!(waits("p/two@a", &HashSet::new()));
        assert!(!waits("p/two@a", &HashSet::from([node(&run, "p/one@a")])), "not behind it in one pipeline");
        assert!(!waits("p/three@a", &HashSet::new()), "another file");
        assert!(!waits("p/two@b", &HashSet::new()), "another host");
    }
}
