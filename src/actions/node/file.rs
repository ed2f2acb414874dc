//! `node.file`: a file, a link, or nothing at a path.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::content::{DesiredContent, DesiredFile, diff_attributes, text_delta};
use super::effects::nth_effect;
use super::params::{self, Mode, check_file_path, trimmed};
use super::probes::{file_at, file_probe};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, FileKind, Read};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, SourceFile, refuse};

/// Keeps a file, a symbolic link, or nothing at a path. A file is replaced atomically; mode and owner of an existing
/// file stay unchanged unless given. Without `content` and `source`, only mode and owner are set. A file that is itself
/// a mount point, as `/etc/hosts` is in containers, cannot be replaced, and is written in place.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Absolute path on the host. Its directory must exist.
    pub path: String,
    /// Text of the file.
    #[serde(default)]
    pub content: Option<String>,
    /// Path of a file to copy unchanged, relative to the plan's root. It may have any size.
    #[serde(default)]
    pub source: SourceFile,
    /// The kind of entry wanted at the path.
    #[serde(default)]
    pub state: State,
    /// Where the link points. Only with `state = "link"`.
    #[serde(default)]
    pub target: Option<String>,
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
    /// new file, as in `visudo -cf %s`. Counts only when the file is written.
    #[serde(default)]
    pub validate: Option<String>,
}

/// The kind of entry wanted at a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A regular file.
    #[default]
    File,
    /// A symbolic link.
    Link,
    /// Nothing.
    Absent,
}

impl Spec for File {
    const NAME: &'static str = "node.file";
    const SUMMARY: &'static str = "a file, a link, or nothing at a path";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const IS_REVERTIBLE: bool = true;
    const OUTPUTS: &'static [Output] = &[Output { name: "path", about: "the path" }];
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "motd"
action = "node.file"
hosts = "pis"
become = true
path = "/etc/motd"
content = "Managed by rollout.\n"
mode = "0644"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        check_file_path("path", &self.path)?;
        let has_source = !self.source.path.is_empty();
        if self.content.is_some() && has_source {
            return refuse("source", "give either `content` or `source`, not both");
        }
        check_validate(self.validate.as_deref())?;
        let has_content = self.content.is_some() || has_source;
        let has_attributes = self.mode.is_some() || self.owner.is_some() || self.group.is_some();
        match self.state {
            State::Link if self.target.is_none() => refuse("target", "a link needs a `target`"),
            State::File | State::Absent if self.target.is_some() => {
                refuse("target", "only a link has a `target`: set `state = \"link\"`")
            }
            State::Link | State::Absent if has_content || has_attributes => {
                refuse("state", "content, mode and owner can be given only with `state = \"file\"`")
            }
            State::Link | State::Absent if self.validate.is_some() || self.backup => {
                refuse("state", "`validate` and `backup` are for `state = \"file\"`")
            }
            State::File if !has_content && !has_attributes => {
                refuse("content", "give `content` or `source`, or a mode or owner for an existing file")
            }
            _ => Ok(()),
        }
    }
}

/// Refuses a validation command that never looks at the new file.
pub fn check_validate(validate: Option<&str>) -> Result<(), ParamError> {
    if validate.is_some_and(|command| !command.contains("%s")) {
        return refuse("validate", "it must contain `%s`, which stands for the new file's temporary path");
    }
    Ok(())
}

impl File {
    fn attributes(&self) -> Attributes {
        params::attributes(self.mode, self.owner.as_ref(), self.group.as_ref())
    }

