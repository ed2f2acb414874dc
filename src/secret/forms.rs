//! A set of byte strings, and where they are in a text.

use std::collections::BTreeSet;
use std::ops::Bound::{Included, Unbounded};
use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::mask::MIN_MASKED_BYTES;

/// Bytes at the end of unfinished text that count as the beginning of a secret; fewer give nothing away.
const PREFIX_BYTES: usize = 3;

/// The most bytes of all strings for which a DFA is built. It searches fastest, but to build one of a long value that repeats
/// itself, such as a file of zeros in base64, takes quadratic time.
const MAX_SINGLE_SEARCHER_BYTES: usize = 16 * 1024;

/// The strings. The search is built when it is first needed after one was added.
#[derive(Default)]
pub struct Forms {
    /// All of them.
    pub all: BTreeSet<Vec<u8>>,
    /// Bytes of the longest.
    pub longest: usize,
    search: OnceLock<Option<AhoCorasick>>,
}

impl Forms {
    /// Adds one, unless it is too short to be searched for.
    pub fn add(&mut self, form: &[u8]) {
        if form.len() >= MIN_MASKED_BYTES && self.all.insert(form.to_vec()) {
            self.longest = self.longest.max(form.len());
            self.search = OnceLock::new();
        }
    }

    /// Whether one of them is in a text. More than can be searched for may be anywhere.
    pub fn are_in(&self, text: &[u8]) -> bool {
        !self.all.is_empty() && self.search().is_none_or(|search| search.is_match(text))
    }

    fn search(&self) -> Option<&AhoCorasick> {
        self.search.get_or_init(|| searcher(&self.all)).as_ref()
    }

    /// Where they are. `open`: more text may follow, so that its end may be the beginning of one.
    pub fn find(&self, text: &[u8], open: bool, found: &mut Vec<Range<usize>>) {
        if text.len() >= MIN_MASKED_BYTES && !self.all.is_empty() {
            match self.search() {
                Some(search) => found.extend(search.find_overlapping_iter(text).map(|m| m.range())),
                // More than can be searched for: nothing is shown at all.
                None => found.push(0..text.len()),
            }
        }
        if open {
            let from = text.len().saturating_sub(self.longest);
            let beginning = (from..(text.len() + 1).saturating_sub(PREFIX_BYTES)).find(|at| self.begins(&text[*at..]));
            found.extend(beginning.map(|at| at..text.len()));
        }
    }

    /// Whether one of them begins with this.
    fn begins(&self, part: &[u8]) -> bool {
        let mut after = self.all.range::<[u8], _>((Included(part), Unbounded));
        after.next().is_some_and(|form| form.starts_with(part))
    }
}

fn searcher(forms: &BTreeSet<Vec<u8>>) -> Option<AhoCorasick> {
    let few = forms.iter().map(Vec::len).sum::<usize>() <= MAX_SINGLE_SEARCHER_BYTES;
    let kind = if few { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
    AhoCorasick::builder().kind(Some(kind)).build(forms).ok()
}
