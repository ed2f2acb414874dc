//! The shells of one host: their number, the idle ones, and those being ended or lost.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::connector::Connector;
use super::link::Link;
use super::shared::Shared;
use super::shell::{Identity, Shell};
use super::slots::ShellSlots;
use crate::inventory::Host;
use crate::sync::lock;

/// Shells per connection: sshd allows ten sessions by default, and some are needed for ending cancelled commands.
const MAX_IDLE_SHELLS: u32 = 6;

pub struct Idle {
    /// Whether the shell runs as root.
    pub as_root: bool,
    /// The shell's connection and its number.
    pub link: (u64, Link),
    pub shell: Shell,
}

/// The shells of one host.
pub struct Pool {
    /// Opens the connection that shells are started on.
    pub connector: Connector,
    /// Limits the number of shells.
    pub slots: ShellSlots,
    /// Shells that were busy when their connection was lost, and whether as root: their commands may still be running.
    pub lost: Mutex<Vec<(Identity, bool)>>,
    /// The number of cancelled shells that are being ended.
    pub ending: watch::Sender<usize>,
    idle: Mutex<Vec<Idle>>,
}

impl Pool {
    /// Starts no shell yet.
    pub fn new(host: Arc<Host>, shared: Arc<Shared>) -> Self {
        let shells = host.access.max_sessions.unwrap_or(MAX_IDLE_SHELLS);
        Self {
            connector: Connector::new(host, shared),
            slots: ShellSlots::new(shells as usize),
            lost: Mutex::default(),
            ending: watch::Sender::new(0),
            idle: Mutex::default(),
        }
    }

    pub fn put(&self, idle: Idle) {
        lock(&self.idle).push(idle);
    }

    /// Takes out an idle shell that runs as root, or as the login user.
    pub fn take(&self, as_root: bool) -> Option<Idle> {
        let mut idle = lock(&self.idle);
        let at = idle.iter().rposition(|i| i.as_root == as_root)?;
        Some(idle.remove(at))
    }

    /// Ends one idle shell; returns whether there was one.
    pub fn drop_one(&self) -> bool {
        lock(&self.idle).pop().is_some()
    }

    /// Ends idle shells, which belong to the other user, so that one more shell fits.
    pub fn make_room(&self) {
        let mut idle = lock(&self.idle);
        let keep = self.slots.free();
        let excess = idle.len().saturating_sub(keep);
        idle.drain(..excess);
    }

    pub fn clear(&self) {
        lock(&self.idle).clear();
    }

    /// Drops a broken connection and its idle shells.
    pub fn forget(&self, number: u64) {
        self.connector.forget(number);
        lock(&self.idle).retain(|idle| idle.link.0 != number || number == 0);
    }
}
