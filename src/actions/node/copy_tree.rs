//! `node.copy_tree`: a folder of the project on a host.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::content::{new_file, text_delta};
use super::effects::{diff_attributes, failed, file_at, lacking, look, run_at, script, which, words};
use super::params::{Mode, attributes, check_path, trimmed};
use super::tar;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, File, FileKind, Read, Run, sha256};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Folder, FolderFile, Output, ParamError, Role, RunsOn, refuse};

/// Puts all files of a folder of the project into a directory of the host, at most 1000 files and 16 MiB. Only those that
/// differ are sent, in one go, and each is replaced atomically. Files that are executable in the project are so there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyTree {
    /// The folder, below the plan's root. Its files are taken as they are; links in it are refused, empty folders left out.
    pub source: Folder,
    /// Absolute path of the directory on the host; it is made where missing.
    pub path: String,
    /// Mode of all files. Default: 0755 for those that are executable in the project, 0644 for the others; 0700 and 0600
    /// for those with a secret in them.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Mode of the directories. Default: as they are; of new ones 0755.
    #[serde(default)]
    pub directory_mode: Option<Mode>,
    /// Owner of all files and directories, name or number. Default: as they are; of new files the step's user.
    #[serde(default)]
    pub owner: Option<String>,
    /// Group, likewise.
    #[serde(default)]
    pub group: Option<String>,
    /// Whether all that is in the directory and not in the folder is deleted.
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
            return refuse("source", "name a folder below the plan's root");
        }
        if trimmed(&self.path) == "/" {
            return refuse("path", "it cannot be the root directory");
        }
        Ok(())
    }
}

/// `$1` directory, `$2` owner as chown takes it. What follows calls these functions; the files come on standard input.
const FUNCTIONS: &str = r#"
base=$1 owner=$2
dir() {
	if [ -n "$2" ] || [ -d "$1" ]; then
		_ro_directory "$1" "$owner" "$2" || exit
	else
		_ro_directory "$1" "$owner" 0755 || exit
	fi
}
fix() {
	_ro_attributes "$1" "$owner" "$2" || exit
}
unpack() {
	_ro_scratch "$base" || exit
	# By this number it is reached from all folders of the tree, whatever its name is then.
	exec 3<.
	tar -x -o -m -f - || exit
}
# FOLDER [NUMBER MODE NAME]...
put() {
	folder=$1
	shift
	mkdir ./new || exit
	left=$#
	while [ "$left" -gt 0 ]; do
		mv -- "./$1" "./new/$3" && _ro_change "./new/$3" "$owner" "$2" || exit
		set -- "$@" "/proc/self/fd/3/new/$3"
		shift 3
		left=$((left - 3))
	done
	(_ro_enter "$folder" && mv -f -- "$@" .) && rmdir ./new || exit
}
# FOLDER NAME...
drop() {
	(_ro_enter "$1" && shift && _ro_clear "$@") || exit
}
"#;

/// `$1` directory. What is in it, each name ended by a NUL.
const LIST: &str = r#"! [ -d "$1" ] || { cd -- "$1" && find . -mindepth 1 -print0; }"#;

/// How many names are deleted, or files put into place, by one command.
const MAX_PATHS_PER_SCRIPT: usize = 200;

