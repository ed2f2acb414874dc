//! `node.copy_tree`: a folder of the project on a host.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::content::{diff_attributes, new_file_mode, text_delta};
use super::effects::script_with_args;
use super::failure::failed;
use super::params::{Mode, attributes, check_path, trimmed};
use super::probes::{file_at, file_probe, missing_program, output_at, programs_probe, run_probe};
use super::tar;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::quote::words;
use crate::connect::host::{self, Attributes, File, FileKind, Read, Run, sha256};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Folder, FolderFile, Output, ParamError, Role, RunsOn, refuse};

/// Copies all files of a folder of the project into a directory of the host: at most 1000 files and 16 MiB. Only files
/// that differ are sent, all together, and each is replaced atomically. Files that are executable in the project are
/// executable on the host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyTree {
    /// The folder, relative to the plan's root. Files are copied as they are; links are refused, and empty folders left
    /// out.
    pub source: Folder,
    /// Absolute path of the directory on the host; a missing directory is created.
    pub path: String,
    /// Mode of all files. Default: 0755 for files that are executable in the project, 0644 for the others; 0700 and
    /// 0600 for files that contain a secret.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Mode of the directories. Default: unchanged; new ones get 0755.
    #[serde(default)]
    pub directory_mode: Option<Mode>,
    /// Owner of all files and directories, by name or number. Default: unchanged; new ones belong to the user that the
    /// step runs as.
    #[serde(default)]
    pub owner: Option<String>,
    /// Group of all files and directories, by name or number. Default: unchanged; new ones get the group of the user
    /// that the step runs as.
    #[serde(default)]
    pub group: Option<String>,
    /// Whether to delete everything in the directory that is not in the folder.
    #[serde(default)]
    pub delete: bool,
}

impl Spec for CopyTree {
    const NAME: &'static str = "node.copy_tree";
    const SUMMARY: &'static str = "a folder of the project on a host";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[Output { name: "path", about: "the directory" }];
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "site"
action = "node.copy_tree"
hosts = "pis"
become = true
source = "files/site"
path = "/srv/www"
owner = "www-data"
delete = true
"#;

    fn rules(&self) -> Result<(), ParamError> {
        check_path("path", &self.path)?;
        if self.source.path.is_empty() {
            return refuse("source", "give the path of a folder below the plan's root");
        }
        if trimmed(&self.path) == "/" {
            return refuse("path", "it cannot be the root directory");
        }
        Ok(())
    }
}

/// Functions that the generated scripts call.
const FUNCTIONS: &str = include_str!("functions.sh");

/// `$1` directory. Prints everything below it, each name followed by a NUL.
const LIST: &str = r#"! [ -d "$1" ] || { cd -- "$1" && find . -mindepth 1 -print0; }"#;

/// Number of names that one command deletes or moves into place.
const MAX_PATHS_PER_SCRIPT: usize = 200;

/// The wanted paths, with what the host has there.
struct Existing<'a> {
    directories: Vec<(String, Option<&'a File>)>,
    files: Vec<(String, &'a FolderFile, Option<&'a File>)>,
}

impl CopyTree {
    fn base(&self) -> String {
        trimmed(&self.path)
    }

    fn at(&self, below: &str) -> String {
        if below.is_empty() { self.base() } else { format!("{}/{below}", self.base()) }
    }

    /// The directories relative to the path; the path itself is the empty name.
    fn directories(&self) -> BTreeSet<&str> {
        let mut directories = BTreeSet::from([""]);
        for file in &self.source.files {
            directories.extend(file.path.match_indices('/').filter_map(|(at, _)| file.path.get(..at)));
        }
        directories
    }

    fn current<'a>(&'a self, facts: &'a [Fact]) -> Existing<'a> {
        let directories = self.directories();
        let count = directories.len();
        let directories = directories.into_iter().enumerate();
        let files = self.source.files.iter().enumerate();
        Existing {
            directories: directories.map(|(index, name)| (self.at(name), file_at(facts, index + 1))).collect(),
            files: files.map(|(index, f)| (self.at(&f.path), f, file_at(facts, index + 1 + count))).collect(),
        }
    }

