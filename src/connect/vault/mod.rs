//! Vault or OpenBao: its HTTP API as data.
//!
//! Reads and writes go to the active node, since standbys may answer from an older state; which node that is is asked for
//! once and again after a failure. Knows the inventory, HTTP and the shared vocabulary; knows no engine's meaning but for
//! [`Effect::SignCsr`], whose private key is made here so that it travels nowhere but into the result.

mod client;
mod nodes;
mod sign;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::{Mutex, OnceCell};

use super::{Call, ConnectError};
use crate::inventory::{Inventory, Vault};
use crate::secret::Secret;

pub use nodes::{Node, State};

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// How every configured node is.
    Health,
    /// What lies at a path: `pki/issuer/default/json`, without `/v1/`.
    Read {
        /// The path.
        path: String,
    },
}

/// An answer.
#[derive(Debug, Clone)]
pub enum Fact {
    /// The nodes, in the inventory's order.
    Health(Vec<Node>),
    /// What lies at the path.
    Found {
        /// The response's `data`.
        data: Data,
        /// When it was asked, by this machine's clock.
        at: Timestamp,
    },
    /// Nothing lies there.
    Absent {
        /// Vault's own words.
        why: String,
    },
}

/// A response's `data`. May hold secrets, so `Debug` shows only the keys.
#[derive(Clone, Default, PartialEq)]
pub struct Data(pub Map<String, Value>);

impl Data {
    /// A string of it.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    /// A list of strings of it; empty when it is not there.
    pub fn texts(&self, key: &str) -> Vec<&str> {
        self.0.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A change.
#[derive(Debug, Clone)]
pub enum Effect {
    /// A `POST`: creates, replaces or calls.
    Write {
        /// Path without `/v1/`.
        path: String,
        /// The JSON object that is sent.
        body: Data,
    },
    /// Makes a key here and has a PKI mount sign a CA certificate for it.
    SignCsr(SignCsr),
}

/// A CA certificate that is asked for. The key is EC P-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignCsr {
    /// The PKI mount whose default issuer signs.
    pub mount: String,
    /// Subject CN.
    pub common_name: String,
    /// Subject O; empty for none.
    pub organization: String,
    /// Lifetime, seconds.
    pub ttl: u64,
    /// How many CAs may stand below this one.
    pub max_path_length: u32,
    /// DNS names as subject alternative names.
    pub dns_names: Vec<String>,
}

/// What came of an [`Effect`].
#[derive(Clone)]
pub enum Done {
    /// The response's `data`; empty where Vault sends none.
    Written(Data),
    /// The certificate.
    Signed {
        /// PEM.
        certificate: String,
        /// PEM of the issuing CA and those above it, as far as the mount knows them.
        chain: Vec<String>,
        /// PEM (PKCS#8).
        key: Secret,
    },
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Written(data) => f.debug_tuple("Written").field(data).finish(),
            Self::Signed { .. } => f.write_str("Signed"),
        }
    }
}

/// The real thing; connects when first asked.
pub struct Backend {
    vault: Vault,
    client: OnceCell<reqwest::Client>,
    active: Mutex<Option<String>>,
}

impl Backend {
    /// For the endpoints of an inventory.
    pub fn new(inventory: &Inventory) -> Self {
        Self { vault: inventory.vault.clone(), client: OnceCell::new(), active: Mutex::new(None) }
    }

    /// Asks one question.
    ///
    /// # Errors
    /// When no node can answer, the token is missing or not enough. An absent path or a node that is down is a fact.
    pub async fn probe(&self, probe: &Probe, call: &Call) -> Result<Fact, ConnectError> {
        match probe {
            Probe::Health => Ok(Fact::Health(self.health(call).await?)),
            Probe::Read { path } => self.read(path, call).await,
        }
    }

    /// Carries out one effect.
    ///
    /// # Errors
    /// [`ConnectError::Lost`] when the connection broke after the request went out.
    pub async fn perform(&self, effect: &Effect, call: &Call) -> Result<Done, ConnectError> {
        match effect {
            Effect::Write { path, body } => Ok(Done::Written(self.write(path, body, call).await?)),
            Effect::SignCsr(request) => self.sign(request, call).await,
        }
    }
}
