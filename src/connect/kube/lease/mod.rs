//! A lock in the cluster: a Lease of `coordination.k8s.io/v1`, renewed while its holder lives.
//!
//! The lease keeps runs on different machines apart. A [`Candidate`] tries to take it, a [`Lease`] keeps it. [`state`]
//! and [`tenure`] decide what the answers mean, without any I/O; [`object`] sends the requests.

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
use tenure::{Next, Renewal, Tenure};
pub use timing::LEASE_DURATION;

/// Timeout of one attempt to take the lease, and so the longest wait for a cluster that does not answer.
const TAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout of releasing the lease, which otherwise expires by itself.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);

/// The result of an attempt to take the lease.
pub enum Attempt {
    /// The lease is ours.
    Taken(Box<Lease>),
    /// Another run holds the lease.
    Held {
        /// The holder.
        held: Held,
        /// Whether the holder has renewed the lease between attempts; until then the holder may be dead.
        alive: bool,
    },
}

/// A run that tries to take the lease.
pub struct Candidate {
    lease_object: Arc<LeaseObject>,
    run: String,
    killed: Option<Holder>,
    observer: Observer,
}

impl Candidate {
    /// For the run `run` of the plan named `plan`. `killed` is a run that is certainly dead.
    pub fn new(inventory: &Inventory, plan: &str, run: &str, killed: Option<Holder>) -> Self {
        let lease_object = Arc::new(LeaseObject::new(inventory, plan));
        Self { lease_object, run: run.to_owned(), killed, observer: Observer::default() }
    }

    /// Takes the lease when it is free, when it has not changed during its whole duration over all attempts, or when
    /// its holder is known to be dead.
    ///
    /// # Errors
    /// [`LeaseError::Unreachable`] when the holder could not even be read.
    pub async fn attempt(&mut self) -> Result<Attempt, LeaseError> {
        let call = CallContext::silent(TAKE_TIMEOUT);
        loop {
            let before = self.lease_object.read(&call).await?;
            if let Some(Object { spec: Some(spec), .. }) = &before {
                let state = self.observer.observe(spec, Instant::now());
                if matches!(state, LeaseState::Held | LeaseState::Alive) && !self.is_held_by_killed_run(spec) {
                    return Ok(Attempt::Held { held: self.lease_object.held(spec), alive: state == LeaseState::Alive });
                }
            }
            let holder = Holder::here(&self.run).to_string();
            let sent = Instant::now();
            // Another run wrote the lease first: read it again.
            let Some(object) = self.lease_object.write(&acquired(before, &holder), &call).await? else { continue };
            let lease_object = Arc::clone(&self.lease_object);
            return Ok(Attempt::Taken(Box::new(Lease { lease_object, holder, object, tenure: Tenure::new(sent) })));
        }
    }

    fn is_held_by_killed_run(&self, spec: &LeaseSpec) -> bool {
        let holder = spec.holder_identity.as_deref().and_then(|text| text.parse().ok());
        self.killed.as_ref().zip(holder).is_some_and(|(killed, holder)| killed.is_same_run(&holder))
    }
}

/// The lease object as `holder` takes it.
fn acquired(before: Option<Object>, holder: &str) -> Object {
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

/// A lease held by this run. Expires unless [`Lease::keep`] is awaited.
pub struct Lease {
    lease_object: Arc<LeaseObject>,
    holder: String,
    object: Object,
    tenure: Tenure,
}

impl Lease {
    /// Renews the lease until `stop` fires or its sender is dropped, then releases the lease. If the lease is lost,
    /// sends the reason on `lost`, at most once.
    pub async fn keep(mut self, mut stop: oneshot::Receiver<()>, lost: watch::Sender<Option<String>>) {
        let mut next = self.tenure.first();
        loop {
            let renewal = async {
                sleep_until(next).await;
                let sent = Instant::now();
                let call = CallContext::silent(self.tenure.renewal_timeout(sent));
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
        // If this fails, the lease expires by itself.
        let released = |spec: &mut LeaseSpec| {
            spec.holder_identity = Some(String::new());
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        };
        let _answer = self.put(&CallContext::silent(RELEASE_TIMEOUT), released).await;
    }

    /// Writes a change to the lease while this run holds it. When the previous answer was lost, the stored version is
    /// outdated although the lease is still held: read it and write again.
    async fn put(&mut self, call: &CallContext, change: impl Fn(&mut LeaseSpec)) -> Renewal {
        loop {
            let mut object = self.object.clone();
            change(object.spec.get_or_insert_default());
            match self.lease_object.write(&object, call).await {
                Ok(Some(written)) => {
                    self.object = written;
                    return Renewal::Renewed;
                }
                Ok(None) => {}
                Err(error) => return Renewal::Failed(message(error)),
            }
            match self.lease_object.read(call).await {
                Ok(Some(object)) => {
                    let spec = object.spec.clone().unwrap_or_default();
                    match spec.holder_identity.as_deref().unwrap_or_default() {
                        holder if holder == self.holder => self.object = object,
                        "" => return Renewal::Gone(format!("somebody emptied {}", self.lease_object)),
                        _ => return Renewal::Gone(self.lease_object.held(&spec).to_string()),
                    }
                }
                Ok(None) => return Renewal::Gone(format!("somebody deleted {}", self.lease_object)),
                Err(error) => return Renewal::Failed(message(error)),
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
        let first = acquired(None, "a");
        assert_eq!((spec(&first).lease_transitions, spec(&first).lease_duration_seconds), (Some(0), Some(15)));
        let mut second = acquired(Some(first), "b");
        second.metadata.resource_version = Some("7".into());
        assert_eq!(spec(&second).lease_transitions, Some(1));
        let third = acquired(Some(second), "b");
        assert_eq!(spec(&third).holder_identity.as_deref(), Some("b"));
        assert_eq!(spec(&third).lease_transitions, Some(2));
        assert_eq!(spec(&third).acquire_time, spec(&third).renew_time);
        assert_eq!(third.metadata.resource_version.as_deref(), Some("7"), "the write is not guarded");
        assert_eq!(spec(&acquired(Some(Object::default()), "a")).lease_transitions, Some(1));
    }
}
