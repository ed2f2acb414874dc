//! Sends effects, and behind them, in the same trip, what the units that follow will ask.

use std::task::Poll;

use super::ahead::{Look, Question};
use super::executor::{GRACE, Job, human};
use super::faults::Point;
use crate::connect::{Call, ConnectError, Done, Effect, Performed, Probe};

/// Sends effects of jobs, of which the first one is who asks, and gives what was done and what ended it early. `behind` is
/// a look that began when the effects did, and what it asks.
pub async fn send(
    jobs: &[&Job],
    effects: &[Effect],
    behind: Option<(Look, &[Question])>,
    call: &Call,
) -> (Vec<Done>, Option<ConnectError>) {
    let Some(first) = jobs.first() else { return (Vec::new(), None) };
    let questions = behind.as_ref().map_or(&[][..], |(_, questions)| questions);
    let probes: Vec<Probe> = questions.iter().flat_map(|(_, probes)| probes).cloned().collect();
    let under_way = || jobs.iter().for_each(|job| job.faults.reach(Point::MidEffect, &job.unit));
    let mut sending = first.world.perform_all(&first.target, effects, &probes, call);
    let begun = futures::poll!(&mut sending);
    under_way();
    let Performed { done, error, facts } = match begun {
        Poll::Ready(performed) => performed,
        Poll::Pending => match tokio::time::timeout(call.left() + GRACE, sending).await {
            Ok(performed) => performed,
            Err(_) => {
                let error = ConnectError::lost(format!("no answer within {}", human(first.timeout)));
                Performed { error: Some(error), ..Performed::default() }
            }
        },
    };
    if let (Some((look, questions)), Some(facts)) = (behind, facts) {
        look.brought(questions, facts);
    }
    (done, error)
}
