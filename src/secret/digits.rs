//! Runs of digits that may be base64 or hex, and the bytes that they may stand for.

use std::ops::Range;

/// Digits that could hold the shortest secret.
const MIN_RUN: usize = 8;

/// What is no digit.
const NO_DIGIT: u8 = 0xff;

/// A way to write bytes in digits.
pub struct Base {
    bits: u32,
    values: [u8; 256],
    /// Whether what stands here, between two digits, is passed over: its length, else 0.
    gap: fn(&[u8]) -> usize,
}

/// Of both alphabets; it may be wrapped.
pub static BASE64: Base = Base { bits: 6, values: base64(), gap: line_break };

/// Also with blanks or colons between the bytes.
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

/// The length of white space with a line break in it; 0 when there is none here.
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

/// A part of a text that may be digits.
pub struct Run<'t> {
    /// Where it is.
    pub range: Range<usize>,
    text: &'t [u8],
    base: &'static Base,
}

impl Base {
    fn digits_at(&self, text: &[u8]) -> usize {
        text.iter().take_while(|byte| self.values[usize::from(**byte)] != NO_DIGIT).count()
    }

    /// All runs of such digits in a text.
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
    /// What the digits may stand for: from each of them on with which a byte may begin. Asks `is_it` of one after the other,
    /// until it says yes.
    pub fn decoded_is(&self, mut is_it: impl FnMut(&[u8]) -> bool) -> bool {
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
            is_it(&bytes)
        })
    }
}
