//! Text files that are edited in place, line by line. Pure.

mod edit;
mod pattern;
mod position;

pub use edit::{Edit, Missing, State, readable};
pub use pattern::{check_regex, regex};
pub use position::{Insert, InsertPosition};

/// The lines of a file, each with its own line ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    lines: Vec<String>,
    /// Line ending of new lines.
    ending: &'static str,
    /// Whether the file begins with a byte order mark, which is not part of the first line.
    has_bom: bool,
}

const BYTE_ORDER_MARK: char = '\u{feff}';

impl Text {
    /// Splits a text into lines. New lines get the line ending of the first one.
    pub fn new(text: &str) -> Self {
        let unmarked = text.strip_prefix(BYTE_ORDER_MARK);
        let (has_bom, text) = (unmarked.is_some(), unmarked.unwrap_or(text));
        let lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        let ending = if lines.first().is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" };
        Self { lines, ending, has_bom }
    }

    /// The lines without their endings.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.lines.iter().map(|line| bare(line))
    }

    /// The index of the first or last line for which `matches` holds.
    pub fn find(&self, first: bool, matches: impl Fn(&str) -> bool) -> Option<usize> {
        if first { self.lines().position(matches) } else { self.lines().rposition(matches) }
    }

    /// Replaces `count` lines from `at` on by `new`. Each new line keeps the ending of the line that it replaces.
    pub fn splice<'a>(&mut self, at: usize, count: usize, new: impl IntoIterator<Item = &'a str>) {
        let old = self.lines[at..at + count].iter().filter(|line| line.ends_with('\n'));
        let endings: Vec<String> = old.filter_map(|line| line.strip_prefix(bare(line)).map(str::to_owned)).collect();
        let ending = |at: usize| endings.get(at).map_or(self.ending, String::as_str);
        let new: Vec<String> = new.into_iter().enumerate().map(|(at, line)| format!("{line}{}", ending(at))).collect();
        let to_the_end = at + count == self.lines.len() && !new.is_empty();
        // The last line may have no ending. A line that replaces it has none either; a line added behind it gives it
        // one.
        let open = self.lines.last_mut().filter(|last| to_the_end && !last.ends_with('\n'));
        let keep = open.is_some() && count > 0;
        if let (Some(last), false) = (open, keep) {
            last.push_str(self.ending);
        }
        self.lines.splice(at..at + count, new);
        if let (true, Some(last)) = (keep, self.lines.last_mut()) {
            last.truncate(bare(last).len());
        }
    }

    /// Replaces each line by what `new` returns for it, or removes the line on `None`.
    pub fn rewrite(&mut self, mut new: impl FnMut(&str) -> Option<String>) {
        self.lines.retain_mut(|line| {
            let Some(new) = new(bare(line)) else { return false };
            line.replace_range(..bare(line).len(), &new);
            true
        });
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.has_bom {
            f.write_str(BYTE_ORDER_MARK.encode_utf8(&mut [0; 4]))?;
        }
        self.lines.iter().try_for_each(|line| f.write_str(line))
    }
}

/// The line without the words for which `remove` holds, and without the white space beside them. Other white space stays.
pub fn without_words(line: &str, remove: impl Fn(&str) -> bool) -> String {
    let (mut out, mut rest, mut before) = (String::new(), line, None);
    for word in line.split_whitespace() {
        let (gap, after) = rest.split_at(rest.find(word).unwrap_or_default());
        rest = after.strip_prefix(word).unwrap_or(after);
        if remove(word) {
            before.get_or_insert(gap);
        } else {
            out.push_str(before.take().unwrap_or(gap));
            out.push_str(word);
        }
    }
    out + rest
}

/// The line without its ending.
fn bare(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

#[cfg(test)]
mod tests;
