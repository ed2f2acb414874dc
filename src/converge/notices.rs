//! Which events are news. The same drift or failure is notified once, and its end once.

use super::event::ServiceEventKind;

/// Remembers what was notified last.
#[derive(Debug, Default)]
pub struct Notices {
    drift: Option<String>,
    failure: Option<String>,
}

impl Notices {
    /// The text to notify; `None` if the event is no news.
    pub fn take(&mut self, event: &ServiceEventKind) -> Option<String> {
        let text = event.to_string();
        match event {
            ServiceEventKind::Drift { units, .. } => {
                is_new(&mut self.drift, units.iter().map(|drifted| format!("{drifted:?}")).collect()).then_some(text)
            }
            ServiceEventKind::Failed { message, units, .. } => {
                is_new(&mut self.failure, format!("{message}{units:?}")).then_some(text)
            }
            ServiceEventKind::InOrder { .. } => {
                let was_wrong = self.drift.take().is_some() | self.failure.take().is_some();
                was_wrong.then(|| format!("recovered, {text}"))
            }
            ServiceEventKind::Repaired { .. }
            | ServiceEventKind::Suspended { .. }
            | ServiceEventKind::PlanRefused { .. }
            | ServiceEventKind::PlanReloaded => Some(text),
            ServiceEventKind::Started { .. } | ServiceEventKind::Busy { .. } | ServiceEventKind::Stopped => None,
        }
    }
}

fn is_new(last: &mut Option<String>, now: String) -> bool {
    let is_new = last.as_ref() != Some(&now);
    *last = Some(now);
    is_new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::converge::event::Drifted;

    fn drift(change: &str) -> ServiceEventKind {
        let units = vec![Drifted { unit: "p/s".into(), changes: vec![change.into()] }];
        ServiceEventKind::Drift { units, pending: 0, seconds: 0.1 }
    }

    fn in_order() -> ServiceEventKind {
        ServiceEventKind::InOrder { units: 1, seconds: 0.1 }
    }

    fn failed(message: &str) -> ServiceEventKind {
        ServiceEventKind::Failed { message: message.into(), hint: None, units: Vec::new() }
    }

    #[test]
    fn the_same_drift_is_notified_once_and_its_end_once() {
        let mut notices = Notices::default();
        let news = [in_order(), drift("a"), drift("a"), drift("b"), in_order(), in_order(), drift("b")]
            .map(|event| notices.take(&event).is_some());
        assert_eq!(news, [false, true, false, true, true, false, true]);
    }

    #[test]
    fn a_failure_is_notified_once_beside_drift() {
        let mut notices = Notices::default();
        let news = [failed("a"), drift("a"), failed("a"), failed("b"), in_order(), failed("b")]
            .map(|event| notices.take(&event).is_some());
        assert_eq!(news, [true, true, false, true, true, true]);
    }
}
