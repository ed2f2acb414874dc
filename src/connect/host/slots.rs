//! Limits how many shells a host may have at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The right to have one shell; returned when dropped.
pub struct ShellSlot(OwnedSemaphorePermit);

/// A semaphore that can shrink for good when a server allows fewer sessions.
pub struct ShellSlots {
    free: Arc<Semaphore>,
    total: AtomicUsize,
}

impl ShellSlots {
    /// Creates a pool of `count` slots.
    pub fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), total: AtomicUsize::new(count) }
    }

    /// Waits for a free slot.
    pub async fn take(&self) -> Option<ShellSlot> {
        self.free.clone().acquire_owned().await.ok().map(ShellSlot)
    }

    /// The number of slots, free or taken.
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// The number of free slots.
    pub fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// Removes a slot for good, unless no other one is in use; returns whether it was removed.
    pub fn retire(&self, slot: ShellSlot) -> bool {
        let only = |all: usize| all.saturating_sub(self.free()) <= 1;
        let less = |all: usize| if only(all) { None } else { Some(all - 1) };
        let gone = self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        if gone {
            slot.0.forget();
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_are_fewer_after_a_refusal_but_never_none() {
        let places = ShellSlots::new(3);
        let (a, b, c) = (places.take().await.unwrap(), places.take().await.unwrap(), places.take().await.unwrap());
        assert!(places.retire(c) && places.retire(b));
        assert_eq!((places.total(), places.free()), (1, 0));
        assert!(!places.retire(a));
        assert_eq!((places.total(), places.free()), (1, 1));
    }
}
