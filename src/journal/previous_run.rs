//! What earlier runs have left to a new one.

use super::RunHistory;
use crate::event::{Event, EventKind};

/// What earlier runs have left to a new one.
#[derive(Debug, Clone, Default)]
pub struct PreviousRun {
    /// The run that the new one goes on from; `None`: it starts anew.
    pub run: Option<String>,
    /// The run of the whole plan that has yet to end well. A run of a part that ends well does not end it: what it was
    /// about is still to be gone on with.
    pub whole: Option<String>,
    /// What is on record.
    pub history: RunHistory,
}

impl PreviousRun {
    /// As the newest run's journal has it. A run that ended well is over but for its open ends; any other is gone on from,
    /// unless a fresh start is asked for.
    pub fn from_events(events: &[Event], fresh: bool) -> Self {
        let started = events.iter().find_map(|event| match &event.kind {
            EventKind::RunStarted { run, whole, .. } => Some((run.clone(), whole.clone())),
            _ => None,
        });
        let Some((run, whole)) = started else { return Self::default() };
        let memory = RunHistory::from_events(events);
        if fresh {
            return Self { history: memory.fresh(), ..Self::default() };
        }
        let well = |event: &Event| matches!(event.kind, EventKind::RunFinished { ok: true, interrupted: false, .. });
        if events.iter().any(well) && whole.as_ref().is_none_or(|whole| *whole == run) {
            let memory = memory.only_unsettled();
            return Self { run: (!memory.is_empty()).then_some(run), whole: None, history: memory };
        }
        Self { run: Some(run), whole, history: memory }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{events, finished, run_finished, run_started, started};
    use super::*;
    use crate::event::Outcome;

    /// A run that did a step: of the whole plan (its own id), of a part (none), or of a part of another run's.
    fn ran(whole: Option<&str>, ends_well: bool) -> PreviousRun {
        let mut start = run_started();
        if let EventKind::RunStarted { run, whole: of, .. } = &mut start {
            *run = "r".to_owned();
            *of = whole.map(str::to_owned);
        }
        let mut kinds = vec![start, started("a"), finished("a", Outcome::Changed)];
        kinds.extend(ends_well.then(run_finished));
        PreviousRun::from_events(&events(kinds), false)
    }

    #[test]
    fn what_is_over_and_what_is_gone_on_from() {
        for (whole, ends_well, goes_on, whole_next) in [
            (Some("r"), true, false, None),
            (Some("r"), false, true, Some("r")),
            (Some("q"), true, true, Some("q")),
            (Some("q"), false, true, Some("q")),
            (None, true, false, None),
            (None, false, true, None),
        ] {
            let earlier = ran(whole, ends_well);
            let case = format!("{whole:?} {ends_well}");
            assert_eq!(earlier.run.is_some(), goes_on, "{case}");
            assert_eq!(earlier.history.is_empty(), !goes_on, "{case}");
            assert_eq!(earlier.whole.as_deref(), whole_next, "{case}");
        }
    }
}
