//! Health of the nodes of a Vault cluster, and the search for the active node.

use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;

use super::backend::Backend;
use super::types::{Node, State};
use crate::connect::http::{bounded_body, reason};
use crate::connect::{CallContext, ConnectError};

/// Timeout of one node's health check.
const NODE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longer answers to a health check are cut, bytes; real ones have some hundred.
const MAX_HEALTH_BYTES: usize = 64 * 1024;

/// Pause between two health checks while the nodes elect a leader.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

impl Backend {
    pub(super) async fn health(&self, call: &CallContext) -> Result<Vec<Node>, ConnectError> {
        let client = self.client()?;
        let nodes = self.vault.addresses.iter().map(async |address| {
            let url = format!("{}/v1/sys/health", address.trim_end_matches('/'));
            let answer = client.get(url).timeout(NODE_TIMEOUT.min(call.remaining())).send().await;
            let (state, version) = match answer {
                Ok(response) => {
                    let state = State::of_status(response.status().as_u16());
                    let body = bounded_body(response, MAX_HEALTH_BYTES).await.unwrap_or_default();
                    let body: Value = serde_json::from_str(&body).unwrap_or_default();
                    (state, body["version"].as_str().unwrap_or_default().to_owned())
                }
                Err(error) => (State::Unreachable(reason(&error)), String::new()),
            };
            Node { address: address.clone(), state, version }
        });
        Ok(join_all(nodes).await)
    }

    /// The address of the active node, from the cache or by health checks. Waits while an election is under way.
    pub(super) async fn active_node(&self, call: &CallContext) -> Result<String, ConnectError> {
        let mut known = self.active.lock().await;
        if let Some(address) = &*known {
            return Ok(address.clone());
        }
        loop {
            let nodes = self.health(call).await?;
            if let Some(node) = nodes.iter().find(|n| n.state == State::Active) {
                return Ok(known.insert(node.address.clone()).clone());
            }
            let states = describe(&nodes);
            if !nodes.iter().any(|n| n.state.is_standby()) || call.remaining() < POLL_INTERVAL {
                let message = format!("no active Vault node: {states}");
                return Err(ConnectError::unreachable(message).hint(self.hint(&nodes)));
            }
            (call.progress)(format!("no Vault node is active yet: {states}"));
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Clears the cached active node if that is `address`: another caller may have found a new one meanwhile.
    pub(super) async fn forget_active(&self, address: &str) {
        let mut known = self.active.lock().await;
        if known.as_deref() == Some(address) {
            *known = None;
        }
    }

    fn hint(&self, nodes: &[Node]) -> String {
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

fn describe(nodes: &[Node]) -> String {
    nodes.iter().map(|n| format!("{} {}", n.address, n.state)).collect::<Vec<_>>().join(", ")
}
