//! Effects on this machine's files.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::sandbox::{Sandbox, file, text};
use super::*;

impl Sandbox {
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn files_of_all_sizes_arrive_whole() {
    let sandbox = Sandbox::new();
    for size in [0, 1, 64 * 1024, 64 * 1024 + 1, 9_000_000] {
        let content: Vec<u8> = (0..=250).cycle().take(size).collect();
        let path = sandbox.path("a 'file'");
        let mut write = file(&path, content.clone());
        write.attributes.mode = Some(0o4750);
        sandbox.perform(Effect::WriteFile(write)).await.unwrap();
        assert!(fs::read(&path).unwrap() == content, "{size} bytes");
        assert_eq!(mode(&path), 0o4750);
    }
    assert_eq!(sandbox.names(), ["a 'file'"]);
}

#[tokio::test]
async fn a_file_that_has_become_another_one_since_it_was_looked_at_is_not_put_there() {
    let sandbox = Sandbox::new();
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let whole = vec![b'x'; 300_000];
    let (size, sha256) = (whole.len() as u64, sha256(&whole));
    let content = Content::File(LocalFile { path: source.clone(), size, sha256 });
    let mut write = file(&sandbox.path("x"), "");
    write.content = content;
    let shorter = [b"x".as_slice(), &whole[2..]].concat();
    let other = [b"y".as_slice(), &whole[1..]].concat();
    for (now, why) in [(&shorter, "only 299999 of 300000 bytes arrived"), (&other, "other content arrived")] {
        fs::write(&source, now).unwrap();
        let error = sandbox.perform(Effect::WriteFile(write.clone())).await.unwrap_err();
        let ConnectError::Failed { message, hint } = error else { panic!("{error:?}") };
        assert!(message.contains(why) && hint.is_some_and(|hint| hint.contains("changed")), "{message}");
        assert!(sandbox.names().is_empty(), "{why}");
    }
    let longer = [&whole, b"more".as_slice()].concat();
    for now in [&longer, &whole] {
        fs::write(&source, now).unwrap();
        sandbox.perform(Effect::WriteFile(write.clone())).await.unwrap();
        assert!(fs::read(sandbox.path("x")).unwrap() == whole);
    }
}

#[tokio::test]
async fn what_nobody_read_of_a_payload_is_no_request() {
    let sandbox = Sandbox::new();
    let trap = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("touch '{}'\n", text(&sandbox.path("trap"))),
    );
    let content = format!("{trap}\n").repeat(20_000);
    for number in 0..3 {
        let run = Run { stdin: content.as_str().into(), ..Run::shell(format!("read -r _; exit {number}")) };
        assert_eq!(sandbox.perform(Effect::Run(run)).await.unwrap().exit, number);
        let done = sandbox.perform(Effect::Run(Run::shell("echo next"))).await.unwrap();
        assert_eq!(done.stdout.text(), "next");
    }
    assert!(sandbox.names().is_empty());
}

#[tokio::test]
async fn a_file_that_is_not_valid_changes_nothing() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("sudoers");
    fs::write(&path, "old").unwrap();
    let mut write = file(&path, "new");
    write.validate = Some("grep -q old %s || { echo it says new; false; }".into());
    let error = sandbox.perform(Effect::WriteFile(write.clone())).await.unwrap_err();
    assert!(error.to_string().contains("it says new") && error.to_string().contains("not valid"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(sandbox.names(), ["sudoers"]);
    write.validate = Some("grep -q new %s".into());
    sandbox.perform(Effect::WriteFile(write)).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
}

#[tokio::test]
async fn the_old_file_is_kept_beside_when_asked() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("conf");
    fs::write(&path, "old").unwrap();
    let mut write = file(&path, "new");
    write.backup = true;
    sandbox.perform(Effect::WriteFile(write)).await.unwrap();
    let names = sandbox.names();
    assert_eq!((names.len(), names[0].as_str()), (2, "conf"));
    assert!(names[1].starts_with("conf.20") && names[1].ends_with('~'), "{names:?}");
    assert_eq!(fs::read_to_string(sandbox.path(&names[1])).unwrap(), "old");
}

