//! The registered values, and where they are in a text.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound::{Included, Unbounded};
use std::ops::Range;
use std::sync::OnceLock;

use super::normal::{Normal, is_blank, is_left_out};
use super::search::{BEGINNING, Search, Walk};
use super::{MASK, SHORTEST};

/// How far a text that was cut is looked back for the beginning of a secret, bytes.
const FARTHEST: usize = 64 * 1024;

/// The most bytes that one byte becomes when it is encoded: `\u0041`.
const EXPANSION: usize = 6;

/// Values longer than this are not looked for in base32.
const LONGEST_BASE32: usize = 4096;

/// The registered values. The search is built when it is first needed after one was added.
#[derive(Default)]
pub struct Known {
    /// As they are, and each of their lines.
    pub(super) forms: BTreeSet<Vec<u8>>,
    /// In their normal form without blanks, and how many these were; `None`: it does not matter.
    pub(super) normal: BTreeMap<Vec<u8>, Option<usize>>,
    /// The first bytes of each.
    beginnings: HashSet<[u8; BEGINNING]>,
    longest: usize,
    /// How often something was added.
    pub(super) version: usize,
    search: OnceLock<Option<Search>>,
}

impl Known {
    /// Whether a value is registered, or too short to be.
    pub fn has(&self, value: &str) -> bool {
        value.len() < SHORTEST || self.forms.contains(value.as_bytes())
    }

    /// Registers a value and each of its lines.
    pub fn add(&mut self, value: &str) {
        let lines = value.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
        for form in [value, value.trim()].into_iter().chain(lines).filter(|form| form.len() >= SHORTEST) {
            self.add_form(form);
        }
        self.version += 1;
        self.search = OnceLock::new();
    }

    fn add_form(&mut self, form: &str) {
        let normal = Normal::of(form.as_bytes(), false).bytes;
        let solid: Vec<u8> = normal.iter().copied().filter(|b| !is_left_out(*b)).collect();
        if solid.len() >= SHORTEST {
            let blanks = normal.iter().filter(|b| is_blank(**b)).count();
            self.add_normal(solid, Some(blanks));
        } else {
            // Of signs that mean something to others, hardly anything is left: only what it looks like to a few of them.
            let json = serde_json::Value::from(form).to_string();
            let percent: String = form.bytes().map(|b| format!("%{b:02X}")).collect();
            let quoted: String = form.chars().flat_map(|c| ['\\', c]).collect();
            for form in [json[1..json.len() - 1].to_owned(), percent.to_lowercase(), percent, quoted] {
                self.add_plain(form.into_bytes());
            }
        }
        if form.len() <= LONGEST_BASE32 {
            (0..5).map(|before| base32_core(form.as_bytes(), before)).for_each(|core| self.add_normal(core, None));
        }
        self.add_plain(form.as_bytes().to_vec());
    }

    fn add_plain(&mut self, form: Vec<u8>) {
        self.note(&form);
        self.forms.insert(form);
    }

    fn add_normal(&mut self, form: Vec<u8>, blanks: Option<usize>) {
        if form.len() >= SHORTEST {
            self.note(&form);
            self.normal.insert(form, blanks);
        }
    }

    fn note(&mut self, form: &[u8]) {
        self.beginnings.extend(form.first_chunk());
        self.longest = self.longest.max(form.len());
    }

    /// Whether one of them is in a text.
    pub fn is_in(&self, text: &str) -> bool {
        !self.find(text.as_bytes(), false).is_empty()
    }

