//! HTTP and Vault's failover, against servers that do what a test tells them.
#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

mod requests;
mod scripted;
mod vault_nodes;
