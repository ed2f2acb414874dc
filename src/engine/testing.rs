//! What the actions and the fake hosts of the engine's tests share. A fake host holds values at paths. An action probes
//! and writes them as files, so that the engine sees real probes, effects and answers.

use crate::connect::host::{self, Attributes, File, FileKind, Read, WriteFile};
use crate::connect::{Effect, Fact, Probe};
use crate::digest::sha256;
use crate::event::Outputs;
use crate::plan::Output;

/// Probes the value at a path.
pub fn read(path: &str) -> Probe {
    Probe::Host(host::Probe::File { path: format!("/{path}"), read: Read::Content })
}

/// The path of a probe that [`read`] has made.
pub fn read_path(probe: &Probe) -> Option<&str> {
    match probe {
        Probe::Host(host::Probe::File { path, .. }) => path.strip_prefix('/'),
        _ => None,
    }
}

/// The answer to a probe of [`read`]; `None`: there is no value.
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

/// The value in an answer that [`fact`] has made, without the unit that wrote it.
pub fn value(fact: &Fact) -> Option<&str> {
    let Fact::Host(host::Fact::File(file)) = fact else { panic!("no answer about a file") };
    let content = file.as_ref()?.content.as_deref()?;
    std::str::from_utf8(content).unwrap().lines().next()
}

/// Writes a value. `unit` tells the fake host which unit writes; empty if the host does not need to know.
pub fn write(unit: &str, path: &str, value: &str) -> Effect {
    let content = if unit.is_empty() { value.to_owned() } else { format!("{value}\n{unit}") };
    let root = Some("root".to_owned());
    let attributes = Attributes { mode: Some(0o644), owner: root.clone(), group: root };
    let (path, content) = (format!("/{path}"), content.as_str().into());
    Effect::Host(host::Effect::WriteFile(WriteFile { path, content, attributes, backup: false, validate: None }))
}

/// Unit, path and value of an effect that [`write`] has made.
pub fn written(effect: &Effect) -> Option<[String; 3]> {
    let Effect::Host(host::Effect::WriteFile(file)) = effect else { return None };
    let content = std::str::from_utf8(file.content.as_slice()).unwrap();
    let (value, unit) = content.split_once('\n').unwrap_or((content, ""));
    Some([unit, file.path.strip_prefix('/').unwrap(), value].map(str::to_owned))
}

/// The only output of test actions that have one.
pub const OUTPUTS: &[Output] = &[Output { name: "value", about: "the value that is there now" }];

pub fn output(value: &str) -> Outputs {
    [("value".to_owned(), value.into())].into_iter().collect()
}

/// Implements `Spec` for an action of the tests.
macro_rules! spec {
    ($action:ty, $name:literal, $runs_on:ident, $role:ident $(, { $($more:tt)* })?) => {
        impl crate::actions::Spec for $action {
            const NAME: &'static str = $name;
            const SUMMARY: &'static str = "";
            const RUNS_ON: crate::plan::RunsOn = crate::plan::RunsOn::$runs_on;
            const ROLE: crate::plan::Role = crate::plan::Role::$role;
            const EXAMPLE: &'static str = "";
            $($($more)*)?
        }
    };
}
pub(in crate::engine) use spec;
