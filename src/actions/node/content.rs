//! A file with a wanted content and wanted attributes: its diff and the effect that writes it. Shared by `node.file`,
//! `node.template` and the actions that write drop-in files.

use crate::actions::Verdict;
use crate::connect::host::{self, Attributes, CONTENT_LIMIT, Content, File, FileKind, LocalFile, WriteFile, sha256};
use crate::diff::{Delta, Diff, mask_removed_lines};
use crate::event::Problem;
use crate::excerpt;
use crate::secret::{has_plain_secret, has_secret};

use super::params::Mode;

/// Mode of a new file when the step gives none.
const NEW_FILE_MODE: u32 = 0o644;

/// Mode of a new file that contains a secret, when the step gives none.
const NEW_SECRET_FILE_MODE: u32 = 0o600;

/// Mode of a new file with this content, when the step gives none.
pub fn new_file_mode(content: &[u8]) -> u32 {
    let is_short = content.len() <= CONTENT_LIMIT;
    let secret = has_plain_secret(content) || is_short && has_secret(&String::from_utf8_lossy(content));
    if secret { NEW_SECRET_FILE_MODE } else { NEW_FILE_MODE }
}

pub struct DesiredFile<'a> {
    pub path: &'a str,
    pub content: DesiredContent<'a>,
    /// Attributes to set. Those that are `None` stay unchanged on an existing file.
    pub attributes: Attributes,
    /// Whether to keep a copy of the existing file.
    pub backup: bool,
    /// Command that must accept the new content.
    pub validate: Option<&'a str>,
}

