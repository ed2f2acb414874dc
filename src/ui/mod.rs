//! Readers of the event stream: bars, plain lines, JSON lines.
//!
//! They know events and nothing of the engine; what they print goes to stdout, but for the live bars on stderr.

mod bars;
mod json;
mod lines;
mod open;
mod reader;
mod text;

pub use lines::finished;
pub use open::open;
pub use reader::Reader;
pub use text::{DiffStyle, Text};

use tokio::sync::mpsc;

use crate::event::{Event, EventKind};

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Live bars below the lines; for a terminal.
    Bars,
    /// A line a step.
    Lines,
    /// A JSON object a line.
    Json,
    /// Nothing is shown.
    Nothing,
}

/// Shows nothing.
struct Nothing;

impl Reader for Nothing {
    fn read(&mut self, _: &Event) {}
}

/// The reader for a style.
pub fn reader(style: Style, text: Text) -> Box<dyn Reader> {
    match style {
        Style::Bars => Box::new(bars::Bars::new(text)),
        Style::Lines => Box::new(lines::Lines::new(text)),
        Style::Json => Box::new(json::Json),
        Style::Nothing => Box::new(Nothing),
    }
}

/// Shows all events until the stream ends, and gives them back, but for progress.
pub async fn show(mut events: mpsc::UnboundedReceiver<Event>, mut reader: Box<dyn Reader>) -> Vec<Event> {
    let mut shown = Vec::new();
    while let Some(event) = events.recv().await {
        reader.read(&event);
        if !matches!(event.kind, EventKind::Progress { .. }) {
            shown.push(event);
        }
    }
    shown
}
