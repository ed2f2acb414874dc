//! The end of a run that has none on record: what was begun, and how to go on.

use std::fmt::Write as _;

use super::text::{BAD, HINT, Text, line};
use crate::event::{Event, EventKind, UnitRef};

/// The lines after the last event of a run: none when it ended. `under_way` tells that it still runs; else it was killed,
/// and the steps that it was at were cut off.
pub fn open(events: &[Event], text: &mut Text, under_way: bool) -> String {
    if events.iter().any(|e| matches!(e.kind, EventKind::RunFinished { .. })) {
        return String::new();
    }
    let (style, sign, word, detail) =
        if under_way { (HINT, '…', "running", "") } else { (BAD, '?', "cut off", ", how it ended is not on record") };
    let units = running(events);
    let mut out = String::new();
    for (unit, since) in &units {
        out += &line(style, sign, word, unit, &format!("started {}{detail}", since.strftime("%F %T UTC")));
    }
    out += &text.not_run();
    let head = if under_way { "under way" } else { "killed" };
    let _ = writeln!(out, "\n{style}{head}{style:#}: {} {word}", units.len());
    if !under_way {
        out += &text.hint();
    }
    out
}

/// Units that were started and did not end, in the order of their start.
fn running(events: &[Event]) -> Vec<(&UnitRef, jiff::Timestamp)> {
    let mut running = Vec::new();
    for event in events {
        match &event.kind {
            EventKind::UnitStarted { unit, .. } => running.push((unit, event.at)),
            EventKind::UnitFinished { unit, .. } => running.retain(|(other, _)| *other != unit),
            _ => {}
        }
    }
    running
}
