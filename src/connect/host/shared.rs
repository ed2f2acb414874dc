//! What all hosts of an inventory share: how ssh connects, and the limits of that.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use tempfile::TempDir;

use super::config::Config;
use super::handshakes::{Handshakes, MAX_PER_SSHD};
use super::persistent::{self, PersistentMaster};
use super::{master, route};
use crate::connect::ConnectError;
use crate::inventory::{Connection, Host, Inventory, Ssh};
use crate::secret::Secret;
use crate::sync::lock;

/// What all hosts share.
pub struct Shared {
    ssh: Ssh,
    /// Whether there are so many hosts that too many of them could be behind one door.
    crowded: bool,
    handshakes: Handshakes,
    /// ssh's configuration, if it is understood.
    config: OnceLock<Option<Config>>,
    folder: Mutex<Option<Arc<TempDir>>>,
    /// Where connections are kept, when it is not where the environment says.
    kept: Option<PathBuf>,
    /// Sudo's passwords, by the secrets' names.
    passwords: OnceLock<BTreeMap<String, Secret>>,
}

impl Shared {
    /// Nothing is made before it is needed.
    pub fn new(inventory: &Inventory, kept: Option<PathBuf>) -> Self {
        Self {
            ssh: inventory.ssh.clone(),
            crowded: inventory.hosts.iter().filter(|h| h.connection == Connection::Ssh).count() > MAX_PER_SSHD,
            handshakes: Handshakes::default(),
            config: OnceLock::new(),
            folder: Mutex::default(),
            kept,
            passwords: OnceLock::new(),
        }
    }

    /// Sudo's passwords, by the secrets' names; the first ones that are given count.
    pub fn know(&self, passwords: BTreeMap<String, Secret>) {
        let _ = self.passwords.set(passwords);
    }

    fn folder(&self) -> Result<Arc<TempDir>, ConnectError> {
        let mut folder = lock(&self.folder);
        if let Some(folder) = &*folder {
            return Ok(folder.clone());
        }
        let made = master::control_folder()
            .map_err(|e| ConnectError::unreachable(format!("no folder for the ssh control socket: {e}")))?;
        Ok(folder.insert(Arc::new(made)).clone())
    }

    /// The value of a secret that is a password.
    pub fn password(&self, secret: &str) -> Option<&Secret> {
        self.passwords.get()?.get(secret)
    }

    /// Connects to a host. `trust`: a connection that an earlier run kept may do.
    pub async fn connect(&self, host: &Host, trust: bool) -> Result<PersistentMaster, ConnectError> {
        let kept = self.ssh.control_persist;
        let route = if self.crowded || kept.is_some() {
            let config = self.config.get_or_init(|| Config::read(&self.ssh));
            route::find(host, &self.ssh, config.as_ref()).await
        } else {
            None
        };
        let doors = route.as_ref().map(|route| route.doors.clone()).unwrap_or_default();
        let turn = self.handshakes.turn(&doors);
        if let (Some(idle), Some(route)) = (kept, route) {
            let folder = self.kept.clone().map_or_else(persistent::folder, Ok)?;
            return persistent::connect(host, &self.ssh, &folder, (idle, &route.digest), trust, turn).await;
        }
        let folder = self.folder()?;
        let _turn = turn.await;
        let session = master::connect(host, &self.ssh, folder.path(), None).await?;
        Ok(PersistentMaster { session, reused: false })
    }
}
