//! The changes of a failed phase are undone: only these, in the opposite order, and a change that could not be undone
//! is reported.

use std::collections::{BTreeMap, BTreeSet};

use super::{History, Ran, key, pace, well};
use crate::engine::simulation::model::{Phase, Step};
use crate::engine::simulation::order::{Key, answered};
use crate::engine::simulation::world::Sent;
use crate::event::{EventKind, Outcome};
use crate::plan::StepKind;

/// Judges the start of an undo, and the report of what it has undone.
pub fn judge(ran: &Ran, index: usize, history: &History) -> Result<(), String> {
    let unit = match &ran.events[index].kind {
        EventKind::UnitStarted { unit, .. } => unit,
        EventKind::Undone { unit, by } => return truly(ran, index, &key(unit), &key(by)),
        _ => return Ok(()),
    };
    let undo = key(unit);
    let Some((phase, step)) = ran.model.steps().find(|(_, s)| s.id == undo.0 && s.part == StepKind::OnFailure) else {
        return Ok(());
    };
    let before: Vec<&EventKind> = ran.events[ran.start..index].iter().map(|e| &e.kind).collect();
    let failed = failed(ran, phase, before.iter().copied());
    if let Failed::No(why) = failed {
        return Err(format!("{undo:?} undoes, but {why}"));
    }
    let ended: BTreeSet<Key> = before.iter().filter_map(|k| end(k)).map(|(unit, _)| unit).collect();
    for (unit, _) in units(ran, phase) {
        if !ended.contains(&unit) {
            return Err(format!("{undo:?} undoes while {unit:?} has yet to end"));
        }
    }
    let mine: Vec<Key> = undone_by(ran, phase, step, &undo).filter(|unit| failed.is_of(unit)).collect();
    if !mine.iter().any(|unit| history.touched_after(unit, 0)) {
        return Err(format!("{undo:?} undoes what was never done: {mine:?}"));
    }
    backwards(ran, index, phase, &undo, &failed)
}

/// An undo that is reported to have undone a unit ends well. The report comes before the end.
fn truly(ran: &Ran, index: usize, unit: &Key, by: &Key) -> Result<(), String> {
    let mut ends = ran.events[index..].iter().filter_map(|e| end(&e.kind));
    match ends.find(|(of, _)| of == by) {
        Some((_, outcome)) if !well(outcome) => Err(format!("{by:?} is said to have undone {unit:?}, and ended badly")),
        _ => Ok(()),
    }
}

/// The steps after a step are undone before the step.
fn backwards(ran: &Ran, index: usize, phase: &Phase, undo: &Key, failed: &Failed) -> Result<(), String> {
    let naming =
        |id: &str| -> Vec<&Step> { phase.steps.iter().filter(|s| s.on_failure.iter().any(|n| n == id)).collect() };
    let [first] = naming(&undo.0)[..] else { return Ok(()) };
    let well_undone: BTreeSet<Key> = ran.events[ran.start..index]
        .iter()
        .filter_map(|e| end(&e.kind))
        .filter(|(_, outcome)| well(outcome))
        .map(|(unit, _)| unit)
        .collect();
    for later in phase.steps.iter().filter(|s| s.part == StepKind::Step && ran.order.before(&s.id).contains(&first.id))
    {
        for name in &later.on_failure {
            let ([_], Some(step)) = (&naming(name)[..], ran.model.step(name)) else { continue };
            let mine = |s: &&Sent| s.unit.0 == later.id && failed.is_of(&s.unit);
            for sent in ran.sent.iter().filter(mine).filter(|s| s.took && s.at.1 <= index) {
                let sees = |by: &Key| ran.order.places(name).contains(&by.1);
                for other in answered(step, sent.unit.1.as_deref()).into_iter().filter(sees) {
                    let ordered = other.1 == undo.1 || other.1.is_none() || undo.1.is_none();
                    if ordered && *name != undo.0 && !well_undone.contains(&other) {
                        return Err(format!("{undo:?} undoes {} before {other:?} has undone {}", first.id, later.id));
                    }
                }
            }
        }
    }
    Ok(())
}