    /// A text with all of them masked.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        masked(text, self.find(text.as_bytes(), false))
    }

    /// See [`super::redact_open`].
    pub fn redact_open(&self, text: &[u8], keep: usize) -> String {
        let reach = self.reach();
        let from = text.len().saturating_sub(keep + reach);
        let window = String::from_utf8_lossy(&text[from..]);
        let mut found = self.find(window.as_bytes(), true);
        if from > 0 && reach > 0 {
            found.push(0..reach.min(window.len()));
        }
        masked(&window, found).into_owned()
    }

    /// See [`super::safe_start`].
    pub fn safe_start(&self, text: &[u8]) -> usize {
        let start = self.reach().min(text.len());
        if start == 0 {
            return 0;
        }
        let mut found = self.find(text, false);
        found.sort_by_key(|r| r.start);
        found.into_iter().fold(start, |start, r| if r.start < start { start.max(r.end) } else { start })
    }

    /// See [`super::safe_end`].
    pub fn safe_end(&self, text: &[u8]) -> usize {
        let end = text.len() - self.reach().min(text.len());
        if end == text.len() {
            return end;
        }
        let mut found = self.find(text, false);
        found.sort_by_key(|r| std::cmp::Reverse(r.end));
        found.into_iter().fold(end, |end, r| if r.end > end { end.min(r.start) } else { end })
    }

    /// The longest stretch of text that one secret can take; of very long ones only so much is looked back.
    fn reach(&self) -> usize {
        (self.longest * EXPANSION).min(FARTHEST)
    }

    /// Where they are. `open`: more text may follow, so that its end may be the beginning of a secret.
    pub fn find(&self, text: &[u8], open: bool) -> Vec<Range<usize>> {
        if self.forms.is_empty() || text.len() < BEGINNING {
            return Vec::new();
        }
        match self.search.get_or_init(|| Search::new(self)) {
            Some(search) => Walk::find(self, search, text, open),
            // More than can be searched for: nothing is shown at all.
            None => std::iter::once(0..text.len()).collect(),
        }
    }

    /// Where the end of a text begins with which some value begins.
    pub(super) fn beginning(&self, text: &[u8]) -> Option<usize> {
        self.first_that(text, |part| self.forms.range::<[u8], _>((Included(part), Unbounded)).next())
    }

    /// The same of normal forms.
    pub(super) fn normal_beginning(&self, text: &[u8]) -> Option<usize> {
        let next = |part: &[u8]| self.normal.range::<[u8], _>((Included(part), Unbounded)).next();
        self.first_that(text, |part| next(part).map(|(form, _)| form))
    }

    fn first_that<'k>(&self, text: &[u8], next: impl Fn(&[u8]) -> Option<&'k Vec<u8>>) -> Option<usize> {
        let from = text.len().saturating_sub(self.longest);
        (from..(text.len() + 1).saturating_sub(BEGINNING)).find(|at| {
            let part = &text[*at..];
            part.first_chunk().is_some_and(|first| self.beginnings.contains(first))
                && next(part).is_some_and(|form| form.starts_with(part))
        })
    }
}

/// The characters of the base32 of any text that depend on this part of it alone, when so many bytes stand before it.
fn base32_core(part: &[u8], before: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bit = |at: usize| part.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    let skipped = (before * 8).div_ceil(5) * 5 - before * 8;
    let digits = (part.len() * 8).saturating_sub(skipped) / 5;
    let digit = |n: usize| (0..5).fold(0, |sum, b| sum << 1 | bit(skipped + n * 5 + b));
    (0..digits).map(|n| ALPHABET[usize::from(digit(n))]).collect()
}

/// The text with these parts masked; those that overlap or touch are one.
fn masked(text: &str, mut found: Vec<Range<usize>>) -> Cow<'_, str> {
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    // A mask is no secret, even when a secret is the word in it.
    let masks: Vec<usize> = text.match_indices(MASK).map(|(at, _)| at).collect();
    let mask_before = |at: usize| masks[..masks.partition_point(|mask| *mask <= at)].last().copied();
    found.retain(|r| mask_before(r.start).is_none_or(|at| r.end > at + MASK.len()));
    found.sort_by_key(|r| r.start);
    let (mut out, mut done) = (String::new(), 0);
    let mut ranges = found.into_iter().peekable();
    while let Some(mut range) = ranges.next() {
        while let Some(next) = ranges.next_if(|next| next.start <= range.end) {
            range.end = range.end.max(next.end);
        }
        let start = text.floor_char_boundary(range.start).max(done);
        out.push_str(&text[done..start]);
        out.push_str(MASK);
        done = text.ceil_char_boundary(range.end);
    }
    out.push_str(&text[done..]);
    Cow::Owned(out)
}
