//! What can go wrong between us and the world, by what we know afterwards.

use crate::event::Problem;

/// An error of a probe or an effect. Messages are lower-case fragments that fit after "failed to …: ".
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// No connection could be made: nothing was sent, nothing has changed.
    #[error("{message}")]
    Unreachable {
        /// Who could not be reached, and why.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The other side answered that it will not or can not: nothing has changed beyond what `message` says.
    #[error("{message}")]
    Failed {
        /// What was asked and what was answered, with the last lines of output.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The connection or the time ran out in the middle: whether an effect took place is not known.
    #[error("{message}")]
    Lost {
        /// What was under way and what was seen last.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// This program panicked in the middle: whether an effect took place is not known, and it is not tried again.
    #[error("{message}")]
    Defect {
        /// The panic.
        message: String,
        /// That it should be reported.
        hint: Option<String>,
    },
}

impl ConnectError {
    /// The other side said no.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: None }
    }

    /// Nobody there.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::Unreachable { message: message.into(), hint: None }
    }

    /// Cut off in the middle.
    pub fn lost(message: impl Into<String>) -> Self {
        Self::Lost { message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        let (Self::Unreachable { hint, .. }
        | Self::Failed { hint, .. }
        | Self::Lost { hint, .. }
        | Self::Defect { hint, .. }) = &mut self;
        *hint = Some(text.into());
        self
    }

    /// The error as a person reads it.
    pub fn problem(self) -> Problem {
        let (unreachable, defect) = (matches!(self, Self::Unreachable { .. }), matches!(self, Self::Defect { .. }));
        let (Self::Unreachable { message, hint }
        | Self::Failed { message, hint }
        | Self::Lost { message, hint }
        | Self::Defect { message, hint }) = self;
        Problem { message, hint, unreachable, defect }.redacted()
    }
}
