//! Decides how long the holder may rely on its lease, and when to renew it.

use std::time::Duration;

use tokio::time::Instant;

use super::timing::{LEASE_DURATION, RENEW_INTERVAL};

/// Pause after a failed renewal.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The result of a renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewal {
    /// The lease was renewed.
    Renewed,
    /// The lease is no longer held by this run; who or what took it.
    Gone(String),
    /// No answer, or one that does not tell who holds the lease.
    Failed(String),
}

/// What to do after a renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Renew again at this time.
    At(Instant),
    /// The lease is lost; the reason.
    Lost(String),
}

/// The time during which the lease is certainly held. It starts when the last successful renewal was *sent*: other runs
/// count from when they saw the renewal, so they cannot take the lease before this time has ended.
#[derive(Debug)]
pub struct Tenure {
    renewed: Instant,
}

impl Tenure {
    /// For a lease taken by a request sent at `sent`.
    pub fn new(sent: Instant) -> Self {
        Self { renewed: sent }
    }

    /// The time of the first renewal.
    pub fn first(&self) -> Instant {
        self.renewed + RENEW_INTERVAL
    }

    /// Timeout of a renewal sent at `now`. A machine that slept past the end of the lease still tries: if nobody has
    /// written to the lease, nobody else has held it.
    pub fn renewal_timeout(&self, now: Instant) -> Duration {
        (self.renewed + LEASE_DURATION).saturating_duration_since(now).clamp(RETRY_DELAY, RENEW_INTERVAL)
    }

    /// Evaluates the answer to a renewal sent at `sent`.
    pub fn judge(&mut self, answer: Renewal, sent: Instant, now: Instant) -> Next {
        match answer {
            Renewal::Renewed => {
                self.renewed = sent;
                Next::At(sent + RENEW_INTERVAL)
            }
            Renewal::Gone(who) => Next::Lost(who),
            // Give up if another attempt could not end in time.
            Renewal::Failed(why) if now + RETRY_DELAY + RETRY_DELAY > self.renewed + LEASE_DURATION => {
                let age = now.duration_since(self.renewed).as_secs();
                Next::Lost(format!("the lease could not be renewed for {age}s: {why}"))
            }
            Renewal::Failed(_) => Next::At(now + RETRY_DELAY),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep_until};

    use super::*;

    fn silent() -> Renewal {
        Renewal::Failed("connection refused".to_owned())
    }

    /// Renews until the lease is lost; each renewal takes `takes`, cut off by its timeout.
    async fn lost_after(answers: impl Fn(u32) -> Renewal, takes: Duration) -> (Duration, String, u32) {
        let began = Instant::now();
        let mut tenure = Tenure::new(began);
        let mut at = tenure.first();
        for n in 1.. {
            sleep_until(at).await;
            let sent = Instant::now();
            advance(takes.min(tenure.renewal_timeout(sent))).await;
            match tenure.judge(answers(n), sent, Instant::now()) {
                Next::At(next) => at = next,
                Next::Lost(why) => return (began.elapsed(), why, n),
            }
        }
        unreachable!("the lock is lost at some time")
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_renewed_every_five_seconds_and_lost_when_another_has_it() {
        let answers = |n| if n < 100 { Renewal::Renewed } else { Renewal::Gone("b holds it".to_owned()) };
        let (after, why, _) = lost_after(answers, Duration::from_millis(100)).await;
        assert_eq!((after.as_millis(), why.as_str()), (500_100, "b holds it"));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_loses_it_before_others_may_take_it() {
        for takes in [0, 10, 700, 4000, 60_000].map(Duration::from_millis) {
            let (after, why, attempts) = lost_after(|_| silent(), takes).await;
            assert!(after <= LEASE_DURATION && after > Duration::from_secs(11), "{takes:?}: {after:?}");
            assert!(attempts >= 2 && why.contains("connection refused"), "{takes:?}: {attempts}, {why}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_answer_in_time_makes_good_for_silence() {
        let answers = |n| if n == 5 { Renewal::Renewed } else { silent() };
        let (after, _, attempts) = lost_after(answers, Duration::from_millis(0)).await;
        // Failed at 5, 6, 7 and 8 s, renewed at 9 s.
        assert!(
            after > Duration::from_secs(9) + Duration::from_secs(12) && after <= Duration::from_secs(24),
            "{after:?}"
        );
        assert!(attempts > 10, "{attempts}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_long_sleep_the_cluster_is_asked_before_the_lock_is_given_up() {
        let mut tenure = Tenure::new(Instant::now());
        advance(Duration::from_secs(3600)).await;
        let sent = Instant::now();
        assert!(tenure.renewal_timeout(sent) > Duration::ZERO);
        assert_eq!(tenure.judge(Renewal::Renewed, sent, sent), Next::At(sent + RENEW_INTERVAL));
        advance(Duration::from_secs(3600)).await;
        let sent = Instant::now();
        assert!(matches!(tenure.judge(silent(), sent, sent), Next::Lost(_)));
    }
}
