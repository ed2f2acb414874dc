//! What can be asked of Vault and done there, as data.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::secret::Secret;

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
pub enum EffectResult {
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

impl std::fmt::Debug for EffectResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Written(data) => f.debug_tuple("Written").field(data).finish(),
            Self::Signed { .. } => f.write_str("Signed"),
        }
    }
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// As in the inventory.
    pub address: String,
    /// How it is.
    pub state: State,
    /// Version, where it says so.
    pub version: String,
}

/// How a node is, by its answer to `sys/health`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// 200.
    Active,
    /// 429: unsealed, ready to take over.
    Standby,
    /// 473: a standby that serves reads.
    PerformanceStandby,
    /// 472: unsealed, of a disaster recovery secondary.
    RecoverySecondary,
    /// 501.
    Uninitialised,
    /// 503.
    Sealed,
    /// No answer: why.
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
    /// The state that a status of `sys/health` stands for.
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

    /// Whether it is unsealed and may become active.
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
