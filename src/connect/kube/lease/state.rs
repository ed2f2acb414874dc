//! Decides whether another run's lease is still valid, by this machine's clock only.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;
use tokio::time::Instant;

use super::timing::LEASE_DURATION;

/// The state of a lease, as observed so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    Free,
    /// Held; not observed for long enough to tell whether the holder is alive.
    Held,
    /// Held, and the holder has renewed it while observed.
    Alive,
    /// Held, but not renewed for the lease's whole duration while observed.
    Dead,
}

/// Observes one lease. The times in it come from clocks that may be wrong by years (a Raspberry Pi's clock stops
/// without power), so they are only compared with each other: a lease is dead once it has been observed unchanged for
/// its whole duration, and alive as soon as it changes.
#[derive(Debug, Default)]
pub struct Observer {
    last_seen: Option<(LeaseSpec, Instant)>,
    /// Whether the lease has changed since the first observation.
    changed: bool,
}

impl Observer {
    /// Records the lease as read at `now`; returns its state.
    pub fn observe(&mut self, spec: &LeaseSpec, now: Instant) -> LeaseState {
        if spec.holder_identity.as_deref().unwrap_or_default().is_empty() {
            *self = Self::default();
            return LeaseState::Free;
        }
        match &self.last_seen {
            Some((before, since)) if before == spec => {
                if now.duration_since(*since) >= duration(spec) {
                    return LeaseState::Dead;
                }
            }
            before => {
                self.changed = before.is_some();
                self.last_seen = Some((spec.clone(), now));
            }
        }
        if self.changed { LeaseState::Alive } else { LeaseState::Held }
    }
}

/// The lease's own duration, or the default if it has none.
fn duration(spec: &LeaseSpec) -> Duration {
    let seconds = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
    seconds.map_or(LEASE_DURATION, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use k8s_openapi::jiff::Timestamp;
    use tokio::time::advance;

    use super::*;

    /// A lease renewed in 1970, according to a machine without a clock.
    fn lease(holder: &str, renewed: i64) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
            ..LeaseSpec::default()
        }
    }

    async fn after(observer: &mut Observer, seconds: f64, spec: &LeaseSpec) -> LeaseState {
        advance(Duration::from_secs_f64(seconds)).await;
        observer.observe(spec, Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_dead_when_we_have_seen_it_unchanged_for_its_whole_duration() {
        let mut o = Observer::default();
        // The first observation proves nothing, however old the time in the lease is.
        assert_eq!(after(&mut o, 0.0, &lease("a", 0)).await, LeaseState::Held);
        assert_eq!(after(&mut o, 14.9, &lease("a", 0)).await, LeaseState::Held);
        assert_eq!(after(&mut o, 0.1, &lease("a", 0)).await, LeaseState::Dead);
    }

    #[tokio::test(start_paused = true)]
    async fn each_renewal_counts_anew_even_one_that_goes_back_in_time() {
        let mut o = Observer::default();
        after(&mut o, 0.0, &lease("a", 1000)).await;
        assert_eq!(after(&mut o, 14.0, &lease("a", 1005)).await, LeaseState::Alive);
        assert_eq!(after(&mut o, 14.0, &lease("a", 3)).await, LeaseState::Alive);
        assert_eq!(after(&mut o, 14.0, &lease("a", 3)).await, LeaseState::Alive);
        assert_eq!(after(&mut o, 1.0, &lease("a", 3)).await, LeaseState::Dead);
        // The holder is alive after all, or another run has taken the lease.
        assert_eq!(after(&mut o, 1.0, &lease("a", 4)).await, LeaseState::Alive);
        assert_eq!(after(&mut o, 1.0, &lease("b", 4)).await, LeaseState::Alive);
    }

    #[tokio::test(start_paused = true)]
    async fn a_released_lease_is_free_at_once_and_its_next_holder_is_new() {
        let mut o = Observer::default();
        after(&mut o, 0.0, &lease("a", 1)).await;
        assert_eq!(after(&mut o, 1.0, &lease("", 2)).await, LeaseState::Free);
        assert_eq!(after(&mut o, 0.0, &LeaseSpec::default()).await, LeaseState::Free);
        assert_eq!(after(&mut o, 20.0, &lease("a", 1)).await, LeaseState::Held);
    }

    #[tokio::test(start_paused = true)]
    async fn the_duration_is_the_one_that_the_holder_states() {
        let mut o = Observer::default();
        let long = LeaseSpec { lease_duration_seconds: Some(60), ..lease("a", 1) };
        after(&mut o, 0.0, &long).await;
        assert_eq!(after(&mut o, 59.0, &long).await, LeaseState::Held);
        assert_eq!(after(&mut o, 1.0, &long).await, LeaseState::Dead);
        let unstated = LeaseSpec { lease_duration_seconds: None, ..lease("b", 1) };
        after(&mut o, 0.0, &unstated).await;
        assert_eq!(after(&mut o, 14.0, &unstated).await, LeaseState::Alive);
        assert_eq!(after(&mut o, 1.0, &unstated).await, LeaseState::Dead);
    }
}
