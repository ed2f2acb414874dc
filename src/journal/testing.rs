//! Sample events for tests of the journal.

use crate::event::{Event, EventKind, Mode, Outcome, Outputs, RecordedState, Summary, UnitRef, VERSION};

pub fn unit(step: &str) -> UnitRef {
    UnitRef { phase: "p".into(), step: step.into(), item: None, host: None }
}

pub fn remembered(step: &str) -> EventKind {
    EventKind::Remembered {
        unit: unit(step),
        definition: "d".into(),
        standing: RecordedState::Succeeded,
        outputs: Outputs::new(),
        done: Some(1),
        touched: None,
    }
}

pub fn notified(handler: &str, by: &str) -> EventKind {
    EventKind::Notified { handler: unit(handler), by: unit(by) }
}

pub fn run_started() -> EventKind {
    EventKind::RunStarted {
        run: "r".into(),
        plan: "p".into(),
        mode: Mode::Run,
        units: 1,
        resumed_from: None,
        whole: None,
        source: None,
    }
}

pub fn started(step: &str) -> EventKind {
    EventKind::UnitStarted { unit: unit(step), definition: "d".into(), attempt: 1, with: None, on: None, why: None }
}

pub fn finished(step: &str, outcome: Outcome) -> EventKind {
    EventKind::UnitFinished {
        unit: unit(step),
        outcome,
        definition: Some("d".into()),
        diff: crate::diff::Diff::default(),
        outputs: Outputs::new(),
        output: String::new(),
        elapsed: 0.5,
        acted: true,
    }
}

pub fn kept(step: &str) -> EventKind {
    finished(step, Outcome::Kept { said: false })
}

pub fn undone(step: &str) -> EventKind {
    EventKind::Undone { unit: unit(step), by: unit("undo") }
}

pub fn run_finished() -> EventKind {
    EventKind::RunFinished {
        summary: Summary::default(),
        ok: true,
        interrupted: false,
        elapsed: 1.0,
        handlers_left: Vec::new(),
        stuck: Vec::new(),
    }
}

pub fn events(kinds: impl IntoIterator<Item = EventKind>) -> Vec<Event> {
    let at = jiff::Timestamp::UNIX_EPOCH;
    kinds.into_iter().enumerate().map(|(i, kind)| Event { v: VERSION, seq: i as u64, at, kind }).collect()
}