    fn file_attributes(&self, file: &FolderFile) -> Attributes {
        let run = if file.executable { 0o111 } else { 0 };
        let new = new_file_mode(&file.content);
        // Everybody who may read an executable file may run it.
        let usual = Mode(new | (run & (new >> 2)));
        attributes(Some(self.mode.unwrap_or(usual)), self.owner.as_ref(), self.group.as_ref())
    }

    fn directory_attributes(&self) -> Attributes {
        attributes(self.directory_mode, self.owner.as_ref(), self.group.as_ref())
    }

    fn diff(&self, facts: &[Fact]) -> Result<Diff, Problem> {
        let current = self.current(facts);
        let mut diff = Diff::default();
        let wrong_kind = |path: &str, kind: &FileKind, wanted: &str| {
            let problem = Problem::new(format!("{path} is a {}, and should be a {wanted}", kind.name()));
            problem.hint("choose another path, or remove what is there in a step before this one")
        };
        for (path, file) in &current.directories {
            match file {
                Some(file) if file.kind != FileKind::Directory => {
                    return Err(wrong_kind(path, &file.kind, "directory"));
                }
                Some(_) => diff_attributes_of(&mut diff, path, *file, &self.directory_attributes()),
                None => diff.push_field(path, None, Some("directory".to_owned())),
            }
        }
        for (path, wanted, file) in &current.files {
            match file.map(|file| &file.kind) {
                Some(kind @ (FileKind::Directory | FileKind::Other)) => return Err(wrong_kind(path, kind, "file")),
                Some(FileKind::Link(target)) => {
                    diff.push_field(path, Some(format!("link to {target}")), Some("file".to_owned()));
                }
                Some(FileKind::Regular) | None => {}
            }
            if !same_content(wanted, *file) {
                diff.0.push(text_delta(path, *file, Some(&wanted.content)));
            }
            if file.is_some() {
                diff_attributes_of(&mut diff, path, *file, &self.file_attributes(wanted));
            }
        }
        for name in self.extra(facts)? {
            diff.push_field(self.at(&name), Some("not in the folder".to_owned()), None);
        }
        Ok(diff)
    }

    /// Paths in the directory that are not in the folder. Of a directory to delete, only the directory itself is
    /// listed.
    fn extra(&self, facts: &[Fact]) -> Result<Vec<String>, Problem> {
        if !self.delete {
            return Ok(Vec::new());
        }
        let done = output_at(facts, facts.len() - 1)?;
        if done.exit != 0 || done.stdout.is_cut() {
            let problem = failed(format!("list what is in {}", self.path), done);
            return Err(
                problem.hint("may the step's user read all of it, and do its names have less than 1 MiB in total?")
            );
        }
        let mut wanted = self.directories();
        wanted.extend(self.source.files.iter().map(|file| file.path.as_str()));
        let text = String::from_utf8_lossy(&done.stdout.tail).into_owned();
        let names = text.split('\0').filter_map(|name| name.strip_prefix("./"));
        let mut extra: Vec<String> = names.filter(|name| !wanted.contains(name)).map(str::to_owned).collect();
        extra.sort();
        let mut topmost: Vec<String> = Vec::new();
        for name in extra {
            if !topmost
                .last()
                .is_some_and(|last| name.strip_prefix(last.as_str()).is_some_and(|rest| rest.starts_with('/')))
            {
                topmost.push(name);
            }
        }
        Ok(topmost)
    }

    /// The script that writes what differs, with the files on its stdin; `None` when nothing differs.
    fn copy(&self, facts: &[Fact]) -> Option<Run> {
        let current = self.current(facts);
        let (mut lines, mut contents) = (Vec::new(), Vec::new());
        for (path, current) in &current.directories {
            if current.is_none() || differs(*current, &self.directory_attributes()) {
                let mode = self.directory_mode.map(|mode| mode.to_string()).unwrap_or_default();
                lines.push(format!("dir {}", words([path.as_str(), &mode])));
            }
        }
        let mut puts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (path, file, current) in &current.files {
            let mode = self.file_attributes(file).mode.map(|mode| Mode(mode).to_string()).unwrap_or_default();
            if !same_content(file, *current) {
                let (folder, name) = split(path);
                puts.entry(folder).or_default().push(words([&contents.len().to_string(), &mode, name]));
                contents.push(file.content.as_slice());
            } else if differs(*current, &self.file_attributes(file)) {
                lines.push(format!("fix {}", words([path.as_str(), &mode])));
            }
        }
        if !puts.is_empty() {
            lines.push("unpack".to_owned());
            lines.extend(in_folders("put", &puts));
        }
        let owner = self.owner.clone().unwrap_or_default();
        let owner = self.group.as_ref().map_or_else(|| owner.clone(), |group| format!("{owner}:{group}"));
        let stdin = if contents.is_empty() { Vec::new() } else { tar::numbered(contents) };
        let run = script_with_args(&format!("{FUNCTIONS}{}", lines.join("\n")), &[&self.base(), &owner]);
        (!lines.is_empty()).then(|| Run { stdin: stdin.into(), ..run })
    }

