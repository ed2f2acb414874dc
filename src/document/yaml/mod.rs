//! Reads YAML with the same rules as the tools that it is written for: kubectl and helm. The whole program uses this
//! reader.
//!
//! [`granit_parser`] tokenises the text; `scalar` interprets scalars by the rules of go-yaml. Errors contain the
//! place and the kind of error, but no part of a text that contains a secret.

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

/// Parses a text with one document. The value is null if there is no document. Further documents are an error unless
/// they are empty.
///
/// # Errors
/// The first error in the text.
pub fn from_str(text: &str, repeated: Repeated) -> Result<Value, Error> {
    let mut documents = documents(text, repeated)?.into_iter();
    let first = documents.next().map_or(Value::Null, |document| document.value);
    match documents.find(|document| !document.value.is_null()) {
        None => Ok(first),
        Some(another) => Err(Error {
            line: another.line,
            column: 1,
            message: "a second document starts here, and only the first would be read; remove it".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