/// What the host has of what is wanted.
struct Seen<'a> {
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

    /// The directories below the path, the path itself first.
    fn directories(&self) -> BTreeSet<&str> {
        let mut directories = BTreeSet::from([""]);
        for file in &self.source.files {
            directories.extend(file.path.match_indices('/').filter_map(|(at, _)| file.path.get(..at)));
        }
        directories
    }

    fn seen<'a>(&'a self, facts: &'a [Fact]) -> Seen<'a> {
        let directories = self.directories();
        let count = directories.len();
        let directories = directories.into_iter().enumerate();
        let files = self.source.files.iter().enumerate();
        Seen {
            directories: directories.map(|(index, name)| (self.at(name), file_at(facts, index + 1))).collect(),
            files: files.map(|(index, f)| (self.at(&f.path), f, file_at(facts, index + 1 + count))).collect(),
        }
    }

    fn of_file(&self, file: &FolderFile) -> Attributes {
        let run = if file.executable { 0o111 } else { 0 };
        let new = new_file(&file.content);
        // Who may read it may run it.
        let usual = Mode(new | (run & (new >> 2)));
        attributes(Some(self.mode.unwrap_or(usual)), self.owner.as_ref(), self.group.as_ref())
    }

    fn of_directory(&self) -> Attributes {
        attributes(self.directory_mode, self.owner.as_ref(), self.group.as_ref())
    }

    /// What is in the directory and is not wanted, without what lies below of such.
    fn extra(&self, facts: &[Fact]) -> Result<Vec<String>, Problem> {
        let Some(done) = run_at(facts, facts.len() - 1).filter(|_| self.delete) else { return Ok(Vec::new()) };
        if done.exit != 0 || done.stdout.is_cut() {
            let problem = failed(&format!("cannot list what is in {}", self.path), done);
            return Err(problem.hint("may the step's user read all of it, and has it less than 1 MiB of names?"));
        }
        let mut wanted = self.directories();
        wanted.extend(self.source.files.iter().map(|file| file.path.as_str()));
        let text = String::from_utf8_lossy(&done.stdout.tail).into_owned();
        let names = text.split('\0').filter_map(|name| name.strip_prefix("./"));
        let mut extra: Vec<String> = names.filter(|name| !wanted.contains(name)).map(str::to_owned).collect();
        extra.sort();
        let mut top: Vec<String> = Vec::new();
        for name in extra {
            if !top
                .last()
                .is_some_and(|last| name.strip_prefix(last.as_str()).is_some_and(|rest| rest.starts_with('/')))
            {
                top.push(name);
            }
        }
        Ok(top)
    }

    /// The script that brings the files, with those that differ; `None` when nothing does.
    fn copy(&self, facts: &[Fact]) -> Option<Run> {
        let seen = self.seen(facts);
        let (mut lines, mut contents) = (Vec::new(), Vec::new());
        for (path, seen) in &seen.directories {
            if seen.is_none() || differs(*seen, &self.of_directory()) {
                let mode = self.directory_mode.map(|mode| mode.to_string()).unwrap_or_default();
                lines.push(format!("dir {}", words(&[path, &mode])));
            }
        }
        let mut puts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (path, file, seen) in &seen.files {
            let mode = self.of_file(file).mode.map(|mode| Mode(mode).to_string()).unwrap_or_default();
            if !same_content(file, *seen) {
                let (folder, name) = split(path);
                puts.entry(folder).or_default().push(words(&[&contents.len().to_string(), &mode, name]));
                contents.push(file.content.as_slice());
            } else if differs(*seen, &self.of_file(file)) {
                lines.push(format!("fix {}", words(&[path, &mode])));
            }
        }
        if !puts.is_empty() {
            lines.push("unpack".to_owned());
            lines.extend(in_folders("put", &puts));
        }
        let owner = self.owner.clone().unwrap_or_default();
        let owner = self.group.as_ref().map_or_else(|| owner.clone(), |group| format!("{owner}:{group}"));
        let stdin = if contents.is_empty() { Vec::new() } else { tar::numbered(contents) };
        let run = script(&format!("{FUNCTIONS}{}", lines.join("\n")), &[&self.base(), &owner]);
        (!lines.is_empty()).then(|| Run { stdin: stdin.into(), ..run })
    }

    fn effects(&self, facts: &[Fact]) -> Result<Vec<Run>, Problem> {
        let extra = self.extra(facts)?;
        let mut effects: Vec<Run> = self.copy(facts).into_iter().collect();
        if !extra.is_empty() {
            let paths: Vec<String> = extra.iter().map(|name| self.at(name)).collect();
            let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
            for (folder, name) in paths.iter().map(|path| split(path)) {
                names.entry(folder).or_default().push(words(&[name]));
            }
            let lines: Vec<String> = in_folders("drop", &names).collect();
            effects.push(script(&format!("{FUNCTIONS}{}", lines.join("\n")), &[&self.base()]));
        }
        Ok(effects)
    }
}

/// A path's folder and its name there.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or_default()
}

