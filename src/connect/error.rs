//! Errors of probes and effects, by what is known afterwards about the state of the other side.

use crate::event::Problem;

/// An error of a probe or an effect. Messages are lower-case fragments that fit after "failed to …: ".
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// No connection could be made: nothing was sent, nothing has changed.
    #[error("{message}")]
    Unreachable {
        /// Which host or server could not be reached, and why.
        message: String,
        /// What the user can do about the error.
        hint: Option<String>,
    },
    /// The other side refused: nothing has changed beyond what `message` says.
    #[error("{message}")]
    Failed {
        /// The request and the answer, with the last lines of output.
        message: String,
        /// What the user can do about the error.
        hint: Option<String>,
    },
    /// The connection broke or the deadline passed in the middle: the effect may or may not have taken place.
    #[error("{message}")]
    Lost {
        /// What was running, and the last output seen.
        message: String,
        /// What the user can do about the error.
        hint: Option<String>,
    },
    /// This program panicked in the middle: the effect may or may not have taken place, and is not retried.
    #[error("{message}")]
    Defect {
        /// The panic's message.
        message: String,
        /// Asks the user to report the defect.
        hint: Option<String>,
    },
}

impl ConnectError {
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: None }
    }

    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::Unreachable { message: message.into(), hint: None }
    }

    pub fn lost(message: impl Into<String>) -> Self {
        Self::Lost { message: message.into(), hint: None }
    }

    /// Sets the hint: what the user can do about the error.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        let (Self::Unreachable { hint, .. }
        | Self::Failed { hint, .. }
        | Self::Lost { hint, .. }
        | Self::Defect { hint, .. }) = &mut self;
        *hint = Some(text.into());
        self
    }

    /// The error as shown to the user, with secrets masked.
    pub fn problem(self) -> Problem {
        let (unreachable, defect) = (matches!(self, Self::Unreachable { .. }), matches!(self, Self::Defect { .. }));
        let (Self::Unreachable { message, hint }
        | Self::Failed { message, hint }
        | Self::Lost { message, hint }
        | Self::Defect { message, hint }) = self;
        Problem { message, hint, unreachable, defect }.redacted()
    }
}
