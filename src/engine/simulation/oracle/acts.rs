//! An act that leaves no trace takes place at most once for each start, and not if it is reported as failed. No command
//! is sent again, or reported as failed, while it may still be running.

use std::collections::BTreeMap;

use super::{Ran, key};
use crate::engine::simulation::order::Key;
use crate::event::{Event, EventKind, Outcome};
use crate::plan::StepKind;

pub fn judge(ran: &Ran) -> Result<(), String> {
    let mut starts = BTreeMap::new();
    for (_, kind) in ran.own() {
        if let EventKind::UnitStarted { unit, .. } = kind {
            *starts.entry(key(unit)).or_insert(0) += 1;
        }
    }
    let mut done = BTreeMap::new();
    for sent in ran.sent.iter().filter(|s| s.took && ran.step(&s.unit).is_some_and(|s| s.act.unguarded())) {
        *done.entry(sent.unit.clone()).or_insert(0) += 1;
    }
    for (unit, times) in done {
        let started = starts.get(&unit).copied().unwrap_or(0);
        if times > started {
            return Err(format!("{unit:?} was started {started} times and took place {times} times"));
        }
    }
    failed_is_failed(ran)?;
    out_of_sight(ran)
}

/// A unit that took place is not reported as failed; if that is not known, the outcome is unknown.
fn failed_is_failed(ran: &Ran) -> Result<(), String> {
    for (unit, outcome) in ran.outcomes() {
        let (Outcome::Failed(problem) | Outcome::Warned(problem)) = outcome else { continue };
        let took = || ran.sent.iter().any(|s| s.unit == unit && s.took && !s.late);
        let once = ran.step(&unit).is_some_and(|s| s.act.unguarded() && s.part == StepKind::Step);
        if once && !ran.mishaps.contains(&unit) && took() {
            return Err(format!("{unit:?} is said to have failed ({}), and took place", problem.message));
        }
    }
    Ok(())
}

/// After a command whose connection broke, nothing more of the unit is sent until the unit is started anew.
fn out_of_sight(ran: &Ran) -> Result<(), String> {
    let started = |unit: &Key, from: usize, to: usize| {
        let is = |event: &Event| matches!(&event.kind, EventKind::UnitStarted { unit: of, .. } if key(of) == *unit);
        ran.events.get(from..to.min(ran.events.len())).is_some_and(|events| events.iter().any(is))
    };
    for (n, sent) in ran.sent.iter().enumerate().filter(|(_, s)| s.out_of_sight && !s.late) {
        let (unit, at) = (&sent.unit, sent.at.1);
        let again = ran.sent[n + 1..].iter().find(|s| s.unit == *unit && !s.late);
        if again.is_some_and(|again| !started(unit, at, again.at.1)) {
            return Err(format!("{unit:?} went on, and a command of it may have been at work"));
        }
        let failed = |event: &Event| match &event.kind {
            EventKind::UnitFinished { unit: of, outcome: Outcome::Failed(_) | Outcome::Warned(_), .. } => {
                key(of) == *unit
            }
            _ => false,
        };
        let failed = ran.events.iter().skip(at).any(failed) && !ran.mishaps.contains(unit);
        if failed && !started(unit, at, ran.events.len()) {
            return Err(format!("{unit:?} is said to have failed, and a command of it may be at work"));
        }
    }
    Ok(())
}
