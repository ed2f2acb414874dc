//! Records events: each is numbered, redacted, journaled, and sent to the readers once it is durable.

use std::collections::HashSet;

use tokio::sync::mpsc::UnboundedSender;

use crate::event::{Event, EventKind, Outcome, Outputs, UnitRef, VERSION};
use crate::excerpt;
use crate::journal::{Journal, JournalError};
use crate::secret::{self, MASK, redact, redact_value, shown};

pub struct Recorder {
    seq: u64,
    journal: Option<Journal>,
    readers: UnboundedSender<Event>,
    /// Events that are not sent to the readers yet, since they are not durable.
    held: Vec<Event>,
    sensitive: HashSet<String>,
}

impl Recorder {
    /// Previews have no journal. The texts of the `sensitive` steps, by id, are masked whole.
    pub fn new(journal: Option<Journal>, readers: UnboundedSender<Event>, sensitive: HashSet<String>) -> Self {
        Self { seq: 0, journal, readers, held: Vec::new(), sensitive }
    }

    /// Appends an event. [`Recorder::commit`] makes it durable and sends it to the readers. Progress is not journaled.
    ///
    /// # Errors
    /// If the event cannot follow the ones before it, which is a defect.
    pub fn record(&mut self, kind: EventKind) -> Result<(), JournalError> {
        let event = self.event(kind);
        self.send(event)
    }

    fn send(&mut self, event: Event) -> Result<(), JournalError> {
        if let (Some(journal), false) = (&mut self.journal, matches!(event.kind, EventKind::Progress { .. })) {
            journal.append(&event)?;
        }
        self.held.push(event);
        Ok(())
    }

    /// [`Recorder::record`] for an event whose texts were redacted by its task, when `secrets` secrets were registered. Redacting
    /// megabytes would hold up the dispatcher; so it is done again only if a secret was registered since.
    ///
    /// # Errors
    /// Those of [`Recorder::record`].
    pub fn record_redacted(&mut self, kind: EventKind, secrets: usize) -> Result<(), JournalError> {
        let kind = if secrets == secret::version() { kind } else { redacted(kind) };
        let kind = self.unless_sensitive(kind);
        let event = self.numbered(kind);
        self.send(event)
    }

    /// Appends an event to the journal without sending it to the readers.
    ///
    /// # Errors
    /// Those of [`Recorder::record`].
    pub fn record_unpublished(&mut self, kind: EventKind) -> Result<(), JournalError> {
        let event = self.event(kind);
        self.journal.as_mut().map_or(Ok(()), |journal| journal.append(&event))
    }

    /// Makes all events durable, then sends them to the readers.
    ///
    /// # Errors
    /// If the journal cannot be written. Then no event is sent, and the run must stop.
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

    fn event(&mut self, kind: EventKind) -> Event {
        let kind = redacted(self.unless_sensitive(kind));
        self.numbered(kind)
    }

    fn unless_sensitive(&self, kind: EventKind) -> EventKind {
        let sensitive = unit(&kind).is_some_and(|unit| self.sensitive.contains(&unit.step));
        if sensitive { hidden(kind) } else { kind }
    }

    fn numbered(&mut self, kind: EventKind) -> Event {
        let event = Event { v: VERSION, seq: self.seq, at: jiff::Timestamp::now(), kind };
        self.seq += 1;
        event
    }
}

fn unit(kind: &EventKind) -> Option<&UnitRef> {
    match kind {
        EventKind::Remembered { unit, .. }
        | EventKind::Dropped { unit, .. }
        | EventKind::UnitStarted { unit, .. }
        | EventKind::Progress { unit, .. }
        | EventKind::UnitRetried { unit, .. }
        | EventKind::UnitFinished { unit, .. } => Some(unit),
        EventKind::Notified { .. }
        | EventKind::Undone { .. }
        | EventKind::RunStarted { .. }
        | EventKind::RunFinished { .. }
        | EventKind::Unknown => None,
    }
}

/// Redacts all texts that come from a step, a host or an API. Names of runs, phases, steps and hosts stay: they come from the
/// project's files, and a resumed run finds its units by them.
fn redacted(mut kind: EventKind) -> EventKind {
    match &mut kind {
        EventKind::Progress { message: text, .. }
        | EventKind::UnitRetried { message: text, .. }
        | EventKind::Dropped { why: text, .. } => {
            redact_text(text);
        }
        EventKind::UnitFinished { outcome, diff, outputs, output, .. } => {
            redact_outcome(outcome);
            *diff = diff.redacted();
            redact_outputs(outputs);
            *output = redact(output).into_owned();
        }
        EventKind::Remembered { outputs, .. } => redact_outputs(outputs),
        EventKind::UnitStarted { why, .. } => why.iter_mut().for_each(redact_text),
        // The arguments of a run stay as they are, since a resumed run repeats them.
        EventKind::RunStarted { source, .. } => {
            source.iter_mut().flat_map(|s| &mut s.arguments).for_each(|text| *text = redact(text).into_owned());
        }
        EventKind::Notified { .. } | EventKind::Undone { .. } | EventKind::RunFinished { .. } | EventKind::Unknown => {}
    }
    kind
}

pub(super) fn redact_text(text: &mut String) {
    *text = excerpt::shorten(&shown(text)).into_owned();
}

