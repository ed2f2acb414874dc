//! A text as somebody sees it who decodes it, and where each byte of that stands in the text.

use std::ops::Range;

/// Characters of base64, or of hex, that could hold the shortest secret.
const SHORTEST_RUN: usize = 8;

/// The longest sequence to a terminal that is looked through for its end, bytes.
const LONGEST_SEQUENCE: usize = 4096;

/// A decoded text.
pub struct View {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where each byte comes from.
    places: Vec<(usize, usize)>,
}

impl View {
    /// The part of the text that these bytes come from.
    pub fn source(&self, range: Range<usize>) -> Range<usize> {
        self.places[range.start].0..self.places[range.end - 1].1
    }

    /// `decode` tells what stands at a place: its bytes, and how long it is in the text. `None` when nothing is encoded.
    /// With `open`, a character and a length, what begins with it and is shorter may be cut off: it is passed over.
    fn new<const N: usize>(
        text: &[u8],
        open: Option<(u8, usize)>,
        decode: impl Fn(&[u8]) -> Option<([u8; N], usize, usize)>,
    ) -> Option<Self> {
        let (mut view, mut at, mut any) = (Self { bytes: Vec::new(), places: Vec::new() }, 0, false);
        while at < text.len() {
            let rest = &text[at..];
            let (bytes, length) = match decode(rest) {
                Some((bytes, count, length)) => {
                    any = true;
                    view.bytes.extend_from_slice(&bytes[..count]);
                    (count, length)
                }
                None if open.is_some_and(|(first, length)| rest[0] == first && rest.len() < length) => break,
                None => {
                    view.bytes.push(rest[0]);
                    (1, 1)
                }
            };
            view.places.extend(std::iter::repeat_n((at, at + length), bytes));
            at += length;
        }
        if let (Some(_), Some(last)) = (open, view.places.last_mut()) {
            last.1 = text.len();
        }
        (any || at < text.len()).then_some(view)
    }
}

/// Without line breaks and the white space around them: what was wrapped, or (with a space) folded, is whole again.
pub fn joined(text: &[u8], with: &'static [u8]) -> Option<View> {
    text.contains(&b'\n').then_some(())?;
    View::new(text, None, |rest| {
        let length = break_length(rest);
        let space = with.first().copied().unwrap_or_default();
        (length > 0).then_some(([space], with.len(), length))
    })
}

/// Of white space with a line break in it; 0 when there is none here.
fn break_length(text: &[u8]) -> usize {
    let blank = text.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
    if text[..blank].contains(&b'\n') { blank } else { 0 }
}

/// URL-encoding; `plus` says whether `+` is a space, `open` whether more of the text may follow.
pub fn percent(text: &[u8], plus: bool, open: bool) -> Option<View> {
    text.contains(if plus { &b'+' } else { &b'%' }).then_some(())?;
    View::new(text, open.then_some((b'%', 3)), |rest| match rest {
        [b'+', ..] if plus => Some(([b' '], 1, 1)),
        [b'%', high, low, ..] => Some(([hex(*high)? << 4 | hex(*low)?], 1, 3)),
        _ => None,
    })
}

/// Without what a terminal obeys or shows nothing of: sequences that set colours or titles, other control characters, and
/// characters that take no room. None of them hides a secret that they stand in.
pub fn seen(text: &[u8]) -> Option<View> {
    View::new(text, None, |rest| {
        let length = unseen_length(rest);
        (length > 0).then_some(([0], 0, length))
    })
}

/// Of the sequence or character with which a text begins, where it is not seen; else 0.
fn unseen_length(rest: &[u8]) -> usize {
    let until = |is_end: fn(&[u8]) -> usize| {
        let most = rest.len().min(LONGEST_SEQUENCE);
        (2..most).find_map(|at| Some(at + is_end(&rest[at..])).filter(|end| *end > at))
    };
    match *rest {
        [0x1b, b'[', ..] => until(|at| usize::from((b'@'..=b'~').contains(&at[0]))).unwrap_or(1),
        [0x1b, b']' | b'P' | b'X' | b'^' | b'_', ..] => until(|at| match at {
            [7, ..] => 1,
            [0x1b, b'\\', ..] => 2,
            _ => 0,
        })
        .unwrap_or(1),
        [0x1b, b'(' | b')', _, ..] => 3,
        [0x1b, b'0'..=b'~', ..] => 2,
        [b'\n' | b'\t' | b'\r', ..] => 0,
        [0..=0x1f | 0x7f, ..] => 1,
        [0xc2, 0x80..=0x9f | 0xad, ..] => 2,
        [0xe2, 0x80, 0x8b..=0x8f | 0xaa..=0xae, ..] | [0xe2, 0x81, 0xa0..=0xaf, ..] | [0xef, 0xbb, 0xbf, ..] => 3,
        _ => 0,
    }
}

