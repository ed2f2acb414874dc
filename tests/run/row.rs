//! Consecutive steps on one host, whose probes are sent together, have the same results as if they ran one by one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::{env, fs};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::needs;
use super::project::{Project, command, file, gate, outcomes, same, signal, step, wait_for};

/// Few names, so that steps affect each other: folders, files in them, links to both, under one another's names.
fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..=3).prop_map(|names| names.join("/"))
}

fn any_step() -> impl Strategy<Value = String> {
    let content = prop::sample::select(vec!["x", "y"]);
    let mode = prop::sample::select(vec!["0600", "0755"]);
    let line = prop::sample::select(vec!["x", "y", "z 1"]);
    prop_oneof![
        4 => (path(), content.clone()).prop_map(|(p, c)| format!("action = 'node.file'\npath = 'DIR/t/{p}'\ncontent = '{c}'")),
        2 => (path(), content).prop_map(|(p, c)| format!("action = 'node.file'\npath = 'DIR/t/{p}'\ncontent = '{c}'\nmode = '0640'")),
        1 => (path(), mode.clone()).prop_map(|(p, m)| format!("action = 'node.file'\npath = 'DIR/t/{p}'\nmode = '{m}'")),
        2 => (path(), path()).prop_map(|(p, t)| format!("action = 'node.file'\npath = 'DIR/t/{p}'\nstate = 'link'\ntarget = 'DIR/t/{t}'")),
        1 => path().prop_map(|p| format!("action = 'node.file'\npath = 'DIR/t/{p}'\nstate = 'absent'")),
        4 => (path(), line.clone(), any::<bool>()).prop_map(|(p, l, create)| {
            format!("action = 'node.line'\npath = 'DIR/t/{p}'\nline = '{l}'\ncreate = {create}")
        }),
        2 => (path(), line, mode.clone()).prop_map(|(p, l, m)| {
            format!("action = 'node.line'\npath = 'DIR/t/{p}'\nmatch = '^[xyz]'\nline = '{l}'\nmode = '{m}'")
        }),
        3 => (path(), mode).prop_map(|(p, m)| format!("action = 'node.directory'\npath = 'DIR/t/{p}'\nmode = '{m}'")),
        1 => path().prop_map(|p| format!("action = 'node.directory'\npath = 'DIR/t/{p}'\nstate = 'absent'")),
        2 => (path(), path()).prop_map(|(p, q)| {
            format!("action = 'node.command'\ncommand = 'cp DIR/t/{p} DIR/t/{q}'\nonly_if = 'test -f DIR/t/{p}'")
        }),
        1 => (path(), path()).prop_map(|(p, q)| {
            format!("action = 'node.command'\ncommand = 'mv DIR/t/{p} DIR/t/{q}'\nremoves = 'DIR/t/{p}'")
        }),
        2 => path().prop_map(|p| {
            format!("action = 'node.command'\ncommand = 'mkdir DIR/t/{p}'\nunless = 'test -e DIR/t/{p}'\nok_exit_codes = [0, 1]")
        }),
        1 => (path(), path()).prop_map(|(p, q)| {
            format!("action = 'node.command'\ncommand = 'cp DIR/t/{p} DIR/t/{q}'\ncreates = 'DIR/t/{q}'")
        }),
        1 => (path(), path()).prop_map(|(p, q)| {
            format!("action = 'node.command'\ncommand = 'test -d DIR/t/{p}; mkdir -p DIR/t/{q}'\nunless = 'ls DIR/t/{q}'")
        }),
    ]
}

/// Runs a list of steps twice, and returns all outcomes and the final state. `hosts` are names of this machine that the
/// steps use in turn: with one host the steps are batched, with two they are not. Everything is in a folder that is
/// `foreign` to root.
fn come_to(
    steps: &[String],
    hosts: &[&str],
    shell: &Path,
    foreign: bool,
) -> (Vec<BTreeMap<String, &'static str>>, Vec<String>) {
    let mut plan = String::new();
    for (number, step) in steps.iter().enumerate() {
        let host = hosts[number % hosts.len()];
        let _ = writeln!(plan, "[[phase.p.step]]\nid = 's{number}'\nhosts = '{host}'\n{step}");
    }
    let project = Project::new(&plan);
    fs::create_dir(project.path("t")).unwrap();
    if foreign && rustix::process::geteuid().is_root() {
        chown(project.path("t"), Some(61_234), None).unwrap();
    }
    let inventory = "[hosts.one]\nconnection = \"local\"\n[hosts.two]\nconnection = \"local\"\n";
    fs::write(project.path("inventory.toml"), inventory).unwrap();
    let mut ends = Vec::new();
    for _ in 0..2 {
        let inventory = project.path("inventory.toml");
        let args = ["run", "--fresh", "--output", "json", "-i", inventory.to_str().unwrap()];
        let mut folders = vec![shell.to_owned()];
        folders.extend(env::split_paths(&env::var_os("PATH").unwrap()));
        let search = env::join_paths(folders).unwrap();
        let output = project.command(&args).env("PATH", search).output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
        ends.push(outcomes(&String::from_utf8_lossy(&output.stdout)));
    }
    let mut tree = Vec::new();
    list(&project.path("t"), Path::new(""), &mut tree);
    (ends, tree)
}