fn redact_outcome(outcome: &mut Outcome) {
    match outcome {
        Outcome::Same { seen: text }
        | Outcome::Waits { seen: text }
        | Outcome::Skipped { why: text }
        | Outcome::Pending { needs: text }
        | Outcome::Cancelled { needs: text } => redact_text(text),
        Outcome::Failed(problem) | Outcome::Warned(problem) | Outcome::Unknown(problem) => {
            *problem = std::mem::take(problem).redacted();
        }
        Outcome::Changed | Outcome::Kept { .. } => {}
    }
}

pub(super) fn redact_outputs(outputs: &mut Outputs) {
    let clean =
        std::mem::take(outputs).into_iter().map(|(name, value)| (redact(&name).into_owned(), redact_value(value)));
    *outputs = clean.collect();
}

/// Masks all texts of a step marked `sensitive`. Why its host could not be reached, or why it was not started, stays: these are
/// not the step's texts.
fn hidden(mut kind: EventKind) -> EventKind {
    match &mut kind {
        EventKind::Progress { message, .. } | EventKind::UnitRetried { message, .. } => MASK.clone_into(message),
        EventKind::UnitFinished { outcome, diff, outputs, output, .. } => {
            hide_outcome(outcome);
            *diff = diff.masked();
            hide_outputs(outputs);
            hide(output);
        }
        EventKind::Remembered { outputs, .. } => hide_outputs(outputs),
        _ => {}
    }
    kind
}

fn hide(text: &mut String) {
    if !text.is_empty() {
        MASK.clone_into(text);
    }
}

fn hide_outcome(outcome: &mut Outcome) {
    match outcome {
        Outcome::Same { seen } | Outcome::Waits { seen } => hide(seen),
        Outcome::Failed(problem) | Outcome::Warned(problem) | Outcome::Unknown(problem) if !problem.unreachable => {
            hide(&mut problem.message);
            let hint = "the step is `sensitive`: without that for one run, it would be told what went wrong";
            problem.hint = Some(hint.to_owned());
        }
        _ => {}
    }
}

fn hide_outputs(outputs: &mut Outputs) {
    outputs.values_mut().for_each(|value| *value = MASK.into());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::diff::Diff;
    use crate::event::{Mode, Problem, Source, Summary, UnitRef};
    use crate::secret::register;

    const POISON: &str = "poison-of-the-recorder";

    fn finished(outcome: Outcome) -> EventKind {
        EventKind::UnitFinished {
            unit: UnitRef { phase: "p".into(), step: "s".into(), item: None, host: None },
            outcome,
            definition: None,
            diff: Diff::field(POISON, Some(POISON.into()), Some(POISON.into())),
            outputs: serde_json::from_value(json!({ POISON: [{ POISON: POISON }] })).unwrap(),
            output: POISON.into(),
            elapsed: 0.0,
            acted: true,
        }
    }

    /// One of each kind, with the poison wherever something was said.
    fn all() -> Vec<EventKind> {
        let text = || format!("said {POISON}");
        let problem = || Problem::new(text()).hint(text());
        let unit = || UnitRef { phase: "p".into(), step: "s".into(), item: None, host: None };
        let outcomes = [
            Outcome::Same { seen: text() },
            Outcome::Changed,
            Outcome::Kept { said: false },
            Outcome::Skipped { why: text() },
            Outcome::Waits { seen: text() },
            Outcome::Pending { needs: text() },
            Outcome::Failed(problem()),
            Outcome::Warned(problem()),
            Outcome::Unknown(problem()),
            Outcome::Cancelled { needs: text() },
        ];
        let mut all: Vec<EventKind> = outcomes.into_iter().map(finished).collect();
        all.push(EventKind::Progress { unit: unit(), message: text() });
        all.push(EventKind::UnitRetried { unit: unit(), attempt: 1, message: text(), delay: 0.0 });
        let (summary, mode) = (Summary::default(), Mode::Run);
        let (handlers_left, stuck) = (Vec::new(), Vec::new());
        all.push(EventKind::RunFinished { summary, ok: true, interrupted: false, elapsed: 0.0, handlers_left, stuck });
        let source = Some(Source { arguments: vec![text()], ..Source::default() });
        all.push(EventKind::RunStarted {
            run: "r".into(),
            plan: "p".into(),
            mode,
            units: 1,
            resumed_from: None,
            whole: None,
            source,
        });
        all.push(EventKind::Dropped { unit: unit(), why: text() });
        all
    }

    #[test]
    fn no_event_says_a_secret() {
        register(POISON);
        for kind in all() {
            let said = serde_json::to_string(&redacted(kind)).unwrap();
            assert!(!said.contains("poison"), "{said}");
        }
    }

    #[test]
    fn of_a_sensitive_step_nothing_is_told_that_it_said() {
        for kind in all() {
            let told = hidden(kind);
            let json = serde_json::to_string(&told).unwrap();
            let why_not = ["skipped", "pending", "cancelled"].iter().any(|o| json.contains(&format!("\"{o}\"")));
            let paths = json.matches(POISON).count();
            // What changes is named, and which outputs there are; never their values.
            let allowed = match told {
                EventKind::UnitFinished { .. } => 2 + usize::from(why_not),
                // Of the run and the plan, not of the step.
                EventKind::RunStarted { .. } | EventKind::Dropped { .. } => 1,
                _ => 0,
            };
            assert!(paths <= allowed, "{json}");
        }
    }

    #[test]
    fn that_nobody_could_be_reached_is_told_of_a_sensitive_step_too() {
        let away = Problem { unreachable: true, ..Problem::new("pi-1 does not answer") };
        let mut told = Outcome::Failed(away.clone());
        hide_outcome(&mut told);
        assert_eq!(told, Outcome::Failed(away));
    }
}