    /// The wanted file; `None` when the step gives no content.
    fn wanted(&self) -> Option<DesiredFile<'_>> {
        let source = || {
            let text = (!self.source.path.is_empty()).then_some(DesiredContent::Text(&self.source.content));
            self.source.file.as_ref().map(DesiredContent::File).or(text)
        };
        Some(DesiredFile {
            path: &self.path,
            content: self.content.as_deref().map(DesiredContent::Text).or_else(source)?,
            attributes: self.attributes(),
            backup: self.backup,
            validate: self.validate.as_deref(),
        })
    }

    fn link(&self, current: Option<&host::File>) -> Verdict {
        let target = self.target.clone().unwrap_or_default();
        match current.map(|f| &f.kind) {
            None => Verdict::Change(Diff::field(format!("{} →", self.path), None, Some(target))),
            Some(FileKind::Link(now)) if *now == target => Verdict::Same { seen: String::new() },
            Some(FileKind::Link(now)) => {
                Verdict::Change(Diff::field(format!("{} →", self.path), Some(now.clone()), Some(target)))
            }
            Some(kind) => Verdict::Blocked(
                Problem::new(format!("{} is a {}", self.path, kind.name()))
                    .hint("if it may be removed, remove it first in a step with `state = \"absent\"`"),
            ),
        }
    }

    fn absent(&self, current: Option<&host::File>) -> Verdict {
        match current {
            None => Verdict::Same { seen: String::new() },
            Some(host::File { kind: FileKind::Directory, .. }) => Verdict::Blocked(
                Problem::new(format!("{} is a directory", self.path))
                    .hint("`node.directory` with `state = \"absent\"` removes directories"),
            ),
            Some(host::File { kind: FileKind::Link(target), .. }) => {
                Verdict::Change(Diff::field(format!("{} →", self.path), Some(target.clone()), None))
            }
            Some(file) => Verdict::Change(Diff(vec![text_delta(&self.path, Some(file), None)])),
        }
    }

    fn only_attributes(&self, current: Option<&host::File>) -> Verdict {
        let mut diff = Diff::default();
        diff_attributes(&mut diff, current, &self.attributes());
        match current.map(|f| &f.kind) {
            Some(FileKind::Link(target)) => Verdict::Blocked(
                Problem::new(format!("{} is a link to {target}, which has no mode of its own", self.path))
                    .hint("give the path that the link points to"),
            ),
            _ => Verdict::judged(Ok(diff), String::new),
        }
    }
}

impl Action for File {
    fn probes(&self) -> Vec<Probe> {
        let read = match (self.state, self.wanted().map(|wanted| wanted.content)) {
            (State::Link, _) | (State::File, None) => Read::Stat,
            (_, Some(DesiredContent::File(_))) => Read::Hash,
            (State::File, Some(DesiredContent::Text(text))) => Read::unless(text),
            (State::File, Some(DesiredContent::Bytes(_))) | (State::Absent, _) => Read::Content,
        };
        vec![file_probe(&trimmed(&self.path), read)]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let current = file_at(facts, 0);
        match (self.state, self.wanted()) {
            (State::File, Some(wanted)) => wanted.verdict(current),
            (State::File, None) => self.only_attributes(current),
            (State::Link, _) => self.link(current),
            (State::Absent, _) => self.absent(current),
        }
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let current = file_at(facts, 0);
        let path = self.path.clone();
        let effect = match (self.state, self.wanted()) {
            (State::File, Some(wanted)) => wanted.effect(current),
            (State::File, None) if current.is_none() => {
                return Err(Problem::new(format!("there is no {path}, so its mode and owner cannot be set"))
                    .hint("give its `content`, or put this step after the one that creates it"));
            }
            (State::File, None) => host::Effect::Attributes { path, attributes: self.attributes() },
            (State::Link, _) => host::Effect::Link { path, target: self.target.clone().unwrap_or_default() },
            (State::Absent, _) => host::Effect::Remove { path },
        };
        nth_effect(&[effect], done)
    }

    fn outputs(&self, _facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        Outputs::from_iter([("path".to_owned(), json!(self.path))])
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, blocked, build, change, effects, file, is_same, refused};
    use super::*;
    use crate::actions::node::content::tests::regular;

    #[test]
    fn parameters_that_exclude_each_other_are_refused() {
        for (toml, parameter) in [
            ("path = 'etc/x'\ncontent = ''", "/path"),
            ("path = '/etc/x/'\ncontent = ''", "/path"),
            ("path = '/x'\ncontent = ''\nsource = 'files/x'", "/source"),
            ("path = '/x'", "/content"),
            ("path = '/x'\nstate = 'link'", "/target"),
            ("path = '/x'\ncontent = ''\ntarget = '/y'", "/target"),
            ("path = '/x'\nstate = 'absent'\nmode = '0644'", "/state"),
            ("path = '/x'\nstate = 'link'\ntarget = '/y'\nbackup = true", "/state"),
            ("path = '/x'\ncontent = ''\nvalidate = 'visudo -c'", "/validate"),
        ] {
            assert_eq!(refused::<File>(toml), parameter, "{toml}");
        }
        let error = build::<File>("path = '/x'\ncontent = ''\nmode = 644").err().unwrap();
        assert_eq!((error.pointer.as_str(), error.message.contains("\"0644\"")), ("mode", true));
    }