    fn effects(&self, facts: &[Fact]) -> Result<Vec<Run>, Problem> {
        let extra = self.extra(facts)?;
        let mut effects: Vec<Run> = self.copy(facts).into_iter().collect();
        if !extra.is_empty() {
            let paths: Vec<String> = extra.iter().map(|name| self.at(name)).collect();
            let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
            for (folder, name) in paths.iter().map(|path| split(path)) {
                names.entry(folder).or_default().push(words([name]));
            }
            let lines: Vec<String> = in_folders("drop", &names).collect();
            effects.push(script_with_args(&format!("{FUNCTIONS}{}", lines.join("\n")), &[&self.base()]));
        }
        Ok(effects)
    }
}

/// The folder of a path, and the name in it.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or_default()
}

/// Calls of a shell function, each with a folder and some of the arguments for it.
fn in_folders(function: &str, folders: &BTreeMap<&str, Vec<String>>) -> impl Iterator<Item = String> {
    folders.iter().flat_map(move |(folder, arguments)| {
        arguments
            .chunks(MAX_PATHS_PER_SCRIPT)
            .map(move |chunk| format!("{function} {} {}", words([*folder]), chunk.join(" ")))
    })
}

fn same_content(file: &FolderFile, current: Option<&File>) -> bool {
    let current = current.filter(|current| current.kind == FileKind::Regular);
    current.is_some_and(|current| current.sha256.as_ref() == Some(&sha256(&file.content)))
}

fn differs(current: Option<&File>, wanted: &Attributes) -> bool {
    let mut diff = Diff::default();
    diff_attributes(&mut diff, current, wanted);
    !diff.is_empty()
}

impl Action for CopyTree {
    fn probes(&self) -> Vec<Probe> {
        let mut probes = vec![programs_probe(&["tar"])];
        probes.extend(self.directories().into_iter().map(|name| file_probe(&self.at(name), Read::Stat)));
        probes.extend(self.source.files.iter().map(|file| file_probe(&self.at(&file.path), Read::Hash)));
        if self.delete {
            probes.push(run_probe(script_with_args(LIST, &[&self.base()])));
        }
        probes
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        if missing_program(facts, 0, &["tar"]).is_some() {
            let problem = Problem::new("there is no tar on the host");
            return Verdict::Blocked(problem.hint("install the package `tar` in a step before this one"));
        }
        Verdict::judged(self.diff(facts), || format!("{} files", self.source.files.len()))
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        if let Some(EffectResult::Host(done)) =
            done.last().filter(|done| matches!(done, EffectResult::Host(d) if d.exit != 0))
        {
            return Err(failed(format!("bring {} to {}", self.source.path, self.path), done)
                .hint("is the disk full, or may the step's user not write there? if so, set `become = true`"));
        }
        Ok(self.effects(facts)?.get(done.len()).cloned().map(|run| Effect::Host(host::Effect::Run(run))))
    }

    fn outputs(&self, _facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        Outputs::from_iter([("path".to_owned(), json!(self.path))])
    }
}

/// As [`diff_attributes`], with the path before each field's name.
fn diff_attributes_of(diff: &mut Diff, path: &str, current: Option<&File>, wanted: &Attributes) {
    let mut own = Diff::default();
    diff_attributes(&mut own, current, wanted);
    for delta in own.0 {
        if let crate::diff::Delta::Field { path: what, before, after, .. } = delta {
            diff.push_field(format!("{path} {what}"), before, after);
        }
    }
}

#[cfg(test)]
mod tests;
