//! How much of their answers hosts may make us hold: each output is cut by itself, but a request may have very many.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of the answers to one request, on each of its two streams.
const OF_REQUEST: usize = 64 << 20;
/// Bytes of the answers to all requests that are under way.
const OF_ALL: usize = 512 << 20;

static ALL: AtomicUsize = AtomicUsize::new(0);

/// What is held of one stream; given back when dropped.
#[derive(Default)]
pub struct Held(usize);

impl Held {
    /// Holds more.
    pub fn add(&mut self, bytes: usize) {
        self.0 = self.0.saturating_add(bytes);
        ALL.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Which limit is passed, if any is.
    pub fn excess(&self) -> Option<String> {
        let mib = |bytes: usize| format!("{} MiB", bytes >> 20);
        if self.0 > OF_REQUEST {
            return Some(format!("more than {} to one request, the most that is read", mib(OF_REQUEST)));
        }
        let too_much = self.0 > 0 && ALL.load(Ordering::Relaxed) > OF_ALL;
        too_much
            .then(|| format!("so much that with other hosts it is more than {}, the most that is held", mib(OF_ALL)))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        ALL.fetch_sub(self.0, Ordering::Relaxed);
    }
}
