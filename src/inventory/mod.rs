//! Hosts, groups, variables and endpoints: where a plan runs.
//!
//! Knows the shared vocabulary only.

mod types;

pub use types::{Connection, Host, Inventory, Kube, Ssh, Vault};
