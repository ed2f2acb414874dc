//! `node.line`: a line in a text file.

use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;

use super::file::check_validate;
use super::params::{self, Mode, check_file_path};
use super::probes::file_probe;
use super::text::{Edit, Insert, InsertPosition, Missing, State, Text, check_regex, regex};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::Read;
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::event::Problem;
use crate::plan::{ParamError, Role, RunsOn as Where, refuse};

/// Keeps a line in a text file: replaces the line that `match` finds, or else adds the line unless the file has it
/// already. The file is replaced atomically; line endings, mode and owner stay as they are. Regular expressions are
/// those of the Rust crate `regex`, without look-around, and match anywhere in a line. A file that is a link, or larger
/// than 256 KiB, is not edited.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Absolute path on the host.
    pub path: String,
    /// The line, without its line ending.
    #[serde(default)]
    pub line: Option<String>,
    /// Regular expression for the line to replace: the last one that matches. With `state = "absent"`, all lines that
    /// match are removed; without `match`, those that are equal to `line`.
    #[serde(default)]
    pub r#match: Option<String>,
    /// Regular expression for lines to leave alone although `match` matches them, such as those that are right already.
    #[serde(default)]
    pub except: Option<String>,
    /// Whether `$1` or `${name}` in `line` stands for what a group of `match` found, as in `line = "${1} quiet"`; then
    /// nothing is added when no line matches. `$$` stands for a dollar sign.
    #[serde(default)]
    pub backrefs: bool,
    /// Whether the line is wanted in the file.
    #[serde(default)]
    pub state: State,
    /// End of the file where a new line goes when neither `after` nor `before` is given, or when no line matches them;
    /// without it, the step then blocks. Default: the end. Counts only when the line is new.
    #[serde(default)]
    pub insert: Option<Insert>,
    /// Regular expression: a new line goes after the last line that matches. Counts only when the line is new.
    #[serde(default)]
    pub after: Option<String>,
    /// Regular expression: a new line goes before the last line that matches. Counts only when the line is new.
    #[serde(default)]
    pub before: Option<String>,
    /// Whether `match`, `after` and `before` mean the first line that matches instead of the last.
    #[serde(default)]
    pub first_match: bool,
    /// Whether to create a missing file; its directory must exist. Counts only when the file is missing.
    #[serde(default)]
    pub create: bool,
    /// Mode, such as "0644". Default: unchanged; a new file gets 0644, or 0600 when it contains a secret.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Owner, by name or number. Default: unchanged; a new file belongs to the user that the step runs as.
    #[serde(default)]
    pub owner: Option<String>,
    /// Group, by name or number. Default: unchanged.
    #[serde(default)]
    pub group: Option<String>,
    /// Whether to keep a copy of the old file in the same directory, with the time in its name and `~` at the end.
    /// Counts only when the file is written.
    #[serde(default)]
    pub backup: bool,
    /// Command that must accept the new file before it replaces the old one; `%s` stands for the temporary path of the
    /// new file, as in `sshd -t -f %s`. Counts only when the file is written.
    #[serde(default)]
    pub validate: Option<String>,
}

impl Spec for Line {
    const NAME: &'static str = "node.line";
    const SUMMARY: &'static str = "a line in a text file";
    const RUNS_ON: Where = Where::Host;
    const ROLE: Role = Role::Change;
    const IS_REVERTIBLE: bool = true;
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "no-root-login"
action = "node.line"
hosts = "pis"
become = true
path = "/etc/ssh/sshd_config"
match = '^#?\s*PermitRootLogin\s'
line = "PermitRootLogin no"
before = '^Match\s'
first_match = true
insert = "end"
validate = "sshd -t -f %s"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        check_file_path("path", &self.path)?;
        check_validate(self.validate.as_deref())?;
        check_regex("match", self.r#match.as_deref())?;
        check_regex("except", self.except.as_deref())?;
        self.position().check()?;
        if self.line.as_deref().is_some_and(|line| line.contains(['\n', '\r'])) {
            return refuse("line", "it must be one line: use `node.block` for several");
        }
        if self.except.is_some() && self.r#match.is_none() {
            return refuse("except", "it has no effect without `match`");
        }
        match self.state {
            State::Present if self.line.is_none() => refuse("line", "give the line"),
            State::Present if self.backrefs && self.r#match.is_none() => {
                refuse("backrefs", "it needs a `match` with groups")
            }
            State::Present if self.backrefs => {
                check_references(self.line.as_deref().unwrap_or_default(), self.r#match.as_deref().unwrap_or_default())
            }
            State::Absent if self.line.is_some() == self.r#match.is_some() => {
                refuse("match", "give either `match` for the lines to remove, or `line` to remove those equal to it")
            }
            State::Absent if self.backrefs => refuse("backrefs", "it needs `state = \"present\"`"),
            _ => Ok(()),
        }
    }
}