/// Calls of `function`, each with a folder and some of what is to be done there.
fn in_folders(function: &str, folders: &BTreeMap<&str, Vec<String>>) -> impl Iterator<Item = String> {
    folders.iter().flat_map(move |(folder, each)| {
        each.chunks(MAX_PATHS_PER_SCRIPT).map(move |some| format!("{function} {} {}", words(&[folder]), some.join(" ")))
    })
}

fn same_content(file: &FolderFile, seen: Option<&File>) -> bool {
    let seen = seen.filter(|seen| seen.kind == FileKind::Regular);
    seen.is_some_and(|seen| seen.sha256.as_ref() == Some(&sha256(&file.content)))
}

fn differs(seen: Option<&File>, wanted: &Attributes) -> bool {
    let mut diff = Diff::default();
    diff_attributes(&mut diff, seen, wanted);
    !diff.is_empty()
}

impl Action for CopyTree {
    fn probes(&self) -> Vec<Probe> {
        let mut probes = vec![which(&["tar"])];
        probes.extend(self.directories().into_iter().map(|name| look(&self.at(name), Read::Stat)));
        probes.extend(self.source.files.iter().map(|file| look(&self.at(&file.path), Read::Hash)));
        if self.delete {
            probes.push(Probe::Host(host::Probe::Run(script(LIST, &[&self.base()]))));
        }
        probes
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        if lacking(facts, 0, &["tar"]).is_some() {
            let problem = Problem::new("there is no tar on the host");
            return Verdict::Blocked(problem.hint("install the package `tar` in a step before this one"));
        }
        let seen = self.seen(facts);
        let mut diff = Diff::default();
        let blocked = |path: &str, kind: &FileKind, wanted: &str| {
            let problem = Problem::new(format!("{path} is a {}, and should be a {wanted}", kind.name()));
            Verdict::Blocked(problem.hint("choose another path, or remove what is there in a step before this one"))
        };
        for (path, file) in &seen.directories {
            match file {
                Some(file) if file.kind != FileKind::Directory => return blocked(path, &file.kind, "directory"),
                Some(_) => named(&mut diff, path, *file, &self.of_directory()),
                None => diff.push_field(path, None, Some("directory".to_owned())),
            }
        }
        for (path, wanted, file) in &seen.files {
            match file.map(|file| &file.kind) {
                Some(kind @ (FileKind::Directory | FileKind::Other)) => return blocked(path, kind, "file"),
                Some(FileKind::Link(target)) => {
                    diff.push_field(path, Some(format!("link to {target}")), Some("file".to_owned()));
                }
                Some(FileKind::Regular) | None => {}
            }
            if !same_content(wanted, *file) {
                diff.0.push(text_delta(path, *file, Some(&wanted.content)));
            }
            if file.is_some() {
                named(&mut diff, path, *file, &self.of_file(wanted));
            }
        }
        match self.extra(facts) {
            Ok(extra) => {
                for name in extra {
                    diff.push_field(self.at(&name), Some("not in the folder".to_owned()), None);
                }
            }
            Err(problem) => return Verdict::Blocked(problem),
        }
        if diff.is_empty() {
            return Verdict::Same { seen: format!("{} files", self.source.files.len()) };
        }
        Verdict::Change(diff)
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        if let Some(EffectResult::Host(done)) =
            done.last().filter(|done| matches!(done, EffectResult::Host(d) if d.exit != 0))
        {
            return Err(failed(&format!("cannot bring {} to {}", self.source.path, self.path), done)
                .hint("is there room on the disk, and may the step's user write there? else `become = true`"));
        }
        Ok(self.effects(facts)?.get(done.len()).cloned().map(|run| Effect::Host(host::Effect::Run(run))))
    }

    fn outputs(&self, _facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        Outputs::from_iter([("path".to_owned(), json!(self.path))])
    }
}