/// Everything below a folder: path, mode, content.
fn list(root: &Path, below: &Path, tree: &mut Vec<String>) {
    let mut names: Vec<PathBuf> =
        fs::read_dir(root.join(below)).unwrap().map(|entry| below.join(entry.unwrap().file_name())).collect();
    names.sort();
    for name in names {
        let path = root.join(&name);
        let seen = fs::symlink_metadata(&path).unwrap();
        let content = match (seen.is_dir(), seen.is_symlink()) {
            (true, _) => "/".to_owned(),
            (_, true) => fs::read_link(&path).unwrap().strip_prefix(root).unwrap().display().to_string(),
            _ => fs::read_to_string(&path).unwrap(),
        };
        tree.push(format!("{} {:o} {content}", name.display(), seen.permissions().mode()));
        if seen.is_dir() {
            list(root, &name, tree);
        }
    }
}

/// A folder in which `sh` is the shell with this name.
fn shell(program: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let found = env::split_paths(&env::var_os("PATH").unwrap()).map(|dir| dir.join(program)).find(|p| p.exists());
    symlink(found.unwrap(), folder.path().join("sh")).unwrap();
    folder
}

#[test]
fn steps_in_a_row_come_to_what_they_come_to_one_by_one() {
    let cases = if needs::time() { 150 } else { 15 };
    for program in ["dash", "busybox"].into_iter().filter(|program| needs::program(program)) {
        let shell = shell(program);
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
        let lists = (proptest::collection::vec(any_step(), 2..=9), prop::bool::weighted(0.3));
        let compared = TestRunner::new(config).run(&lists, |(steps, foreign)| {
            let row = come_to(&steps, &["one"], shell.path(), foreign);
            let one_by_one = come_to(&steps, &["one", "two"], shell.path(), foreign);
            prop_assert_eq!(row, one_by_one);
            Ok(())
        });
        if let Err(error) = compared {
            panic!("{program}: {error}");
        }
    }
}

#[test]
fn what_has_ended_is_told_while_a_command_behind_it_in_the_row_goes_on() {
    // The step ends when the end of the step before it is recorded.
    let sees = "until grep -qs 'unit_finished.*first' DIR/state/*/*.jsonl; do sleep 0.05; done; touch DIR/sees.done";
    let plan = file("first") + &command("sees", sees).replace("creates", "timeout = '15s'\ncreates");
    let project = Project::new(&plan);
    let (code, ends) = project.run();
    assert_eq!((code, ends), (0, same(&[("first", "changed"), ("sees", "changed")])));
}

#[test]
fn a_step_that_was_sent_in_a_row_is_judged_by_what_is_so_in_its_turn() {
    let unless = step("unless", "action = \"node.command\"\ncommand = 'exit 9'\nunless = 'ls DIR/first'");
    let fails = command("fails", "echo no >&2; exit 3");
    let project = Project::new(&(file("first") + &unless + &file("second") + &fails + &file("never")));
    let output = project.call(&["run", "--output", "json"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let ends = [("first", "changed"), ("unless", "same"), ("second", "changed"), ("fails", "failed")];
    let ends = [&ends[..], &[("never", "cancelled")]].concat();
    assert_eq!((output.status.code(), outcomes(&told)), (Some(1), same(&ends)), "{told}");
    assert!(told.contains("exit status 3") && !project.path("never").exists(), "{told}");
}

#[test]
fn an_interrupt_ends_a_row_behind_the_command_that_runs() {
    let project = Project::new(&(file("first") + &gate("gate") + &file("last")));
    let child = project.start_until("gate");
    wait_for(&project.path("begun"));
    signal(&child, "-INT");
    fs::write(project.path("go"), "").unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    assert!(project.path("gate.done").exists() && !project.path("last").exists());
    let (code, ends) = project.run();
    assert_eq!((code, ends.get("last")), (0, Some(&"changed")), "{ends:?}");
}
