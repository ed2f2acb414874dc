//! Whether the simulated program is alive. Once it is dead, nothing that it does has an effect.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

#[derive(Clone, Default)]
pub struct Life(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Where the program died.
    ended: Mutex<Option<String>>,
    wake: Notify,
}

impl Life {
    pub fn is_over(&self) -> bool {
        self.0.ended.lock().unwrap().is_some()
    }

    /// Kills the program.
    pub fn end(&self, whereabouts: impl Into<String>) {
        self.0.ended.lock().unwrap().get_or_insert_with(|| whereabouts.into());
        self.0.wake.notify_one();
    }

    /// Waits for the program's death. Returns where it died.
    pub async fn over(&self) -> String {
        while !self.is_over() {
            self.0.wake.notified().await;
        }
        self.0.ended.lock().unwrap().clone().unwrap_or_default()
    }
}
