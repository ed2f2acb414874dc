//! Quotes text for `sh`.

use std::borrow::Cow;

/// Quotes `text` as one literal word. NUL bytes, which no word can hold, are dropped.
pub fn word(text: &str) -> String {
    let text: Cow<'_, str> = if text.contains('\0') { text.replace('\0', "").into() } else { text.into() };
    shlex::try_quote(&text).map_or_else(|_| "''".to_owned(), Cow::into_owned)
}

/// Quotes words and separates them by spaces.
pub fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(word).collect::<Vec<_>>().join(" ")
}
