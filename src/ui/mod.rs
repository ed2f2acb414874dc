//! Readers of the event stream: bars, plain lines, JSON lines.
//!
//! They depend on events only, not on the engine. Everything is printed to stdout, except the live bars on stderr.

mod appearance;
mod bars;
mod json;
mod lines;
mod reader;
mod text;
mod unfinished;

pub use lines::render_events;
pub use reader::Reader;
pub use text::{DiffStyle, Text};
pub use unfinished::render_unfinished;

use tokio::sync::mpsc;

use crate::event::{Event, EventKind};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Lines with live bars below them; for a terminal.
    Bars,
    /// One line per step.
    Lines,
    /// One JSON object per line.
    Json,
    /// No output.
    Nothing,
}

struct Nothing;

impl Reader for Nothing {
    fn read(&mut self, _: &Event) {}
}

pub fn reader(style: Style, text: Text) -> Box<dyn Reader> {
    match style {
        Style::Bars => Box::new(bars::Bars::new(text)),
        Style::Lines => Box::new(lines::Lines::new(text)),
        Style::Json => Box::new(json::Json),
        Style::Nothing => Box::new(Nothing),
    }
}

/// Passes all events to the reader until the stream ends. Returns them, without progress events.
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
