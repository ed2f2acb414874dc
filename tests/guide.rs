//! Follows `docs/actions.md` literally in a copy of the checkout: creates the files, adds the lines and runs the commands
//! that the guide shows. Fails when the guide and the code differ.
//!
//! The line before a code block says what the block is for:
//!
//! - "Create `FILE`:" and "Append to `FILE`:"
//! - "In `FILE`, below `LINE`, add:" and "In `FILE`, above `LINE`, add:"; `LINE` must be in the file exactly once
//!
//! In a `console` block, lines that start with `$ ` are commands. Each must succeed, and its output must have the lines that
//! follow the command, in their order. `…` stands for any text.

#[path = "shared/needs.rs"]
#[allow(dead_code, reason = "other tests ask more of it")]
mod needs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

const GUIDE: &str = "docs/actions.md";

/// Folder in the guide's commands and plans; the test replaces it with a folder of its own.
const TEMPORARY: &str = "/tmp/";

/// Folders of the checkout that are not copied.
const NOT_COPIED: &[&str] = &["target", ".git"];

#[derive(Debug, PartialEq)]
enum Step {
    Create { file: String, text: String },
    Append { file: String, text: String },
    Insert { file: String, anchor: String, below: bool, text: String },
    Run { command: String, expected: Vec<String> },
}

/// The steps of a guide, each with the number of the line where its block starts.
fn steps(guide: &str) -> Result<Vec<(usize, Step)>, String> {
    let create = Regex::new(r"^Create `([^`]+)`:$").unwrap();
    let append = Regex::new(r"^Append to `([^`]+)`:$").unwrap();
    let insert = Regex::new(r"^In `([^`]+)`, (below|above) `([^`]+)`, add:$").unwrap();
    let mut steps = Vec::new();
    let mut before = "";
    let mut lines = guide.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            before = if line.is_empty() { before } else { line };
            continue;
        };
        let block: Vec<&str> = lines.by_ref().map(|(line, _)| line).take_while(|line| *line != "```").collect();
        let text = block.iter().map(|line| format!("{line}\n")).collect();
        if language == "console" {
            steps.extend(commands(&block).into_iter().map(|step| (number, step)));
        } else if let Some(found) = create.captures(before) {
            steps.push((number, Step::Create { file: found[1].to_owned(), text }));
        } else if let Some(found) = append.captures(before) {
            steps.push((number, Step::Append { file: found[1].to_owned(), text }));
        } else if let Some(found) = insert.captures(before) {
            let (file, below, anchor) = (found[1].to_owned(), &found[2] == "below", found[3].to_owned());
            steps.push((number, Step::Insert { file, anchor, below, text }));
        } else {
            return Err(format!(
                "{GUIDE}:{number}: the line before this block does not say what to do with it: {before}"
            ));
        }
    }
    Ok(steps)
}

/// The commands of a `console` block with the output that is expected of each.
fn commands(block: &[&str]) -> Vec<Step> {
    let mut steps = Vec::new();
    for line in block {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step::Run { command: command.to_owned(), expected: Vec::new() }),
            (None, Some(Step::Run { expected, .. })) => expected.push((*line).to_owned()),
            _ => panic!("{GUIDE}: output without a command: {line}"),
        }
    }
    steps
}

/// Whether a line of output is the expected one, in which `…` stands for any text.
fn matches(expected: &str, line: &str) -> bool {
    let parts: Vec<String> = expected.trim().split('…').map(|part| regex::escape(part.trim())).collect();
    Regex::new(&format!("^{}$", parts.join(".*"))).unwrap().is_match(line.trim())
}

/// The first expected line that the output does not have at its place.
fn missing<'a>(expected: &'a [String], output: &str) -> Option<&'a str> {
    let mut lines = output.lines();
    expected.iter().find(|wanted| !lines.any(|line| matches(wanted, line))).map(String::as_str)
}

/// A copy of the checkout in which a reader follows the guide.
struct Reader {
    folder: PathBuf,
    /// Takes the place of [`TEMPORARY`].
    temporary: tempfile::TempDir,
}

