//! Builds scripts from effects, and results from their output. No I/O.

use std::collections::BTreeMap;

use super::command::{script, sysctl_file};
use super::expect;
use super::frame::with_stdin;
use super::payload::{Bytes, Content};
use super::quote;
use super::request::Request;
use super::types::{Attributes, CommandOutput, Effect, Run, WriteFile};
use crate::connect::ConnectError;

/// Larger payloads get a channel of their own, bytes: reading them as words takes a shell longer than opening a
/// channel.
const LARGE_BYTES: u64 = 64 * 1024;

/// One effect as a request of one part.
pub fn request(effect: &Effect) -> Request {
    match effect {
        Effect::Run(run) if needs_own_channel(run) => {
            let alone = Run { stdin: Bytes::default(), ..run.clone() };
            let payload = Some(Content::Bytes(run.stdin.clone()));
            Request { parts: vec![script(&alone)], payload, shows_output: true, ..Request::default() }
        }
        Effect::Run(run) => Request { parts: vec![script(run)], shows_output: true, ..Request::default() },
        Effect::WriteFile(file) => {
            let script = write_script(file);
            if let Some(text) = plain_text(&file.content) {
                Request { parts: vec![format!("{script} {}", quote::word(text))], ..Request::default() }
            } else if is_large(&file.content) {
                Request { parts: vec![script], payload: Some(file.content.clone()), ..Request::default() }
            } else {
                Request { parts: vec![with_stdin(file.content.as_slice(), &script)], ..Request::default() }
            }
        }
        Effect::Guard(guard) => guard.request(),
        other => Request { parts: vec![simple_script(other)], ..Request::default() },
    }
}

/// Whether a command's standard input is too large to be part of the script.
pub fn needs_own_channel(run: &Run) -> bool {
    run.stdin.as_slice().len() as u64 > LARGE_BYTES
}

/// Several effects as one request; after a failure the remaining parts are skipped. Consecutive file writes are staged:
/// their contents are put into temporary files together, and each is renamed into place in its turn.
pub fn pipeline_request(effects: &[Effect]) -> Request {
    let mut parts: Vec<String> = Vec::new();
    while let Some(effect) = effects.get(parts.len()) {
        let first = parts.len();
        let staged: Vec<Staged<'_>> = effects[first..].iter().map_while(Staged::of).collect();
        if staged.len() < 2 {
            parts.push(request(effect).parts.concat());
            continue;
        }
        parts.extend(staged.iter().enumerate().map(|(number, file)| file.put_script(number)));
        if let (Some(begin), Some(end)) = (parts.get(first), parts.last()) {
            let (begin, end) = (format!("{}{begin}", stage_script(&staged)), format!("{end} && _ro_staged"));
            parts[first] = begin;
            parts.pop();
            parts.push(end);
        }
    }
    let parts = parts.into_iter().enumerate().map(|(number, script)| {
        let first = if number == 0 { "_ro_row; " } else { "" };
        format!("{first}if [ \"$_ro_f\" = 0 ]; then {{ {script}; }} || _ro_fail; else _ro_give 1; fi")
    });
    let live = effects.iter().any(|effect| matches!(effect, Effect::Run(_)));
    Request { parts: parts.collect(), shows_output: live, ..Request::default() }
}

/// A file that can be written to a temporary name ahead of its turn.
struct Staged<'a> {
    path: &'a str,
    content: &'a str,
    mode: String,
    owner: String,
}

impl<'a> Staged<'a> {
    fn of(effect: &'a Effect) -> Option<Self> {
        let Effect::WriteFile(file) = effect else { return None };
        let WriteFile { path, content, attributes, backup, validate } = file;
        let plain = !backup && validate.is_none();
        let content = plain_text(content).filter(|_| plain)?;
        Some(Self { path, content, mode: octal(attributes.mode.unwrap_or(0o600)), owner: owner(attributes) })
    }

    fn owner_word(&self) -> String {
        quote::word(&self.owner)
    }

    fn put_script(&self, number: usize) -> String {
        let (path, size, mode) = (quote::word(self.path), self.content.len(), &self.mode);
        format!("_ro_put {number} {path} {size} {mode} {}", self.owner_word())
    }
}