#[derive(Clone, Copy)]
pub enum DesiredContent<'a> {
    /// A text.
    Text(&'a str),
    /// Text that may contain bytes of another encoding.
    Bytes(&'a [u8]),
    /// A file of the machine that runs rollout; it is streamed, and never in memory as a whole.
    File(&'a LocalFile),
}

impl<'a> DesiredFile<'a> {
    /// A file with this text, without backup and validation.
    pub fn text(path: &'a str, text: &'a str, attributes: Attributes) -> Self {
        Self { path, content: DesiredContent::Text(text), attributes, backup: false, validate: None }
    }

    ///
    /// # Errors
    /// When a directory or special file is at the path.
    pub fn diff(&self, current: Option<&File>) -> Result<Diff, Problem> {
        let mut diff = Diff::default();
        match current.map(|f| &f.kind) {
            Some(kind @ (FileKind::Directory | FileKind::Other)) => {
                let problem = Problem::new(format!("{} is a {}", self.path, kind.name()));
                return Err(problem.hint("choose another path, or remove what is there first"));
            }
            Some(FileKind::Link(target)) => {
                diff.push_field("kind", Some(format!("link to {target}")), Some("file".to_owned()));
            }
            Some(FileKind::Regular) | None => {}
        }
        if !self.same_content(current) {
            diff.0.push(match self.content {
                DesiredContent::Text(text) => text_delta(self.path, current, Some(text.as_bytes())),
                DesiredContent::Bytes(bytes) => text_delta(self.path, current, Some(bytes)),
                DesiredContent::File(file) => {
                    content_delta(self.path, current, Some(size_and_hash(file.size, &file.sha256)), true)
                }
            });
        }
        diff_attributes(&mut diff, current, &self.attributes);
        Ok(diff)
    }

    pub fn verdict(&self, current: Option<&File>) -> Verdict {
        Verdict::judged(self.diff(current), String::new)
    }

    /// The effect that writes the file, or only sets its attributes when the content is right.
    pub fn effect(&self, current: Option<&File>) -> host::Effect {
        let path = self.path.to_owned();
        let regular = current.filter(|f| f.kind == FileKind::Regular);
        if regular.is_some() && self.same_content(current) {
            return host::Effect::Attributes { path, attributes: self.attributes.clone() };
        }
        let number = |wanted: &Option<String>, current: Option<u32>| wanted.clone().or(current.map(|n| n.to_string()));
        let new = || match self.content {
            DesiredContent::Text(text) => new_file_mode(text.as_bytes()),
            DesiredContent::Bytes(bytes) => new_file_mode(bytes),
            DesiredContent::File(_) => NEW_FILE_MODE,
        };
        host::Effect::WriteFile(WriteFile {
            path,
            content: match self.content {
                DesiredContent::Text(text) => text.into(),
                DesiredContent::Bytes(bytes) => bytes.to_vec().into(),
                DesiredContent::File(file) => Content::File(file.clone()),
            },
            attributes: Attributes {
                mode: Some(self.attributes.mode.or(regular.map(|f| f.mode)).unwrap_or_else(new)),
                owner: number(&self.attributes.owner, regular.map(|f| f.uid)),
                group: number(&self.attributes.group, regular.map(|f| f.gid)),
            },
            backup: self.backup,
            validate: self.validate.map(str::to_owned),
        })
    }

    fn same_content(&self, current: Option<&File>) -> bool {
        let Some(file) = current.filter(|f| f.kind == FileKind::Regular) else { return false };
        let wanted = match self.content {
            DesiredContent::Text(text) => text.as_bytes(),
            DesiredContent::Bytes(bytes) => bytes,
            DesiredContent::File(wanted) => return file.sha256.as_ref() == Some(&wanted.sha256),
        };
        match &file.content {
            Some(content) => content == wanted,
            None => file.sha256.as_ref() == Some(&sha256(wanted)),
        }
    }
}

/// Adds a field for each wanted attribute that the file does not have.
pub fn diff_attributes(diff: &mut Diff, current: Option<&File>, wanted: &Attributes) {
    if let Some(mode) = wanted.mode {
        diff.push_field("mode", current.map(|f| Mode(f.mode).to_string()), Some(Mode(mode).to_string()));
    }
    let mut diff_name = |field: &str, wanted: Option<&String>, current: Option<(&str, &[String], u32)>| {
        let Some(wanted) = wanted else { return };
        let matches = |(name, aliases, number): (&str, &[String], u32)| {
            name == wanted || aliases.contains(wanted) || number.to_string() == *wanted
        };
        if !current.is_some_and(matches) {
            diff.push_field(field, current.map(|(name, ..)| name.to_owned()), Some(wanted.clone()));
        }
    };
    diff_name("owner", wanted.owner.as_ref(), current.map(|f| (f.owner.as_str(), f.owner_aliases.as_slice(), f.uid)));
    diff_name("group", wanted.group.as_ref(), current.map(|f| (f.group.as_str(), f.group_aliases.as_slice(), f.gid)));
}

/// How a file's content changes: as text, or as size and hash when the content is binary or too long. Lines that are
/// removed from a file that not everybody may read, or from one that is deleted, are hidden where they may be secrets.
pub fn text_delta(path: &str, current: Option<&File>, wanted: Option<&[u8]>) -> Delta {
    let regular = current.filter(|f| f.kind == FileKind::Regular);
    let before = match regular {
        Some(File { content: Some(content), .. }) => text(content),
        Some(_) => None,
        None => Some(String::new()),
    };
    let after = wanted.map_or(Some(String::new()), text);
    if let (Some(before), Some(after)) = (before, after)
        && before != after
    {
        let private = regular.is_some_and(|file| file.mode & 0o004 == 0);
        let without = if private || wanted.is_none() { mask_removed_lines(&before, &after) } else { before.clone() };
        if wanted.is_none() && without != before {
            return content_delta(path, current, None, false);
        }
        let before = without;
        return Delta::Text { label: path.to_owned(), before, after };
    }
    // A weak secret could be guessed from its hash.
    let secret = wanted.is_some_and(|bytes| has_secret(&String::from_utf8_lossy(bytes)));
    let hash = |bytes| if secret { String::new() } else { sha256(bytes) };
    let after = wanted.map(|bytes| size_and_hash(bytes.len() as u64, &hash(bytes)));
    content_delta(path, current, after, !secret)
}

/// The change as sizes and hashes.
fn content_delta(path: &str, current: Option<&File>, after: Option<String>, with_hash: bool) -> Delta {
    let regular = current.filter(|f| f.kind == FileKind::Regular);
    let hash = |f: &File| if with_hash { f.sha256.clone().unwrap_or_default() } else { String::new() };
    let before = regular.map(|f| size_and_hash(f.size, &hash(f)));
    Delta::Field { path: format!("{path} content"), before, after, owner: None }
}

fn text(bytes: &[u8]) -> Option<String> {
    let short = bytes.len() <= CONTENT_LIMIT && !bytes.contains(&0);
    // A text with a few bytes of another encoding is shown as text.
    let text = || String::from_utf8_lossy(bytes).into_owned();
    short.then(text).filter(|text| text.matches(char::REPLACEMENT_CHARACTER).count() * 10 <= bytes.len())
}

/// Size and hash of a file that is too long to be shown.
pub fn summary(file: &File) -> String {
    size_and_hash(file.size, file.sha256.as_deref().unwrap_or_default())
}

fn size_and_hash(size: u64, sha256: &str) -> String {
    if sha256.is_empty() {
        return format!("{size} bytes");
    }
    format!("{size} bytes, sha256 {}", excerpt::head(sha256, 12))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A regular file that root owns.
    pub fn regular(content: &str, mode: u32) -> File {
        File {
            kind: FileKind::Regular,
            mode,
            uid: 0,
            gid: 0,
            owner: "root".into(),
            group: "root".into(),
            owner_aliases: Vec::new(),
            group_aliases: Vec::new(),
            size: content.len() as u64,
            sha256: Some(sha256(content.as_bytes())),
            content: Some(content.as_bytes().to_vec()),
        }
    }

    fn wanted(content: &str) -> DesiredFile<'_> {
        DesiredFile::text("/etc/x", content, Attributes::default())
    }

    fn lines(diff: &Diff) -> Vec<String> {
        diff.0.iter().flat_map(Delta::lines).collect()
    }

    #[test]
    fn the_same_file_is_no_change_even_when_only_its_hash_is_known() {
        let mut file = regular("a\n", 0o600);
        assert!(wanted("a\n").diff(Some(&file)).unwrap().is_empty());
        file.content = None;
        assert!(wanted("a\n").diff(Some(&file)).unwrap().is_empty());
    }

    #[test]
    fn texts_are_compared_line_by_line() {
        let diff = wanted("a\nb\n").diff(Some(&regular("a\n", 0o600))).unwrap();
        assert_eq!(lines(&diff), ["~ /etc/x", "@@ -1 +1,2 @@", " a", "+b"]);
    }

    #[test]
    fn binary_and_long_files_are_summed_up() {
        let mut file = regular("\0", 0o600);
        let diff = wanted("a").diff(Some(&file)).unwrap();
        assert_eq!(lines(&diff), ["~ /etc/x content: 1 bytes, sha256 6e340b9cffb3… → 1 bytes, sha256 ca978112ca1b…"]);
        file.content = None;
        file.size = 300_000;
        assert!(lines(&wanted("a").diff(Some(&file)).unwrap())[0].contains("300000 bytes"));
    }

    #[test]
    fn an_empty_file_that_is_not_there_is_a_change() {
        assert!(!wanted("").diff(None).unwrap().is_empty());
    }

    #[test]
    fn attributes_that_are_not_given_stay_as_they_are() {
        let host::Effect::WriteFile(write) = wanted("b").effect(Some(&regular("a", 0o640))) else { panic!() };
        let kept = Attributes { mode: Some(0o640), owner: Some("0".into()), group: Some("0".into()) };
        assert_eq!(write.attributes, kept);
        let host::Effect::WriteFile(write) = wanted("b").effect(None) else { panic!() };
        assert_eq!(write.attributes, Attributes { mode: Some(0o644), owner: None, group: None });
    }

    #[test]
    fn a_new_file_with_a_secret_in_it_is_its_owners_alone() {
        crate::secret::register("secret-of-a-new-file");
        let mode = |file: &DesiredFile<'_>, seen: Option<&File>| match file.effect(seen) {
            host::Effect::WriteFile(write) => write.attributes.mode,
            _ => None,
        };
        let mut file = wanted("a secret-of-a-new-file");
        assert_eq!(mode(&file, None), Some(0o600));
        assert_eq!(mode(&file, Some(&regular("a", 0o640))), Some(0o640));
        file.attributes.mode = Some(0o644);
        assert_eq!(mode(&file, None), Some(0o644));
    }

    #[test]
    fn what_may_be_a_secret_is_not_shown_as_it_goes() {
        let old = regular("password=hunter2\nport=80\n", 0o644);
        assert_eq!(text_delta("/x", Some(&old), None).lines(), ["- /x content: 25 bytes"]);
        for mode in [0o600, 0o640] {
            let private = File { mode, ..old.clone() };
            let lines = text_delta("/x", Some(&private), Some(b"port=80\n")).lines();
            assert!(!lines.concat().contains("hunter") && lines.contains(&" port=80".to_owned()), "{lines:?}");
        }
        assert!(text_delta("/x", Some(&old), Some(b"port=80\n")).lines().concat().contains("hunter"));
    }

    #[test]
    fn only_attributes_are_set_when_the_content_is_right() {
        let mut file = wanted("a");
        file.attributes = Attributes { mode: Some(0o600), owner: Some("bob".into()), group: Some("0".into()) };
        let diff = file.diff(Some(&regular("a", 0o644))).unwrap();
        assert_eq!(lines(&diff), ["~ mode: 0644 → 0600", "~ owner: root → bob"]);
        assert!(matches!(file.effect(Some(&regular("a", 0o644))), host::Effect::Attributes { .. }));
    }

    #[test]
    fn a_link_is_replaced_openly_and_a_directory_never() {
        let mut file = regular("a", 0o777);
        file.kind = FileKind::Link("/else".into());
        assert_eq!(lines(&wanted("a").diff(Some(&file)).unwrap())[0], "~ kind: link to /else → file");
        file.kind = FileKind::Directory;
        assert!(matches!(wanted("a").verdict(Some(&file)), Verdict::Blocked(_)));
    }
}
