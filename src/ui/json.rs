//! Prints events as JSON lines.

use std::io::Write;

use super::reader::Reader;
use crate::event::Event;
use crate::secret::visible_json;

/// Writes each event as one line of JSON, and flushes it.
pub struct Json;

impl Reader for Json {
    fn read(&mut self, event: &Event) {
        let Ok(line) = serde_json::to_string(event) else { return };
        let mut out = std::io::stdout().lock();
        // A closed pipe must not stop the run.
        let _ = writeln!(out, "{}", visible_json(&line)).and_then(|()| out.flush());
    }
}