/// The script that writes the contents of `files` to temporary names beside their paths.
fn stage_script(files: &[Staged<'_>]) -> String {
    let mut by_attributes: BTreeMap<(&str, String), String> = BTreeMap::new();
    let (mut contents, mut places) = (String::new(), String::new());
    for (number, file) in files.iter().enumerate() {
        contents += &format!("_ro_v{number}={}; ", quote::word(file.content));
        places += &format!(" {number} {}", quote::word(file.path));
        *by_attributes.entry((&file.mode, file.owner_word())).or_default() += &format!(" {number}");
    }
    let ready: String =
        by_attributes.iter().map(|((mode, owner), numbers)| format!(" {mode} {owner}{numbers} .")).collect();
    format!("{contents}_ro_stage{places}; _ro_ready{ready}; ")
}

impl Effect {
    /// Whether the effect takes no time worth waiting for and its result holds nothing but success.
    pub fn is_instant(&self) -> bool {
        match self {
            Self::Run(_) | Self::Guard(_) | Self::Expect(_) => false,
            Self::WriteFile(file) => file.validate.is_none() && !is_large(&file.content),
            _ => true,
        }
    }
}

/// The effect's result, or an error that says why the effect failed.
pub fn judge(effect: &Effect, done: CommandOutput) -> Result<CommandOutput, ConnectError> {
    let what = match effect {
        Effect::Run(_) | Effect::Expect(_) => return Ok(done),
        _ if done.exit == 0 => return Ok(done),
        Effect::WriteFile(file) => format!("cannot write {}", file.path),
        Effect::Directory { path, .. } => format!("cannot make the directory {path}"),
        Effect::Attributes { path, .. } => format!("cannot set mode or owner of {path}"),
        Effect::Link { path, .. } => format!("cannot make the link {path}"),
        Effect::Remove { path } => format!("cannot remove {path}"),
        Effect::LoadModule { name } => format!("cannot load the kernel module {name}"),
        Effect::SetSysctl { .. } => "cannot set kernel parameters".to_owned(),
        Effect::Guard(guard) => return guard.judge(vec![done]),
    };
    let stderr = done.stderr.last_lines(10);
    let error = ConnectError::failed(format!("{what}: {stderr}"));
    Err(if ["No space left on device", "Disk quota exceeded"].iter().any(|full| stderr.contains(full)) {
        error.hint("make room on the host (`df -h` and `df -i` there show what is full), and run the plan again")
    } else if stderr.contains("Read-only file system") {
        error.hint("the file system is mounted read-only: on purpose, as in a container, or because the disk is failing (see `dmesg`)")
    } else if stderr.contains("bytes arrived") || stderr.contains("other content arrived") {
        error.hint("the file on this machine changed or could not be read while it was sent: run the plan again")
    } else if stderr.contains("Permission denied") || stderr.contains("Operation not permitted") {
        error
            .hint("set `become = true` on the step, unless the host itself forbids it (a container, a read-only mount)")
    } else if stderr.contains("there is no directory") {
        error.hint("make it with a `node.directory` step before this one")
    } else if stderr.contains("may lead elsewhere") {
        error.hint("give the path that the link leads to: the step follows no link that somebody else can change")
    } else if stderr.contains("somebody replaced") {
        error.hint("another user changes that folder: check who may write there, and run the plan again")
    } else if stderr.contains("has further names") {
        error.hint("remove its other hard links, or write the file anew: another user may have made them")
    } else if stderr.contains("Device or resource busy") {
        error.hint("it is a mount point and cannot be replaced: unmount it first")
    } else {
        error
    })
}

/// The content, if every shell takes it unencoded as a word of a builtin.
fn plain_text(content: &Content) -> Option<&str> {
    let Content::Bytes(bytes) = content else { return None };
    let plain = |b: &u8| matches!(b, b' '..=b'~' | b'\n' | b'\t');
    let short = !is_large(content) && bytes.as_slice().iter().all(plain);
    short.then(|| std::str::from_utf8(bytes.as_slice()).ok()).flatten()
}

fn is_large(content: &Content) -> bool {
    matches!(content, Content::File(_)) || content.size() > LARGE_BYTES
}

fn write_script(file: &WriteFile) -> String {
    let mode = octal(file.attributes.mode.unwrap_or(0o600));
    let validate = file.validate.as_deref().unwrap_or_default().replace("%s", "\"$valid\"");
    let size = file.content.size().to_string();
    let backup = if file.backup { "yes" } else { "" };
    let sha256 = match &file.content {
        Content::Bytes(_) => "",
        Content::File(file) => &file.sha256,
    };
    let words = [&file.path, &size, &owner(&file.attributes), &mode, backup, &validate, sha256];
    format!("_ro_write {}", quote::words(words))
}

fn simple_script(effect: &Effect) -> String {
    match effect {
        Effect::Run(run) => script(run),
        Effect::WriteFile(file) => write_script(file),
        Effect::Directory { path, attributes } => format!("_ro_directory {}", with_attributes(path, attributes)),
        Effect::Attributes { path, attributes } => format!("_ro_attributes {}", with_attributes(path, attributes)),
        Effect::Link { path, target } => format!("_ro_link {}", quote::words([path.as_str(), target])),
        Effect::Remove { path } => format!("_ro_remove {}", quote::word(path)),
        Effect::LoadModule { name } => format!("_ro_load {}", quote::word(name)),
        Effect::SetSysctl { settings } => settings
            .iter()
            .map(|(key, value)| format!("( _ro_set {} )", quote::words([sysctl_file(key).as_str(), value])))
            .collect::<Vec<_>>()
            .join(" && "),
        Effect::Guard(guard) => guard.request().parts.concat(),
        Effect::Expect(answers) => expect::request(answers),
    }
}

fn with_attributes(path: &str, attributes: &Attributes) -> String {
    let mode = attributes.mode.map(octal).unwrap_or_default();
    quote::words([path, &owner(attributes), &mode])
}

fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

/// Owner and group in the form that `chown` takes; empty for no change.
fn owner(attributes: &Attributes) -> String {
    let owner = attributes.owner.as_deref().unwrap_or_default();
    attributes.group.as_deref().map_or_else(|| owner.to_owned(), |group| format!("{owner}:{group}"))
}
