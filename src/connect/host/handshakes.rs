//! Limits how many ssh connections are made at a time.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sync::lock;

/// Limit for one sshd, which by default drops connections at random when more than ten are not logged in yet
/// (MaxStartups 10:30:100).
pub const MAX_PER_SSHD: usize = 8;
/// Limit for all servers together, per processor of this machine. A handshake takes some 20 to 140 ms of computing, and
/// a few times that of waiting for the host. Measured with 50 hosts and no network between on two processors: 16 at a
/// time took as long as 4; 50 took up to half as long again.
const MAX_PER_CPU: usize = 8;
/// Bounds of the limit for all servers, whatever the number of processors.
const MAX_TOTAL: std::ops::RangeInclusive<usize> = 16..=64;

/// The permits for making connections.
pub struct Handshakes {
    all: Arc<Semaphore>,
    per_entry_point: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Default for Handshakes {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new((MAX_PER_CPU * processors).clamp(*MAX_TOTAL.start(), *MAX_TOTAL.end()))
    }
}

impl Handshakes {
    fn new(all: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), per_entry_point: Mutex::default() }
    }

    /// Waits for a permit of each entry point (see [`super::route::Route`]) and of the total. Dropping the result
    /// returns the permits.
    pub async fn acquire(&self, entry_points: &[String]) -> Vec<OwnedSemaphorePermit> {
        // Entry points are deduplicated and taken in sorted order, so that two callers cannot deadlock. The total comes
        // last, so that callers waiting for an entry point hold none of it.
        let entry_points: BTreeSet<&String> = entry_points.iter().collect();
        let mut waited = Vec::new();
        for semaphore in
            entry_points.into_iter().map(|entry_point| self.entry_point(entry_point)).chain([self.all.clone()])
        {
            // These semaphores are never closed.
            waited.extend(semaphore.acquire_owned().await.ok());
        }
        waited
    }

    fn entry_point(&self, name: &str) -> Arc<Semaphore> {
        let mut semaphores = lock(&self.per_entry_point);
        semaphores.entry(name.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(MAX_PER_SSHD))).clone()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn entry_points(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn hosts_behind_one_entry_point_wait_for_each_other_and_nobody_else() {
        let handshakes = Handshakes::default();
        let acquire = |names: &[&str]| handshakes.acquire(&entry_points(names)).now_or_never();
        let mut through: Vec<_> = (0..MAX_PER_SSHD).map(|n| acquire(&["gate", &n.to_string()]).unwrap()).collect();
        assert!(acquire(&["gate"]).is_none() && acquire(&["other", "gate"]).is_none());
        assert!(acquire(&["other"]).is_some());
        // A host that names the entry point twice needs one permit.
        through.pop();
        assert!(acquire(&["gate", "gate"]).is_some());
    }

    #[test]
    fn there_is_a_limit_for_all_and_callers_waiting_for_an_entry_point_do_not_count() {
        let all = 2 * MAX_PER_SSHD;
        let handshakes = Handshakes::new(all);
        let _through: Vec<_> =
            (0..MAX_PER_SSHD).map(|_| handshakes.acquire(&entry_points(&["gate"])).now_or_never().unwrap()).collect();
        let _waiting: Vec<_> = (0..all)
            .map(|_| {
                let mut waiting = Box::pin(async { handshakes.acquire(&entry_points(&["gate"])).await });
                assert!((&mut waiting).now_or_never().is_none());
                waiting
            })
            .collect();
        let _others: Vec<_> = (MAX_PER_SSHD..all)
            .map(|n| handshakes.acquire(&entry_points(&[&n.to_string()])).now_or_never().unwrap())
            .collect();
        assert!(handshakes.acquire(&entry_points(&["one more"])).now_or_never().is_none());
    }
}
