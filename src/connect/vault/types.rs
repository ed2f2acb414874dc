//! Probes, facts and effects of Vault.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::secret::Secret;

#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// The health of every configured node.
    Health,
    /// Reads a path such as `pki/issuer/default/json`.
    Read {
        /// The path without `/v1/`.
        path: String,
    },
}

/// The answer to a [`Probe`].
#[derive(Debug, Clone)]
pub enum Fact {
    /// The nodes, in the inventory's order.
    Health(Vec<Node>),
    /// The answer to a read of an existing path.
    Found {
        /// The response's `data`.
        data: Data,
        /// When the path was read, by this machine's clock.
        at: Timestamp,
    },
    /// Nothing is at the path.
    Absent {
        /// Vault's own message.
        why: String,
    },
}

/// A response's `data`. May hold secrets, so `Debug` shows only the keys.
#[derive(Clone, Default, PartialEq)]
pub struct Data(pub Map<String, Value>);

impl Data {
    /// The string at `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    /// The list of strings at `key`; empty when there is none.
    pub fn texts(&self, key: &str) -> Vec<&str> {
        self.0.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[derive(Debug, Clone)]
pub enum Effect {
    /// A `POST` to a path.
    Write {
        /// Path without `/v1/`.
        path: String,
        /// The JSON object to send.
        body: Data,
    },
    /// Generates a private key on this machine and has a PKI mount sign a CA certificate for it.
    SignCsr(SignCsr),
}

/// A request for a CA certificate. The key is EC P-256.
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
    /// How many further CAs may follow in the chain below this one.
    pub max_path_length: u32,
    /// DNS names as subject alternative names.
    pub dns_names: Vec<String>,
}

/// The result of an [`Effect`].
#[derive(Clone)]
pub enum EffectResult {
    /// The response's `data`; empty when Vault sends none.
    Written(Data),
    /// The result of [`Effect::SignCsr`].
    Signed {
        /// PEM.
        certificate: String,
        /// PEM of the issuing CA and the CAs above it, as far as the mount knows them.
        chain: Vec<String>,
        /// The private key, PEM (PKCS#8).
        key: Secret,
    },
}

impl std::fmt::Debug for EffectResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Written(data) => f.debug_tuple("Written").field(data).finish(),
            Self::Signed { .. } => f.write_str("Signed"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The URL from the inventory.
    pub address: String,
    pub state: State,
    /// Vault's version; empty when the node does not report one.
    pub version: String,
}

/// A node's state, by the status of its answer to `sys/health`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Status 200.
    Active,
    /// Status 429: unsealed, ready to take over.
    Standby,
    /// Status 473: a standby that serves reads.
    PerformanceStandby,
    /// Status 472: unsealed, of a disaster recovery secondary.
    RecoverySecondary,
    /// Status 501.
    Uninitialised,
    /// Status 503.
    Sealed,
    /// No answer, and the reason.
    Unreachable(String),
    /// Any other status.
    UnexpectedStatus(u16),
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Active => f.write_str("active"),
            Self::Standby => f.write_str("standby"),
            Self::PerformanceStandby => f.write_str("performance standby"),
            Self::RecoverySecondary => f.write_str("disaster recovery secondary"),
            Self::Uninitialised => f.write_str("not initialised"),
            Self::Sealed => f.write_str("sealed"),
            Self::Unreachable(why) => write!(f, "unreachable: {why}"),
            Self::UnexpectedStatus(status) => write!(f, "answers its health check with HTTP {status}"),
        }
    }
}

impl State {
    pub fn of_status(status: u16) -> Self {
        match status {
            200 => Self::Active,
            429 => Self::Standby,
            472 => Self::RecoverySecondary,
            473 => Self::PerformanceStandby,
            501 => Self::Uninitialised,
            503 => Self::Sealed,
            other => Self::UnexpectedStatus(other),
        }
    }

    /// Whether the node is unsealed and may become active.
    pub fn is_standby(&self) -> bool {
        matches!(self, Self::Standby | Self::PerformanceStandby)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_status_has_its_state() {
        let states = [200, 429, 472, 473, 501, 503, 418].map(|s| State::of_status(s).to_string());
        assert_eq!(
            states,
            [
                "active",
                "standby",
                "disaster recovery secondary",
                "performance standby",
                "not initialised",
                "sealed",
                "answers its health check with HTTP 418"
            ]
        );
    }
}
