//! Finds runs of digits that may be base64 or hex, and decodes them.

use std::ops::Range;

/// The fewest digits that can encode the shortest secret.
const MIN_RUN: usize = 8;

/// Value of bytes that are no digits.
const NO_DIGIT: u8 = 0xff;

/// An encoding of bytes as digits.
pub struct Base {
    bits: u32,
    values: [u8; 256],
    /// Length of a separator at the start of the bytes, which is skipped between two digits; 0 if there is none.
    gap: fn(&[u8]) -> usize,
}

/// Base64 in both alphabets, possibly wrapped into lines.
pub static BASE64: Base = Base { bits: 6, values: base64(), gap: line_break };

/// Hex, possibly wrapped into lines, or with spaces or colons between the bytes.
pub static HEX: Base = Base { bits: 4, values: hex(), gap: |rest| line_break(rest).max(between_bytes(rest)) };

const fn base64() -> [u8; 256] {
    let (mut values, mut at) = ([NO_DIGIT; 256], 0);
    while at < 26 {
        values[b'A' as usize + at] = at as u8;
        values[b'a' as usize + at] = at as u8 + 26;
        at += 1;
    }
    at = 0;
    while at < 10 {
        values[b'0' as usize + at] = at as u8 + 52;
        at += 1;
    }
    values[b'+' as usize] = 62;
    values[b'-' as usize] = 62;
    values[b'/' as usize] = 63;
    values[b'_' as usize] = 63;
    values
}

const fn hex() -> [u8; 256] {
    let (mut values, mut at) = ([NO_DIGIT; 256], 0);
    while at < 10 {
        values[b'0' as usize + at] = at as u8;
        at += 1;
    }
    at = 0;
    while at < 6 {
        values[b'A' as usize + at] = at as u8 + 10;
        values[b'a' as usize + at] = at as u8 + 10;
        at += 1;
    }
    values
}

/// Length of leading white space that contains a line break; else 0.
fn line_break(rest: &[u8]) -> usize {
    let blank = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
    if rest[..blank].contains(&b'\n') { blank } else { 0 }
}

fn between_bytes(rest: &[u8]) -> usize {
    match rest {
        [b' ', b' ', ..] => 2,
        [b' ' | b':', ..] => 1,
        _ => 0,
    }
}

/// A run of digits in a text.
pub struct Run<'t> {
    /// The place of the run in the text.
    pub range: Range<usize>,
    text: &'t [u8],
    base: &'static Base,
}

impl Base {
    fn digits_at(&self, text: &[u8]) -> usize {
        text.iter().take_while(|byte| self.values[usize::from(**byte)] != NO_DIGIT).count()
    }

    /// All runs of this encoding in a text that are long enough to hold a secret.
    pub fn runs<'t>(&'static self, text: &'t [u8]) -> impl Iterator<Item = Run<'t>> + use<'t> {
        let mut at = 0;
        std::iter::from_fn(move || {
            loop {
                let start = at + text[at..].iter().position(|byte| self.values[usize::from(*byte)] != NO_DIGIT)?;
                let mut count = self.digits_at(&text[start..]);
                let mut end = start + count;
                loop {
                    let gap = (self.gap)(&text[end..]);
                    let more = if gap == 0 { 0 } else { self.digits_at(&text[end + gap..]) };
                    if more == 0 {
                        break;
                    }
                    (end, count) = (end + gap + more, count + more);
                }
                end += text[end..].iter().take_while(|byte| **byte == b'=').count();
                at = end;
                if count >= MIN_RUN {
                    return Some(Run { range: start..end, text: &text[start..end], base: self });
                }
            }
        })
    }
}

impl Run<'_> {
    /// Decodes the run, starting at each digit where a byte may begin. Returns whether `is_wanted` accepts any result.
    pub fn decodes_to(&self, mut is_wanted: impl FnMut(&[u8]) -> bool) -> bool {
        let mut digits: Vec<u8> = self.text.iter().map(|byte| self.base.values[usize::from(*byte)]).collect();
        digits.retain(|value| *value != NO_DIGIT);
        let mut bytes = Vec::with_capacity(digits.len());
        (0..if self.base.bits == 6 { 4 } else { 2 }).any(|skipped| {
            bytes.clear();
            if self.base.bits == 6 {
                let (blocks, rest) = digits[skipped..].as_chunks::<4>();
                for [a, b, c, d] in blocks {
                    bytes.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
                }
                match rest {
                    [a, b] => bytes.push(a << 2 | b >> 4),
                    [a, b, c] => bytes.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2]),
                    _ => {}
                }
            } else {
                bytes.extend(digits[skipped..].as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low));
            }
            is_wanted(&bytes)
        })
    }
}
