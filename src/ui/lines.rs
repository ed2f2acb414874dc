//! Prints one line per step, for logs and pipes.

use std::io::Write;

use super::reader::Reader;
use super::text::Text;
use crate::event::Event;
use crate::secret::visible_but_colours;

/// Prints each unit when it finishes.
pub struct Lines {
    text: Text,
}

impl Lines {
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

/// Renders all events of a run as one text.
pub fn render_events(events: &[Event], text: &mut Text) -> String {
    events.iter().filter_map(|e| text.block(e)).collect::<Vec<_>>().join("")
}

/// Writes to stdout, without colours if they are turned off. A closed pipe must not stop the run.
pub fn print(block: &str) {
    let mut out = anstream::stdout().lock();
    let _ = write!(out, "{}", visible_but_colours(block)).and_then(|()| out.flush());
}