/// Refuses references to groups that the expression does not have: they would be replaced by nothing.
fn check_references(line: &str, pattern: &str) -> Result<(), ParamError> {
    // `rules` refuses an invalid expression before.
    let Ok(pattern) = regex(pattern) else { return Ok(()) };
    let is_group = |name: &str| match name.parse::<usize>() {
        Ok(number) => number < pattern.captures_len(),
        Err(_) => pattern.capture_names().flatten().any(|group| group == name),
    };
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = line;
    while let Some(at) = rest.find(['$', '\\']) {
        let Some((sign, after)) = rest.get(at..).and_then(|found| found.split_at_checked(1)) else { break };
        rest = after;
        if sign == "\\" {
            if let Some(digit) = after.chars().next().filter(char::is_ascii_digit) {
                let why =
                    format!("`\\{digit}` is not a reference here and would be written literally: write `${{{digit}}}`");
                return refuse("line", why);
            }
            continue;
        }
        if let Some(after) = after.strip_prefix('$') {
            rest = after;
            continue;
        }
        let name = match after.strip_prefix('{') {
            Some(braced) => match braced.split_once('}') {
                Some((name, _)) => name,
                None => return refuse("line", "a `${` has no `}`; write `$$` for a dollar sign"),
            },
            None => after.split(|c| !word(c)).next().unwrap_or_default(),
        };
        if name.is_empty() && !after.starts_with('{') || is_group(name) {
            continue;
        }
        // The longest name is taken: `$1_port` is a reference to a group `1_port`.
        let text = name.trim_start_matches(|c: char| c.is_ascii_digit());
        let hint = match name.strip_suffix(text) {
            Some(number) if is_group(number) => format!("write `${{{number}}}{text}` if you mean group {number}"),
            _ => "write `$$` for a dollar sign".to_owned(),
        };
        return refuse(
            "line",
            format!("`match` has no group `{name}`, so the reference would be replaced by nothing; {hint}"),
        );
    }
    Ok(())
}

impl Line {
    fn position(&self) -> InsertPosition<'_> {
        InsertPosition {
            insert: self.insert,
            after: self.after.as_deref(),
            before: self.before.as_deref(),
            first_match: self.first_match,
        }
    }

    fn file(&self) -> Edit<'_> {
        Edit {
            path: &self.path,
            missing: Missing::of(self.state, self.create),
            attributes: params::attributes(self.mode, self.owner.as_ref(), self.group.as_ref()),
            backup: self.backup,
            validate: self.validate.as_deref(),
        }
    }

    fn edit(&self, text: &mut Text) -> Result<(), Problem> {
        let pattern = self.r#match.as_deref().map(regex).transpose()?;
        let except = self.except.as_deref().map(regex).transpose()?;
        let line = self.line.as_deref().unwrap_or_default();
        let excepted = |current: &str| except.as_ref().is_some_and(|except| except.is_match(current));
        let selected = |current: &str| match &pattern {
            Some(pattern) => pattern.is_match(current) && !excepted(current),
            None => current == line,
        };
        if self.state == State::Absent {
            text.rewrite(|current| (!selected(current)).then(|| current.to_owned()));
            return Ok(());
        }
        if let Some(at) = text.find(self.first_match, selected) {
            let new = text.lines().nth(at).map(|current| self.replaced(pattern.as_ref(), current));
            text.splice(at, 1, new.as_deref());
        } else if !self.backrefs && !text.lines().any(|current| current == line) {
            text.splice(self.position().index(text)?, 0, [line]);
        }
        Ok(())
    }

    /// The new text of a line that matches.
    fn replaced(&self, pattern: Option<&Regex>, current: &str) -> String {
        let line = self.line.as_deref().unwrap_or_default();
        let groups = pattern.filter(|_| self.backrefs).and_then(|pattern| pattern.captures(current));
        let Some(groups) = groups else { return line.to_owned() };
        let mut new = String::new();
        groups.expand(line, &mut new);
        new
    }
}

