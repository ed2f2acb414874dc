//! The deadline and the progress callback that every probe and effect carries.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// Deadline and progress callback of one call.
#[derive(Clone)]
pub struct CallContext {
    /// When the call must have ended. Implementations bound every wait by this deadline and report what they saw last.
    pub deadline: Instant,
    /// Takes one-line notes on what the call sees or does at the moment. Cheap; may drop notes.
    pub progress: Arc<dyn Fn(String) + Send + Sync>,
}

impl CallContext {
    /// A call that must end within `timeout` and reports to nobody.
    pub fn silent(timeout: Duration) -> Self {
        Self { deadline: deadline_after(timeout), progress: Arc::new(|_| {}) }
    }

    /// A copy of this context whose deadline is at most `most` from now.
    pub fn at_most(&self, most: Duration) -> Self {
        Self { deadline: self.deadline.min(deadline_after(most)), ..self.clone() }
    }

    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// The longest wait for anything: longer timeouts would overflow the clock.
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// The moment `time` from now. Longer times than [`LONGEST_WAIT`] are cut, so that no user input can overflow the
/// clock.
pub fn deadline_after(time: Duration) -> Instant {
    Instant::now() + time.min(LONGEST_WAIT)
}

/// Timeout for the probes that follow effects in the same request.
pub const FOLLOW_UP_TIMEOUT: Duration = Duration::from_secs(10);
