//! Why a secret cannot be read.

use std::path::Path;

use crate::connect::error::ConnectError;

/// What is wrong with one secret, and what to do about it.
pub struct Refusal {
    pub message: String,
    pub hint: String,
    /// Whether only its source could not be reached.
    pub unreachable: bool,
}

impl Refusal {
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into(), unreachable: false }
    }
}

impl From<ConnectError> for Refusal {
    fn from(error: ConnectError) -> Self {
        let problem = error.problem();
        let hint = problem.hint.unwrap_or_default();
        Self { message: problem.message, hint, unreachable: problem.unreachable }
    }
}

/// That a file cannot be read.
pub fn cannot_read(path: &Path, error: &std::io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}
