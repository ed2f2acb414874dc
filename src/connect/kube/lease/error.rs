//! Why a run has no lease.

use crate::event::Problem;

/// Why there is no lease.
#[derive(Debug, Clone, PartialEq)]
pub enum LeaseError {
    /// There is no cluster to ask.
    Unreachable(Problem),
    /// The cluster will not, or broke off.
    Refused(Problem),
}
