//! Why something failed, for people.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::excerpt;

/// Why something failed, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// What happened and what was seen: a lower-case fragment.
    pub message: String,
    /// What to do about the problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether the host or API could not be reached at all (exit code 4).
    #[serde(default)]
    pub unreachable: bool,
    /// Whether the problem is a panic of this program. The unit's effect is then unknown.
    #[serde(skip)]
    pub defect: bool,
}

impl Problem {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// Prefixes the message with the part of a step that has the problem, such as a parameter.
    #[must_use]
    pub fn within(mut self, part: &str) -> Self {
        if !part.is_empty() {
            self.message = format!("{part}: {}", self.message);
        }
        self
    }

    /// Sets the hint: what to do about the problem.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The problem for display: control characters escaped, secrets masked, and long texts shortened.
    #[must_use]
    pub fn redacted(mut self) -> Self {
        let shown = |text: &str| excerpt::shorten(&crate::secret::shown(text)).into_owned();
        self.message = shown(&self.message);
        self.hint = self.hint.map(|hint| shown(&hint));
        self
    }
}
