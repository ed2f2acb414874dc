//! Every seed of the fuzzer, and all that it ever found, once more through the same code.
#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

#[path = "targets/mod.rs"]
mod targets;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// For the slowest input; all take some milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// A target's seeds and finds, and the project's own files of that kind; a target without finds has no folder for them.
fn inputs(target: &str, examples: Option<&str>) -> Vec<PathBuf> {
    let own = ["seeds", "found"].map(|kind| Path::new("tests/fuzz").join(kind).join(target));
    let folders = own.into_iter().chain(examples.map(PathBuf::from)).filter(|folder| folder.is_dir());
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let paths: Vec<PathBuf> = files.collect();
    assert!(!paths.is_empty(), "no inputs of {target}");
    paths
}

/// Runs each input in a thread with the smallest stack that a part of the program has.
fn replay(target: fn(&[u8]), paths: Vec<PathBuf>) {
    for path in paths {
        let data = std::fs::read(&path).unwrap();
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || {
            target(&data);
            let _ = done.send(());
        });
        let end = ended.recv_timeout(PATIENCE);
        assert!(end.is_ok(), "{}: {}", path.display(), why(end.unwrap_err()));
    }
}

fn why(end: mpsc::RecvTimeoutError) -> String {
    match end {
        mpsc::RecvTimeoutError::Timeout => format!("no end after {PATIENCE:?}"),
        mpsc::RecvTimeoutError::Disconnected => "it panics, see above".to_owned(),
    }
}

#[test]
fn plans_are_read_or_refused() {
    replay(targets::plan::run, inputs("plan", Some("plans")));
}

#[test]
fn inventories_are_read_or_refused() {
    replay(targets::inventory::run, inputs("inventory", Some("inventory")));
}

#[test]
fn journals_are_read_or_refused() {
    replay(targets::journal::run, inputs("journal", None));
}

#[test]
fn answers_of_a_host_are_read_or_refused() {
    replay(targets::remote::run, inputs("remote", None));
}

#[test]
fn the_seeds_get_past_the_checksum_and_the_markers() {
    let journal = targets::journal::lines(&std::fs::read("tests/fuzz/seeds/journal/run.jsonl").unwrap());
    assert_eq!(rollout::journal::parse(Path::new("run.jsonl"), &journal).unwrap().len(), 12);
    for name in ["absent", "command", "files", "kernel"] {
        let seed = std::fs::read(Path::new("tests/fuzz/seeds/remote").join(name)).unwrap();
        assert!(targets::remote::facts(&seed).is_ok(), "{name}: {:?}", targets::remote::facts(&seed));
    }
}

#[test]
fn yaml_is_read_or_refused_and_written_as_it_was_read() {
    replay(targets::yaml::run, inputs("yaml", None));
}
