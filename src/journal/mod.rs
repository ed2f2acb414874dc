//! Records on disk what runs have done: one append-only file of events for each run, and a lock that prevents two runs
//! at once.
//!
//! The state is that of the hosts and clusters themselves; the journal only records what was done, so that a run can
//! continue where another one stopped. Depends on events, never on actions. A folder contains the runs of one plan with
//! one inventory.

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