impl Reader {
    /// The copy has the same path in every test run, so that cargo builds it incrementally and its old artifacts do not pile
    /// up.
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide");
        let _ = fs::remove_dir_all(&folder);
        copy(Path::new(env!("CARGO_MANIFEST_DIR")), &folder, NOT_COPIED);
        // Cargo tells packages of one build folder apart by name and version, not by path: with the version of the checkout,
        // the copy would overwrite its artifacts.
        let manifest = folder.join("Cargo.toml");
        let text = fs::read_to_string(&manifest).unwrap();
        let version = concat!("version = \"", env!("CARGO_PKG_VERSION"), "\"");
        assert!(text.contains(version), "Cargo.toml has no {version}");
        fs::write(&manifest, text.replacen(version, "version = \"0.0.0-guide\"", 1)).unwrap();
        Self { folder, temporary: tempfile::tempdir().unwrap() }
    }

    fn follow(&self, step: &Step) -> Result<(), String> {
        match step {
            Step::Create { file, text } => {
                let path = self.folder.join(file);
                if path.exists() {
                    return Err(format!("{file} exists already; choose another example"));
                }
                fs::write(path, self.here(text)).map_err(|error| format!("cannot create {file}: {error}"))
            }
            Step::Append { file, text } => self.edit(file, |old| Ok(format!("{old}{text}"))),
            Step::Insert { file, anchor, below, text } => self.edit(file, |old| {
                let is_anchor = |line: &str| line.trim() == anchor;
                if old.lines().filter(|line| is_anchor(line)).count() != 1 {
                    return Err(format!("{file} does not have exactly one line `{anchor}`"));
                }
                let place = |line: &str| match is_anchor(line) {
                    true if *below => format!("{line}\n{text}"),
                    true => format!("{text}{line}\n"),
                    false => format!("{line}\n"),
                };
                Ok(old.lines().map(place).collect())
            }),
            Step::Run { command, expected } => self.run(&self.here(command), &expected.join("\n")),
        }
    }

    /// A text of the guide with this test's folder in place of [`TEMPORARY`].
    fn here(&self, text: &str) -> String {
        text.replace(TEMPORARY, &format!("{}/", self.temporary.path().display()))
    }

    fn edit(&self, file: &str, change: impl Fn(&str) -> Result<String, String>) -> Result<(), String> {
        let path = self.folder.join(file);
        let old = fs::read_to_string(&path).map_err(|error| format!("cannot read {file}: {error}"))?;
        fs::write(path, change(&old)?).map_err(|error| format!("cannot write {file}: {error}"))
    }

    fn run(&self, command: &str, expected: &str) -> Result<(), String> {
        // `cargo run` would build most dependencies once more, since tests need further features of tokio. Building a test builds
        // the same program with the features that are there.
        let command =
            &command.replace("cargo run -- ", "cargo test --quiet --test needs --no-run && target/debug/rollout ");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{{ {command}\n}} 2>&1")]).current_dir(&self.folder);
        // Cargo sets these for this test. Build scripts of dependencies would run again because of them.
        let of_this_test = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_TARGET_TMPDIR"];
        for (name, _) in std::env::vars_os() {
            if of_this_test.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                shell.env_remove(name);
            }
        }
        // The build folder of the checkout has the dependencies. The program itself goes to a folder of its own: the other
        // tests use the one of the checkout.
        shell.env("CARGO_BUILD_BUILD_DIR", target).env("CARGO_TARGET_DIR", self.folder.join("target"));
        shell.env("CARGO_NET_OFFLINE", "true").env("CARGO_TERM_COLOR", "never").env("LC_ALL", "C.UTF-8");
        shell.env("ROLLOUT_STATE_DIR", self.temporary.path().join("state"));
        shell.env_remove("ROLLOUT_INVENTORY").env_remove("ROLLOUT_UPDATE");
        let output = shell.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            return Err(format!("`{command}` failed:\n{text}"));
        }
        let expected: Vec<String> = self.here(expected).lines().map(str::to_owned).collect();
        match missing(&expected, &text) {
            Some(line) => {
                Err(format!("`{command}` succeeded, but its output lacks this line:\n{line}\noutput:\n{text}"))
            }
            None => Ok(()),
        }
    }
}

/// Copies a folder without those of its entries that are in `left_out`.
fn copy(from: &Path, to: &Path, left_out: &[&str]) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        if left_out.iter().any(|left_out| name == *left_out) {
            continue;
        }
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&path, &to.join(name), &[]);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&path).unwrap(), to.join(name)).unwrap();
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

#[test]
fn the_guide_leads_to_an_action_that_works() {
    let zones = Path::new("/usr/share/zoneinfo/Europe/Berlin").exists();
    if !needs::met(zones, "the time zones of the system", "apt-get install tzdata") {
        return;
    }
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(GUIDE)).unwrap();
    let steps = steps(&guide).unwrap_or_else(|error| panic!("{error}"));
    assert!(steps.iter().any(|(_, step)| matches!(step, Step::Run { .. })), "{GUIDE} has no commands");
    let reader = Reader::new();
    for (line, step) in steps {
        reader.follow(&step).unwrap_or_else(|error| panic!("{GUIDE}, block at line {line}: {error}"));
    }
    fs::remove_dir_all(&reader.folder).unwrap();
}

#[test]
fn blocks_are_read_as_the_lines_before_them_say() {
    let guide = "Create `a.rs`:\n\n```rust\nx\n\ny\n```\n\nIn `b.rs`, below `mod z;`, add:\n```rust\nmod a;\n```\nRun:\n\
                 ```console\n$ one\nout …\n$ two\n```\n";
    let run = |command: &str, expected: &[&str]| Step::Run {
        command: command.to_owned(),
        expected: expected.iter().map(|line| (*line).to_owned()).collect(),
    };
    let wanted = vec![
        (3, Step::Create { file: "a.rs".into(), text: "x\n\ny\n".into() }),
        (10, Step::Insert { file: "b.rs".into(), anchor: "mod z;".into(), below: true, text: "mod a;\n".into() }),
        (14, run("one", &["out …"])),
        (14, run("two", &[])),
    ];
    assert_eq!(steps(guide), Ok(wanted));
    let unclear = steps("For example:\n```rust\nx\n```\n").unwrap_err();
    assert_eq!(unclear, "docs/actions.md:2: the line before this block does not say what to do with it: For example:");
}

#[test]
fn output_must_have_the_expected_lines_in_their_order() {
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let output = "a\n  done: 1 changed, in 0.2 s\nb\n";
    assert_eq!(missing(&lines(&["a", "done: 1 changed, …", "b"]), output), None);
    assert_eq!(missing(&lines(&["b", "a"]), output), Some("a"));
    assert_eq!(missing(&lines(&["done: 1"]), output), Some("done: 1"));
}
