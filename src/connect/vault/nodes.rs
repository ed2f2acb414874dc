//! The nodes of a Vault cluster: how each one is, and which one is active.

use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;

use super::Backend;
use crate::connect::http::{bounded_body, why};
use crate::connect::{Call, ConnectError};

/// How long a healthy node may take to say so.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer to it, bytes; they have some hundred.
const HEALTH: usize = 64 * 1024;

/// Between two looks at the nodes while they elect.
const POLL: Duration = Duration::from_millis(250);

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
    Odd(u16),
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
            Self::Odd(status) => write!(f, "answers its health check with HTTP {status}"),
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
            other => Self::Odd(other),
        }
    }

    /// Whether it is unsealed and may become active.
    pub fn is_standby(&self) -> bool {
        matches!(self, Self::Standby | Self::PerformanceStandby)
    }
}

impl Backend {
    pub(super) async fn health(&self, call: &Call) -> Result<Vec<Node>, ConnectError> {
        let client = self.client()?;
        let nodes = self.vault.addresses.iter().map(async |address| {
            let url = format!("{}/v1/sys/health", address.trim_end_matches('/'));
            let answer = client.get(url).timeout(PATIENCE.min(call.left())).send().await;
            let (state, version) = match answer {
                Ok(response) => {
                    let state = State::of_status(response.status().as_u16());
                    let body = bounded_body(response, HEALTH).await.unwrap_or_default();
                    let body: Value = serde_json::from_str(&body).unwrap_or_default();
                    (state, body["version"].as_str().unwrap_or_default().to_owned())
                }
                Err(error) => (State::Unreachable(why(&error)), String::new()),
            };
            Node { address: address.clone(), state, version }
        });
        Ok(join_all(nodes).await)
    }

    /// The active node's address; waits out an election.
    pub(super) async fn active(&self, call: &Call) -> Result<String, ConnectError> {
        let mut known = self.active.lock().await;
        if let Some(address) = &*known {
            return Ok(address.clone());
        }
        loop {
            let nodes = self.health(call).await?;
            if let Some(node) = nodes.iter().find(|n| n.state == State::Active) {
                return Ok(known.insert(node.address.clone()).clone());
            }
            let seen = list(&nodes);
            if !nodes.iter().any(|n| n.state.is_standby()) || call.left() < POLL {
                let message = format!("no active Vault node: {seen}");
                return Err(ConnectError::unreachable(message).hint(self.advice(&nodes)));
            }
            (call.progress)(format!("no Vault node is active yet: {seen}"));
            tokio::time::sleep(POLL).await;
        }
    }

    /// Has the active node looked for again, unless another caller has found a new one meanwhile.
    pub(super) async fn forget(&self, address: &str) {
        let mut known = self.active.lock().await;
        if known.as_deref() == Some(address) {
            *known = None;
        }
    }

    fn advice(&self, nodes: &[Node]) -> String {
        let first = |wanted: fn(&State) -> bool| nodes.iter().find(|n| wanted(&n.state)).map(|n| n.address.as_str());
        if let Some(address) = first(|s| *s == State::Sealed) {
            return format!("unseal it: vault operator unseal -address={address}");
        }
        if let Some(address) = first(|s| *s == State::Uninitialised) {
            return format!("initialise it: vault operator init -address={address}");
        }
        if nodes.iter().any(|n| matches!(&n.state, State::Unreachable(why) if why.contains("certificate"))) {
            return match &self.vault.ca_cert {
                Some(path) => {
                    format!("[vault] ca_cert = {} must be the CA that signed the API's certificate", path.display())
                }
                None => "name the CA that signed the API's certificate: [vault] ca_cert in the inventory".to_owned(),
            };
        }
        "check [vault] addresses in the inventory, and that Vault runs and can be reached from here".to_owned()
    }
}

fn list(nodes: &[Node]) -> String {
    nodes.iter().map(|n| format!("{} {}", n.address, n.state)).collect::<Vec<_>>().join(", ")
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
