//! YAML as the tools read it that it is written for: kubectl and helm. One reader for the whole program.
//!
//! [`granit_parser`] takes the text apart; what the parts mean is decided here, by the rules of go-yaml ([`scalar`]).
//! Errors say where and what kind of fault; none shows a part of the text where that holds a secret.

mod error;
mod limits;
mod scalar;
mod tree;
mod write;

use serde_json::Value;

pub use error::Error;
pub use limits::{MAX_BYTES, MAX_DEPTH, MAX_VALUES};
pub use tree::{Document, Repeated, documents};
pub use write::to_string;

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
