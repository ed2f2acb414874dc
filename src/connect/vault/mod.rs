//! Vault or OpenBao over its HTTP API.
//!
//! Reads and writes go to the active node, since standbys may answer from an older state. The active node is looked up
//! once, and again after a failure. The only operation that knows a secrets engine is [`Effect::SignCsr`]: its private
//! key is generated here, so that the key travels nowhere but into the result.

mod backend;
mod client;
mod nodes;
mod sign;
mod types;

pub use backend::Backend;
pub use types::{Data, Effect, EffectResult, Fact, Node, Probe, SignCsr, State};
