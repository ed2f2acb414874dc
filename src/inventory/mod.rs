//! The inventory: hosts, groups, variables, and the endpoints of cluster and Vault.
//!
//! Opens no connection. Reads a token or secret only when it is used.

mod access;
mod builder;
mod find;
mod groups;
mod parse;
mod paths;
mod pattern;
mod range;
mod schema;
mod secrets;
#[cfg(test)]
mod tests;
mod token;
mod types;

pub use find::find;
pub use pattern::PatternError;
pub use range::expand_range;
pub use schema::schema;
pub use secrets::{Origin, SecretEntry, SecretKeys, read_secrets};
pub use token::Token;
pub use types::{Access, Connection, Host, Inventory, Kube, Ssh, Vault};

use find::root;
