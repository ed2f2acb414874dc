//! Errors of taking and keeping a lease.

use crate::event::Problem;

/// The lease could not be taken, or not be renewed.
#[derive(Debug, Clone, PartialEq)]
pub enum LeaseError {
    /// The cluster cannot be reached.
    Unreachable(Problem),
    /// The cluster refused the request, or the connection broke.
    Refused(Problem),
}
