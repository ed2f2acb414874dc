//! Converts bytes to text and back without loss, so that editing some lines of a file keeps all others, whatever their
//! encoding.
//!
//! A byte that is not part of valid UTF-8 becomes one of 128 code points at the end of Unicode, which are not assigned;
//! encoding turns these code points back into bytes. Where a file contains those code points itself, each of their
//! bytes is converted in the same way.

use std::ops::RangeInclusive;

/// Code points for the bytes 0x80 to 0xff.
const STAND_INS: RangeInclusive<char> = '\u{10ff80}'..='\u{10ffff}';

/// The code point of a byte is this number plus the byte.
const BASE: u32 = 0x10_ff00;

pub fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let stand_in = |byte: &u8| char::from_u32(BASE + u32::from(*byte)).unwrap_or(char::REPLACEMENT_CHARACTER);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if STAND_INS.contains(&c) {
                text.extend(c.encode_utf8(&mut [0; 4]).as_bytes().iter().map(stand_in));
            } else {
                text.push(c);
            }
        }
        text.extend(chunk.invalid().iter().map(stand_in));
    }
    text
}

/// The inverse of [`decode`].
pub fn encode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        if STAND_INS.contains(&c) {
            bytes.extend(u8::try_from(u32::from(c) - BASE));
        } else {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        let last = "\u{10ffff}\u{10ff80}\u{10ff7f}".as_bytes();
        for bytes in
            [&all[..], b"caf\xe9\n", b"\xc3", "\u{feff}\u{e9}".as_bytes(), b"\xe9\xc3\xa9", last, b"\xf4\x8f\xbf", b""]
        {
            assert_eq!(encode(&decode(bytes)), bytes, "{bytes:?}");
        }
        assert_eq!(decode("caf\u{e9}".as_bytes()), "caf\u{e9}");
    }
}
