//! What a change takes away, where that may be an old secret, which nobody has registered any more.
//!
//! Shown is only what cannot be one: of what goes, fewer bytes than the shortest secret has are new to who knows what comes.

use std::collections::HashSet;

use similar::{DiffTag, TextDiff};

use crate::secret::{MASK, MIN_MASKED_BYTES, is_in};

/// Whether there is a secret in a text, or was before somebody else masked it.
pub fn has_secret(text: &str) -> bool {
    text.contains(MASK) || is_in(text)
}

/// What stands in the new state, secrets masked.
pub struct Known<'a>(HashSet<&'a str>);

impl<'a> Known<'a> {
    /// The words of these texts.
    pub fn new(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(texts.into_iter().flat_map(str::split_whitespace).filter(|word| !word.contains(MASK)).collect())
    }

    /// Whether an old value may be shown; `new` stands in its place.
    pub fn tells_nothing(&self, old: &str, new: Option<&str>) -> bool {
        let words = old.split_whitespace().filter(|word| !self.0.contains(word));
        words.map(str::len).sum::<usize>() < MIN_MASKED_BYTES
            || new.is_some_and(|new| !has_secret(new) && differs_little(old, new))
    }

    /// An old text in which the lines that go are masked, unless they tell nothing.
    pub fn without_gone(&self, before: &str, after: &str) -> String {
        let old: Vec<&str> = before.split_inclusive('\n').collect();
        let new: Vec<&str> = after.split_inclusive('\n').collect();
        let diff = TextDiff::from_slices(&old, &new);
        let mut out = String::with_capacity(before.len());
        for op in diff.ops() {
            let (old, new) = (&old[op.old_range()], &new[op.new_range()]);
            let same_number = old.len() == new.len();
            for (n, line) in old.iter().enumerate() {
                let beside = new.get(n).copied().filter(|_| same_number);
                if op.tag() == DiffTag::Equal || self.tells_nothing(line, beside) {
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

/// Whether an old text is the new one but for fewer bytes than a secret has.
fn differs_little(old: &str, new: &str) -> bool {
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
        let shown = Known::new([after.as_str()]).without_gone(before, &after);
        assert!(!shown.contains("hunter") && !shown.contains("loose"), "{shown}");
        assert!(shown.contains("user = ada\n") && shown.contains("port = 8080\n"), "{shown}");
        assert_eq!(shown.lines().count(), before.lines().count());
    }

    #[test]
    fn other_line_ends_are_no_line_ends() {
        for (before, after) in [("a\rb\r", "a\r\nb"), ("x\r\n", "\r"), ("", "\r\r"), ("old-old-old\r", "")] {
            let shown = Known::new([after]).without_gone(before, after);
            assert!(!shown.contains("old"), "{shown}");
        }
    }

    #[test]
    fn a_part_of_a_line_may_be_an_old_secret() {
        let known = Known::new(["url = http://u@host/"]);
        assert!(!known.tells_nothing("url = http://u:hunter2@host/", Some("url = http://u@host/")));
        assert!(known.tells_nothing("url = http://v@host/", Some("url = http://u@host/")));
    }
}
