//! Looks through a text for the registered values, and through what is encoded in it.
//!
//! The time is proportional to the text's length, whatever is in it. Encodings inside of each other are looked through as
//! far as a budget reaches that is so, too; what lies beyond counts as a secret.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::SHORTEST;
use super::digits::{BASE64, Digits, HEX};
use super::known::Known;
use super::normal::{Normal, is_left_out, is_stray};

/// Encodings as digits inside of each other that are looked through.
const DEPTH: usize = 4;

/// Bytes of inner texts that are looked through, beyond as many as the text has.
const AT_LEAST: usize = 64 * 1024;

/// Bytes at the end of unfinished text that count as the beginning of a secret; fewer give nothing away.
pub const BEGINNING: usize = 3;

/// Stands between texts that have nothing to do with each other; in no text.
const BORDER: u8 = 0xff;

/// The automata, built once for many texts.
pub struct Search {
    plain: AhoCorasick,
    normal: AhoCorasick,
    /// How many blanks were taken out of each normal form; `None`: they do not count.
    blanks: Vec<Option<usize>>,
}

impl Search {
    /// For these values. `None` when there is more than can be searched for.
    pub fn new(known: &Known) -> Option<Self> {
        let blanks = known.normal.values().copied().collect();
        Some(Self { plain: automaton(&known.forms)?, normal: automaton(known.normal.keys())?, blanks })
    }
}

/// Never a DFA: to build one of a long value that repeats itself, such as a file of zeros in base64, takes quadratic time.
fn automaton<P: AsRef<[u8]>>(forms: impl IntoIterator<Item = P>) -> Option<AhoCorasick> {
    AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(forms).ok()
}

/// One walk through a text.
pub struct Walk<'k> {
    known: &'k Known,
    search: &'k Search,
    budget: usize,
}

