//! A cluster's objects, by the Kubernetes API.
//!
//! All objects are JSON: kinds are looked up in the API's discovery, so kinds that an earlier step installed work like
//! built-in ones. Knows the inventory's `[kube]`; never what an action wants. One [`Backend`] and one connection pool
//! per run; Helm's backend reads its releases through it.

mod apply;
mod backend;
mod client;
mod discovery;
mod exec;
pub mod lease;
pub mod manifest;
pub mod pods;
mod types;

pub use apply::describe_conflicts;
pub use backend::Backend;
pub use types::{
    Conflict, Effect, EffectResult, Exec, ExecOutcome, FIELD_MANAGER, Fact, KindRef, Object, Objects, Preview, Probe,
    Query,
};
