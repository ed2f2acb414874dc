//! What is wrong with a file of the project: where, what, and what to do about it.
//!
//! Plan and inventory collect all findings before anybody sees the first one. Knows nothing else of the crate; prints
//! nothing, but says how a finding looks.

mod cycle;
mod render;
mod similar;
mod source;

use std::sync::Arc;

use serde::Serialize;

pub use cycle::{cycles, topological_order};
pub use render::Style;
pub use similar::{did_you_mean, listed};
pub use source::{Source, Span, Spanned};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The plan cannot run.
    Error,
    /// It can, but is probably not what was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Stable name of this sort of finding, such as `unknown-action`.
    pub code: &'static str,
    /// What is wrong, with the value that is: a lower-case fragment.
    pub message: String,
    /// The file, and the places in it with a label each; the first one is what it is about.
    pub place: Option<Location>,
    /// What to do about it.
    pub help: Option<String>,
}

/// Where a finding is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub source: Arc<Source>,
    /// Bytes of it and what to say about them; never empty.
    pub labels: Vec<(Span, String)>,
}

impl Finding {
    /// Something that keeps the plan from running.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, message: message.into(), place: None, help: None }
    }

    /// Something that is probably not meant.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Marks a place. The first call says where the finding is, further ones add to the excerpt.
    #[must_use]
    pub fn at(mut self, source: &Arc<Source>, span: Span, label: impl Into<String>) -> Self {
        let place = self.place.get_or_insert_with(|| Location { source: Arc::clone(source), labels: Vec::new() });
        if Arc::ptr_eq(&place.source, source) || place.source == *source {
            place.labels.push((span, label.into()));
        }
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds what to do about it, when there is something to say.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }
}

/// All that is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    /// Adds others.
    pub fn extend(&mut self, others: impl IntoIterator<Item = Finding>) {
        self.0.extend(others);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.0.iter()
    }

    /// How many are of that severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|f| f.severity == severity).count()
    }

    /// Whether any keeps the plan from running.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// By file and place, each once.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        let key = |f: &Finding| {
            let place = f.place.as_ref();
            (place.map(|p| p.source.path.clone()), place.and_then(|p| p.labels.first()).map(|(span, _)| span.start))
        };
        self.0.sort_by_key(key);
        self.0.dedup();
        self
    }

    /// `value`, or the findings when any of them is an error.
    ///
    /// # Errors
    /// All findings, warnings too.
    pub fn or<T>(self, value: T) -> Result<(T, Self), Self> {
        if self.has_errors() { Err(self.sorted()) } else { Ok((value, self.sorted())) }
    }
}

impl From<Finding> for Findings {
    fn from(finding: Finding) -> Self {
        Self(vec![finding])
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
