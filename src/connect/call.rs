//! How long a call may take, and who is told of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// What every call carries.
#[derive(Clone)]
pub struct Call {
    /// When it must have ended. Implementations bound every wait by it and say what they saw last.
    pub deadline: Instant,
    /// Takes one-line notes on what is seen or done right now; cheap, may drop them.
    pub progress: Arc<dyn Fn(String) + Send + Sync>,
}

impl Call {
    /// A call that must end within `timeout` and reports to nobody.
    pub fn quiet(timeout: Duration) -> Self {
        Self { deadline: after(timeout), progress: Arc::new(|_| {}) }
    }

    /// The same with no more than this long to go.
    pub fn within(&self, most: Duration) -> Self {
        Self { deadline: self.deadline.min(after(most)), ..self.clone() }
    }

    /// Time left before the deadline.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// The longest time that is waited for anything.
const FOR_EVER: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// This much later than now; no time is too long for that, whoever named it.
pub fn after(time: Duration) -> Instant {
    Instant::now() + time.min(FOR_EVER)
}

/// How long the answer to what is asked behind effects is waited for.
pub const BEHIND: Duration = Duration::from_secs(10);
