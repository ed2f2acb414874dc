//! One request to a shell of a host, before it is framed.

use std::time::Duration;

use super::frame::When;
use super::payload::Content;

/// Whether a call may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The call changes nothing and may be repeated.
    ReadOnly,
    /// The call may have taken effect even if it is cut off.
    Change,
}

/// Scripts, and the standard input of a single script when that is large.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The required scripts.
    pub parts: Vec<String>,
    /// Timeout of each script; empty when only the call's deadline applies.
    pub timeouts: Vec<Duration>,
    /// Read-only scripts after the required ones; they may go unanswered.
    pub follow_ups: Vec<(String, When)>,
    /// Sent unencoded after the scripts.
    pub payload: Option<Content>,
    /// Whether printed lines are shown as progress while the scripts run.
    pub shows_output: bool,
}
