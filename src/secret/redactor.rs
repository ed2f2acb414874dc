//! Holds the registered secrets, and finds and masks them in texts.

use std::borrow::Cow;
use std::ops::Range;

use super::digits::{BASE64, HEX};
use super::escapes::unfinished_escape;
use super::mask::{MASK, MIN_MASKED_BYTES};
use super::patterns::Patterns;
use super::view::View;

/// How many nested encodings are decoded, such as base64 in base64 in hex.
const MAX_NESTING: usize = 4;

/// How far before the end of a cut text a secret may begin, in bytes.
const MAX_LOOK_BACK_BYTES: usize = 64 * 1024;

/// The most bytes that an escape takes for one byte: `\u0041`.
const MAX_EXPANSION: usize = 6;

/// The budget of decoded bytes to search: this many for each byte of a text, plus the minimum below. A text in base64
/// in base64 in base64 takes 2.7.
const MAX_DECODED_PER_BYTE: usize = 3;
const MIN_BUDGET_BYTES: usize = 64 * 1024;

/// The cost of each decoded text in addition to its length.
const TEXT_COST_BYTES: usize = 16;

#[derive(Default)]
pub struct Redactor {
    /// The secrets as they are, and as they look in a text after [`unescaped_view`] and `squeezed`.
    patterns: Patterns,
    /// How often a secret was added.
    pub(super) version: usize,
}

impl Redactor {
    /// Whether a value is registered, or too short to be masked.
    pub fn knows(&self, value: &str) -> bool {
        value.len() < MIN_MASKED_BYTES || self.patterns.all.contains(value.as_bytes())
    }

    pub fn add(&mut self, value: &str) {
        let lines = value.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
        for form in [value, value.trim()].into_iter().chain(lines).filter(|form| form.len() >= MIN_MASKED_BYTES) {
            self.patterns.add(form.as_bytes());
            self.patterns.add(&squeezed(form.as_bytes()));
            if form.contains(char::is_control) {
                // Squeezing removes the backslashes of `\
                // ` and `\\t` and leaves the letters.
                self.patterns.add(&squeezed(&serde_json::to_vec(form).unwrap_or_default()));
            }
        }
        self.version += 1;
    }

    /// Whether a secret is in the text, in any encoding.
    pub fn matches(&self, text: &str) -> bool {
        !self.find(text.as_bytes(), false).is_empty()
    }

