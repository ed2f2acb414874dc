//! How long a call may take, and who is told of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// What every call carries.
#[derive(Clone)]
pub struct CallContext {
    /// When it must have ended. Implementations bound every wait by it and say what they saw last.
    pub deadline: Instant,
    /// Takes one-line notes on what is seen or done right now; cheap, may drop them.
    pub progress: Arc<dyn Fn(String) + Send + Sync>,
}

impl CallContext {
    /// A call that must end within `timeout` and reports to nobody.
    pub fn silent(timeout: Duration) -> Self {
        Self { deadline: deadline_after(timeout), progress: Arc::new(|_| {}) }
    }

    /// The same with no more than this long to go.
    pub fn at_most(&self, most: Duration) -> Self {
        Self { deadline: self.deadline.min(deadline_after(most)), ..self.clone() }
    }

    /// Time left before the deadline.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// The longest time that is waited for anything.
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// This much later than now; no time is too long for that, whoever named it.
pub fn deadline_after(time: Duration) -> Instant {
    Instant::now() + time.min(LONGEST_WAIT)
}

/// How long the answer to what is asked behind effects is waited for.
pub const FOLLOW_UP_TIMEOUT: Duration = Duration::from_secs(10);
