//! Renders the end of a run whose journal has no end: the units that were running, and how to continue.

use std::fmt::Write as _;

use super::appearance::{BAD, HINT};
use super::text::{Text, unit_line};
use crate::event::{Event, EventKind, UnitRef};

/// Renders the lines after the last event of a run; empty if the run has ended. If the run is not `under_way`, it was
/// killed, and its running units were interrupted.
pub fn render_unfinished(events: &[Event], text: &mut Text, under_way: bool) -> String {
    if events.iter().any(|e| matches!(e.kind, EventKind::RunFinished { .. })) {
        return String::new();
    }
    let (style, sign, word, detail) =
        if under_way { (HINT, '…', "running", "") } else { (BAD, '?', "unknown", ", how it ended is not recorded") };
    let units = running(events);
    let mut out = String::new();
    for (unit, since) in &units {
        out += &unit_line(style, sign, word, unit, &format!("started {}{detail}", since.strftime("%F %T UTC")));
    }
    out += &text.not_run();
    let head = if under_way { "under way" } else { "killed" };
    let _ = writeln!(out, "\n{style}{head}{style:#}: {} {word}", units.len());
    if !under_way {
        out += &text.resume_hint();
    }
    out
}

/// Units that started and did not finish, in the order of their start.
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
