//! YAML as the tools read it that it is written for: kubectl and helm. One reader for the whole program.
//!
//! [`granit_parser`] takes the text apart; what the parts mean is decided here, by the rules of go-yaml ([`scalar`]).
//! Errors say where and what kind of fault; none shows a part of the text where that holds a secret.

mod limits;
mod scalar;
mod tree;
mod write;

use std::fmt;

use serde_json::Value;

pub use limits::{DEEPEST, MOST_BYTES, MOST_VALUES};
pub use write::to_string;

/// What a key that stands twice in one table means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeated {
    /// A mistake.
    Refuse,
    /// The last one counts, as in all that helm reads.
    LastWins,
}

/// One document of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it holds.
    pub value: Value,
    /// The line that its content starts in, from 1.
    pub line: usize,
}

/// Why a text is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, without the place.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for Error {}

/// All documents of a text; one without content is null.
///
/// # Errors
/// The first fault.
pub fn documents(text: &str, repeated: Repeated) -> Result<Vec<Document>, Error> {
    tree::documents(text, repeated)
}

/// The one document of a text; null when there is none. More documents are a mistake unless they are empty.
///
/// # Errors
/// The first fault.
pub fn from_str(text: &str, repeated: Repeated) -> Result<Value, Error> {
    let mut documents = documents(text, repeated)?.into_iter();
    let first = documents.next().map_or(Value::Null, |document| document.value);
    match documents.find(|document| !document.value.is_null()) {
        None => Ok(first),
        Some(another) => Err(Error {
            line: another.line,
            column: 1,
            message: "a second document starts here, and only the first would be read; take it out".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
