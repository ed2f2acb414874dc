//! What leaves no trace takes place at most once for each time that it was started, and not where it is said to have failed.

use std::collections::BTreeMap;

use super::{Ran, key};
use crate::event::{Kind, Outcome};
use crate::plan::Part;

pub fn judge(ran: &Ran) -> Result<(), String> {
    let mut starts = BTreeMap::new();
    for (_, kind) in ran.own() {
        if let Kind::UnitStarted { unit, .. } = kind {
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
    failed_is_failed(ran)
}

/// "Failed" is a claim to know; who does not know what came of it must not make it.
fn failed_is_failed(ran: &Ran) -> Result<(), String> {
    for (unit, outcome) in ran.outcomes() {
        let Outcome::Failed(problem) = outcome else { continue };
        let took = || ran.sent.iter().any(|s| s.unit == unit && s.took && !s.late);
        let once = ran.step(&unit).is_some_and(|s| s.act.unguarded() && s.part == Part::Step);
        if once && !ran.mishaps.contains(&unit) && took() {
            return Err(format!("{unit:?} is said to have failed ({}), and took place", problem.message));
        }
    }
    Ok(())
}
