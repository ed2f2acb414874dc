//! How long a holder may believe that the lease is its own, and when it renews it.

use std::time::Duration;

use tokio::time::Instant;

use super::timing::{LEASE_DURATION, RENEW_INTERVAL};

/// Pause after a renewal that did not work out.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// What came of a renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The lease is ours for another while.
    Renewed,
    /// It is not ours any more; who or what took it.
    Gone(String),
    /// No answer, or none that says whose it is.
    Silent(String),
}

/// What follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Renew it again then.
    At(Instant),
    /// The lock is lost, and why.
    Lost(String),
}

/// The time for which the lease is surely ours. It counts from *before* the last renewal that worked was sent: others
/// count from after they saw it, so they cannot take the lease before this has ended.
#[derive(Debug)]
pub struct Tenure {
    renewed: Instant,
}

impl Tenure {
    /// Of a lease that was taken by a request sent at `sent`.
    pub fn new(sent: Instant) -> Self {
        Self { renewed: sent }
    }

    /// When to renew it first.
    pub fn first(&self) -> Instant {
        self.renewed + RENEW_INTERVAL
    }

    /// How long a renewal that is sent `now` may take. A machine that slept past the end still asks: when nobody has
    /// written to the lease meanwhile, nobody has held it.
    pub fn patience(&self, now: Instant) -> Duration {
        (self.renewed + LEASE_DURATION).saturating_duration_since(now).clamp(RETRY_DELAY, RENEW_INTERVAL)
    }

    /// Judges the answer to a renewal that was sent at `sent`.
    pub fn judge(&mut self, answer: Answer, sent: Instant, now: Instant) -> Next {
        match answer {
            Answer::Renewed => {
                self.renewed = sent;
                Next::At(sent + RENEW_INTERVAL)
            }
            Answer::Gone(who) => Next::Lost(who),
            // The next attempt would have to end in time too.
            Answer::Silent(why) if now + RETRY_DELAY + RETRY_DELAY > self.renewed + LEASE_DURATION => {
                let age = now.duration_since(self.renewed).as_secs();
                Next::Lost(format!("the lease could not be renewed for {age}s: {why}"))
            }
            Answer::Silent(_) => Next::At(now + RETRY_DELAY),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep_until};

    use super::*;

    fn silent() -> Answer {
        Answer::Silent("connection refused".to_owned())
    }

    /// Renews until the lock is lost; each call ends after `takes` or when patience does.
    async fn lost_after(answers: impl Fn(u32) -> Answer, takes: Duration) -> (Duration, String, u32) {
        let began = Instant::now();
        let mut tenure = Tenure::new(began);
        let mut at = tenure.first();
        for n in 1.. {
            sleep_until(at).await;
            let sent = Instant::now();
            advance(takes.min(tenure.patience(sent))).await;
            match tenure.judge(answers(n), sent, Instant::now()) {
                Next::At(next) => at = next,
                Next::Lost(why) => return (began.elapsed(), why, n),
            }
        }
        unreachable!("the lock is lost at some time")
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_renewed_every_five_seconds_and_lost_when_another_has_it() {
        let answers = |n| if n < 100 { Answer::Renewed } else { Answer::Gone("b holds it".to_owned()) };
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
        let answers = |n| if n == 5 { Answer::Renewed } else { silent() };
        let (after, _, attempts) = lost_after(answers, Duration::from_millis(0)).await;
        // Silent at 5, 6, 7 and 8 s, renewed at 9 s.
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
        assert!(tenure.patience(sent) > Duration::ZERO);
        assert_eq!(tenure.judge(Answer::Renewed, sent, sent), Next::At(sent + RENEW_INTERVAL));
        advance(Duration::from_secs(3600)).await;
        let sent = Instant::now();
        assert!(matches!(tenure.judge(silent(), sent, sent), Next::Lost(_)));
    }
}
