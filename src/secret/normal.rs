//! The normal form of a text: what is left of it when all escapes are undone, to whatever depth, and all is taken out that
//! a reader does not see or does not read.
//!
//! A secret and a text that holds it, written down in whatever mixture of these ways, have the same normal form. So one
//! search for it does for all of them, in time proportional to the text's length: a byte is added once, and each escape
//! that is undone makes the result shorter.

use std::ops::Range;

/// The longest escape but for `\u{...}` and entities: `\ud83d\ude00`.
const LONGEST: usize = 12;

/// The longest sequence to a terminal that is looked through for its end.
const LONGEST_SEQUENCE: usize = 4096;

/// A text in its normal form.
#[derive(Default)]
pub struct Normal {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where they come from, in parts.
    places: Vec<Place>,
    /// Where the last sign stands that may begin an escape.
    sign: Option<usize>,
    /// Where a sequence to a terminal began that has not ended.
    sequence: Option<usize>,
    /// Up to this length, each byte may be the end of something.
    careful: usize,
}

/// Where bytes come from, from one of them on.
#[derive(Clone, Copy)]
struct Place {
    first: usize,
    start: usize,
    /// Of a single byte that stands for several; else each stands for one.
    end: Option<usize>,
}

impl Normal {
    /// Of a text. With `open`, more of it may follow: an escape that has no end yet is left out.
    pub fn of(text: &[u8], open: bool) -> Self {
        let mut normal = Self { bytes: Vec::with_capacity(text.len()), ..Self::default() };
        let mut at = 0;
        while at < text.len() {
            if normal.bytes.len() >= normal.careful && normal.sequence.is_none() {
                let plain = text[at..].iter().position(|b| SPECIAL[usize::from(*b)]).unwrap_or(text.len() - at);
                if plain > 0 {
                    normal.place(at, None);
                    normal.bytes.extend_from_slice(&text[at..at + plain]);
                    at += plain;
                    continue;
                }
            }
            normal.push(text[at], at, at + 1);
            at += 1;
        }
        normal.finish(open);
        normal
    }

    /// The part of the text that these bytes come from.
    pub fn source(&self, range: Range<usize>) -> Range<usize> {
        self.source_of(range.start).start..self.source_of(range.end - 1).end
    }

    fn source_of(&self, at: usize) -> Range<usize> {
        let Some(place) = self.places[..self.places.partition_point(|p| p.first <= at)].last() else { return 0..0 };
        let start = place.start + if place.end.is_some() { 0 } else { at - place.first };
        start..place.end.unwrap_or(start + 1)
    }

    fn push(&mut self, mut byte: u8, mut start: usize, end: usize) {
        if byte.is_ascii() && !(b'0'..b'8').contains(&byte) && self.bytes.ends_with(b"\\0") {
            self.cut(self.bytes.len() - 2);
        }
        while let Some((from, Undone(bytes, count))) = self.undone(byte, end == start + 1) {
            start = self.source_of(from).start;
            self.cut(from);
            if count > 1 {
                for byte in &bytes[..count] {
                    self.place(start, Some(end));
                    self.bytes.push(*byte);
                }
                return self.drop_invisible();
            }
            byte = bytes[0];
        }
        if self.sequence.is_some() || byte == ESC {
            return self.in_sequence(byte, start, end);
        }
        if matches!(byte, b'\'' | b'"') || byte.is_ascii_control() && !is_blank(byte) {
            return;
        }
        self.add(byte, start, end);
        if byte >= 0x80 {
            self.drop_invisible();
        }
    }

    fn add(&mut self, byte: u8, start: usize, end: usize) {
        let at = self.bytes.len();
        if matches!(byte, b'%' | b'\\' | b'&') {
            self.sign = Some(at);
            self.careful = self.careful.max(at + 1 + LONGEST);
        } else if byte >= 0xc2 {
            self.careful = self.careful.max(at + 3);
        }
        self.place(start, (end > start + 1).then_some(end));
        self.bytes.push(byte);
    }

    /// Says where the next byte comes from.
    fn place(&mut self, start: usize, end: Option<usize>) {
        let first = self.bytes.len();
        let goes_on = |last: &Place| end.is_none() && last.end.is_none() && last.start + (first - last.first) == start;
        if !self.places.last().is_some_and(goes_on) {
            self.places.push(Place { first, start, end });
        }
    }

    fn cut(&mut self, length: usize) {
        self.bytes.truncate(length);
        while self.places.pop_if(|place| place.first >= length).is_some() {}
        if self.sign.is_some_and(|sign| sign >= length) {
            let from = length.saturating_sub(LONGEST);
            self.sign = self.bytes[from..].iter().rposition(|b| matches!(b, b'%' | b'\\' | b'&')).map(|at| from + at);
        }
    }

