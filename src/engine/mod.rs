//! Runs the graph: a dispatcher that owns all state of a run, and an executor that runs one unit.
//!
//! Everything that happens leaves as an event; the engine prints nothing. A preview is the same walk with the same
//! probes and verdicts, minus the effects.

mod dispatcher;
mod emitter;
mod executor;
mod marks;
mod outcome;
mod values;

pub use dispatcher::{Engine, EngineError, Options, Report};
pub use values::Values;

#[cfg(test)]
mod tests;