impl Action for Line {
    fn probes(&self) -> Vec<Probe> {
        vec![file_probe(&self.path, Read::Content)]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        self.file().verdict(facts, &|text| self.edit(text))
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        self.file().next(facts, done, &|text| self.edit(text))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{blocked, build, effects, file, is_same, refused};
    use super::*;
    use crate::actions::node::content::tests::regular;
    use crate::connect::host::Effect as HostEffect;

    /// The content of the file after the step.
    fn after(toml: &str, before: &str) -> String {
        let step = build::<Line>(&format!("path = '/x'\n{toml}")).unwrap();
        let facts = [file(Some(regular(before, 0o640)))];
        if is_same(&step.verdict(&facts)) {
            return before.to_owned();
        }
        assert!(matches!(step.verdict(&facts), Verdict::Change(_)), "{:?}", step.verdict(&facts));
        let effects = effects(&step, &facts);
        let [HostEffect::WriteFile(write)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(write.attributes.mode, Some(0o640));
        let text = String::from_utf8(write.content.as_slice().to_vec()).unwrap();
        assert!(is_same(&step.verdict(&[file(Some(regular(&text, 0o640)))])), "not the same a second time: {text}");
        text
    }

    #[test]
    fn a_line_is_added_once() {
        assert_eq!(after("line = 'b'", "a\n"), "a\nb\n");
        assert_eq!(after("line = 'b'", "b\na"), "b\na");
        assert_eq!(after("line = 'b'\ninsert = 'start'", "a\n"), "b\na\n");
        assert_eq!(after("line = 'x=1'\nafter = '^\\[s\\]'", "[r]\n[s]\n[t]\n"), "[r]\n[s]\nx=1\n[t]\n");
        assert_eq!(after("line = 'x=1'\nbefore = '^\\['\nfirst_match = true", "[r]\n[s]\n"), "x=1\n[r]\n[s]\n");
    }

    #[test]
    fn the_last_line_that_matches_is_replaced() {
        let toml = "line = 'Port 22'\nmatch = '^#?Port '";
        assert_eq!(after(toml, "#Port 1\nPort 2\nx\n"), "#Port 1\nPort 22\nx\n");
        assert_eq!(after(&format!("{toml}\nfirst_match = true"), "#Port 1\nPort 2\n"), "Port 22\nPort 2\n");
        assert_eq!(after(toml, "x\r\n"), "x\r\nPort 22\r\n");
        assert_eq!(after("line = 'a=2'\nmatch = '^a=1'", "a=2\nb\n"), "a=2\nb\n");
    }

    #[test]
    fn groups_are_put_into_the_line_and_nothing_is_added_without_a_match() {
        let toml = "match = '^(console=.*)$'\nexcept = '\\bmemory=1\\b'\nline = '${1} memory=1'\nbackrefs = true";
        assert_eq!(after(toml, "console=x root=y"), "console=x root=y memory=1");
        assert_eq!(after(toml, "console=x memory=1\n"), "console=x memory=1\n");
        assert_eq!(after(toml, "else\n"), "else\n");
        let step = build::<Line>("path = '/x'\nmatch = '^(.*)$'\nline = '${1} y'\nbackrefs = true").unwrap();
        assert!(blocked(&step.verdict(&[file(Some(regular("a\n", 0o644)))])).contains("would change it again"));
    }

    #[test]
    fn absence_takes_out_all_that_is_meant() {
        assert_eq!(after("state = 'absent'\nmatch = '^a'\nexcept = 'keep'", "a1\nb\na keep\na2"), "b\na keep\n");
        assert_eq!(after("state = 'absent'\nline = 'a'", "a\nab\n"), "ab\n");
        let step = build::<Line>("path = '/x'\nstate = 'absent'\nline = 'a'").unwrap();
        assert!(is_same(&step.verdict(&[file(None)])));
    }

    #[test]
    fn a_file_is_made_only_when_asked_for() {
        let made = build::<Line>("path = '/x'\nline = 'a'\ncreate = true\nafter = '^z'").unwrap();
        let effects = effects(&made, &[file(None)]);
        let [HostEffect::WriteFile(write)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!((write.content.as_slice(), write.attributes.mode), (&b"a\n"[..], Some(0o644)));
        let step = build::<Line>("path = '/x'\nline = 'a'").unwrap();
        assert!(blocked(&step.verdict(&[file(None)])).contains("there is no /x"));
        let facts = [file(Some(regular("b\n", 0o644)))];
        assert!(blocked(&made.verdict(&facts)).contains("no line matches `after`"));
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for (toml, parameter) in [
            ("path = 'x'\nline = 'a'", "/path"),
            ("path = '/x'", "/line"),
            ("path = '/x'\nline = \"a\\nb\"", "/line"),
            ("path = '/x'\nline = 'a'\nmatch = '['", "/match"),
            ("path = '/x'\nline = 'a'\nmatch = '(?!b)'", "/match"),
            ("path = '/x'\nline = 'a'\nexcept = 'b'", "/except"),
            ("path = '/x'\nline = 'a'\nbackrefs = true", "/backrefs"),
            ("path = '/x'\nline = 'a'\nafter = 'b'\nbefore = 'c'", "/before"),
            ("path = '/x'\nstate = 'absent'", "/match"),
            ("path = '/x'\nstate = 'absent'\nline = 'a'\nmatch = 'a'", "/match"),
            ("path = '/x'\nline = 'a'\nvalidate = 'true'", "/validate"),
        ] {
            assert_eq!(refused::<Line>(toml), parameter, "{toml}");
        }
    }

    #[test]
    fn references_are_to_groups_that_there_are() {
        let pattern = "^(\\w+)(?P<sign>=)(.*)$";
        for good in ["$1 = 5", "${1}_port", "${sign}x", "$sign", "$0", "$$x", "100 $", "a\\b", "$-", "$$$1"] {
            assert_eq!(check_references(good, pattern), Ok(()), "{good}");
        }
        for (wrong, says) in [
            ("$1_port = 5", "write `${1}_port` if you mean group 1"),
            ("${nmae} = 5", "no group `nmae`"),
            ("$4", "no group `4`"),
            ("${}", "no group ``"),
            ("${1", "has no `}`"),
            ("\\1=2", "write `${1}`"),
            ("a $$$x", "no group `x`"),
        ] {
            let error = check_references(wrong, pattern).unwrap_err();
            assert!(error.pointer == "/line" && error.message.contains(says), "{wrong}: {}", error.message);
        }
    }
}
