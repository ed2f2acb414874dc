//! The order in which events may follow each other. Checked when a journal is written and again when it is read.
//!
//! | event | legal when |
//! |---|---|
//! | remembered | the run has not started |
//! | notified | always |
//! | run started | once, before all units |
//! | unit started | the unit is not running |
//! | unit retried | the unit is running |
//! | unit finished, after it ran | the unit is running |
//! | unit finished, without having run | the unit is not running |
//! | undone | the unit is not running |
//! | run finished | no unit is running; nothing follows |

use std::collections::HashSet;

use crate::event::{EventKind, Outcome, UnitRef};

/// The state of a run after the events so far.
#[derive(Debug, Default)]
pub struct EventOrder {
    started: bool,
    finished: bool,
    running: HashSet<UnitRef>,
}

impl EventOrder {
    /// Checks the next event and applies it to the state.
    ///
    /// # Errors
    /// Why the event cannot follow. The state is unchanged then.
    pub fn step(&mut self, kind: &EventKind) -> Result<(), String> {
        if self.finished && !matches!(kind, EventKind::Progress { .. } | EventKind::Unknown) {
            return Err("an event follows the end of the run".to_owned());
        }
        let running = |unit: &UnitRef| self.running.contains(unit);
        match kind {
            EventKind::Remembered { unit, .. } if self.started => {
                Err(format!("{unit} is taken over after the run's start"))
            }
            EventKind::RunStarted { .. } if self.started => Err("the run starts twice".to_owned()),
            EventKind::RunFinished { .. } if !self.running.is_empty() => {
                let unit = self.running.iter().min().map(ToString::to_string).unwrap_or_default();
                Err(format!("the run ends while {unit} is running"))
            }
            EventKind::UnitStarted { unit, .. } if running(unit) => Err(format!("{unit} starts while it is running")),
            EventKind::UnitFinished { unit, .. } if ended_after_running(kind) && !running(unit) => {
                Err(format!("{unit} ends without having started"))
            }
            EventKind::UnitFinished { unit, .. } if !ended_after_running(kind) && running(unit) => {
                Err(format!("{unit} is skipped while it is running"))
            }
            EventKind::UnitRetried { unit, .. } if !running(unit) => {
                Err(format!("{unit} is retried without having started"))
            }
            EventKind::Undone { unit, .. } if running(unit) => Err(format!("{unit} is undone while it is running")),
            EventKind::UnitStarted { .. }
            | EventKind::UnitFinished { .. }
            | EventKind::UnitRetried { .. }
            | EventKind::Undone { .. }
            | EventKind::Dropped { .. }
            | EventKind::RunFinished { .. }
                if !self.started =>
            {
                Err("the run has not started".to_owned())
            }
            _ => Ok(()),
        }?;
        match kind {
            EventKind::RunStarted { .. } => self.started = true,
            EventKind::RunFinished { .. } => self.finished = true,
            EventKind::UnitStarted { unit, .. } => drop(self.running.insert(unit.clone())),
            EventKind::UnitFinished { unit, .. } => drop(self.running.remove(unit)),
            _ => {}
        }
        Ok(())
    }
}

/// Whether the event is the end of a unit that ran.
fn ended_after_running(kind: &EventKind) -> bool {
    matches!(kind, EventKind::UnitFinished { definition: Some(_), outcome, .. } if !matches!(outcome, Outcome::Kept { .. }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{finished, kept, notified, remembered, run_finished, run_started, started, undone};
    use super::*;

    fn all() -> Vec<(&'static str, EventKind)> {
        vec![
            ("remembered", remembered("a")),
            ("notified", notified("h", "a")),
            ("run started", run_started()),
            ("started", started("a")),
            (
                "retried",
                EventKind::UnitRetried {
                    unit: super::super::testing::unit("a"),
                    attempt: 1,
                    message: String::new(),
                    delay: 0.0,
                },
            ),
            ("finished", finished("a", Outcome::Changed)),
            ("kept", kept("a")),
            ("undone", undone("a")),
            ("run finished", run_finished()),
        ]
    }

    fn next(so_far: &[EventKind]) -> Vec<&'static str> {
        let may = |kind: &EventKind| {
            let mut legal = EventOrder::default();
            so_far.iter().for_each(|k| legal.step(k).unwrap());
            legal.step(kind).is_ok()
        };
        all().into_iter().filter(|(_, kind)| may(kind)).map(|(name, _)| name).collect()
    }

    #[test]
    fn only_legal_events_may_follow() {
        assert_eq!(next(&[]), ["remembered", "notified", "run started"]);
        assert_eq!(next(&[run_started()]), ["notified", "started", "kept", "undone", "run finished"]);
        assert_eq!(next(&[run_started(), started("a")]), ["notified", "retried", "finished"]);
        let ended = [run_started(), started("a"), finished("a", Outcome::Changed)];
        assert_eq!(next(&ended), ["notified", "started", "kept", "undone", "run finished"]);
        assert_eq!(next(&[run_started(), run_finished()]), [""; 0]);
    }
}
