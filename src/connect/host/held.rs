//! How much of their answers hosts may make us hold: each output is cut by itself, but a request may have very many.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of the answers to one request, on each of its two streams.
const MAX_PER_REQUEST: usize = 64 << 20;
/// Bytes of the answers to all requests that are under way.
const MAX_TOTAL: usize = 512 << 20;

static TOTAL: AtomicUsize = AtomicUsize::new(0);

/// What is held of one stream; given back when dropped.
#[derive(Default)]
pub struct Held(usize);

impl Held {
    /// Holds more.
    pub fn add(&mut self, bytes: usize) {
        self.0 = self.0.saturating_add(bytes);
        TOTAL.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Which limit is passed, if any is.
    pub fn excess(&self) -> Option<String> {
        let mib = |bytes: usize| format!("{} MiB", bytes >> 20);
        if self.0 > MAX_PER_REQUEST {
            return Some(format!("more than {} to one request, the most that is read", mib(MAX_PER_REQUEST)));
        }
        let too_much = self.0 > 0 && TOTAL.load(Ordering::Relaxed) > MAX_TOTAL;
        too_much
            .then(|| format!("so much that with other hosts it is more than {}, the most that is held", mib(MAX_TOTAL)))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        TOTAL.fetch_sub(self.0, Ordering::Relaxed);
    }
}
