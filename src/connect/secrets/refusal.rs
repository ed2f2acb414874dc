//! The error of reading one secret.

use std::path::Path;

use crate::connect::error::ConnectError;

/// Why one secret cannot be read, and what the user can do.
pub struct Refusal {
    pub message: String,
    pub hint: String,
    /// Whether the secret's source could not be reached.
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

pub fn cannot_read(path: &Path, error: &std::io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}
