//! The records that a new run takes over from earlier runs.

use super::RunHistory;
use crate::event::{Event, EventKind};

/// The records that a new run takes over from earlier runs.
#[derive(Debug, Clone, Default)]
pub struct PreviousRun {
    /// The run that the new run resumes. `None`: the new run starts from the beginning.
    pub run: Option<String>,
    /// The run of the whole plan that has not succeeded yet. A successful run of a part of the plan does not finish it:
    /// the rest still has to be resumed.
    pub whole: Option<String>,
    /// The records of earlier runs.
    pub history: RunHistory,
}

impl PreviousRun {
    /// Derived from the journal of the newest run. A successful run is finished except for open units and handlers; any
    /// other run is resumed, unless a fresh start is requested.
    pub fn from_events(events: &[Event], fresh: bool) -> Self {
        let started = events.iter().find_map(|event| match &event.kind {
            EventKind::RunStarted { run, whole, .. } => Some((run.clone(), whole.clone())),
            _ => None,
        });
        let Some((run, whole)) = started else { return Self::default() };
        let history = RunHistory::from_events(events);
        if fresh {
            return Self { history: history.fresh(), ..Self::default() };
        }
        let succeeded =
            |event: &Event| matches!(event.kind, EventKind::RunFinished { ok: true, interrupted: false, .. });
        if events.iter().any(succeeded) && whole.as_ref().is_none_or(|whole| *whole == run) {
            let history = history.only_unsettled();
            return Self { run: (!history.is_empty()).then_some(run), whole: None, history };
        }
        Self { run: Some(run), whole, history }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{events, finished, run_finished, run_started, started};
    use super::*;
    use crate::event::Outcome;

    /// A run with one step: of the whole plan (its own id), of a part (none), or of a part of another run's plan.
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
    fn successful_runs_are_finished_and_others_are_resumed() {
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
