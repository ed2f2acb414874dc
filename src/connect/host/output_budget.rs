//! A memory budget for answers. Each output is cut by itself, but a request may have very many outputs.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Limit for the answers to one request, on each of its two streams, bytes.
const MAX_PER_REQUEST: usize = 64 << 20;
/// Limit for the answers to all running requests together, bytes.
const MAX_TOTAL: usize = 512 << 20;

static TOTAL: AtomicUsize = AtomicUsize::new(0);

/// The bytes in memory of one stream; returned to the budget when dropped.
#[derive(Default)]
pub struct OutputBudget(usize);

impl OutputBudget {
    /// Counts `bytes` more.
    pub fn add(&mut self, bytes: usize) {
        self.0 = self.0.saturating_add(bytes);
        TOTAL.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The limit that is exceeded, if any, as the end of a sentence `HOST answered …`.
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

impl Drop for OutputBudget {
    fn drop(&mut self) {
        TOTAL.fetch_sub(self.0, Ordering::Relaxed);
    }
}
