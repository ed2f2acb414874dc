//! What leaves no trace takes place at most once for each time that it was started.

use std::collections::BTreeMap;

use super::{Ran, key};
use crate::event::Kind;

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
    Ok(())
}
