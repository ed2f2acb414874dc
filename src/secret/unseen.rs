//! What a reader does not see, or does not mind, of a text.

use super::view::{Step, View};

/// The longest sequence to a terminal that is looked through for its end, bytes.
const MAX_SEQUENCE_BYTES: usize = 4096;

impl View<'_> {
    /// Without what a terminal obeys or shows nothing of: sequences that set colours or titles, other control characters, and
    /// characters that take no room. None of them hides a secret that they stand in.
    pub fn seen(self) -> Self {
        let seen = self.rewritten(
            |byte| MAY_BE_UNSEEN[usize::from(byte)],
            |rest| match unseen_length(rest) {
                0 => Step::Keep,
                length => Step::Drop(length),
            },
        );
        seen.unwrap_or(self)
    }

    /// Only what is left of a value however it is quoted, folded, wrapped, indented or sent by a form: without white space,
    /// quotes with or without a `$` before them, backslashes and `+`. Both a text and what is searched for in it are squeezed.
    pub fn squeezed(&self) -> View<'_> {
        let goes = |byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'\'' | b'"' | b'$' | b'\\' | b'+');
        self.rewritten(goes, |_| Step::Drop(1)).unwrap_or_else(|| self.borrowed())
    }

    /// With every way to write a line break as one, and no other backslash.
    pub fn broken(&self) -> View<'_> {
        let step = |rest: &[u8]| {
            let slashes = rest.iter().take_while(|byte| **byte == b'\\').count();
            match rest.get(slashes) {
                Some(b'n' | b'r') => Step::Put(b'\n', slashes + 1),
                Some(b't') => Step::Put(b'\t', slashes + 1),
                _ => Step::Drop(slashes),
            }
        };
        self.rewritten(|byte| byte == b'\\', step).unwrap_or_else(|| self.borrowed())
    }
}

/// Bytes that are unseen, or begin something that may be.
static MAY_BE_UNSEEN: [bool; 256] = {
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

/// Of the sequence or character with which a text begins, where it is not seen; else 0.
fn unseen_length(rest: &[u8]) -> usize {
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
