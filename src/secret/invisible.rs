//! Removes what a reader does not see in a text, or does not take as part of a value.

use super::view::{Rewrite, View};

/// The longest terminal escape sequence that is recognised, in bytes.
const MAX_SEQUENCE_BYTES: usize = 4096;

impl View<'_> {
    /// The view without invisible characters: terminal escape sequences, other control characters, and characters
    /// without width. So none of them can hide a secret.
    pub fn without_invisible(self) -> Self {
        let visible = self.rewritten(
            |byte| MAY_BE_INVISIBLE[usize::from(byte)],
            |rest| match invisible_length(rest) {
                0 => Rewrite::Keep,
                length => Rewrite::Drop(length),
            },
        );
        visible.unwrap_or(self)
    }

    /// The view without white space, quotes, `$`, backslashes and `+`: what remains of a value however it is quoted,
    /// folded, wrapped, indented or sent in a form. Both the text and the searched secret are squeezed.
    pub fn squeezed(&self) -> View<'_> {
        let is_dropped = |byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'\'' | b'"' | b'$' | b'\\' | b'+');
        self.rewritten(is_dropped, |_| Rewrite::Drop(1)).unwrap_or_else(|| self.by_ref())
    }

    /// The view with escaped line breaks and tabs as real ones, and without other backslashes.
    pub fn with_line_breaks(&self) -> View<'_> {
        let step = |rest: &[u8]| {
            let slashes = rest.iter().take_while(|byte| **byte == b'\\').count();
            match rest.get(slashes) {
                Some(b'n' | b'r') => Rewrite::Put(b'\n', slashes + 1),
                Some(b't') => Rewrite::Put(b'\t', slashes + 1),
                _ => Rewrite::Drop(slashes),
            }
        };
        self.rewritten(|byte| byte == b'\\', step).unwrap_or_else(|| self.by_ref())
    }
}

/// Bytes that are invisible, or may begin an invisible sequence.
static MAY_BE_INVISIBLE: [bool; 256] = {
    let (mut bytes, mut at) = ([false; 256], 0);
    while at < 0x20 {
        bytes[at] = !matches!(at as u8, b'\n' | b'\t' | b'\r');
        at += 1;
    }
    bytes[0x7f] = true;
    bytes[0xc2] = true;
    bytes[0xe2] = true;
    bytes[0xef] = true;
    bytes
};

/// Length of the invisible sequence or character at the start of the bytes; 0 if it is visible.
fn invisible_length(rest: &[u8]) -> usize {
    match *rest {
        [0x1b, b'[', ..] => {
            let parameters =
                rest[2..].iter().take(MAX_SEQUENCE_BYTES).take_while(|byte| matches!(byte, b' '..=b'?')).count();
            if let Some(b'@'..=b'~') = rest.get(2 + parameters) { 3 + parameters } else { 1 }
        }
        [0x1b, b']' | b'P' | b'X' | b'^' | b'_', ..] => {
            let title = rest[2..].iter().take(MAX_SEQUENCE_BYTES).take_while(|byte| !matches!(byte, 7 | 0x1b)).count();
            match &rest[2 + title..] {
                [7, ..] => 3 + title,
                [0x1b, b'\\', ..] => 4 + title,
                _ => 1,
            }
        }
        [0x1b, b'(' | b')', _, ..] => 3,
        [0x1b, b'0'..=b'~', ..] => 2,
        [b'\n' | b'\t' | b'\r', ..] => 0,
        [0..=0x1f | 0x7f, ..] => 1,
        [0xc2, 0x80..=0x9f | 0xad, ..] => 2,
        [0xe2, 0x80, 0x8b..=0x8f | 0xaa..=0xae, ..] | [0xe2, 0x81, 0xa0..=0xaf, ..] | [0xef, 0xbb, 0xbf, ..] => 3,
        _ => 0,
    }
}
