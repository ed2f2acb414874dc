//! Text files that are edited in place: their lines, where a new one goes, and the file that comes out. Pure.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;

use super::bytes;
use super::content::{DesiredContent, DesiredFile};
use super::effects::{file_at, nth_effect};
use crate::actions::Verdict;
use crate::connect::host::{Attributes, CONTENT_LIMIT, File, FileKind};
use crate::connect::{Effect, EffectResult, Fact};
use crate::event::Problem;
use crate::plan::{ParamError, refuse};
use crate::sync::lock;

/// The lines of a file, each with the line ending that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    lines: Vec<String>,
    ending: &'static str,
    /// Whether a byte order mark comes before all lines.
    mark: bool,
}

/// The byte order mark, which is no part of the first line.
const BYTE_ORDER_MARK: char = '\u{feff}';

impl Text {
    /// Takes a text apart. New lines get the ending of its first one.
    pub fn new(text: &str) -> Self {
        let unmarked = text.strip_prefix(BYTE_ORDER_MARK);
        let (mark, text) = (unmarked.is_some(), unmarked.unwrap_or(text));
        let lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        let ending = if lines.first().is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" };
        Self { lines, ending, mark }
    }

    /// The lines without their endings.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.lines.iter().map(|line| bare(line))
    }

    /// Where a line stands that is right.
    pub fn find(&self, first: bool, right: impl Fn(&str) -> bool) -> Option<usize> {
        if first { self.lines().position(right) } else { self.lines().rposition(right) }
    }

    /// Puts `new` in the place of `count` lines from `at`. A line keeps the ending of the one in whose place it comes.
    pub fn splice<'a>(&mut self, at: usize, count: usize, new: impl IntoIterator<Item = &'a str>) {
        let old = self.lines[at..at + count].iter().filter(|line| line.ends_with('\n'));
        let endings: Vec<String> = old.filter_map(|line| line.strip_prefix(bare(line)).map(str::to_owned)).collect();
        let ending = |at: usize| endings.get(at).map_or(self.ending, String::as_str);
        let new: Vec<String> = new.into_iter().enumerate().map(|(at, line)| format!("{line}{}", ending(at))).collect();
        let to_the_end = at + count == self.lines.len() && !new.is_empty();
        // The last line of a file need not have an ending: who replaces it keeps that, who follows it does not.
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

    /// Puts something else, or nothing, in the place of each line.
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
        if self.mark {
            f.write_str(BYTE_ORDER_MARK.encode_utf8(&mut [0; 4]))?;
        }
        self.lines.iter().try_for_each(|line| f.write_str(line))
    }
}

/// A line without the words that go, nor the blanks that would be left of them; other blanks stay.
pub fn without_words(line: &str, goes: impl Fn(&str) -> bool) -> String {
    let (mut out, mut rest, mut before) = (String::new(), line, None);
    for word in line.split_whitespace() {
        let (gap, after) = rest.split_at(rest.find(word).unwrap_or_default());
        rest = after.strip_prefix(word).unwrap_or(after);
        if goes(word) {
            before.get_or_insert(gap);
        } else {
            out.push_str(before.take().unwrap_or(gap));
            out.push_str(word);
        }
    }
    out + rest
}

fn bare(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

/// An end of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Insert {
    /// Before all lines.
    Start,
    /// After all lines.
    End,
}

/// Whether the text is wanted in the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is there.
    #[default]
    Present,
    /// It is not.
    Absent,
}

/// Where something new goes.
#[derive(Debug, Clone, Copy)]
pub struct InsertPosition<'a> {
    /// An end of the file, when no line matches or none is to.
    pub insert: Option<Insert>,
    /// After the line that this matches.
    pub after: Option<&'a str>,
    /// Before the line that this matches.
    pub before: Option<&'a str>,
    /// Whether the first line that matches is meant, not the last.
    pub first_match: bool,
}

