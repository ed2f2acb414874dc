//! Vault or OpenBao: its HTTP API as data.
//!
//! Reads and writes go to the active node, since standbys may answer from an older state; which node that is is asked for
//! once and again after a failure. Knows the inventory, HTTP and the shared vocabulary; knows no engine's meaning but for
//! [`Effect::SignCsr`], whose private key is made here so that it travels nowhere but into the result.

mod backend;
mod client;
mod nodes;
mod sign;
mod types;

pub use backend::Backend;
pub use types::{Data, Effect, EffectResult, Fact, Node, Probe, SignCsr, State};
