//! Undoes the escapes of URLs, JSON, debug output, shells and HTML, nested to any depth, in one pass.
//!
//! Whenever the bytes read so far end with an escape, the character that it stands for replaces it, and may itself be
//! the end of another escape: `%255cx41` is `%5cx41` is `\x41` is `A`.

use super::view::View;

/// Length of the longest escape: `\u{10ffff}`.
const MAX_ESCAPE_BYTES: usize = 10;

impl View<'_> {
    /// The view with escapes undone; `None` if there are none. With `form`, `+` stands for a space, as in the body of a
    /// web form.
    pub fn unescaped(&self, form: bool) -> Option<View<'static>> {
        let begins = |byte| matches!(byte, b'%' | b'\\' | b'&') || form && byte == b'+';
        self.rewritten_with(&begins, |out| {
            let is_near =
                |bytes: &[u8]| bytes[bytes.len().saturating_sub(MAX_ESCAPE_BYTES)..].iter().any(|byte| begins(*byte));
            let mut last = 0;
            while let Some([byte, ..]) = out.rest() {
                let byte = *byte;
                // Quoting an escape doubles its backslashes.
                if byte == b'\\' && last == b'\\' {
                    out.skip(1);
                    continue;
                }
                last = byte;
                out.copy(1);
                if form && byte == b'+' {
                    out.replace(1, b" ");
                }
                let mut ends = false;
                while let Some(escape) = escape_at_end(&out.bytes) {
                    out.replace(escape.taken, &escape.bytes[..escape.length]);
                    if out.bytes.ends_with(b"\\\\") {
                        out.replace(2, b"\\");
                    }
                    ends = true;
                }
                if (ends || !byte.is_ascii_alphanumeric()) && !is_near(&out.bytes) {
                    out.copy_until(&begins);
                    last = 0;
                }
            }
        })
    }
}

struct Escape {
    /// Length of the escape in the text.
    taken: usize,
    /// The bytes that it stands for, of which the first `length` count.
    bytes: [u8; 4],
    length: usize,
}

impl Escape {
    fn byte(taken: usize, byte: u8) -> Self {
        Self { taken, bytes: [byte, 0, 0, 0], length: 1 }
    }

    /// The character with this code. Half of a surrogate pair is written as such until the other half follows.
    fn character(before: &[u8], taken: usize, code: u32) -> Option<Self> {
        let mut bytes = [0; 4];
        if let Some(character) = char::from_u32(code) {
            let length = character.encode_utf8(&mut bytes).len();
            return Some(Self { taken, bytes, length });
        }
        if let ([.., 0xed, high @ 0xa0..0xb0, low], 0xdc00..0xe000) = (before, code) {
            let first = u32::from(high & 0x0f) << 6 | u32::from(low & 0x3f);
            let length = char::from_u32(0x1_0000 + (first << 10) + (code - 0xdc00))?.encode_utf8(&mut bytes).len();
            return Some(Self { taken: taken + 3, bytes, length });
        }
        let [0, 0, high @ 0xd8..0xe0, low] = code.to_be_bytes() else { return None };
        let bytes = [0xed, 0x80 | (high << 2 | low >> 6) & 0x3f, 0x80 | low & 0x3f, 0];
        Some(Self { taken, bytes, length: 3 })
    }
}

fn escape_at_end(text: &[u8]) -> Option<Escape> {
    match text {
        [.., b'%', high, low] => Some(Escape::byte(3, hex(*high)? << 4 | hex(*low)?)),
        [.., b'\\', b'x', high, low] => Some(Escape::byte(4, hex(*high)? << 4 | hex(*low)?)),
        [.., b'\\', high @ b'0'..=b'3', middle @ b'0'..=b'7', low @ b'0'..=b'7'] => {
            Some(Escape::byte(4, (high & 3) << 6 | (middle & 7) << 3 | low & 7))
        }
        [before @ .., b'\\', b'u', a, b, c, d] => Escape::character(before, 6, number(&[*a, *b, *c, *d], 16)?),
        [.., b'}'] => {
            let (taken, digits) = from_last(text, b"\\u{")?;
            Escape::character(&text[..text.len() - taken], taken, number(digits, 16)?)
        }
        [.., b';'] => entity(text),
        _ => None,
    }
}

/// An HTML entity at the end: `&amp;`, `&#38;` or `&#x26;`.
fn entity(text: &[u8]) -> Option<Escape> {
    let (taken, name) = from_last(text, b"&")?;
    let code = match name {
        b"amp" => u32::from(b'&'),
        b"lt" => u32::from(b'<'),
        b"gt" => u32::from(b'>'),
        b"quot" => u32::from(b'"'),
        b"apos" => u32::from(b'\''),
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16)?,
        [b'#', digits @ ..] => number(digits, 10)?,
        _ => return None,
    };
    Escape::character(&text[..text.len() - taken], taken, code)
}

/// Length of the text from the last `mark` on, and the bytes between the mark and the last byte.
fn from_last<'t>(text: &'t [u8], mark: &[u8]) -> Option<(usize, &'t [u8])> {
    let end = &text[text.len().saturating_sub(MAX_ESCAPE_BYTES)..];
    let start = (0..end.len()).rev().find(|at| end[*at..].starts_with(mark))?;
    Some((end.len() - start, &end[start + mark.len()..end.len() - 1]))
}

fn number(digits: &[u8], base: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u32, |sum, digit| sum.checked_mul(base)?.checked_add(char::from(*digit).to_digit(base)?))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// How many bytes at the end of an unfinished text may be the beginning of an escape.
pub fn unfinished_escape(text: &[u8]) -> usize {
    let end = &text[text.len().saturating_sub(MAX_ESCAPE_BYTES)..];
    let begins = |escape: &[u8]| match escape {
        [b'%' | b'\\' | b'&'] => true,
        [b'%', digits @ ..] => digits.len() < 2 && digits.iter().all(u8::is_ascii_hexdigit),
        [b'\\', b'x', digits @ ..] => digits.len() < 2 && digits.iter().all(u8::is_ascii_hexdigit),
        [b'\\', b'u', b'{', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        [b'\\', b'u', digits @ ..] => digits.len() < 4 && digits.iter().all(u8::is_ascii_hexdigit),
        [b'\\', digits @ ..] => digits.len() < 3 && digits.iter().all(|digit| matches!(digit, b'0'..=b'7')),
        [b'&', name @ ..] => name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'#'),
        _ => false,
    };
    let escape = (0..end.len()).find(|at| begins(&end[*at..])).map_or(0, |at| end.len() - at);
    // Half of a surrogate pair waits for the other half.
    let pair = if let [.., 0xed, 0xa0..0xb0, _] = end[..end.len() - escape] { 3 } else { 0 };
    escape + pair
}