impl InsertPosition<'_> {
    /// Refuses two places, and expressions that are none.
    pub fn check(&self) -> Result<(), ParamError> {
        if self.after.is_some() && self.before.is_some() {
            return refuse("before", "give either `after` or `before`");
        }
        check_regex("after", self.after)?;
        check_regex("before", self.before)
    }

    /// The number of the line before which it goes; anywhere is right in an empty text.
    ///
    /// # Errors
    /// When no line matches, and no end is given for that.
    pub fn index(&self, text: &Text) -> Result<usize, Problem> {
        let end = text.lines().len();
        let at_end = |insert| if insert == Insert::Start { 0 } else { end };
        let (pattern, behind) = match (self.after, self.before) {
            _ if end == 0 => return Ok(0),
            (Some(after), _) => (after, 1),
            (_, Some(before)) => (before, 0),
            _ => return Ok(at_end(self.insert.unwrap_or(Insert::End))),
        };
        let regex = regex(pattern)?;
        let found = text.find(self.first_match, |line| regex.is_match(line)).map(|at| at + behind);
        let name = if behind == 1 { "after" } else { "before" };
        found.or(self.insert.map(at_end)).ok_or_else(|| {
            Problem::new(format!("no line matches `{name}`, which is {pattern}"))
                .hint("look at the file on the host; with `insert = \"end\"` it goes to the end when nothing matches")
        })
    }
}

/// A regular expression that `rules` has looked at.
pub fn regex(pattern: &str) -> Result<Regex, Problem> {
    compiled(pattern).map_err(|e| Problem::new(format!("{pattern} is no regular expression: {e}")))
}

/// Expressions that are kept, at most.
const MAX_COMPILED: usize = 64;

/// The expression, compiled once for all hosts: that takes longer than all else that is done for a line on one of them.
fn compiled(pattern: &str) -> Result<Regex, regex::Error> {
    static COMPILED: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let mut compiled = lock(&COMPILED);
    if let Some(regex) = compiled.get(pattern) {
        return Ok(regex.clone());
    }
    let regex = Regex::new(pattern)?;
    if compiled.len() >= MAX_COMPILED {
        compiled.clear();
    }
    compiled.insert(pattern.to_owned(), regex.clone());
    Ok(regex)
}

/// Refuses what is no regular expression.
pub fn check_regex(parameter: &str, pattern: Option<&str>) -> Result<(), ParamError> {
    match pattern.map(compiled) {
        Some(Err(error)) => {
            let error = error.to_string();
            // The last line has the reason; those before draw it.
            let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            refuse(parameter, format!("it is no regular expression: {reason}"))
        }
        _ => Ok(()),
    }
}

/// What becomes of a file that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is made.
    Create,
    /// It is no business of this step.
    Refuse,
    /// It is as good as a file without the text.
    Fine,
}

impl Missing {
    /// For a text that is wanted or not.
    pub fn of(state: State, create: bool) -> Self {
        match (state, create) {
            (State::Absent, _) => Self::Fine,
            (State::Present, true) => Self::Create,
            (State::Present, false) => Self::Refuse,
        }
    }
}

/// A file that is edited; all but the edited lines stays as it is.
pub struct Edit<'a> {
    /// Where.
    pub path: &'a str,
    /// When it is not there.
    pub missing: Missing,
    /// Those to set.
    pub attributes: Attributes,
    /// Whether the file as it was is kept beside.
    pub backup: bool,
    /// Command that must accept the new file.
    pub validate: Option<&'a str>,
}

/// Changes a text.
pub type Editor<'a> = &'a dyn Fn(&mut Text) -> Result<(), Problem>;

