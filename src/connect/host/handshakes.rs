//! How many connections are made at a time.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sync::lock;

/// Through one sshd: it drops connections at random when more than ten are not logged in yet (MaxStartups 10:30:100).
pub const MAX_PER_SSHD: usize = 8;
/// In all, for each processor of ours: a handshake is some 20 to 140 ms of computing, and a few times that of waiting for
/// the host. Of 50 hosts without a network between, 16 at a time on two processors took as long as 4; 50 took up to half
/// as long again.
const MAX_PER_CPU: usize = 8;
/// However many processors there are.
const MAX_TOTAL: std::ops::RangeInclusive<usize> = 16..=64;

/// Who may connect now.
pub struct Handshakes {
    all: Arc<Semaphore>,
    doors: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Default for Handshakes {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new((MAX_PER_CPU * processors).clamp(*MAX_TOTAL.start(), *MAX_TOTAL.end()))
    }
}

impl Handshakes {
    fn new(all: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), doors: Mutex::default() }
    }

    /// Waits for a turn at each of these doors, see [`super::route::Route`]; it ends when what is given is dropped.
    pub async fn turn(&self, doors: &[String]) -> Vec<OwnedSemaphorePermit> {
        // Each door once, and by everybody in the same order: so nobody waits in a circle. Those of all come last, so
        // that nobody has one who waits at a door.
        let doors: BTreeSet<&String> = doors.iter().collect();
        let mut waited = Vec::new();
        for semaphore in doors.into_iter().map(|door| self.entry_point(door)).chain([self.all.clone()]) {
            // None is ever closed.
            waited.extend(semaphore.acquire_owned().await.ok());
        }
        waited
    }

    fn entry_point(&self, name: &str) -> Arc<Semaphore> {
        let mut doors = lock(&self.doors);
        doors.entry(name.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(MAX_PER_SSHD))).clone()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn doors(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn hosts_behind_one_door_wait_for_each_other_and_nobody_else() {
        let handshakes = Handshakes::default();
        let turn = |names: &[&str]| handshakes.turn(&doors(names)).now_or_never();
        let mut through: Vec<_> = (0..MAX_PER_SSHD).map(|n| turn(&["gate", &n.to_string()]).unwrap()).collect();
        assert!(turn(&["gate"]).is_none() && turn(&["other", "gate"]).is_none());
        assert!(turn(&["other"]).is_some());
        // A host that names it twice is one.
        through.pop();
        assert!(turn(&["gate", "gate"]).is_some());
    }

    #[test]
    fn there_is_a_limit_for_all_and_who_waits_at_a_door_does_not_count() {
        let all = 2 * MAX_PER_SSHD;
        let handshakes = Handshakes::new(all);
        let _through: Vec<_> =
            (0..MAX_PER_SSHD).map(|_| handshakes.turn(&doors(&["gate"])).now_or_never().unwrap()).collect();
        let _waiting: Vec<_> = (0..all)
            .map(|_| {
                let mut turn = Box::pin(async { handshakes.turn(&doors(&["gate"])).await });
                assert!((&mut turn).now_or_never().is_none());
                turn
            })
            .collect();
        let _others: Vec<_> =
            (MAX_PER_SSHD..all).map(|n| handshakes.turn(&doors(&[&n.to_string()])).now_or_never().unwrap()).collect();
        assert!(handshakes.turn(&doors(&["one more"])).now_or_never().is_none());
    }
}