/// Adds what differs between attributes, with the path that has them.
fn named(diff: &mut Diff, path: &str, seen: Option<&File>, wanted: &Attributes) {
    let mut own = Diff::default();
    diff_attributes(&mut own, seen, wanted);
    for delta in own.0 {
        if let crate::diff::Delta::Field { path: what, before, after, .. } = delta {
            diff.push_field(format!("{path} {what}"), before, after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, blocked, build, change, file, is_same, ran, refused};
    use super::*;
    use crate::actions::node::content::tests::regular;

    fn step(rest: &str) -> CopyTree {
        let mut step: CopyTree = build(&format!("source = 'files'\npath = '/srv'\n{rest}")).unwrap();
        let one =
            |path: &str, executable| FolderFile { path: path.into(), content: path.as_bytes().into(), executable };
        step.source.files = vec![one("a", false), one("b/c/x", true)];
        step
    }

    fn directory() -> Fact {
        file(Some(at(FileKind::Directory, 0o755)))
    }

    fn tar() -> Fact {
        ran(0, "tar\n", "")
    }

    #[test]
    fn a_file_with_a_secret_in_it_is_its_owners_alone() {
        crate::secret::register("secret-of-a-tree");
        for (content, executable, mode) in [
            ("plain", false, 0o644),
            ("plain", true, 0o755),
            ("key = secret-of-a-tree", false, 0o600),
            ("key = secret-of-a-tree", true, 0o700),
        ] {
            let file = FolderFile { path: "a".into(), content: content.as_bytes().into(), executable };
            assert_eq!(step("").of_file(&file).mode, Some(mode), "{content}");
            assert_eq!(step("mode = '0640'").of_file(&file).mode, Some(0o640));
        }
    }

    #[test]
    fn files_and_directories_are_compared_one_by_one() {
        let right = vec![tar(), directory(), directory(), directory(), file(Some(regular("a", 0o644)))];
        let with = |x: Fact| [right.clone(), vec![x]].concat();
        let step = step("");
        assert_eq!(step.probes().len(), 6);
        assert!(is_same(&step.verdict(&with(file(Some(regular("b/c/x", 0o755)))))));
        let facts = with(file(Some(regular("b/c/x", 0o644))));
        assert_eq!(change(&step.verdict(&facts)), ["~ /srv/b/c/x mode: 0644 → 0755"]);
        assert!(step.copy(&facts).unwrap().stdin.as_slice().is_empty(), "the content is right");
        let facts = with(file(None));
        assert_eq!(
            change(&step.verdict(&facts)),
            ["~ /srv/b/c/x", "@@ -0,0 +1 @@", "+b/c/x", "\\ No newline at end of file"]
        );
        let run = step.copy(&facts).unwrap();
        assert!(run.command.to_string().ends_with("unpack\nput /srv/b/c 0 0755 x"), "{}", run.command);
        assert!(blocked(&step.verdict(&with(directory()))).contains("is a directory, and should be a file"));
    }

    #[test]
    fn what_is_not_in_the_folder_goes_only_when_asked_for() {
        let facts = |list: &str| {
            let files = [file(Some(regular("a", 0o644))), file(Some(regular("b/c/x", 0o755)))];
            [vec![tar(), directory(), directory(), directory()], files.to_vec(), vec![ran(0, list, "")]].concat()
        };
        let step = step("delete = true");
        assert!(is_same(&step.verdict(&facts("./a\0./b\0./b/c\0./b/c/x\0"))));
        let more = facts("./a\0./b\0./b/old\0./b/old/1\0./b/c\0./older\0./b/c/x\0");
        let lines = ["- /srv/b/old: not in the folder", "- /srv/older: not in the folder"];
        assert_eq!(change(&step.verdict(&more)), lines);
        let effects = step.effects(&more).unwrap();
        let script = effects[0].command.to_string();
        assert!(effects.len() == 1 && script.ends_with("drop /srv older\ndrop /srv/b old"), "{script}");
        let mut denied = facts("");
        denied[6] = ran(1, "", "find: Permission denied\n");
        assert!(blocked(&step.verdict(&denied)).contains("cannot list what is in /srv: find: Permission denied"));
    }

    #[test]
    fn wrong_parameters_are_refused() {
        assert_eq!(refused::<CopyTree>("source = ''\npath = '/x'"), "/source");
        assert_eq!(refused::<CopyTree>("source = 'x'\npath = 'x'"), "/path");
        assert_eq!(refused::<CopyTree>("source = 'x'\npath = '//'"), "/path");
    }
}
