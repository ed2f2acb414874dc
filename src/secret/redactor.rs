//! The registered values, and where they are in a text.

use std::borrow::Cow;
use std::ops::Range;

use super::digits::{BASE64, HEX};
use super::escapes::cut_off;
use super::forms::Forms;
use super::mask::{MASK, MIN_MASKED_BYTES};
use super::view::View;

/// How often digits in digits are looked through: base64 in base64 in hex.
const MAX_DEPTH: usize = 4;

/// How far a text that was cut is looked back for the beginning of a secret, bytes.
const MAX_REACH_BYTES: usize = 64 * 1024;

/// The most bytes that one byte becomes when it is encoded: `\u0041`.
const MAX_EXPANSION: usize = 6;

/// Bytes that are decoded from digits and looked through, for each byte of a text and at least. A text that was encoded in
/// base64 three times takes 2.7.
const DECODED_PER_BYTE: usize = 3;
const MIN_DECODED: usize = 64 * 1024;

/// What a short text costs besides, in bytes.
const BASE_BUDGET_BYTES: usize = 16;

/// The registered values.
#[derive(Default)]
pub struct Redactor {
    /// As they are, and as they are read in a text whose escapes and quotes are undone, see [`read`].
    forms: Forms,
    /// How often something was added.
    pub(super) version: usize,
}

impl Redactor {
    /// Whether a value is registered, or too short to be.
    pub fn has(&self, value: &str) -> bool {
        value.len() < MIN_MASKED_BYTES || self.forms.all.contains(value.as_bytes())
    }

    /// Registers a value and each of its lines.
    pub fn add(&mut self, value: &str) {
        let lines = value.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
        for form in [value, value.trim()].into_iter().chain(lines).filter(|form| form.len() >= MIN_MASKED_BYTES) {
            self.forms.add(form.as_bytes());
            self.forms.add(&squeezed(form.as_bytes()));
            if form.contains(char::is_control) {
                // What `\\n` and `\\t` leave of themselves.
                self.forms.add(&squeezed(&serde_json::to_vec(form).unwrap_or_default()));
            }
        }
        self.version += 1;
    }

    /// Whether one of them is in a text.
    pub fn is_in(&self, text: &str) -> bool {
        !self.find(text.as_bytes(), false).is_empty()
    }

    /// Whether one of them is in a text as it is.
    pub fn is_plainly_in(&self, text: &[u8]) -> bool {
        self.forms.are_in(text)
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
        (self.forms.longest * MAX_EXPANSION).min(MAX_REACH_BYTES)
    }

    /// Where they are. `open`: more text may follow, so that its end may be the beginning of a secret.
    pub fn find(&self, text: &[u8], open: bool) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        if !self.forms.all.is_empty() {
            let mut budget = DECODED_PER_BYTE * text.len() + MIN_DECODED;
            self.find_through(text, open, MAX_DEPTH, &mut budget, &mut found);
        }
        found
    }

    fn find_through(&self, text: &[u8], open: bool, depth: usize, budget: &mut usize, found: &mut Vec<Range<usize>>) {
        self.forms.find(text, open, found);
        let source = |view: &View, range: Range<usize>| {
            let to_the_end = open && range.end == view.bytes.len();
            let source = view.source(range);
            source.start..if to_the_end { text.len() } else { source.end }
        };
        let read = read(text, false, open);
        let (squeezed, broken) = (read.squeezed(), read.broken());
        if *squeezed.bytes != *text {
            let mut hits = Vec::new();
            self.forms.find(&squeezed.bytes, open, &mut hits);
            found.extend(hits.into_iter().map(|range| source(&squeezed, range)));
        }
        let runs = self.runs(&broken.bytes, open, depth, budget);
        found.extend(runs.into_iter().map(|range| source(&broken, range)));
        // In a form, the blanks of a line that was wrapped are `+`, which is a digit of base64 as well.
        if text.contains(&b'+') && broken.bytes.windows(2).any(|two| two == b"\n+") {
            let read = self::read(text, true, open);
            let broken = read.broken();
            let runs = self.runs(&broken.bytes, open, depth, budget);
            found.extend(runs.into_iter().map(|range| source(&broken, range)));
        }
    }

    /// The runs of digits in which one of them is.
    fn runs(&self, text: &[u8], open: bool, depth: usize, budget: &mut usize) -> Vec<Range<usize>> {
        let Some(depth) = depth.checked_sub(1) else { return Vec::new() };
        let runs = BASE64.runs(text).chain(HEX.runs(text));
        let held = runs.filter(|run| {
            // Encoded text goes on after a line break.
            let open = open && text[run.range.end..].trim_ascii().is_empty();
            run.decoded_is(|bytes| self.is_in_decoded(bytes, open, depth, budget))
        });
        held.map(|run| run.range).collect()
    }

    /// Whether one of them is in what some digits may stand for. What they do not stand for is noise, in which little can be
    /// read as text. What is left over when the budget is used up counts as a secret.
    fn is_in_decoded(&self, bytes: &[u8], open: bool, depth: usize, budget: &mut usize) -> bool {
        let texts = bytes.utf8_chunks().flat_map(|chunk| chunk.valid().as_bytes().split(is_noise));
        texts.filter(|text| text.len() >= MIN_MASKED_BYTES).any(|text| {
            let Some(left) = budget.checked_sub(text.len() + BASE_BUDGET_BYTES) else { return true };
            *budget = left;
            let mut found = Vec::new();
            self.find_through(text, open, depth, budget, &mut found);
            !found.is_empty()
        })
    }
}

/// Whether this is in no text, neither in one for a terminal nor in UTF-16.
fn is_noise(byte: &u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, 0 | 7 | 8 | b'\t' | b'\n' | b'\r' | 0x1b)
}

/// A text with all its escapes undone, and without what nobody sees.
fn read(text: &[u8], form: bool, open: bool) -> View<'_> {
    let seen = View::new(text).seen();
    let read = seen.unescaped(form).map_or(seen, View::seen);
    let cut_off = if open { cut_off(&read.bytes) } else { 0 };
    read.without_end(cut_off)
}

fn squeezed(value: &[u8]) -> Vec<u8> {
    read(value, false, false).squeezed().bytes.into_owned()
}

/// The text with these parts masked; those that overlap or touch are one.
fn masked(text: &str, mut found: Vec<Range<usize>>) -> Cow<'_, str> {
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    // A mask is no secret, even when a secret is the word in it.
    let masks: Vec<usize> = text.match_indices(MASK).map(|(at, _)| at).collect();
    found.retain(|r| {
        let before = masks[..masks.partition_point(|at| *at <= r.start)].last();
        before.is_none_or(|at| r.end > at + MASK.len())
    });
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
