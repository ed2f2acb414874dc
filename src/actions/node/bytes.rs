//! Bytes of any kind as text and back, so that nothing of a file is lost of which only some lines are edited.
//!
//! A byte that is no part of UTF-8 becomes a character at the very end of Unicode, which is nobody's, and that character
//! becomes the byte again. Where a file has these characters itself, each of their bytes is taken as such a byte.

use std::ops::RangeInclusive;

/// What stands for the bytes 0x80 to 0xff.
const STAND_INS: RangeInclusive<char> = '\u{10ff80}'..='\u{10ffff}';

/// That of the byte 0, if it were one.
const BASE: u32 = 0x10_ff00;

/// The bytes as text.
pub fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let stand = |byte: &u8| char::from_u32(BASE + u32::from(*byte)).unwrap_or(char::REPLACEMENT_CHARACTER);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if STAND_INS.contains(&c) {
                text.extend(c.encode_utf8(&mut [0; 4]).as_bytes().iter().map(stand));
            } else {
                text.push(c);
            }
        }
        text.extend(chunk.invalid().iter().map(stand));
    }
    text
}

/// The bytes that a text of [`decode`] stands for.
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
