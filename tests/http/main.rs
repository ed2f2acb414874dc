//! HTTP and Vault failover, against scripted servers.
#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

mod requests;
mod scripted;
mod vault_nodes;
