//! Secrets by type, and the one redactor that stands before every sink.
//!
//! Knows nothing else of the crate. A [`Secret`] cannot be printed, compared in logs or serialised; its value is
//! registered with the redactor when it is made, so that a copy of it inside a command's output, an error text or an
//! API answer is masked as well: as it is, quoted, escaped, wrapped into lines, in base64, in hex, and any of these inside of
//! another. The redactor does not list encodings of a secret. It undoes those of a text, of which each step is a [`view`] that
//! knows where its bytes come from.

mod digits;
pub mod environment;
mod escapes;
mod forms;
mod mark;
mod mask;
mod redactor;
mod unseen;
mod view;
mod visible;

use std::borrow::Cow;
use std::sync::{LazyLock, RwLock, RwLockReadGuard};

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

pub use mark::{mark, mark_with};
pub use mask::{MASK, MIN_MASKED_BYTES};
use redactor::Redactor;
pub use visible::{visible, visible_but_colours, visible_json};

use crate::sync::{read, write};

static KNOWN: LazyLock<RwLock<Redactor>> = LazyLock::new(RwLock::default);

fn known() -> RwLockReadGuard<'static, Redactor> {
    read(&KNOWN)
}

/// A value that no sink may print: no `Debug`, `Display` or `Serialize`.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes the value and registers it with the redactor.
    pub fn new(value: impl Into<String>) -> Self {
        let value = value.into();
        register(&value);
        Self(SecretString::from(value))
    }

    /// The value itself: for the wire, never for a message.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Makes the redactor mask `value` from now on, and each line of it by itself.
pub fn register(value: &str) {
    if !known().has(value) {
        write(&KNOWN).add(value);
    }
}

/// `text` with every registered secret masked. Linear in the length of the text, whatever the number of secrets.
pub fn redact(text: &str) -> Cow<'_, str> {
    known().redact(text)
}

/// `text` as it may be shown to anybody: what a terminal would not show is written down, then secrets are masked.
pub fn shown(text: &str) -> String {
    redact(&visible(text)).into_owned()
}

/// How many times a secret was registered: what was masked before is whole as long as this does not rise.
pub fn version() -> usize {
    known().version
}

/// Whether some registered secret is in a text.
pub fn is_in(text: &str) -> bool {
    known().is_in(text)
}

/// Whether some registered secret is in a text as it is, and not in some encoding: for texts of any length.
pub fn is_plainly_in(text: &[u8]) -> bool {
    known().is_plainly_in(text)
}

/// Whether some registered secret is in a value's strings, numbers or keys.
pub fn is_in_value(value: &Value) -> bool {
    match value {
        Value::String(text) => is_in(text),
        Value::Number(number) => is_in(&number.to_string()),
        Value::Array(items) => items.iter().any(is_in_value),
        Value::Object(map) => map.iter().any(|(key, value)| is_in(key) || is_in_value(value)),
        Value::Null | Value::Bool(_) => false,
    }
}

/// A value with every registered secret in its strings, numbers and keys masked.
pub fn redact_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(redact(&text).into_owned()),
        Value::Number(number) if is_in(&number.to_string()) => MASK.into(),
        Value::Array(items) => items.into_iter().map(redact_value).collect(),
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(key, v)| (redact(&key).into_owned(), redact_value(v))).collect())
        }
        other => other,
    }
}

/// About the last `keep` bytes of what is still being printed, masked: also what may be the beginning of a secret whose
/// rest has not arrived yet, and the rest of one whose beginning is left out.
pub fn redact_open(text: &[u8], keep: usize) -> String {
    known().redact_open(text, keep)
}

/// Where a text may begin that lost what stood before it: no secret reaches across.
pub fn safe_start(text: &[u8]) -> usize {
    known().safe_start(text)
}

/// Where a text may end that lost what stood behind it, likewise.
pub fn safe_end(text: &[u8]) -> usize {
    known().safe_end(text)
}

#[cfg(test)]
mod tests;
