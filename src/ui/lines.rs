//! A line a step, for logs and pipes.

use std::io::Write;

use super::reader::Reader;
use super::text::Text;
use crate::event::Event;
use crate::secret::visible_but_colours;

/// Writes what ended, as it ends.
pub struct Lines {
    text: Text,
}

impl Lines {
    /// Lines in that form.
    pub fn new(text: Text) -> Self {
        Self { text }
    }
}

impl Reader for Lines {
    fn read(&mut self, event: &Event) {
        if let Some(block) = self.text.block(event) {
            print(&block);
        }
    }
}

/// The lines that a run's events leave behind, as one text.
pub fn finished(events: &[Event], text: &mut Text) -> String {
    events.iter().filter_map(|e| text.block(e)).collect::<Vec<_>>().join("")
}

/// Writes to stdout, without colour where none is wanted. A closed pipe must not stop the run.
pub fn print(block: &str) {
    let mut out = anstream::stdout().lock();
    let _ = write!(out, "{}", visible_but_colours(block)).and_then(|()| out.flush());
}