impl Edit<'_> {
    /// What the edit would change.
    pub fn verdict(&self, facts: &[Fact], edit: Editor<'_>) -> Verdict {
        let seen = file_at(facts, 0);
        match self.content(seen, edit) {
            Ok(Some(content)) => self.wanted(&content).verdict(seen),
            Ok(None) => Verdict::Same { seen: format!("there is no {}", self.path) },
            Err(problem) => Verdict::Blocked(problem),
        }
    }

    /// What brings it about.
    pub fn next(&self, facts: &[Fact], done: &[EffectResult], edit: Editor<'_>) -> Result<Option<Effect>, Problem> {
        let seen = file_at(facts, 0);
        match self.content(seen, edit)? {
            Some(content) => nth_effect(&[self.wanted(&content).effect(seen)], done),
            None => Ok(None),
        }
    }

    /// All of the file after the edit; `None` when there is no file and none is needed.
    fn content(&self, seen: Option<&File>, edit: Editor<'_>) -> Result<Option<Vec<u8>>, Problem> {
        let before = match seen {
            Some(file) => readable(self.path, file)?,
            None if self.missing == Missing::Create => String::new(),
            None if self.missing == Missing::Fine => return Ok(None),
            None => {
                let problem = Problem::new(format!("there is no {}", self.path));
                return Err(problem.hint("is the path right? `create = true` makes it"));
            }
        };
        let mut text = Text::new(&before);
        edit(&mut text)?;
        let once = text.to_string();
        edit(&mut text)?;
        if text.to_string() != once {
            let problem = Problem::new(format!("a second edit of {} would change it again", self.path));
            return Err(
                problem.hint("let the expression match the new text too, or less: only the one line that is meant")
            );
        }
        Ok(Some(bytes::encode(&once)))
    }

    fn wanted<'a>(&'a self, content: &'a [u8]) -> DesiredFile<'a> {
        DesiredFile {
            path: self.path,
            content: DesiredContent::Bytes(content),
            attributes: self.attributes.clone(),
            backup: self.backup,
            validate: self.validate,
        }
    }
}

