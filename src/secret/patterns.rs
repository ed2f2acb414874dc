//! A set of byte strings to search for in a text.

use std::collections::BTreeSet;
use std::ops::Bound::{Included, Unbounded};
use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::mask::MIN_MASKED_BYTES;

/// An unfinished text that ends with at least this many first bytes of a secret is masked there. Fewer bytes give
/// nothing away.
const PREFIX_BYTES: usize = 3;

/// The most bytes of all patterns for which a DFA is built. A DFA searches fastest, but building one takes quadratic
/// time for long values that repeat themselves, such as a file of zeros in base64.
const MAX_DFA_BYTES: usize = 16 * 1024;

/// The byte strings. The searcher is built at the first search after a string was added.
#[derive(Default)]
pub struct Patterns {
    pub all: BTreeSet<Vec<u8>>,
    /// Length of the longest pattern in bytes.
    pub longest: usize,
    search: OnceLock<Option<AhoCorasick>>,
}

impl Patterns {
    /// Adds a pattern, unless it is too short to be masked.
    pub fn add(&mut self, pattern: &[u8]) {
        if pattern.len() >= MIN_MASKED_BYTES && self.all.insert(pattern.to_vec()) {
            self.longest = self.longest.max(pattern.len());
            self.search = OnceLock::new();
        }
    }

    /// Whether any pattern is in the text. Also true if there are too many patterns to build a searcher.
    pub fn match_any(&self, text: &[u8]) -> bool {
        !self.all.is_empty() && self.search().is_none_or(|search| search.is_match(text))
    }

    fn search(&self) -> Option<&AhoCorasick> {
        self.search.get_or_init(|| build_search(&self.all)).as_ref()
    }

    /// Adds the places of all patterns to `found`. With `open`, more text may follow, so the end counts as a match if a
    /// pattern may begin there.
    pub fn find(&self, text: &[u8], open: bool, found: &mut Vec<Range<usize>>) {
        if text.len() >= MIN_MASKED_BYTES && !self.all.is_empty() {
            match self.search() {
                Some(search) => found.extend(search.find_overlapping_iter(text).map(|m| m.range())),
                // Too many patterns to build a searcher: the whole text is masked.
                None => found.push(0..text.len()),
            }
        }
        if open {
            let from = text.len().saturating_sub(self.longest);
            let beginning =
                (from..(text.len() + 1).saturating_sub(PREFIX_BYTES)).find(|at| self.have_prefix(&text[*at..]));
            found.extend(beginning.map(|at| at..text.len()));
        }
    }

    /// Whether any pattern begins with `part`.
    fn have_prefix(&self, part: &[u8]) -> bool {
        let mut after = self.all.range::<[u8], _>((Included(part), Unbounded));
        after.next().is_some_and(|form| form.starts_with(part))
    }
}

fn build_search(patterns: &BTreeSet<Vec<u8>>) -> Option<AhoCorasick> {
    let few = patterns.iter().map(Vec::len).sum::<usize>() <= MAX_DFA_BYTES;
    let kind = if few { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
    AhoCorasick::builder().kind(Some(kind)).build(patterns).ok()
}
