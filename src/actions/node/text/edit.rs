//! A file whose text is edited: its content before and after, and what happens when it does not exist.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Text;
use crate::actions::Verdict;
use crate::actions::node::bytes;
use crate::actions::node::content::{DesiredContent, DesiredFile};
use crate::actions::node::effects::nth_effect;
use crate::actions::node::probes::file_at;
use crate::connect::host::{Attributes, CONTENT_LIMIT, File, FileKind};
use crate::connect::{Effect, EffectResult, Fact};
use crate::event::Problem;

/// Whether the text is wanted in the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The text is in the file.
    #[default]
    Present,
    /// The text is not in the file.
    Absent,
}

/// How to proceed when the file does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Create the file.
    Create,
    /// Fail.
    Refuse,
    /// Nothing: without a file, the unwanted text is absent.
    Fine,
}

impl Missing {
    pub fn of(state: State, create: bool) -> Self {
        match (state, create) {
            (State::Absent, _) => Self::Fine,
            (State::Present, true) => Self::Create,
            (State::Present, false) => Self::Refuse,
        }
    }
}

/// A file that is edited; everything but the edited lines stays as it is.
pub struct Edit<'a> {
    pub path: &'a str,
    /// How to proceed when the file does not exist.
    pub missing: Missing,
    /// Attributes to set.
    pub attributes: Attributes,
    /// Whether to keep a copy of the old file.
    pub backup: bool,
    /// Command that must accept the new file.
    pub validate: Option<&'a str>,
}

/// A function that edits the text. Applied to its own result it must change nothing.
pub type Editor<'a> = &'a dyn Fn(&mut Text) -> Result<(), Problem>;

impl Edit<'_> {
    pub fn verdict(&self, facts: &[Fact], edit: Editor<'_>) -> Verdict {
        let current = file_at(facts, 0);
        match self.content(current, edit) {
            Ok(Some(content)) => self.wanted(&content).verdict(current),
            Ok(None) => Verdict::Same { seen: format!("there is no {}", self.path) },
            Err(problem) => Verdict::Blocked(problem),
        }
    }

    /// The effect that writes the edited file.
    pub fn next(&self, facts: &[Fact], done: &[EffectResult], edit: Editor<'_>) -> Result<Option<Effect>, Problem> {
        let current = file_at(facts, 0);
        match self.content(current, edit)? {
            Some(content) => nth_effect(&[self.wanted(&content).effect(current)], done),
            None => Ok(None),
        }
    }

    /// The whole file after the edit; `None` when there is no file and none is needed.
    fn content(&self, current: Option<&File>, edit: Editor<'_>) -> Result<Option<Vec<u8>>, Problem> {
        let before = match current {
            Some(file) => readable(self.path, file)?,
            None if self.missing == Missing::Create => String::new(),
            None if self.missing == Missing::Fine => return Ok(None),
            None => {
                let problem = Problem::new(format!("there is no {}", self.path));
                return Err(problem.hint("is the path right? `create = true` creates the file"));
            }
        };
        let mut text = Text::new(&before);
        edit(&mut text)?;
        let once = text.to_string();
        edit(&mut text)?;
        if text.to_string() != once {
            let problem = Problem::new(format!("editing {} a second time would change it again", self.path));
            return Err(
                problem.hint("make the expression match the new text as well, or only the one line that is meant")
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

/// The text of a file that can be edited; bytes that are not UTF-8 are kept, see [`bytes`].
pub fn readable(path: &str, file: &File) -> Result<String, Problem> {
    match (&file.kind, &file.content) {
        (FileKind::Regular, Some(content)) => Ok(bytes::decode(content)),
        (FileKind::Regular, None) => {
            let limit = CONTENT_LIMIT / 1024;
            let problem =
                Problem::new(format!("{path} has {} bytes; only files up to {limit} KiB can be edited", file.size));
            Err(problem.hint("edit it with `sed` in a `node.command` step with `unless`"))
        }
        (FileKind::Link(target), _) => {
            Err(Problem::new(format!("{path} is a link to {target}")).hint("give the path that the link points to"))
        }
        (kind, _) => Err(Problem::new(format!("{path} is a {}", kind.name())).hint("only regular files can be edited")),
    }
}
