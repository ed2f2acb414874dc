//! `node.block`: marked lines in a text file.

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::check_validate;
use super::params::{self, Mode, check_file_path};
use super::probes::file_probe;
use super::text::{Edit, Insert, InsertPosition, Missing, State, Text};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::Read;
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::event::Problem;
use crate::plan::{ParamError, Role, RunsOn as Where, refuse};

/// Placeholder in `marker` for BEGIN and END.
const MARK: &str = "{mark}";

/// Keeps a block of lines in a text file, between two marker lines by which later runs find the block again. An
/// existing block is changed in place. The file is replaced atomically; line endings, mode and owner stay as they are.
/// A file that is a link, or larger than 256 KiB, is not edited.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Absolute path on the host.
    pub path: String,
    /// The lines of the block.
    #[serde(default)]
    pub block: String,
    /// Template of the marker lines before and after the block: a comment in the file's language, with `{mark}` where
    /// BEGIN and END go. Each block of a file needs its own marker: "# {mark} proxy settings", "<!-- {mark} proxy
    /// settings -->".
    pub marker: String,
    /// Whether the block is wanted in the file.
    #[serde(default)]
    pub state: State,
    /// End of the file where a new block goes when neither `after` nor `before` is given, or when no line matches them;
    /// without it, the step then blocks. Default: the end. Counts only when the block is new.
    #[serde(default)]
    pub insert: Option<Insert>,
    /// Regular expression: a new block goes after the last line that matches. Counts only when the block is new.
    #[serde(default)]
    pub after: Option<String>,
    /// Regular expression: a new block goes before the last line that matches. Counts only when the block is new.
    #[serde(default)]
    pub before: Option<String>,
    /// Whether `after` and `before` mean the first line that matches instead of the last. Counts only when the block is
    /// new.
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

impl Spec for Block {
    const NAME: &'static str = "node.block";
    const SUMMARY: &'static str = "marked lines in a text file";
    const RUNS_ON: Where = Where::Host;
    const ROLE: Role = Role::Change;
    const IS_REVERTIBLE: bool = true;
    const EXAMPLE: &'static str = r##"
[[phase.prepare.step]]
id = "boot-config"
action = "node.block"
hosts = "pis"
become = true
path = "/boot/firmware/config.txt"
marker = "# {mark} of what the cluster needs"
block = """
dtoverlay=disable-wifi
dtoverlay=disable-bt
"""
"##;

    fn rules(&self) -> Result<(), ParamError> {
        check_file_path("path", &self.path)?;
        check_validate(self.validate.as_deref())?;
        self.position().check()?;
        if self.marker.matches(MARK).count() != 1 || self.marker.contains(['\n', '\r']) {
            return refuse("marker", "it must be one line with one `{mark}`, such as \"# {mark} proxy settings\"");
        }
        if self.block.lines().any(|line| line == self.begin() || line == self.end()) {
            return refuse("block", "it contains its own marker");
        }
        if self.state == State::Absent && !self.block.is_empty() {
            return refuse("block", "with `state = \"absent\"`, give `marker` only");
        }
        Ok(())
    }
}

impl Block {
    fn begin(&self) -> String {
        self.marker.replace(MARK, "BEGIN")
    }

    fn end(&self) -> String {
        self.marker.replace(MARK, "END")
    }

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
        let (begin, end) = (self.begin(), self.end());
        let at = |marker: &str| -> Vec<usize> {
            text.lines().enumerate().filter(|(_, line)| *line == marker).map(|(at, _)| at).collect()
        };
        let (at, count) = match (&at(&begin)[..], &at(&end)[..]) {
            ([], []) if self.state == State::Absent => return Ok(()),
            ([], []) => (self.position().index(text)?, 0),
            ([from], [to]) if from < to => (*from, to - from + 1),
            (begins, ends) => {
                let lines = |of: &[usize]| of.iter().map(|at| (at + 1).to_string()).collect::<Vec<_>>().join(", ");
                let (begins, ends) = (format!("[{}]", lines(begins)), format!("[{}]", lines(ends)));
                let message = format!(
                    "the markers in {} are not a pair: \"{begin}\" is in lines {begins}, \"{end}\" in lines {ends}",
                    self.path
                );
                return Err(Problem::new(message).hint("edit the file by hand, so that the block has one line of each"));
            }
        };
        if self.state == State::Absent {
            text.splice(at, count, []);
        } else {
            let new = [begin.as_str()].into_iter().chain(self.block.lines()).chain([end.as_str()]);
            if !text.lines().skip(at).take(count).eq(new.clone()) {
                text.splice(at, count, new);
            }
        }
        Ok(())
    }
}

