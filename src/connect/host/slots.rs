//! How many shells a host may have at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The right to have a shell; given back when dropped.
pub struct ShellSlot(OwnedSemaphorePermit);

/// As many as there may be shells in use.
pub struct ShellSlots {
    free: Arc<Semaphore>,
    all: AtomicUsize,
}

impl ShellSlots {
    /// So many.
    pub fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), all: AtomicUsize::new(count) }
    }

    /// Waits for one.
    pub async fn take(&self) -> Option<ShellSlot> {
        self.free.clone().acquire_owned().await.ok().map(ShellSlot)
    }

    /// How many there are.
    pub fn all(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    /// How many are not taken.
    pub fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// Takes one away for good, unless it is the only one in use; whether it did.
    pub fn give_up(&self, place: ShellSlot) -> bool {
        let only = |all: usize| all.saturating_sub(self.free()) <= 1;
        let less = |all: usize| if only(all) { None } else { Some(all - 1) };
        let gone = self.all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        if gone {
            place.0.forget();
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
        assert!(places.give_up(c) && places.give_up(b));
        assert_eq!((places.all(), places.free()), (1, 0));
        assert!(!places.give_up(a));
        assert_eq!((places.all(), places.free()), (1, 1));
    }
}
