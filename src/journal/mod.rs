//! What was done, on disk: one append-only file of events a run, and the lock that keeps two runs apart.
//!
//! The world is the state; the journal only remembers what was done, so that a run can go on where another one ended.
//! Knows events; never actions. A folder holds the runs of one plan with one inventory.

mod file;
mod lock;
mod resume;
mod store;

pub use file::{Journal, JournalError, read};
pub use lock::{Lock, LockError};
pub use resume::{Decision, Memory, Recorded, State, decide};
pub use store::{RunInfo, RunState, Store, new_run_id};
