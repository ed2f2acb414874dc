//! State that all hosts of an inventory share: ssh's configuration, connection limits, sudo passwords.

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

/// Shared by all hosts of an inventory.
pub struct Shared {
    ssh: Ssh,
    /// Whether the inventory has enough ssh hosts to exceed the limit of one sshd, should they share one.
    may_exceed_sshd_limit: bool,
    handshakes: Handshakes,
    /// ssh's configuration; the inner `None`: it could not be parsed.
    config: OnceLock<Option<Config>>,
    folder: Mutex<Option<Arc<TempDir>>>,
    /// Overrides the folder for persistent connections, for tests.
    persistent_folder: Option<PathBuf>,
    /// Sudo passwords, by the names of their secrets.
    passwords: OnceLock<BTreeMap<String, Secret>>,
}

impl Shared {
    /// Creates no files and reads no configuration before the first connection.
    pub fn new(inventory: &Inventory, persistent_folder: Option<PathBuf>) -> Self {
        Self {
            ssh: inventory.ssh.clone(),
            may_exceed_sshd_limit: inventory.hosts.iter().filter(|h| h.connection == Connection::Ssh).count()
                > MAX_PER_SSHD,
            handshakes: Handshakes::default(),
            config: OnceLock::new(),
            folder: Mutex::default(),
            persistent_folder,
            passwords: OnceLock::new(),
        }
    }

    /// Sets the sudo passwords, by the names of their secrets. Later calls are ignored.
    pub fn set_sudo_passwords(&self, passwords: BTreeMap<String, Secret>) {
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

    /// The sudo password held by the secret of this name.
    pub fn password(&self, secret: &str) -> Option<&Secret> {
        self.passwords.get()?.get(secret)
    }

    /// Connects to a host. `reuse`: whether a persistent connection of an earlier run may be taken over.
    pub async fn connect(&self, host: &Host, reuse: bool) -> Result<PersistentMaster, ConnectError> {
        let idle_timeout = self.ssh.control_persist;
        let route = if self.may_exceed_sshd_limit || idle_timeout.is_some() {
            let config = self.config.get_or_init(|| Config::read(&self.ssh));
            route::find(host, &self.ssh, config.as_ref()).await
        } else {
            None
        };
        let entry_points = route.as_ref().map(|route| route.entry_points.clone()).unwrap_or_default();
        let permit = self.handshakes.acquire(&entry_points);
        if let (Some(idle), Some(route)) = (idle_timeout, route) {
            let folder = self.persistent_folder.clone().map_or_else(persistent::folder, Ok)?;
            return persistent::connect(host, &self.ssh, &folder, (idle, &route.digest), reuse, permit).await;
        }
        let folder = self.folder()?;
        let _turn = permit.await;
        let session = master::connect(host, &self.ssh, folder.path(), None).await?;
        Ok(PersistentMaster { session, reused: false })
    }
}