    /// Whether a secret is in the text unencoded.
    pub fn matches_plainly(&self, text: &[u8]) -> bool {
        self.patterns.match_any(text)
    }

    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        masked(text, self.find(text.as_bytes(), false))
    }

    /// See [`super::redact_open`].
    pub fn redact_unfinished(&self, text: &[u8], keep: usize) -> String {
        let reach = self.max_match_bytes();
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
        let start = self.max_match_bytes().min(text.len());
        if start == 0 {
            return 0;
        }
        let mut found = self.find(text, false);
        found.sort_by_key(|r| r.start);
        found.into_iter().fold(start, |start, r| if r.start < start { start.max(r.end) } else { start })
    }

    /// See [`super::safe_end`].
    pub fn safe_end(&self, text: &[u8]) -> usize {
        let end = text.len() - self.max_match_bytes().min(text.len());
        if end == text.len() {
            return end;
        }
        let mut found = self.find(text, false);
        found.sort_by_key(|r| std::cmp::Reverse(r.end));
        found.into_iter().fold(end, |end, r| if r.end > end { end.min(r.start) } else { end })
    }

    /// The most bytes that one secret can take in a text, limited to [`MAX_LOOK_BACK_BYTES`].
    fn max_match_bytes(&self) -> usize {
        (self.patterns.longest * MAX_EXPANSION).min(MAX_LOOK_BACK_BYTES)
    }

    /// The places of secrets. With `open`, more text may follow, so the end may be the beginning of a secret.
    pub fn find(&self, text: &[u8], open: bool) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        if !self.patterns.all.is_empty() {
            let mut budget = MAX_DECODED_PER_BYTE * text.len() + MIN_BUDGET_BYTES;
            self.find_through(text, open, MAX_NESTING, &mut budget, &mut found);
        }
        found
    }

    fn find_through(&self, text: &[u8], open: bool, depth: usize, budget: &mut usize, found: &mut Vec<Range<usize>>) {
        self.patterns.find(text, open, found);
        let source = |view: &View, range: Range<usize>| {
            let to_the_end = open && range.end == view.bytes.len();
            let source = view.source(range);
            source.start..if to_the_end { text.len() } else { source.end }
        };
        let view = unescaped_view(text, false, open);
        let (squeezed, lines) = (view.squeezed(), view.with_line_breaks());
        if *squeezed.bytes != *text {
            let mut hits = Vec::new();
            self.patterns.find(&squeezed.bytes, open, &mut hits);
            found.extend(hits.into_iter().map(|range| source(&squeezed, range)));
        }
        let runs = self.matching_runs(&lines.bytes, open, depth, budget);
        found.extend(runs.into_iter().map(|range| source(&lines, range)));
        // In a form, the spaces that indent a wrapped line are `+`, which is a base64 digit, too.
        if text.contains(&b'+') && lines.bytes.windows(2).any(|two| two == b"\n+") {
            let view = self::unescaped_view(text, true, open);
            let lines = view.with_line_breaks();
            let runs = self.matching_runs(&lines.bytes, open, depth, budget);
            found.extend(runs.into_iter().map(|range| source(&lines, range)));
        }
    }

    /// The runs of digits that decode to a text with a secret.
    fn matching_runs(&self, text: &[u8], open: bool, depth: usize, budget: &mut usize) -> Vec<Range<usize>> {
        let Some(depth) = depth.checked_sub(1) else { return Vec::new() };
        let runs = BASE64.runs(text).chain(HEX.runs(text));
        let matching = runs.filter(|run| {
            // Encoded text may continue after a line break.
            let open = open && text[run.range.end..].trim_ascii().is_empty();
            run.decodes_to(|bytes| self.matches_decoded(bytes, open, depth, budget))
        });
        matching.map(|run| run.range).collect()
    }

    /// Whether a secret is in the decoded bytes. Digits that are no encoding decode to noise, which holds few readable
    /// texts. When the budget is used up, the rest counts as a secret.
    fn matches_decoded(&self, bytes: &[u8], open: bool, depth: usize, budget: &mut usize) -> bool {
        let texts = bytes.utf8_chunks().flat_map(|chunk| chunk.valid().as_bytes().split(is_noise));
        texts.filter(|text| text.len() >= MIN_MASKED_BYTES).any(|text| {
            let Some(left) = budget.checked_sub(text.len() + TEXT_COST_BYTES) else { return true };
            *budget = left;
            let mut found = Vec::new();
            self.find_through(text, open, depth, budget, &mut found);
            !found.is_empty()
        })
    }
}

/// Whether the byte occurs in no text, neither for a terminal nor in UTF-16.
fn is_noise(byte: &u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, 0 | 7 | 8 | b'\t' | b'\n' | b'\r' | 0x1b)
}

/// The text with all escapes undone and invisible characters removed.
fn unescaped_view(text: &[u8], form: bool, open: bool) -> View<'_> {
    let visible = View::new(text).without_invisible();
    let view = visible.unescaped(form).map_or(visible, View::without_invisible);
    let unfinished = if open { unfinished_escape(&view.bytes) } else { 0 };
    view.without_end(unfinished)
}

fn squeezed(value: &[u8]) -> Vec<u8> {
    unescaped_view(value, false, false).squeezed().bytes.into_owned()
}

/// The text with these ranges masked; overlapping or adjacent ranges become one.
fn masked(text: &str, mut found: Vec<Range<usize>>) -> Cow<'_, str> {
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    // A mask is not masked again, even if the word in it is a secret.
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