impl<'k> Walk<'k> {
    /// Where values are in a text. `open`: more text may follow, so that its end may be the beginning of one.
    pub fn find(known: &'k Known, search: &'k Search, text: &[u8], open: bool) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        Self { known, search, budget: text.len() + AT_LEAST }.text(text, open, DEPTH, &mut found);
        found
    }

    fn text(&mut self, text: &[u8], open: bool, depth: usize, found: &mut Vec<Range<usize>>) {
        self.plain(text, open, found);
        let normal = Normal::of(text, open);
        let mut inner = Vec::new();
        self.normal(&normal.bytes, open, &mut inner);
        if depth > 0 {
            for alphabet in [&BASE64, &HEX] {
                let digits = Digits::of(&normal.bytes, alphabet);
                if !digits.is_empty() {
                    let open = open && digits.may_go_on(&normal.bytes);
                    self.digits(&digits, open, depth, &mut inner);
                }
            }
        }
        found.extend(inner.into_iter().map(|range| {
            let to_the_end = open && range.end == normal.bytes.len();
            let source = normal.source(range);
            source.start..if to_the_end { text.len() } else { source.end }
        }));
    }

    /// As they are.
    fn plain(&self, text: &[u8], open: bool, found: &mut Vec<Range<usize>>) {
        if text.len() >= SHORTEST {
            found.extend(self.search.plain.find_overlapping_iter(text).map(|m| m.range()));
        }
        if open {
            found.extend(self.known.beginning(text).map(|at| at..text.len()));
        }
    }

    /// In their normal form, however they are broken into lines: blanks do not count, but then there is a line break.
    fn normal(&self, text: &[u8], open: bool, found: &mut Vec<Range<usize>>) {
        let mut solid = Vec::with_capacity(text.len());
        // How much of the rest stands before each thing that is left out: for all of them, and for some kinds.
        let (mut gaps, mut strays, mut breaks) = (Vec::new(), Vec::new(), Vec::new());
        for part in text.split_inclusive(|b| is_left_out(*b)) {
            let Some((last, rest)) = part.split_last().filter(|(last, _)| is_left_out(**last)) else {
                solid.extend_from_slice(part);
                break;
            };
            solid.extend_from_slice(rest);
            gaps.push(solid.len());
            match last {
                b'\n' => breaks.push(solid.len()),
                stray if is_stray(*stray) => strays.push(solid.len()),
                _ => {}
            }
        }
        let place = |at: usize| at + before(&gaps, at);
        for hit in self.search.normal.find_overlapping_iter(&solid) {
            let (start, last) = (hit.start(), hit.end() - 1);
            let among = |places: &[usize]| before(places, last) - before(places, start);
            let as_many = |blanks: usize| blanks == among(&gaps) - among(&strays);
            if self.search.blanks[hit.pattern().as_usize()].is_none_or(as_many) || among(&breaks) > 0 {
                found.push(place(start)..place(last) + 1);
            }
        }
        if open && let Some(at) = self.known.normal_beginning(&solid) {
            found.push(place(at)..text.len());
        }
    }

    /// In what digits decode to. What holds one is found whole.
    fn digits(&mut self, digits: &Digits<'_>, open: bool, depth: usize, found: &mut Vec<Range<usize>>) {
        let mut hit = vec![false; digits.count()];
        let (mut bytes, mut ranges) = (Vec::new(), Vec::new());
        for skipped in digits.places() {
            digits.decode(skipped, &mut bytes);
            ranges.clear();
            self.plain(&bytes, open, &mut ranges);
            self.inner(&bytes, open, depth, &mut ranges);
            for range in &ranges {
                hit[digits.runs(range.clone(), skipped)].fill(true);
            }
        }
        found.extend(hit.iter().enumerate().filter(|(_, hit)| **hit).map(|(run, _)| digits.range(run)));
    }

    /// In the parts of decoded bytes that are text: what was no encoding is noise now, and not looked through any further.
    fn inner(&mut self, bytes: &[u8], open: bool, depth: usize, found: &mut Vec<Range<usize>>) {
        let (mut texts, mut parts) = (Vec::new(), Vec::new());
        for range in printable(bytes) {
            if range.len() > self.budget {
                found.push(range);
            } else {
                self.budget -= range.len();
                parts.push((texts.len(), range.start));
                texts.extend_from_slice(&bytes[range]);
                texts.push(BORDER);
            }
        }
        if texts.is_empty() {
            return;
        }
        // Cut off in the middle of a character, it may go on all the same.
        let ends = parts.last().is_some_and(|(first, at)| texts.len() - 1 - first + at + 3 >= bytes.len());
        texts.pop();
        let mut inner = Vec::new();
        self.text(&texts, open && ends, depth - 1, &mut inner);
        let place = |inner: usize| {
            let part = parts.partition_point(|(first, _)| *first <= inner).saturating_sub(1);
            parts.get(part).map_or(0, |(first, at)| at + (inner - first))
        };
        found.extend(inner.into_iter().map(|r| place(r.start)..(place(r.end - 1) + 1).min(bytes.len())));
    }
}

/// How many of these places, which rise, are not behind one.
fn before(places: &[usize], at: usize) -> usize {
    places.partition_point(|place| *place <= at)
}

/// The parts of bytes that are text with enough ASCII in it: all that is encoded once more is.
fn printable(bytes: &[u8]) -> Vec<Range<usize>> {
    let (mut found, mut at, mut done) = (Vec::new(), 0, 0);
    while let Some(window) = bytes.get(at..at + SHORTEST) {
        // Most of noise is never looked at.
        if let Some(noise) = window.iter().rposition(|b| !b.is_ascii()) {
            at += noise + 1;
            continue;
        }
        let valid = |part: &[u8]| part.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len());
        let not_ascii = bytes[done..at].iter().rev().take_while(|b| !b.is_ascii()).count();
        let start = at - not_ascii;
        let end = at + valid(&bytes[at..]);
        found.push(start..end);
        (at, done) = (end, end);
    }
    found
}