/// Escapes with a backslash, as in JSON and in what programs print for debugging.
pub fn escapes(text: &[u8], open: bool) -> Option<View> {
    text.contains(&b'\\').then_some(())?;
    View::new(text, open.then_some((b'\\', 12)), |rest| match rest {
        [b'\\', b'u', ..] => unicode(rest),
        [b'\\', b'x', high, low, ..] => Some((one(hex(*high)? << 4 | hex(*low)?), 1, 4)),
        [b'\\', letter, ..] => {
            let byte = match letter {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'b' => 8,
                b'f' => 12,
                b'0' => 0,
                b'"' | b'\\' | b'/' | b'\'' | b'$' | b'`' | b' ' => *letter,
                _ => return None,
            };
            Some((one(byte), 1, 2))
        }
        _ => None,
    })
}

fn one(byte: u8) -> [u8; 4] {
    [byte, 0, 0, 0]
}

/// `\u00e9`, `\ud83d\ude00` or `\u{1f600}`.
fn unicode(rest: &[u8]) -> Option<([u8; 4], usize, usize)> {
    let number = |digits: &[u8]| digits.iter().try_fold(0, |sum, d| Some(sum << 4 | u32::from(hex(*d)?)));
    let (code, length) = if rest.get(2) == Some(&b'{') {
        let digits = rest[3..].iter().take(7).position(|b| *b == b'}')?;
        (number(&rest[3..3 + digits])?, digits + 4)
    } else {
        let first = number(rest.get(2..6)?)?;
        let second = || rest[6..].strip_prefix(b"\\u").and_then(|r| number(r.get(..4)?));
        match (first, second()) {
            (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) => (0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00), 12),
            _ => (first, 6),
        }
    };
    let mut bytes = [0; 4];
    let count = char::from_u32(code)?.encode_utf8(&mut bytes).len();
    Some((bytes, count, length))
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

/// The six bits of a base64 character, of both alphabets.
fn sextet(character: u8) -> Option<u8> {
    Some(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

/// A part of a text that may be base64 or hex, line breaks in it passed over.
pub struct Run {
    /// Where it is.
    pub range: Range<usize>,
    digit: fn(u8) -> Option<u8>,
    bits: u32,
}

/// All of them.
pub fn runs(text: &[u8]) -> impl Iterator<Item = Run> {
    let of = |digit, bits| Runs { text, at: 0, digit, bits };
    of(sextet, 6).chain(of(hex, 4))
}

struct Runs<'t> {
    text: &'t [u8],
    at: usize,
    digit: fn(u8) -> Option<u8>,
    bits: u32,
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let is_digit = |b: &u8| (self.digit)(*b).is_some();
        loop {
            let start = self.at + self.text[self.at..].iter().position(is_digit)?;
            let (mut end, mut count) = (start, 0);
            loop {
                let digits = self.text[end..].iter().take_while(|b| is_digit(b)).count();
                (end, count) = (end + digits, count + digits);
                let gap = break_length(&self.text[end..]);
                if gap == 0 || !self.text.get(end + gap).is_some_and(is_digit) {
                    break;
                }
                end += gap;
            }
            end += self.text[end..].iter().take_while(|b| **b == b'=').count();
            self.at = end;
            if count >= SHORTEST_RUN {
                return Some(Run { range: start..end, digit: self.digit, bits: self.bits });
            }
        }
    }
}

impl Run {
    /// What it may be, from each place where a byte may begin.
    pub fn decoded<'t>(&self, text: &'t [u8]) -> impl Iterator<Item = Vec<u8>> + use<'t> {
        let (digit, bits, text) = (self.digit, self.bits, &text[self.range.clone()]);
        let places = if bits == 6 { 4 } else { 2 };
        (0..places).map(move |skipped| {
            let (mut sum, mut held, mut bytes) = (0_u32, 0, Vec::with_capacity(text.len()));
            for value in text.iter().filter_map(|b| digit(*b)).skip(skipped) {
                sum = sum << bits | u32::from(value);
                held += bits;
                if held >= 8 {
                    held -= 8;
                    bytes.push((sum >> held & 0xff) as u8);
                }
            }
            bytes
        })
    }
}