    /// What an escape stands for that ends with this byte, and where it begins. A backslash that was itself written as an
    /// escape escapes nothing that is yet to be undone: `\u005c\u006e` is a backslash and a letter.
    fn undone(&self, byte: u8, literal: bool) -> Option<(usize, Undone)> {
        let from = self.sign.filter(|sign| self.bytes.len() - sign < LONGEST)?;
        let one = |byte: u8| Some((from, Undone([byte, 0, 0, 0], 1)));
        match (self.bytes[from], &self.bytes[from + 1..]) {
            (b'%', [high]) | (b'\\', [b'x', high]) => one(hex(*high)? << 4 | hex(byte)?),
            (b'&', name) if byte == b';' => Some((from, Undone::of(entity(name)?))),
            (b'\\', []) => one(match byte {
                b'n' => b'\n',
                b't' | b'v' => b'\t',
                b'r' => b'\r',
                b'e' => ESC,
                b'a' | b'b' | b'f' => 0,
                b'%' => return None,
                b'\\' if literal && self.source_of(from).len() > 1 => return None,
                b' '..=b'~' if !byte.is_ascii_alphanumeric() => byte,
                _ => return None,
            }),
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7']) if (b'0'..=b'7').contains(&byte) => {
                one((a - b'0') << 6 | (b - b'0') << 3 | (byte - b'0'))
            }
            (b'\\', [b'u', b'{', digits @ ..]) if byte == b'}' => {
                Some((from, Undone::of(char::from_u32(number(digits)?)?)))
            }
            (b'\\', [b'u', a, b, c]) if *a != b'{' => self.unicode(from, number(&[*a, *b, *c, byte])?),
            _ => None,
        }
    }

    /// A character by its number; the first of two halves waits for the second.
    fn unicode(&self, from: usize, code: u32) -> Option<(usize, Undone)> {
        if !(0xdc00..0xe000).contains(&code) {
            return Some((from, Undone::of(char::from_u32(code)?)));
        }
        let before = from.checked_sub(6)?;
        let high = number(self.bytes[before..from].strip_prefix(b"\\u")?)?;
        let both = 0x1_0000 + (high.checked_sub(0xd800).filter(|h| *h < 0x400)? << 10) + (code - 0xdc00);
        Some((before, Undone::of(char::from_u32(both)?)))
    }

    /// Takes a sequence to the terminal out again when it has ended: colours, titles, moves of the cursor.
    fn in_sequence(&mut self, byte: u8, start: usize, end: usize) {
        let at = self.bytes.len();
        let Some(from) = self.sequence.filter(|_| byte != ESC || self.bytes.last() != Some(&ESC)) else {
            self.sequence = Some(at);
            return self.add(byte, start, end);
        };
        let (is_part, is_over) = match self.bytes[from + 1..].first() {
            // What follows may be written as an escape itself.
            None => (b"[]PX^_(%\\&".contains(&byte), b"78cDEHMNOZ".contains(&byte)),
            Some(b'%' | b'\\' | b'&') => (at - from <= LONGEST, false),
            Some(b'[') => (at - from < LONGEST_SEQUENCE, matches!(byte, b'@'..=b'~')),
            Some(b'(') => (false, true),
            Some(_) => (at - from < LONGEST_SEQUENCE, byte == 7 || byte == b'\\' && self.bytes.last() == Some(&ESC)),
        };
        if is_over {
            self.sequence = None;
            self.cut(from);
        } else if is_part {
            self.add(byte, start, end);
        } else {
            self.sequence = None;
            self.push(byte, start, end);
        }
    }

    /// Takes a character out again that has just been added and takes no room: marks of direction, joiners, controls.
    fn drop_invisible(&mut self) {
        let invisible = match *self.bytes.as_slice() {
            [.., 0xc2, 0x80..=0x9f | 0xad] => 2,
            [.., 0xe2, 0x80, 0x8b..=0x8f | 0xaa..=0xae] | [.., 0xe2, 0x81, 0xa0..=0xaf] | [.., 0xef, 0xbb, 0xbf] => 3,
            _ => 0,
        };
        self.cut(self.bytes.len() - invisible);
    }

    fn finish(&mut self, open: bool) {
        if self.bytes.ends_with(b"\\0") {
            self.cut(self.bytes.len() - 2);
        }
        if !open {
            return;
        }
        if let Some(sequence) = self.sequence {
            self.cut(sequence);
        }
        if let Some(sign) = self.sign.filter(|sign| self.bytes.len() - sign < LONGEST) {
            let goes_on = match (self.bytes[sign], &self.bytes[sign + 1..]) {
                (_, []) => true,
                (b'\\', [first, ..]) => matches!(first, b'u' | b'x' | b'0'..=b'3'),
                (b'&', name) => name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'#'),
                (_, digits) => digits.len() < 2,
            };
            if goes_on {
                self.cut(sign);
            }
        }
    }
}

/// The bytes that an escape stands for, and how many they are.
struct Undone([u8; 4], usize);

impl Undone {
    fn of(character: char) -> Self {
        let mut bytes = [0; 4];
        let count = character.encode_utf8(&mut bytes).len();
        Self(bytes, count)
    }
}

const ESC: u8 = 0x1b;

/// Bytes that are more than themselves, or less.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let control = byte < 0x20 && byte != 9 && byte != 10 && byte != 13;
        special[byte] = control || matches!(byte, 0x22 | 0x25 | 0x26 | 0x27 | 0x5c | 0x7f | 0xc2 | 0xe2 | 0xef);
        byte += 1;
    }
    special
};

/// White space, and what stands for it in forms.
pub fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'+')
}

/// What is left out of the normal form for a search: blanks, since lines may be broken anywhere, and what begins escapes
/// and sequences that are none, of which some ways to write leave more than others.
pub fn is_left_out(byte: u8) -> bool {
    is_blank(byte) || is_stray(byte)
}

/// A backslash or ESC that stands for nothing.
pub fn is_stray(byte: u8) -> bool {
    matches!(byte, b'\\' | ESC)
}

/// The value of a hex digit.
pub fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

fn number(digits: &[u8]) -> Option<u32> {
    let few = (1..=6).contains(&digits.len());
    digits.iter().filter(|_| few).try_fold(0, |sum, d| Some(sum << 4 | u32::from(hex(*d)?))).filter(|_| few)
}

/// The character of an HTML entity.
fn entity(name: &[u8]) -> Option<char> {
    Some(match name {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        b"nbsp" => ' ',
        [b'#', b'x' | b'X', digits @ ..] => char::from_u32(number(digits)?)?,
        [b'#', digits @ ..] => char::from_u32(std::str::from_utf8(digits).ok()?.parse().ok()?)?,
        _ => return None,
    })
}
