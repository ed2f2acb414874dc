//! The shells of one host: how many there may be, those that nobody uses, those that are being ended or were lost.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::connector::Connector;
use super::link::Link;
use super::shared::Shared;
use super::shell::{Identity, Shell};
use super::slots::ShellSlots;
use crate::inventory::Host;
use crate::sync::lock;

/// Shells of one connection: sshd allows ten sessions, some are left for ending what is cancelled.
const MAX_IDLE_SHELLS: u32 = 6;

/// A shell that nobody uses.
pub struct Idle {
    /// Whether it is root's.
    pub as_root: bool,
    /// Its connection, with that one's number.
    pub link: (u64, Link),
    /// The idle shell.
    pub shell: Shell,
}

/// The shells of one host.
pub struct Pool {
    /// What they are started over.
    pub connector: Connector,
    /// How many there may be.
    pub places: ShellSlots,
    /// Shells that were busy when their connection was lost, and whether as root: they may still run.
    pub lost: Mutex<Vec<(Identity, bool)>>,
    /// How many cancelled shells are being ended.
    pub ending: watch::Sender<usize>,
    idle: Mutex<Vec<Idle>>,
}

impl Pool {
    /// No shell is started yet.
    pub fn new(host: Arc<Host>, shared: Arc<Shared>) -> Self {
        let shells = host.access.max_sessions.unwrap_or(MAX_IDLE_SHELLS);
        Self {
            connector: Connector::new(host, shared),
            places: ShellSlots::new(shells as usize),
            lost: Mutex::default(),
            ending: watch::Sender::new(0),
            idle: Mutex::default(),
        }
    }

    /// Keeps a shell for the next request.
    pub fn put(&self, idle: Idle) {
        lock(&self.idle).push(idle);
    }

    /// An idle shell of that user.
    pub fn take(&self, as_root: bool) -> Option<Idle> {
        let mut idle = lock(&self.idle);
        let at = idle.iter().rposition(|i| i.as_root == as_root)?;
        Some(idle.remove(at))
    }

    /// Ends one idle shell; whether there was one.
    pub fn drop_one(&self) -> bool {
        lock(&self.idle).pop().is_some()
    }

    /// Ends idle shells (of the other user) so that one more is not too many.
    pub fn make_room(&self) {
        let mut idle = lock(&self.idle);
        let keep = self.places.free();
        let excess = idle.len().saturating_sub(keep);
        idle.drain(..excess);
    }

    /// Ends all idle shells.
    pub fn clear(&self) {
        lock(&self.idle).clear();
    }

    /// Drops a connection that is of no use any more, and its idle shells.
    pub fn forget(&self, number: u64) {
        self.connector.forget(number);
        lock(&self.idle).retain(|idle| idle.link.0 != number || number == 0);
    }
}