#[tokio::test]
async fn nothing_is_left_of_a_write_that_cannot_be() {
    let sandbox = Sandbox::new();
    let mut nobodys = file(&sandbox.path("x"), "content");
    nobodys.attributes.owner = Some("no-such-user".into());
    let error = sandbox.perform(Effect::WriteFile(nobodys)).await.unwrap_err();
    assert!(error.to_string().contains("no-such-user"), "{error}");
    assert!(sandbox.names().is_empty());

    let error = sandbox.perform(Effect::WriteFile(file(&sandbox.path("no/dir"), "x"))).await.unwrap_err();
    let ConnectError::Failed { message, hint } = error else { panic!("{error:?}") };
    assert!(message.contains("there is no directory") && hint.is_some_and(|h| h.contains("node.directory")));

    fs::create_dir(sandbox.path("dir")).unwrap();
    let error = sandbox.perform(Effect::WriteFile(file(&sandbox.path("dir"), "x"))).await.unwrap_err();
    assert!(error.to_string().contains("is a directory"), "{error}");
    assert_eq!(fs::read_dir(sandbox.path("dir")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_link_to_a_directory_is_replaced_not_followed() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("dir")).unwrap();
    symlink(sandbox.path("dir"), sandbox.path("link")).unwrap();
    let link = |target: &str| Effect::Link { path: text(&sandbox.path("link")), target: target.into() };
    sandbox.perform(link("/else where")).await.unwrap();
    assert_eq!(fs::read_link(sandbox.path("link")).unwrap(), Path::new("/else where"));
    sandbox.perform(link(&text(&sandbox.path("dir")))).await.unwrap();
    sandbox.perform(Effect::WriteFile(file(&sandbox.path("link"), "x"))).await.unwrap();
    assert!(fs::symlink_metadata(sandbox.path("link")).unwrap().is_file());
    assert_eq!(fs::read_dir(sandbox.path("dir")).unwrap().count(), 0);
    assert_eq!(sandbox.names(), ["dir", "link"]);
}

#[tokio::test]
async fn directories_come_with_their_parents_and_go_with_their_content() {
    let sandbox = Sandbox::new();
    let attributes = Attributes { mode: Some(0o700), ..Attributes::default() };
    let path = text(&sandbox.path("a/b/c"));
    sandbox.perform(Effect::Directory { path: path.clone(), attributes }).await.unwrap();
    assert_eq!((mode(Path::new(&path)), mode(&sandbox.path("a")) & 0o700), (0o700, 0o700));
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    let attributes = Attributes { mode: Some(0o750), ..Attributes::default() };
    sandbox.perform(Effect::Attributes { path: path.clone(), attributes }).await.unwrap();
    assert_eq!(mode(Path::new(&path)), 0o750);
    sandbox.perform(Effect::Remove { path: text(&sandbox.path("a")) }).await.unwrap();
    assert!(sandbox.names().is_empty());
}

#[tokio::test]
async fn a_parameter_that_the_kernel_refuses_is_an_error() {
    let settings = vec![("kernel.ostype".to_owned(), "Plan 9".to_owned())];
    let error = Sandbox::new().perform(Effect::SetSysctl { settings }).await.unwrap_err();
    assert!(error.to_string().contains("kernel/ostype"), "{error}");
}

#[tokio::test]
async fn what_is_asked_behind_effects_is_answered_as_it_is_after_them() {
    let sandbox = Sandbox::new();
    let (one, two) = (sandbox.path("one"), sandbox.path("two"));
    let probe = |path: &Path, read| Probe::File { path: text(path), read };
    let ask = async |effects: &[Effect], probes: &[Probe]| {
        let (done, error, [facts, _]) = sandbox.pipeline(effects, probes, &[]).await;
        (done, error, facts)
    };
    let writes = [Effect::WriteFile(file(&one, "it's 1\n")), Effect::WriteFile(file(&two, "2"))];
    let probes = [probe(&one, Read::Content), probe(&two, Read::unless("2")), probe(&two, Read::unless("1"))];
    let (done, error, facts) = ask(&writes, &probes).await;
    assert!(done.len() == 2 && error.is_none(), "{error:?}");
    let seen: Vec<_> = facts.unwrap().into_iter().collect();
    let [Fact::File(Some(first)), Fact::File(Some(same)), Fact::File(Some(other))] = &seen[..] else {
        panic!("{seen:?}")
    };
    assert_eq!((first.content.as_deref(), first.size), (Some(&b"it's 1\n"[..]), 7));
    assert_eq!((same.content.as_deref(), same.sha256.clone()), (None, Some(sha256(b"2"))));
    assert_eq!(other.content.as_deref(), Some(&b"2"[..]));

    // The command's own answer is not delayed by the follow-up probe, which ends with the shell.
    let probes = [Probe::Run(Run::shell("kill -9 $$"))];
    let (done, error, facts) = ask(&[run("echo done")], &probes).await;
    assert_eq!((done[0].stdout.text().as_str(), error.is_none(), facts.is_none()), ("done", true, true));
    let (done, ..) = ask(&[run("echo again")], &[]).await;
    assert_eq!(done[0].stdout.text(), "again");
}
