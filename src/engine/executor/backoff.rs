//! Pauses between attempts that grow.

use std::time::Duration;

const FIRST_DELAY: Duration = Duration::from_millis(200);

/// Doubles its delay with each wait, up to a maximum.
pub struct Backoff {
    delay: Duration,
    max: Duration,
}

impl Backoff {
    pub fn new(max: Duration) -> Self {
        Self { delay: FIRST_DELAY, max }
    }

    /// How long the next [`Backoff::wait`] will take.
    pub fn delay(&self) -> Duration {
        self.delay
    }

    pub async fn wait(&mut self) {
        tokio::time::sleep(self.delay).await;
        self.delay = (self.delay * 2).min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn delays_double_up_to_the_maximum() {
        let mut backoff = Backoff::new(Duration::from_millis(700));
        let begun = Instant::now();
        for waited in [200, 600, 1300, 2000] {
            backoff.wait().await;
            assert_eq!(begun.elapsed(), Duration::from_millis(waited));
        }
    }
}
