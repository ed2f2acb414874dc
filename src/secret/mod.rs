//! Secret values, and the one redactor that all output goes through.
//!
//! A [`Secret`] has no `Debug`, `Display` or `Serialize`. Its value is registered with the redactor when the secret is
//! created, so that copies of it in a command's output, an error text or an API answer are masked, too: plain, quoted,
//! escaped, wrapped into lines, in base64, in hex, and any of these inside another. The redactor does not list the
//! encodings of a secret. It decodes the text step by step instead; each step is a [`view`] that knows which bytes of
//! the text its own bytes come from.

mod digits;
pub mod environment;
mod escapes;
mod invisible;
mod mark;
mod mask;
mod patterns;
mod redactor;
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

/// A value that must not be printed: it has no `Debug`, `Display` or `Serialize`.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps the value and registers it with the redactor.
    pub fn new(value: impl Into<String>) -> Self {
        let value = value.into();
        register(&value);
        Self(SecretString::from(value))
    }

    /// The value itself: for requests and pipes, never for a message.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Registers `value`, and each of its lines, to be masked from now on.
pub fn register(value: &str) {
    if !known().knows(value) {
        write(&KNOWN).add(value);
    }
}

/// `text` with every registered secret masked. Linear in the length of the text, whatever the number of secrets.
pub fn redact(text: &str) -> Cow<'_, str> {
    known().redact(text)
}

/// `text` for display: control characters are escaped, then secrets are masked.
pub fn shown(text: &str) -> String {
    redact(&visible(text)).into_owned()
}

/// How many secrets were registered. Text that was masked stays valid as long as this number does not rise.
pub fn version() -> usize {
    known().version
}

/// Whether the text contains a registered secret.
pub fn has_secret(text: &str) -> bool {
    known().matches(text)
}

/// Whether the text contains a registered secret unencoded. Fast, for texts of any length.
pub fn has_plain_secret(text: &[u8]) -> bool {
    known().matches_plainly(text)
}

/// Whether a value's strings, numbers or keys contain a registered secret.
pub fn value_has_secret(value: &Value) -> bool {
    match value {
        Value::String(text) => has_secret(text),
        Value::Number(number) => has_secret(&number.to_string()),
        Value::Array(items) => items.iter().any(value_has_secret),
        Value::Object(map) => map.iter().any(|(key, value)| has_secret(key) || value_has_secret(value)),
        Value::Null | Value::Bool(_) => false,
    }
}

/// The value with registered secrets masked in its strings, numbers and keys.
pub fn redact_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(redact(&text).into_owned()),
        Value::Number(number) if has_secret(&number.to_string()) => MASK.into(),
        Value::Array(items) => items.into_iter().map(redact_value).collect(),
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(key, v)| (redact(&key).into_owned(), redact_value(v))).collect())
        }
        other => other,
    }
}

/// About the last `keep` bytes of output that is still growing, masked. Masks also a possible beginning of a secret at
/// the end, and the rest of a secret whose beginning is cut off.
pub fn redact_unfinished(text: &[u8], keep: usize) -> String {
    known().redact_unfinished(text, keep)
}

/// First byte of a text with a cut-off beginning from which it may be shown: no secret crosses this place.
pub fn safe_start(text: &[u8]) -> usize {
    known().safe_start(text)
}

/// Last byte of a text with a cut-off end up to which it may be shown: no secret crosses this place.
pub fn safe_end(text: &[u8]) -> usize {
    known().safe_end(text)
}

#[cfg(test)]
mod tests;
