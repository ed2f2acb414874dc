//! The registered values, and where they are in a text.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Bound::{Included, Unbounded};
use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::{MASK, SHORTEST, views};

/// Encodings inside of each other that are looked through: base64 in base64 in JSON in JSON.
const DEPTH: usize = 4;

/// Bytes at the end of unfinished text that count as the beginning of a secret; fewer give nothing away.
const BEGINNING: usize = 3;

/// How far a text that was cut is looked back for the beginning of a secret, bytes.
const FARTHEST: usize = 64 * 1024;

/// The most bytes that one byte becomes when it is encoded: `\u0041`.
const EXPANSION: usize = 6;

/// Bytes of views that are looked through for each byte of a text, and for a text in all where it is a short one. What hosts
/// print in earnest takes less than twenty.
const VIEWED: usize = 64;
const VIEWED_AT_LEAST: usize = 256 * 1024;

/// The registered values. The search is built when it is first needed after one was added.
#[derive(Default)]
pub struct Known {
    forms: BTreeSet<Vec<u8>>,
    longest: usize,
    /// How often something was added.
    pub(super) version: usize,
    search: OnceLock<Option<AhoCorasick>>,
}

impl Known {
    /// Whether a value is registered, or too short to be.
    pub fn has(&self, value: &str) -> bool {
        value.len() < SHORTEST || self.forms.contains(value.as_bytes())
    }

    /// Registers a value and each of its lines, also as they are written where quotes are doubled or quoted.
    pub fn add(&mut self, value: &str) {
        let lines = value.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
        for form in [value, value.trim()].into_iter().chain(lines).filter(|form| form.len() >= SHORTEST) {
            self.forms.insert(form.as_bytes().to_vec());
            if form.contains('\'') {
                // YAML, and two ways of shells.
                let quoted = ["''", r"'\''", r#"'"'"'"#].map(|quote| form.replace('\'', quote).into_bytes());
                self.forms.extend(quoted);
            }
        }
        self.version += 1;
        self.longest = self.forms.iter().map(Vec::len).max().unwrap_or_default();
        self.search = OnceLock::new();
    }

    /// Whether one of them is in a text.
    pub fn is_in(&self, text: &str) -> bool {
        let plain = self.search.get().and_then(Option::as_ref).is_some_and(|search| search.is_match(text));
        plain || !self.find(text.as_bytes(), false).is_empty()
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
        let mut found = Vec::new();
        if !self.forms.is_empty() {
            let mut budget = VIEWED * text.len() + VIEWED_AT_LEAST;
            self.find_through(text, open, DEPTH, &mut budget, &mut found);
        }
        found
    }

    /// Encodings inside of each other multiply the views of a text: what is left over when the budget is used up counts as
    /// a secret.
    fn find_through(&self, text: &[u8], open: bool, depth: usize, budget: &mut usize, found: &mut Vec<Range<usize>>) {
        let Some(left) = budget.checked_sub(text.len()) else {
            found.push(0..text.len());
            return;
        };
        *budget = left;
        self.find_plain(text, open, found);
        let mut inner = Vec::new();
        // Each line of a secret is one, so a line that has ended is no beginning.
        for view in [views::joined(text, b""), views::joined(text, b" ")].into_iter().flatten() {
            self.find_plain(&view.bytes, false, &mut inner);
            found.extend(inner.drain(..).map(|range| view.source(range)));
        }
        if depth == 0 {
            return;
        }
        let views = [
            views::percent(text, false, open),
            views::percent(text, true, open),
            views::escapes(text, open),
            views::seen(text),
        ];
        for view in views.into_iter().flatten().filter(|view| !view.bytes.is_empty()) {
            self.find_through(&view.bytes, open, depth - 1, budget, &mut inner);
            found.extend(inner.drain(..).map(|range| view.source(range)));
        }
        for run in views::runs(text) {
            // Encoded text goes on after a line break.
            let open = open && text[run.range.end..].trim_ascii().is_empty();
            let hit = run.decoded(text).any(|bytes| {
                inner.clear();
                self.find_plain(&bytes, open, &mut inner);
                // What was no encoding is noise now, and not looked through any further.
                let texts = bytes.utf8_chunks().map(|chunk| chunk.valid()).filter(|t| t.len() >= SHORTEST);
                texts.for_each(|text| self.find_through(text.as_bytes(), open, depth - 1, budget, &mut inner));
                !inner.is_empty()
            });
            if hit {
                found.push(run.range);
            }
        }
    }

    fn find_plain(&self, text: &[u8], open: bool, found: &mut Vec<Range<usize>>) {
        if text.len() >= SHORTEST {
            match self.search.get_or_init(|| searcher(&self.forms)) {
                Some(search) => found.extend(search.find_overlapping_iter(text).map(|m| m.range())),
                // More than can be searched for: nothing is shown at all.
                None => found.push(0..text.len()),
            }
        }
        if open {
            let from = text.len().saturating_sub(self.longest);
            let beginning = (from..(text.len() + 1).saturating_sub(BEGINNING)).find(|at| self.begins(&text[*at..]));
            found.extend(beginning.map(|at| at..text.len()));
        }
    }

    /// Whether some value begins with this.
    fn begins(&self, part: &[u8]) -> bool {
        let mut after = self.forms.range::<[u8], _>((Included(part), Unbounded));
        after.next().is_some_and(|form| form.starts_with(part))
    }
}

/// Never a DFA: to build one of a long value that repeats itself, such as a file of zeros in base64, takes quadratic time.
fn searcher(forms: &BTreeSet<Vec<u8>>) -> Option<AhoCorasick> {
    AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(forms).ok()
}

/// The text with these parts masked; those that overlap or touch are one.
fn masked(text: &str, mut found: Vec<Range<usize>>) -> Cow<'_, str> {
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    // A mask is no secret, even when a secret is the word in it.
    for (at, _) in text.match_indices(MASK) {
        found.retain(|r| r.start < at || r.end > at + MASK.len());
    }
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
