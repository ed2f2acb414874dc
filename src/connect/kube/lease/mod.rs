//! A lock in the cluster: a Lease of `coordination.k8s.io/v1` that is renewed while its holder lives.
//!
//! It keeps runs on different machines apart. A [`Candidate`] tries to take it, [`Lease`] keeps it; what to make of the
//! answers is decided in `standing` and `tenure`, which ask nobody, and `place` asks.

mod error;
mod object;
mod state;
mod tenure;
mod timing;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::connect::CallContext;
use crate::holder::{Held, Holder};
use crate::inventory::Inventory;
pub use error::LeaseError;
use object::LeaseObject;
use state::{LeaseState, Observer};
use tenure::{Answer, Next, Tenure};
pub use timing::LEASE_DURATION;

/// How long an attempt to take it may last, and so how long a cluster is waited for that does not answer.
const TAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long giving it back may last; it runs out by itself otherwise.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);

/// What came of an attempt.
pub enum Attempt {
    /// The lease is ours.
    Taken(Box<Lease>),
    /// Somebody else has it.
    Held {
        /// Who.
        held: Held,
        /// Whether that one was seen at work over the attempts; until then it may be dead.
        alive: bool,
    },
}

/// A run that would like to have the lease.
pub struct Candidate {
    place: Arc<LeaseObject>,
    run: String,
    killed: Option<Holder>,
    observer: Observer,
}

impl Candidate {
    /// For a run of the plan of that name. `killed` is a run of which it is certain that it is dead.
    pub fn new(inventory: &Inventory, plan: &str, run: &str, killed: Option<Holder>) -> Self {
        let place = Arc::new(LeaseObject::new(inventory, plan));
        Self { place, run: run.to_owned(), killed, observer: Observer::default() }
    }

    /// Takes the lease when it is free, or when it has not changed over all attempts within its duration, or when its
    /// holder is known to be dead.
    ///
    /// # Errors
    /// [`LeaseError::Unreachable`] when it could not even be asked who has it.
    pub async fn attempt(&mut self) -> Result<Attempt, LeaseError> {
        let call = CallContext::silent(TAKE_TIMEOUT);
        loop {
            let before = self.place.read(&call).await?;
            if let Some(Object { spec: Some(spec), .. }) = &before {
                let standing = self.observer.observe(spec, Instant::now());
                if matches!(standing, LeaseState::Held | LeaseState::Alive) && !self.is_of_the_killed(spec) {
                    return Ok(Attempt::Held { held: self.place.held(spec), alive: standing == LeaseState::Alive });
                }
            }
            let holder = Holder::here(&self.run).to_string();
            let sent = Instant::now();
            // Somebody else was faster: see who.
            let Some(object) = self.place.write(&taken(before, &holder), &call).await? else { continue };
            let place = Arc::clone(&self.place);
            return Ok(Attempt::Taken(Box::new(Lease { place, holder, object, tenure: Tenure::new(sent) })));
        }
    }

    fn is_of_the_killed(&self, spec: &LeaseSpec) -> bool {
        let holder = spec.holder_identity.as_deref().and_then(|text| text.parse().ok());
        self.killed.as_ref().zip(holder).is_some_and(|(killed, holder)| killed.is_run_of(&holder))
    }
}

/// The lease as it is when `holder` takes it.
fn taken(before: Option<Object>, holder: &str) -> Object {
    let transitions =
        before.as_ref().map(|object| object.spec.as_ref().and_then(|s| s.lease_transitions).unwrap_or_default());
    let mut object = before.unwrap_or_default();
    let now = Some(MicroTime(Timestamp::now()));
    object.spec = Some(LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
        acquire_time: now.clone(),
        renew_time: now,
        lease_transitions: Some(transitions.map_or(0, |n| n.saturating_add(1))),
        ..LeaseSpec::default()
    });
    object
}

/// A lease that is ours. Unless [`Lease::keep`] is awaited, it runs out.
pub struct Lease {
    place: Arc<LeaseObject>,
    holder: String,
    object: Object,
    tenure: Tenure,
}

impl Lease {
    /// Renews the lease until `stop` says so or its sender is gone, then gives it back. Says on `lost`, at most once, why
    /// it is not ours any more.
    pub async fn keep(mut self, mut stop: oneshot::Receiver<()>, lost: watch::Sender<Option<String>>) {
        let mut next = self.tenure.first();
        loop {
            let renewal = async {
                sleep_until(next).await;
                let sent = Instant::now();
                let call = CallContext::silent(self.tenure.patience(sent));
                let answer = self.put(&call, |spec| spec.renew_time = Some(MicroTime(Timestamp::now()))).await;
                self.tenure.judge(answer, sent, Instant::now())
            };
            let outcome = tokio::select! {
                biased;
                _ = &mut stop => break,
                outcome = renewal => outcome,
            };
            match outcome {
                Next::At(at) => next = at,
                Next::Lost(why) => {
                    lost.send_replace(Some(why));
                    let _ended = stop.await;
                    break;
                }
            }
        }
        // Nothing more can be done when that does not work out: the lease runs out by itself.
        let released = |spec: &mut LeaseSpec| {
            spec.holder_identity = Some(String::new());
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        };
        let _answer = self.put(&CallContext::silent(RELEASE_TIMEOUT), released).await;
    }

    /// Changes the lease while it is ours. Where the last answer got lost, it is not as we know it, and still ours.
    async fn put(&mut self, call: &CallContext, change: impl Fn(&mut LeaseSpec)) -> Answer {
        loop {
            let mut object = self.object.clone();
            change(object.spec.get_or_insert_default());
            match self.place.write(&object, call).await {
                Ok(Some(written)) => {
                    self.object = written;
                    return Answer::Renewed;
                }
                Ok(None) => {}
                Err(error) => return Answer::Silent(message(error)),
            }
            match self.place.read(call).await {
                Ok(Some(object)) => {
                    let spec = object.spec.clone().unwrap_or_default();
                    match spec.holder_identity.as_deref().unwrap_or_default() {
                        holder if holder == self.holder => self.object = object,
                        "" => return Answer::Gone(format!("somebody emptied {}", self.place)),
                        _ => return Answer::Gone(self.place.held(&spec).to_string()),
                    }
                }
                Ok(None) => return Answer::Gone(format!("somebody deleted {}", self.place)),
                Err(error) => return Answer::Silent(message(error)),
            }
        }
    }
}

fn message(error: LeaseError) -> String {
    let (LeaseError::Unreachable(problem) | LeaseError::Refused(problem)) = error;
    problem.message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_holder_is_no_transition_and_each_further_one_is() {
        let spec = |object: &Object| object.spec.clone().unwrap();
        let first = taken(None, "a");
        assert_eq!((spec(&first).lease_transitions, spec(&first).lease_duration_seconds), (Some(0), Some(15)));
        let mut second = taken(Some(first), "b");
        second.metadata.resource_version = Some("7".into());
        assert_eq!(spec(&second).lease_transitions, Some(1));
        let third = taken(Some(second), "b");
        assert_eq!(spec(&third).holder_identity.as_deref(), Some("b"));
        assert_eq!(spec(&third).lease_transitions, Some(2));
        assert_eq!(spec(&third).acquire_time, spec(&third).renew_time);
        assert_eq!(third.metadata.resource_version.as_deref(), Some("7"), "the write is not guarded");
        assert_eq!(spec(&taken(Some(Object::default()), "a")).lease_transitions, Some(1));
    }
}