/// In a run that was not interrupted, each change of a failed phase is undone or reported as stuck.
pub fn all_done(ran: &Ran, standing: &BTreeSet<Key>) -> Result<(), String> {
    let Some(report) = ran.report.as_ref().filter(|r| !r.interrupted) else { return Ok(()) };
    let stuck: BTreeSet<Key> = report.stuck.iter().map(key).collect();
    let undone: BTreeSet<(Key, Key)> = ran
        .own()
        .filter_map(|(_, kind)| match kind {
            EventKind::Undone { unit, by } => Some((key(unit), key(by))),
            _ => None,
        })
        .collect();
    for phase in &ran.model.phases {
        let failed = failed(ran, phase, ran.own().map(|(_, k)| k));
        let touched: BTreeSet<&Key> =
            ran.sent.iter().filter(|s| s.took && s.at.1 != usize::MAX).map(|s| &s.unit).collect();
        for (unit, step) in units(ran, phase) {
            if !failed.is_of(&unit) || stuck.contains(&unit) || step.act.is_read_only() {
                continue;
            }
            let here = touched.contains(&unit);
            if !here && (ran.asked.limit.is_some() || !standing.contains(&unit)) {
                continue;
            }
            for undo in phase.steps.iter().filter(|s| step.on_failure.contains(&s.id)) {
                for by in answered(undo, unit.1.as_deref()) {
                    if !undone.contains(&(unit.clone(), by.clone())) {
                        return Err(format!("{unit:?} of a failed phase is neither undone by {by:?} nor stuck"));
                    }
                }
            }
        }
    }
    Ok(())
}

enum Failed {
    All,
    /// Some hosts failed within the limits.
    On(BTreeSet<Option<String>>),
    No(&'static str),
}

impl Failed {
    fn is_of(&self, unit: &Key) -> bool {
        match self {
            Self::All => true,
            Self::On(hosts) => hosts.contains(&unit.1),
            Self::No(_) => false,
        }
    }
}

fn failed<'a>(ran: &Ran, phase: &Phase, kinds: impl Iterator<Item = &'a EventKind>) -> Failed {
    let ends: Vec<(Key, &Outcome)> = kinds
        .filter_map(end)
        .filter(|(unit, _)| phase.steps.iter().any(|s| s.id == unit.0 && s.part != StepKind::OnFailure))
        .collect();
    let failed: Vec<Key> =
        ends.iter().filter(|(_, o)| matches!(o, Outcome::Failed(_))).map(|(unit, _)| unit.clone()).collect();
    let unknown = ends.iter().any(|(_, outcome)| matches!(outcome, Outcome::Unknown(_)));
    let mut ended = BTreeMap::new();
    for (unit, outcome) in ends {
        // A handler that failed counts as failed even if it ran well later in its phase.
        let kept = ended.entry(unit).or_insert(outcome);
        if !matches!(kept, Outcome::Failed(_)) {
            *kept = outcome;
        }
    }
    match (failed.is_empty(), unknown) {
        (_, true) => Failed::No("what one of its units did is not known"),
        (true, _) => Failed::No("its phase has not failed"),
        _ if failed.iter().all(|unit| pace::allowed(ran, unit, &ended)) => {
            Failed::On(failed.into_iter().map(|unit| unit.1).collect())
        }
        _ => Failed::All,
    }
}

fn end(kind: &EventKind) -> Option<(Key, &Outcome)> {
    match kind {
        EventKind::UnitFinished { unit, outcome, .. } => Some((key(unit), outcome)),
        _ => None,
    }
}

/// The units of a phase's steps.
fn units<'a>(ran: &'a Ran, phase: &'a Phase) -> impl Iterator<Item = (Key, &'a Step)> {
    let steps = phase.steps.iter().filter(|s| s.part == StepKind::Step);
    steps.flat_map(|s| ran.order.places(&s.id).iter().map(move |h| ((s.id.clone(), h.clone()), s)))
}

/// The units that an undo on its host undoes.
fn undone_by<'a>(ran: &'a Ran, phase: &'a Phase, undo: &'a Step, here: &'a Key) -> impl Iterator<Item = Key> + 'a {
    let named = units(ran, phase).filter(|(_, step)| step.on_failure.contains(&undo.id));
    let mine = move |unit: &Key| answered(undo, unit.1.as_deref()).contains(here);
    named.map(|(unit, _)| unit).filter(mine)
}
