//! The state of a run, one component a file. A component keeps its fields to itself, and knows no journal, task or clock.

pub mod approval;
pub mod claims;
pub mod failure_limits;
pub mod handlers;
pub mod outputs;
pub mod renderer;
pub mod resume;
pub mod rollback;
pub mod scheduler;
pub mod upstream;

#[cfg(test)]
mod testing;
