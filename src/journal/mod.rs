//! What was done, on disk: one append-only file of events a run, and the lock that keeps two runs apart.
//!
//! The world is the state; the journal only remembers what was done, so that a run can go on where another one ended.
//! Knows events; never actions. A folder holds the runs of one plan with one inventory.

mod disk;
mod earlier;
mod file;
mod key;
mod legal;
mod lock;
mod memory;
mod resume;
mod saved;
mod store;
#[cfg(test)]
mod testing;

pub use disk::Disk;
pub use earlier::Earlier;
pub use file::{Journal, JournalError, parse, read};
pub use key::DefinitionKey;
pub use lock::{Lock, LockError};
pub use memory::{Memory, Recorded};
pub use resume::{Case, Decision, NOW, Why, decide};
pub use saved::{SavedError, SavedPlan, SavedUnit};
pub use store::{RunInfo, RunState, Store, new_run_id};
