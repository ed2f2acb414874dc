//! Staged writes of consecutive files, with each kind of shell.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process_group};

use super::super::effects::pipeline_request;
use super::super::frame::Frame;
use super::super::reply::ExchangeOptions;
use super::super::shell::Mode;
use super::protocol::{exchange, in_each_shell};
use super::sandbox::{file, text};
use super::*;

fn write(path: &Path, content: &str, mode: u32) -> Effect {
    let mut file = file(path, content);
    file.attributes.mode = Some(mode);
    Effect::WriteFile(file)
}

fn exits(done: &[CommandOutput]) -> Vec<i32> {
    done.iter().map(|done| done.exit).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn files_arrive_with_their_modes_and_nothing_is_left_beside_them() {
    in_each_shell(Mode::Program, async |mut shell| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("b it's"), "old").unwrap();
        let effects = [
            write(&at("a"), "1\n", 0o644),
            write(&at("b it's"), "$x `y` \\ 'z'\n\n", 0o4755),
            Effect::Directory { path: text(&at("d")), attributes: Attributes::default() },
            write(&at("d/c"), "", 0o600),
            write(&at("d/d"), "4", 0o644),
            write(&at("e"), "5", 0o644),
        ];
        let parts = pipeline_request(&effects).parts;
        assert!(parts[0].contains("_ro_stage") && parts[3].contains("_ro_stage"), "{parts:?}");
        let done = exchange(&mut shell, &parts).await;
        assert_eq!(exits(&done), [0; 6], "{done:?}");
        let seen = ["a", "b it's", "d/c", "d/d", "e"].map(|name| {
            let mode = fs::metadata(at(name)).unwrap().permissions().mode() & 0o7777;
            (fs::read_to_string(at(name)).unwrap(), mode)
        });
        let wanted = [("1\n", 0o644), ("$x `y` \\ 'z'\n\n", 0o4755), ("", 0o600), ("4", 0o644), ("5", 0o644)];
        assert_eq!(seen, wanted.map(|(content, mode)| (content.to_owned(), mode)));
        assert_eq!(
            (names(folder.path()), names(&at("d"))),
            (
                vec!["a", "b it's", "d", "e"].into_iter().map(str::to_owned).collect(),
                vec!["c".to_owned(), "d".to_owned()]
            )
        );
        // No process keeps the contents.
        let set = exchange(&mut shell, &["set".to_owned()]).await[0].stdout.text();
        assert!(!set.lines().any(|line| line.starts_with("_ro_v") || line.starts_with("_ro_s0=")), "{set}");
    })
    .await;
}

#[tokio::test]
async fn a_file_that_cannot_be_written_ends_the_row_there() {
    in_each_shell(Mode::Program, async |mut shell| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("taken")).unwrap();
        for (bad, why) in [("no/c", "there is no directory"), ("taken", "is a directory")] {
            let files = ["a", "b", bad, "d"].map(|name| write(&at(name), name, 0o644));
            let done = exchange(&mut shell, &pipeline_request(&files).parts).await;
            assert_eq!(exits(&done), [0, 0, 1, 1]);
            assert!(done[2].stderr.text().contains(why), "{done:?}");
            assert_eq!(names(folder.path()), ["a", "b", "taken"]);
            let contents = ["a", "b"].map(|name| fs::read_to_string(at(name)).unwrap());
            assert_eq!(contents, ["a", "b"], "the contents of those that could be written");
            fs::remove_file(at("a")).unwrap();
        }
    })
    .await;
}

fn owned(path: &Path, content: &str, owner: &str) -> Effect {
    let Effect::WriteFile(mut file) = write(path, content, 0o640) else { panic!() };
    file.attributes.owner = Some(owner.to_owned());
    Effect::WriteFile(file)
}

#[tokio::test]
async fn files_with_owners_go_along_also_two_for_one_place() {
    in_each_shell(Mode::Program, async |mut shell| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let me = rustix::process::getuid().as_raw();
        let own = me.to_string();
        let effects = [write(&at("a"), "1", 0o644), owned(&at("b"), "first", &own), owned(&at("b"), "second", &own)];
        let parts = pipeline_request(&effects).parts;
        assert!(parts[0].contains("_ro_stage ") && !parts[1..].concat().contains("_ro_stage "), "{parts:?}");
        let done = exchange(&mut shell, &parts).await;
        assert_eq!(exits(&done), [0; 3], "{done:?}");
        let seen = fs::metadata(at("b")).unwrap();
        assert_eq!((seen.uid(), seen.permissions().mode() & 0o7777), (me, 0o640));
        assert_eq!(fs::read_to_string(at("b")).unwrap(), "second");
        assert_eq!(names(folder.path()), ["a", "b"]);
    })
    .await;
}

#[tokio::test]
async fn an_owner_that_is_not_there_ends_the_row_at_its_file() {
    in_each_shell(Mode::Program, async |mut shell| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let effects = [write(&at("a"), "1", 0o644), owned(&at("b"), "2", "no-such-user"), write(&at("c"), "3", 0o644)];
        let done = exchange(&mut shell, &pipeline_request(&effects).parts).await;
        assert_eq!(exits(&done), [0, 1, 1]);
        assert!(done[1].stderr.text().contains("no-such-user"), "{done:?}");
        assert_eq!(names(folder.path()), ["a"]);
        assert_eq!(fs::read_to_string(at("a")).unwrap(), "1");
    })
    .await;
}

#[tokio::test]
async fn a_row_that_is_cut_off_leaves_nothing_beside_its_files() {
    in_each_shell(Mode::Program, async |mut shell| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join("t").join(name);
        fs::create_dir(folder.path().join("t")).unwrap();
        let begun = folder.path().join("begun");
        // The pipeline hangs when the second file is to be renamed into place.
        let hangs = "case $* in */b) touch BEGUN; while :; do sleep 0.1; done ;; *) command mv \"$@\" ;; esac";
        let mv = format!("mv() {{ {}; }}", hangs.replace("BEGUN", &text(&begun)));
        exchange(&mut shell, &[mv]).await;
        let group = Pid::from_raw(i32::try_from(shell.identity.group).unwrap()).unwrap();
        let mut frame = Frame::new();
        pipeline_request(&["a", "b", "c"].map(|name| write(&at(name), name, 0o644))).parts.into_iter().for_each(|part| frame.add_part(part));
        tokio::select! {
            done = shell.exchange(&frame, None, ExchangeOptions::until(Instant::now() + Duration::from_secs(20))) => panic!("{done:?}"),
            () = until("the second one is about to be put at its place", || begun.exists()) => {}
        }
        assert_eq!(names(&at("")).len(), 3);
        kill_process_group(group, Signal::TERM).unwrap();
        until("only what was done is left", || names(&at("")) == ["a"]).await;
    })
    .await;
}
