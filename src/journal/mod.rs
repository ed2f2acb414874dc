//! What was done, on disk: one append-only file of events a run, and the lock that keeps two runs apart.
//!
//! The world is the state; the journal only remembers what was done, so that a run can go on where another one ended.
//! Knows events; never actions. A folder holds the runs of one plan with one inventory.

mod disk;
mod event_order;
mod file;
mod history;
mod key;
mod lock;
mod previous_run;
mod resume;
mod saved;
mod store;
#[cfg(test)]
mod testing;

pub use disk::Disk;
pub use file::{Journal, JournalError, parse, read};
pub use history::{RunHistory, UnitRecord};
pub use key::DefinitionKey;
pub use lock::{Lock, LockError};
pub use previous_run::PreviousRun;
pub use resume::{Case, Decision, Reason, THIS_RUN, decide};
pub use saved::{SavedError, SavedPlan, SavedUnit};
pub use store::{RunInfo, RunState, Store, new_run_id};
