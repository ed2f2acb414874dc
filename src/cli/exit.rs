//! The program's exit codes; they are documented and stable.

use std::process::ExitCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The work is done, or there was nothing to do.
    Ok = 0,
    /// A step failed.
    Failed = 1,
    /// Bad usage, plan or inventory.
    Usage = 2,
    /// Changes are pending (`plan --detailed-exit-code`).
    Pending = 3,
    /// A host or an API could not be reached at all.
    Unreachable = 4,
    /// Another run holds the lock.
    Locked = 5,
    /// A signal stopped the run.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