/// A file's text; bytes that are none are kept as [`bytes`] says.
pub fn readable(path: &str, file: &File) -> Result<String, Problem> {
    match (&file.kind, &file.content) {
        (FileKind::Regular, Some(content)) => Ok(bytes::decode(content)),
        (FileKind::Regular, None) => {
            let limit = CONTENT_LIMIT / 1024;
            let problem = Problem::new(format!("{path} has {} bytes; files up to {limit} KiB are edited", file.size));
            Err(problem.hint("`node.command` with `unless` can edit it by `sed`"))
        }
        (FileKind::Link(target), _) => {
            Err(Problem::new(format!("{path} is a link to {target}")).hint("give the path that it points to"))
        }
        (kind, _) => Err(Problem::new(format!("{path} is a {}", kind.name())).hint("only files are edited")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, blocked, file, is_same};
    use super::*;
    use crate::actions::node::content::tests::regular;
    use crate::connect::host::Effect as HostEffect;

    fn spliced(before: &str, at: usize, count: usize, new: &[&str]) -> String {
        let mut text = Text::new(before);
        text.splice(at, count, new.iter().copied());
        text.to_string()
    }

    #[test]
    fn line_endings_stay_as_they_are() {
        assert_eq!(spliced("a\r\nb\r\n", 1, 0, &["x"]), "a\r\nx\r\nb\r\n");
        assert_eq!(spliced("a\nb\r\n", 2, 0, &["x"]), "a\nb\r\nx\n");
        assert_eq!(spliced("a\nb", 2, 0, &["x"]), "a\nb\nx\n");
        assert_eq!(spliced("a\nb", 1, 1, &["x"]), "a\nx");
        assert_eq!(spliced("a\nb", 0, 1, &["x"]), "x\nb");
        assert_eq!(spliced("a\nb", 1, 1, &[]), "a\n");
        assert_eq!(spliced("", 0, 0, &["x"]), "x\n");
        assert_eq!(spliced("a\nb\r\nc\n", 1, 1, &["x"]), "a\nx\r\nc\n");
        assert_eq!(spliced("a\r\nb\n", 0, 1, &["x", "y"]), "x\r\ny\r\nb\n");
        assert_eq!(spliced("\u{feff}a\r\n", 0, 0, &["x"]), "\u{feff}x\r\na\r\n");
    }

    #[test]
    fn words_go_with_the_blanks_beside_them() {
        let without = |line: &str| without_words(line, |word| word == "x");
        assert_eq!(without("  a \t x  b  c "), "  a \t b  c ");
        assert_eq!((without("x a").as_str(), without("a  x").as_str(), without(" x x ").as_str()), ("a", "a", " "));
    }

    #[test]
    fn bytes_that_are_no_text_stay() {
        let edit = Edit {
            path: "/x",
            missing: Missing::Refuse,
            attributes: Attributes::default(),
            backup: false,
            validate: None,
        };
        let first: Editor<'_> = &|text| {
            text.splice(0, 1, ["b"]);
            Ok(())
        };
        for rest in [&b"caf\xe9\r\n\xff\n"[..], b"a\0b", b"\xf4\x8f\xbf\xbf\n"] {
            let whole = |start: &[u8]| File { content: Some([start, rest].concat()), ..regular("", 0o644) };
            let facts = [file(Some(whole(b"\xef\xbb\xbfa\r\n")))];
            assert!(matches!(edit.verdict(&facts, first), Verdict::Change(diff) if !diff.is_empty()));
            let Ok(Some(Effect::Host(HostEffect::WriteFile(write)))) = edit.next(&facts, &[], first) else { panic!() };
            assert_eq!(write.content.as_slice(), [&b"\xef\xbb\xbfb\r\n"[..], rest].concat());
            assert!(is_same(&edit.verdict(&[file(Some(whole(b"\xef\xbb\xbfb\r\n")))], first)));
        }
    }

    #[test]
    fn a_new_line_has_one_place() {
        let text = Text::new("[a]\nx\n[b]\nx\n");
        let place = InsertPosition { insert: None, after: None, before: None, first_match: false };
        assert_eq!(place.index(&text).unwrap(), 4);
        assert_eq!(InsertPosition { insert: Some(Insert::Start), ..place }.index(&text).unwrap(), 0);
        let after = InsertPosition { after: Some("^x$"), ..place };
        assert_eq!(after.index(&text).unwrap(), 4);
        assert_eq!(InsertPosition { first_match: true, ..after }.index(&text).unwrap(), 2);
        let before = InsertPosition { before: Some("^x"), ..place };
        assert_eq!(before.index(&text).unwrap(), 3);
        let nowhere = InsertPosition { after: Some("^y"), ..place };
        assert!(nowhere.index(&text).unwrap_err().message.contains("no line matches `after`, which is ^y"));
        assert_eq!(nowhere.index(&Text::new("")).unwrap(), 0);
        assert_eq!(InsertPosition { insert: Some(Insert::End), ..nowhere }.index(&text).unwrap(), 4);
        assert_eq!(InsertPosition { insert: Some(Insert::Start), ..after }.index(&text).unwrap(), 4);
        assert_eq!(InsertPosition { before: Some("x"), ..after }.check().unwrap_err().pointer, "/before");
        let error = InsertPosition { before: Some("(x"), ..place }.check().unwrap_err();
        assert!(error.message.contains("unclosed group"), "{}", error.message);
    }

    #[test]
    fn only_a_text_that_can_be_read_whole_is_edited() {
        let edit =
            |missing| Edit { path: "/x", missing, attributes: Attributes::default(), backup: false, validate: None };
        let push: Editor<'_> = &|text| {
            let all = text.lines().len();
            text.splice(0, all, ["x"]);
            Ok(())
        };
        let says = |seen: Option<File>| blocked(&edit(Missing::Refuse).verdict(&[file(seen)], push));
        assert!(says(None).contains("there is no /x"));
        assert!(says(Some(at(FileKind::Link("/y".into()), 0o777))).contains("link to /y"));
        assert!(says(Some(at(FileKind::Directory, 0o755))).contains("is a directory"));
        let large = File { content: None, size: 300_000, ..regular("", 0o644) };
        assert!(says(Some(large)).contains("300000 bytes; files up to 256 KiB"));
        assert!(is_same(&edit(Missing::Fine).verdict(&[file(None)], push)));
        assert!(matches!(edit(Missing::Create).verdict(&[file(None)], push), Verdict::Change(_)));
    }

    #[test]
    fn an_edit_that_has_no_end_blocks() {
        let edit = Edit {
            path: "/x",
            missing: Missing::Refuse,
            attributes: Attributes::default(),
            backup: false,
            validate: None,
        };
        let grow: Editor<'_> = &|text| {
            text.splice(0, 0, ["x"]);
            Ok(())
        };
        assert!(blocked(&edit.verdict(&[file(Some(regular("", 0o644)))], grow)).contains("would change it again"));
    }
}
