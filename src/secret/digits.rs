//! Base64 and hex in a text: the digits of all places where there may be some, and what they decode to.

use std::ops::Range;

use super::normal::hex;

/// Digits that could hold the shortest secret; fewer are looked past.
const SHORTEST_RUN: usize = 8;

/// No digit.
const NONE: u8 = 0xff;

/// A way to write bytes as digits.
pub struct Alphabet {
    values: [u8; 256],
    bits: usize,
    /// Digits among which there is one that a byte begins with.
    places: usize,
    /// Whether single signs may stand between the bytes.
    spaced: bool,
}

/// Both alphabets of base64.
pub const BASE64: Alphabet = {
    let (mut values, mut n) = ([NONE; 256], 0);
    while n < 26 {
        values[b'A' as usize + n as usize] = n;
        values[b'a' as usize + n as usize] = n + 26;
        n += 1;
    }
    n = 0;
    while n < 10 {
        values[b'0' as usize + n as usize] = n + 52;
        n += 1;
    }
    (values[b'+' as usize], values[b'-' as usize], values[b'/' as usize], values[b'_' as usize]) = (62, 62, 63, 63);
    Alphabet { values, bits: 6, places: 4, spaced: false }
};

/// Hex, also with something between the bytes.
pub const HEX: Alphabet = {
    let (mut values, mut n) = ([NONE; 256], 0);
    while n < 10 {
        values[b'0' as usize + n as usize] = n;
        n += 1;
    }
    n = 0;
    while n < 6 {
        values[b'A' as usize + n as usize] = n + 10;
        values[b'a' as usize + n as usize] = n + 10;
        n += 1;
    }
    Alphabet { values, bits: 4, places: 2, spaced: true }
};

/// Digits of a text.
pub struct Digits<'a> {
    alphabet: &'a Alphabet,
    /// Their values, of all runs.
    values: Vec<u8>,
    runs: Vec<Run>,
}

/// A part of a text that may be encoded, line breaks in it passed over.
struct Run {
    /// Its first digit.
    first: usize,
    /// Where it is in the text.
    range: Range<usize>,
}

impl<'a> Digits<'a> {
    /// Those of a text.
    pub fn of(text: &[u8], alphabet: &'a Alphabet) -> Self {
        let mut digits = Self { alphabet, values: Vec::with_capacity(text.len()), runs: Vec::new() };
        let is_digit = |at: usize| text.get(at).is_some_and(|b| alphabet.values[usize::from(*b)] != NONE);
        let mut at = 0;
        while at < text.len() {
            if !is_digit(at) {
                at += 1;
                continue;
            }
            let (start, first) = (at, digits.values.len());
            let mut end = at;
            while is_digit(at) {
                while let Some(value) = text.get(at).map(|b| alphabet.values[usize::from(*b)]).filter(|v| *v != NONE) {
                    digits.values.push(value);
                    at += 1;
                }
                end = at;
                at += gap(&text[at..], alphabet.spaced);
            }
            at = end + text[end..].iter().take_while(|b| **b == b'=').count();
            if digits.values.len() - first < SHORTEST_RUN {
                digits.values.truncate(first);
            } else {
                digits.runs.push(Run { first, range: start..at });
            }
        }
        digits
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether they may go on behind the end of their text.
    pub fn may_go_on(&self, text: &[u8]) -> bool {
        let end = self.runs.last().map_or(0, |run| run.range.end);
        let between =
            |b: &u8| b.is_ascii_whitespace() || self.alphabet.spaced && (is_between(*b) || b"0xX".contains(b));
        text[end..].iter().all(between)
    }

    /// The digits with which a byte may begin.
    pub fn places(&self) -> Range<usize> {
        0..self.alphabet.places
    }

    /// What they may be, when bytes begin so many digits later.
    pub fn decode(&self, skipped: usize, bytes: &mut Vec<u8>) {
        bytes.clear();
        let values = self.values.get(skipped..).unwrap_or_default();
        if self.alphabet.bits == 4 {
            bytes.extend(values.chunks_exact(2).map(|two| two[0] << 4 | two[1]));
            return;
        }
        let four = values.chunks_exact(4);
        let rest = four.remainder();
        bytes.extend(four.flat_map(|v| [v[0] << 2 | v[1] >> 4, v[1] << 4 | v[2] >> 2, v[2] << 6 | v[3]]));
        bytes.extend(
            rest.windows(2)
                .enumerate()
                .map(|(n, v)| if n == 0 { v[0] << 2 | v[1] >> 4 } else { v[0] << 4 | v[1] >> 2 }),
        );
    }

    /// The numbers of the runs that these decoded bytes come from.
    pub fn runs(&self, decoded: Range<usize>, skipped: usize) -> Range<usize> {
        let run = |byte: usize| {
            let digit = byte * 8 / self.alphabet.bits + skipped;
            self.runs.partition_point(|run| run.first <= digit).saturating_sub(1)
        };
        run(decoded.start)..run(decoded.end - 1) + 1
    }

    /// Where the run of that number is.
    pub fn range(&self, run: usize) -> Range<usize> {
        self.runs[run].range.clone()
    }

    /// How many runs there are.
    pub fn count(&self) -> usize {
        self.runs.len()
    }
}

/// How long what stands between two digits is: white space with a line break in it, or between bytes of hex a blank, a
/// colon or the like.
fn gap(text: &[u8], spaced: bool) -> usize {
    let blank = text.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
    if text[..blank].contains(&b'\n') {
        return blank;
    }
    if !spaced {
        return 0;
    }
    let signs = text.iter().take(3).take_while(|b| is_between(**b)).count();
    match &text[signs..] {
        [b'0', b'x' | b'X', digit, ..] if signs > 0 && hex(*digit).is_some() => signs + 2,
        _ => signs,
    }
}

/// What may stand between bytes of hex.
fn is_between(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b':' | b',' | b'-' | b'+')
}
