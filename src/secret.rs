//! Secrets by type, and the one redactor that stands before every sink.
//!
//! Knows nothing else of the crate. A [`Secret`] cannot be printed, compared in logs or serialised; its value is
//! registered with the redactor when it is made, so that a copy of it inside a command's output, an error text or an
//! API answer is masked as well: as it is, in base64, URL-encoded and JSON-escaped.

use std::borrow::Cow;
use std::sync::{LazyLock, RwLock};

use base64::Engine as _;
use secrecy::{ExposeSecret, SecretString};

/// What stands in the place of a secret.
pub const MASK: &str = "‹secret›";

/// Values shorter than this many bytes are not searched for in outputs: masking every "a" would make a run unreadable.
const SHORTEST: usize = 6;

static KNOWN: LazyLock<RwLock<Vec<String>>> = LazyLock::new(|| RwLock::new(Vec::new()));

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

/// Makes the redactor mask `value` in all its encodings from now on. Multi-line values (keys) are masked line by line too.
pub fn register(value: &str) {
    let mut forms = vec![value.to_owned()];
    forms.extend(value.lines().map(str::to_owned).filter(|l| l.len() >= 24 && !l.starts_with("-----")));
    let engines = [
        &base64::engine::general_purpose::STANDARD,
        &base64::engine::general_purpose::STANDARD_NO_PAD,
        &base64::engine::general_purpose::URL_SAFE,
    ];
    forms.extend(engines.map(|e| e.encode(value)));
    forms.push(percent_encoded(value));
    if let Ok(json) = serde_json::to_string(value) {
        forms.push(json[1..json.len() - 1].to_owned());
    }
    let mut known = KNOWN.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    for form in forms {
        if form.len() >= SHORTEST && !known.contains(&form) {
            known.push(form);
        }
    }
    // Longest first, so that a value that contains another one is masked whole.
    known.sort_by_key(|f| std::cmp::Reverse(f.len()));
}

/// `text` with every registered secret masked.
pub fn redact(text: &str) -> Cow<'_, str> {
    let known = KNOWN.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut out = Cow::Borrowed(text);
    for form in known.iter() {
        if out.contains(form.as_str()) {
            out = Cow::Owned(out.replace(form.as_str(), MASK));
        }
    }
    out
}

fn percent_encoded(value: &str) -> String {
    value
        .bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_is_masked() {
        let value = "p@ss/word \"quoted\"";
        let _secret = Secret::new(value);
        let base64 = base64::engine::general_purpose::STANDARD.encode(value);
        for form in [value, &base64, "p%40ss%2Fword%20%22quoted%22", "p@ss/word \\\"quoted\\\""] {
            let line = format!("before {form} after");
            assert_eq!(redact(&line), format!("before {MASK} after"), "{form}");
        }
    }

    #[test]
    fn short_values_leave_text_alone() {
        register("ab");
        assert_eq!(redact("about"), "about");
    }
}
