//! What is sent to a shell of a host.

use std::time::Duration;

use super::frame::When;
use super::payload::Content;

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It changes nothing, and may be repeated.
    Look,
    /// It may have taken effect when it is cut off.
    Change,
}

/// Scripts, and the standard input of the only one when it is large.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The scripts.
    pub parts: Vec<String>,
    /// How long each may take; empty when there is only the call's deadline.
    pub within: Vec<Duration>,
    /// Scripts that only look, behind the others; they may go unanswered.
    pub behind: Vec<(String, When)>,
    /// Sent as it is after the scripts.
    pub payload: Option<Content>,
    /// Whether what is printed is worth showing while it runs.
    pub live: bool,
}