    #[test]
    fn content_and_mode_are_compared() {
        let step = build::<File>("path = '/x'\ncontent = 'a'\nmode = '600'").unwrap();
        assert!(is_same(&step.verdict(&[file(Some(regular("a", 0o600)))])));
        let facts = [file(Some(regular("a", 0o644)))];
        assert_eq!(change(&step.verdict(&facts)), ["~ mode: 0644 → 0600"]);
        assert!(matches!(&effects(&step, &facts)[..], [host::Effect::Attributes { .. }]));
        assert!(matches!(&effects(&step, &[file(None)])[..], [host::Effect::WriteFile(_)]));
        assert!(blocked(&step.verdict(&[file(Some(at(FileKind::Directory, 0o755)))])).contains("is a directory"));
    }

    #[test]
    fn an_empty_source_is_content_too() {
        let step = File { source: SourceFile { path: "files/x".into(), ..SourceFile::default() }, ..empty() };
        assert_eq!(change(&step.verdict(&[file(Some(regular("a\n", 0o644)))])), ["~ /x", "@@ -1 +0,0 @@", "-a"]);
    }

    #[test]
    fn a_large_source_is_told_by_size_and_hash_and_sent_from_where_it_lies() {
        let (path, sha256) = ("/project/files/x".into(), host::sha256(b"x"));
        let large = host::LocalFile { path, size: 300_000, sha256 };
        let step =
            File { source: SourceFile { path: "files/x".into(), file: Some(large), ..Default::default() }, ..empty() };
        assert_eq!(step.probes(), [file_probe("/x", Read::Hash)]);
        let mut seen = regular("a", 0o644);
        seen.content = None;
        let lines = change(&step.verdict(&[file(Some(seen.clone()))]));
        assert_eq!(lines, ["~ /x content: 1 bytes, sha256 ca978112ca1b… → 300000 bytes, sha256 2d711642b726…"]);
        let effects = effects(&step, &[file(Some(seen.clone()))]);
        let [host::Effect::WriteFile(write)] = &effects[..] else { panic!("{effects:?}") };
        assert!(matches!(&write.content, host::Content::File(file) if file.size == 300_000));
        seen.sha256 = Some(host::sha256(b"x"));
        assert!(is_same(&step.verdict(&[file(Some(seen))])));
    }

    fn empty() -> File {
        File { content: None, mode: None, ..build("path = '/x'\ncontent = ''").unwrap() }
    }

    #[test]
    fn without_content_only_the_mode_is_set_and_the_file_must_be_there() {
        let step = build::<File>("path = '/x'\nmode = '0600'").unwrap();
        assert!(is_same(&step.verdict(&[file(Some(at(FileKind::Regular, 0o600)))])));
        assert_eq!(change(&step.verdict(&[file(None)])), ["+ mode: 0600"]);
        assert!(step.next_effect(&[file(None)], &[]).err().unwrap().message.contains("there is no /x"));
        let link = at(FileKind::Link("/y".into()), 0o777);
        assert!(blocked(&step.verdict(&[file(Some(link))])).contains("link to /y"));
    }

    #[test]
    fn links_point_where_they_should_and_replace_no_file() {
        let step = build::<File>("path = '/x'\nstate = 'link'\ntarget = '/y'").unwrap();
        let link = |target: &str| [file(Some(at(FileKind::Link(target.into()), 0o777)))];
        assert!(is_same(&step.verdict(&link("/y"))));
        assert_eq!(change(&step.verdict(&link("/z"))), ["~ /x →: /z → /y"]);
        assert_eq!(change(&step.verdict(&[file(None)])), ["+ /x →: /y"]);
        assert!(matches!(&effects(&step, &[file(None)])[..], [host::Effect::Link { target, .. }] if target == "/y"));
        assert!(blocked(&step.verdict(&[file(Some(regular("precious", 0o644)))])).contains("/x is a file"));
    }

    #[test]
    fn absence_shows_what_goes_and_spares_directories() {
        let step = build::<File>("path = '/x'\nstate = 'absent'").unwrap();
        assert!(is_same(&step.verdict(&[file(None)])));
        let facts = [file(Some(regular("a\n", 0o644)))];
        assert_eq!(change(&step.verdict(&facts)), ["~ /x", "@@ -1 +0,0 @@", "-a"]);
        assert!(matches!(&effects(&step, &facts)[..], [host::Effect::Remove { path }] if path == "/x"));
        assert_eq!(change(&step.verdict(&[file(Some(regular("", 0o644)))])).len(), 1);
        assert!(blocked(&step.verdict(&[file(Some(at(FileKind::Directory, 0o755)))])).contains("is a directory"));
    }
}