impl Action for Block {
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
    use super::super::testing::{blocked, build, change, file, is_same, refused};
    use super::*;
    use crate::actions::node::content::tests::regular;

    fn edited(toml: &str, before: &str) -> String {
        let step = build::<Block>(&format!("path = '/x'\nmarker = '# {{mark}} x'\n{toml}")).unwrap();
        let mut text = Text::new(before);
        step.edit(&mut text).unwrap();
        let after = text.to_string();
        assert!(is_same(&step.verdict(&[file(Some(regular(&after, 0o644)))])), "{after}");
        after
    }

    #[test]
    fn a_block_stands_between_its_markers() {
        assert_eq!(edited("block = \"a\\nb\\n\"", "x\n"), "x\n# BEGIN x\na\nb\n# END x\n");
        assert_eq!(edited("block = 'a'\ninsert = 'start'", "x\n"), "# BEGIN x\na\n# END x\nx\n");
        assert_eq!(edited("block = 'a'\nafter = '^x'", "x\ny\n"), "x\n# BEGIN x\na\n# END x\ny\n");
        assert_eq!(edited("block = 'a'", "x\r\n"), "x\r\n# BEGIN x\r\na\r\n# END x\r\n");
        assert_eq!(edited("", ""), "# BEGIN x\n# END x\n");
    }

    #[test]
    fn a_block_that_is_there_is_changed_where_it_stands() {
        let before = "x\n# BEGIN x\nold\nolder\n# END x\ny";
        assert_eq!(edited("block = 'new'\ninsert = 'start'", before), "x\n# BEGIN x\nnew\n# END x\ny");
        assert_eq!(edited("state = 'absent'", before), "x\ny");
        assert_eq!(edited("state = 'absent'", "x\n"), "x\n");
        let step = build::<Block>("path = '/x'\nmarker = '# {mark} x'\nblock = 'new'").unwrap();
        let facts = [file(Some(regular("# BEGIN x\nold\n# END x\n", 0o644)))];
        let lines = ["~ /x", "@@ -1,3 +1,3 @@", " # BEGIN x", "-old", "+new", " # END x"];
        assert_eq!(change(&step.verdict(&facts)), lines);
    }

    #[test]
    fn markers_that_are_no_pair_block() {
        let step = build::<Block>("path = '/x'\nmarker = '# {mark} x'\nblock = 'a'").unwrap();
        for before in ["# BEGIN x\na\n", "# END x\n# BEGIN x\n", "# BEGIN x\n# END x\n# BEGIN x\n# END x\n"] {
            assert!(
                blocked(&step.verdict(&[file(Some(regular(before, 0o644)))])).contains("are not a pair"),
                "{before}"
            );
        }
        let facts = [file(Some(regular("y\n# BEGIN x\na\n", 0o644)))];
        assert!(blocked(&step.verdict(&facts)).contains("\"# BEGIN x\" is in lines [2], \"# END x\" in lines []"));
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for (toml, parameter) in [
            ("path = 'x'\nmarker = '# {mark}'", "/path"),
            ("path = '/x'\nmarker = '# x'", "/marker"),
            ("path = '/x'\nmarker = \"# {mark}\\n\"", "/marker"),
            ("path = '/x'\nmarker = '# {mark}'\nblock = '# END'", "/block"),
            ("path = '/x'\nmarker = '# {mark}'\nblock = 'a'\nstate = 'absent'", "/block"),
            ("path = '/x'\nmarker = '# {mark}'\nafter = '('", "/after"),
        ] {
            assert_eq!(refused::<Block>(toml), parameter, "{toml}");
        }
    }
}
