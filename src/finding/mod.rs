//! Findings: what is wrong with a file of the project, where, and how to mend it.
//!
//! Plans and inventories collect all findings before any is shown. This module renders findings as text and JSON, but
//! prints nothing.

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The plan cannot run.
    Error,
    /// The plan can run, but probably does not do what was intended.
    Warning,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// Stable name of this kind of finding, such as `unknown-action`.
    pub code: &'static str,
    /// What is wrong, including the wrong value: a lower-case fragment.
    pub message: String,
    /// The file and the labelled places in it; the first one is the place of the finding.
    pub place: Option<Location>,
    /// How to mend it.
    pub help: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub source: Arc<Source>,
    /// Byte ranges with their labels; never empty.
    pub labels: Vec<(Span, String)>,
}

impl Finding {
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, message: message.into(), place: None, help: None }
    }

    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Adds a labelled place. The first call sets the place of the finding; later calls add more labels. Places in
    /// another file are ignored.
    #[must_use]
    pub fn at(mut self, source: &Arc<Source>, span: Span, label: impl Into<String>) -> Self {
        let place = self.place.get_or_insert_with(|| Location { source: Arc::clone(source), labels: Vec::new() });
        if Arc::ptr_eq(&place.source, source) || place.source == *source {
            place.labels.push((span, label.into()));
        }
        self
    }

    /// Sets the help: how to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets the help, if there is any.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    pub fn extend(&mut self, others: impl IntoIterator<Item = Finding>) {
        self.0.extend(others);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.0.iter()
    }

    pub fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|f| f.severity == severity).count()
    }

    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Sorted by file and place, without duplicates.
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

    /// Returns `value` with the warnings, unless any finding is an error.
    ///
    /// # Errors
    /// All findings, including warnings.
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
