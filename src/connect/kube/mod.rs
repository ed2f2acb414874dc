//! Objects of a Kubernetes cluster.
//!
//! All objects are JSON. Kinds are looked up in the API's discovery, so kinds that an earlier step installed work like
//! built-in ones. Knows the inventory's `[kube]`; never what an action wants. Each run has one [`Backend`] with one
//! connection pool; Helm's backend reads its releases through it.

mod apply;
mod backend;
mod client;
mod discovery;
mod exec;
pub mod lease;
pub mod manifest;
pub mod pods;
mod refusal;
mod types;

pub use backend::Backend;
pub use refusal::describe_conflicts;
pub use types::{
    Conflict, Effect, EffectResult, Exec, ExecOutcome, FIELD_MANAGER, Fact, KindRef, Object, Objects, Preview, Probe,
    Query,
};
