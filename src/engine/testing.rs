//! Values of fake hosts, as files: what the actions of tests read and write.

use crate::connect::host::{self, Attributes, File, FileKind, Read, WriteFile};
use crate::connect::{Effect, Fact, Probe};
use crate::digest::sha256;

/// Probes the value at a path.
pub fn read(path: &str) -> Probe {
    Probe::Host(host::Probe::File { path: format!("/{path}"), read: Read::Content })
}

/// The path of [`read`].
pub fn read_path(probe: &Probe) -> Option<&str> {
    match probe {
        Probe::Host(host::Probe::File { path, .. }) => path.strip_prefix('/'),
        _ => None,
    }
}

/// The answer to [`read`].
pub fn fact(value: Option<&str>) -> Fact {
    let root = || "root".to_owned();
    Fact::Host(host::Fact::File(value.map(|value| File {
        kind: FileKind::Regular,
        mode: 0o644,
        uid: 0,
        gid: 0,
        owner: root(),
        group: root(),
        owner_aliases: Vec::new(),
        group_aliases: Vec::new(),
        size: value.len() as u64,
        sha256: Some(sha256(value.as_bytes())),
        content: Some(value.as_bytes().to_vec()),
    })))
}

/// The value that an answer has.
pub fn value(fact: &Fact) -> Option<&str> {
    let Fact::Host(host::Fact::File(file)) = fact else { panic!("no answer about a file") };
    let content = file.as_ref()?.content.as_deref()?;
    std::str::from_utf8(content).unwrap().lines().next()
}

/// Writes a value; `unit` says for the world which unit does so.
pub fn write(unit: &str, path: &str, value: &str) -> Effect {
    let content = if unit.is_empty() { value.to_owned() } else { format!("{value}\n{unit}") };
    let root = Some("root".to_owned());
    let attributes = Attributes { mode: Some(0o644), owner: root.clone(), group: root };
    let (path, content) = (format!("/{path}"), content.as_str().into());
    Effect::Host(host::Effect::WriteFile(WriteFile { path, content, attributes, backup: false, validate: None }))
}

/// Unit, path and value of [`write`].
pub fn written(effect: &Effect) -> Option<[String; 3]> {
    let Effect::Host(host::Effect::WriteFile(file)) = effect else { return None };
    let content = std::str::from_utf8(file.content.as_slice()).unwrap();
    let (value, unit) = content.split_once('\n').unwrap_or((content, ""));
    Some([unit, file.path.strip_prefix('/').unwrap(), value].map(str::to_owned))
}
