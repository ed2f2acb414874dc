//! Masks removed text that may be an old secret, which is no longer registered.
//!
//! Removed text is shown only if it cannot hold a secret: all but a few bytes of it, fewer than the shortest secret
//! has, are also in the new state.

use std::collections::HashSet;

use similar::{DiffTag, TextDiff};

use crate::secret::{MASK, MIN_MASKED_BYTES, has_secret};

/// Whether the text contains a registered secret or a mask.
pub fn has_or_had_secret(text: &str) -> bool {
    text.contains(MASK) || has_secret(text)
}

/// The words of the new state, whose secrets are already masked.
pub struct NewWords<'a>(HashSet<&'a str>);

impl<'a> NewWords<'a> {
    pub fn new(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(texts.into_iter().flat_map(str::split_whitespace).filter(|word| !word.contains(MASK)).collect())
    }

    /// Whether an old value cannot hold a secret and may be shown; `new` is the value that replaces it.
    pub fn is_harmless(&self, old: &str, new: Option<&str>) -> bool {
        let words = old.split_whitespace().filter(|word| !self.0.contains(word));
        words.map(str::len).sum::<usize>() < MIN_MASKED_BYTES
            || new.is_some_and(|new| !has_or_had_secret(new) && is_almost_equal(old, new))
    }

    /// The old text with removed lines masked, unless they are harmless.
    pub fn mask_removed(&self, before: &str, after: &str) -> String {
        let old: Vec<&str> = before.split_inclusive('\n').collect();
        let new: Vec<&str> = after.split_inclusive('\n').collect();
        let diff = TextDiff::from_slices(&old, &new);
        let mut out = String::with_capacity(before.len());
        for op in diff.ops() {
            let (old, new) = (&old[op.old_range()], &new[op.new_range()]);
            let same_number = old.len() == new.len();
            for (n, line) in old.iter().enumerate() {
                let beside = new.get(n).copied().filter(|_| same_number);
                if op.tag() == DiffTag::Equal || self.is_harmless(line, beside) {
                    out.push_str(line);
                } else {
                    out.push_str(MASK);
                    out.push_str(if line.ends_with('\n') { "\n" } else { "" });
                }
            }
        }
        out
    }
}

/// Whether the old text differs from the new one by fewer bytes than the shortest secret has.
fn is_almost_equal(old: &str, new: &str) -> bool {
    let same = |a: &mut dyn Iterator<Item = (u8, u8)>| a.take_while(|(a, b)| a == b).count();
    let first = same(&mut old.bytes().zip(new.bytes()));
    let last = same(&mut old[old.floor_char_boundary(first)..].bytes().rev().zip(new.bytes().rev()));
    old.len() - (first + last).min(old.len()) < MIN_MASKED_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_go_are_masked_unless_they_tell_nothing() {
        let before =
            "user = ada\npassword = hunter-of-old\nport = 8080\nimage = registry/app:1.2\nmode = fast-and-loose\n";
        let after = format!("port = 8081\nimage = registry/app:1.3\nuser = ada\nother = x\npassword = {MASK}\n");
        let shown = NewWords::new([after.as_str()]).mask_removed(before, &after);
        assert!(!shown.contains("hunter") && !shown.contains("loose"), "{shown}");
        assert!(shown.contains("user = ada\n") && shown.contains("port = 8080\n"), "{shown}");
        assert_eq!(shown.lines().count(), before.lines().count());
    }

    #[test]
    fn other_line_ends_are_no_line_ends() {
        for (before, after) in [("a\rb\r", "a\r\nb"), ("x\r\n", "\r"), ("", "\r\r"), ("old-old-old\r", "")] {
            let shown = NewWords::new([after]).mask_removed(before, after);
            assert!(!shown.contains("old"), "{shown}");
        }
    }

    #[test]
    fn a_part_of_a_line_may_be_an_old_secret() {
        let known = NewWords::new(["url = http://u@host/"]);
        assert!(!known.is_harmless("url = http://u:hunter2@host/", Some("url = http://u@host/")));
        assert!(known.is_harmless("url = http://v@host/", Some("url = http://u@host/")));
    }
}
