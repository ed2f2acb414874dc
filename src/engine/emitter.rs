//! The one way out for events: numbered, redacted, journaled, then sent to the readers.

use tokio::sync::mpsc::UnboundedSender;

use crate::event::{Event, Kind, Outcome, Outputs, Source, VERSION};
use crate::journal::{Journal, JournalError};
use crate::secret::redact;

/// Numbers events, writes them to the journal and, once they are durable there, hands them to the readers.
pub struct Emitter {
    seq: u64,
    journal: Option<Journal>,
    readers: UnboundedSender<Event>,
    /// Events that are not told yet, since they are not on disk.
    held: Vec<Event>,
}

impl Emitter {
    /// Previews have no journal.
    pub fn new(journal: Option<Journal>, readers: UnboundedSender<Event>) -> Self {
        Self { seq: 0, journal, readers, held: Vec::new() }
    }

    /// Sends an event on its way; durable and told after [`Emitter::commit`]. Progress is not journaled.
    ///
    /// # Errors
    /// When the event cannot follow what was journaled before it: a defect of ours.
    pub fn emit(&mut self, kind: Kind) -> Result<(), JournalError> {
        let event = self.event(kind);
        if let (Some(journal), false) = (&mut self.journal, matches!(event.kind, Kind::Progress { .. })) {
            journal.append(&event)?;
        }
        self.held.push(event);
        Ok(())
    }

    /// Writes an event for the journal alone.
    ///
    /// # Errors
    /// As [`Emitter::emit`].
    pub fn record(&mut self, kind: Kind) -> Result<(), JournalError> {
        let event = self.event(kind);
        self.journal.as_mut().map_or(Ok(()), |journal| journal.append(&event))
    }

    /// Makes all events so far durable, then tells them.
    ///
    /// # Errors
    /// When the disk refuses: nothing is told that is not there, and the run must stop.
    pub fn commit(&mut self) -> Result<(), JournalError> {
        let durable = self.journal.as_mut().map_or(Ok(()), Journal::sync);
        for event in self.held.drain(..) {
            if durable.is_ok() {
                // A reader that went away (a closed pipe) must not stop the run.
                let _ = self.readers.send(event);
            }
        }
        durable
    }

    fn event(&mut self, kind: Kind) -> Event {
        let event = Event { v: VERSION, seq: self.seq, at: jiff::Timestamp::now(), kind: redacted(kind) };
        self.seq += 1;
        event
    }
}

fn redacted(kind: Kind) -> Kind {
    match kind {
        Kind::Progress { unit, message } => Kind::Progress { unit, message: redact(&message).into_owned() },
        Kind::Dropped { unit, why } => Kind::Dropped { unit, why: redact(&why).into_owned() },
        Kind::UnitRetried { unit, attempt, message, delay } => {
            Kind::UnitRetried { unit, attempt, message: redact(&message).into_owned(), delay }
        }
        Kind::UnitFinished { unit, outcome, definition, diff, outputs, output, elapsed } => Kind::UnitFinished {
            unit,
            outcome: redacted_outcome(outcome),
            definition,
            diff: diff.redacted(),
            outputs: redacted_outputs(outputs),
            output: redact(&output).into_owned(),
            elapsed,
        },
        Kind::RunStarted { run, plan, mode, units, resumed_from, source } => {
            Kind::RunStarted { run, plan, mode, units, resumed_from, source: source.map(redacted_source) }
        }
        other => other,
    }
}

fn redacted_source(mut source: Source) -> Source {
    source.arguments.iter_mut().for_each(|argument| *argument = redact(argument).into_owned());
    source
}

fn redacted_outcome(outcome: Outcome) -> Outcome {
    let one = |s: String| redact(&s).into_owned();
    match outcome {
        Outcome::Same { seen } => Outcome::Same { seen: one(seen) },
        Outcome::Waits { seen } => Outcome::Waits { seen: one(seen) },
        Outcome::Failed(problem) => Outcome::Failed(problem.redacted()),
        Outcome::Unknown(problem) => Outcome::Unknown(problem.redacted()),
        other => other,
    }
}

fn redacted_outputs(outputs: Outputs) -> Outputs {
    fn walk(value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::String(s) => Value::String(redact(&s).into_owned()),
            Value::Array(items) => Value::Array(items.into_iter().map(walk).collect()),
            Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (k, walk(v))).collect()),
            other => other,
        }
    }
    outputs.into_iter().map(|(name, value)| (name, walk(value))).collect()
}
