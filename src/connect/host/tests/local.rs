//! Probes and effects on this machine.

use super::*;

fn backend() -> Backend {
    Backend::new(&Inventory::default())
}

async fn probe(probes: &[Probe]) -> Vec<Fact> {
    backend().probe(&Target::default(), probes, &call()).await.unwrap()
}

#[tokio::test]
async fn all_kinds_of_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("it's a file"), b"a\0b\n").unwrap();
    std::fs::write(path("large"), vec![b'x'; CONTENT_LIMIT + 1]).unwrap();
    std::os::unix::fs::symlink("/nowhere: really", path("link")).unwrap();
    let file = |name: &str, read| Probe::File { path: path(name), read };
    let probes = [
        file("it's a file", Read::Content),
        file("it's a file", Read::Hash),
        file("large", Read::Content),
        file("link", Read::Content),
        file("absent", Read::Content),
        file("", Read::Stat),
    ];
    let facts = probe(&probes).await;
    let [
        Fact::File(Some(content)),
        Fact::File(Some(hash)),
        Fact::File(Some(large)),
        Fact::File(Some(link)),
        Fact::File(None),
        Fact::File(Some(directory)),
    ] = &facts[..]
    else {
        panic!("{facts:?}")
    };
    assert_eq!(content.content.as_deref(), Some(&b"a\0b\n"[..]));
    assert_eq!(content.sha256, Some(sha256(b"a\0b\n")));
    assert_eq!(hash.sha256, content.sha256);
    assert_eq!((hash.content.as_ref(), hash.size), (None, 4));
    assert_eq!((large.content.as_ref(), large.size), (None, CONTENT_LIMIT as u64 + 1));
    assert_eq!(large.sha256, Some(sha256(&vec![b'x'; CONTENT_LIMIT + 1])));
    assert_eq!(link.kind, FileKind::Link("/nowhere: really".into()));
    assert_eq!(directory.kind, FileKind::Directory);
}

#[tokio::test]
async fn the_system_tells_what_it_is() {
    let facts =
        probe(&[Probe::System, Probe::Sysctl { key: "kernel.ostype".into() }, Probe::Sysctl { key: "no.such".into() }])
            .await;
    let [Fact::System(system), ostype, nothing] = &facts[..] else { panic!("{facts:?}") };
    assert_eq!(ostype, &Fact::Sysctl(Some("Linux".into())));
    assert_eq!(nothing, &Fact::Sysctl(None));
    assert_eq!(system.arch, std::env::consts::ARCH);
    assert!(system.page_size >= 4096 && system.cpus >= 1 && system.memory_total > 100, "{system:?}");
    assert!(!system.boot_id.is_empty() && !system.os_id.is_empty() && !system.user.is_empty(), "{system:?}");
}

#[tokio::test]
async fn a_command_has_its_status_and_both_outputs() {
    let done = backend().perform(&Target::default(), &run("echo out; echo err >&2; exit 3"), &call()).await.unwrap();
    assert_eq!((done.exit, done.stdout.text(), done.stderr.text()), (3, "out".into(), "err".into()));
}

#[tokio::test]
async fn a_dropped_call_ends_its_command() {
    ends_when_dropped(&backend(), &Target::default(), "echo $$; sleep 1000").await;
}

#[tokio::test]
async fn a_command_that_ignores_signals_is_killed() {
    let script = "trap '' TERM HUP INT; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.1; done'";
    ends_when_dropped(&backend(), &Target::default(), script).await;
}

#[tokio::test]
async fn a_late_command_is_ended_and_its_last_line_shown() {
    ends_at_the_deadline(&backend(), &Target::default()).await;
}

#[tokio::test]
async fn a_late_probe_has_changed_nothing() {
    let probe = Probe::Run(Run::shell("echo thinking; sleep 1000"));
    let call = CallContext::silent(Duration::from_millis(500));
    let backend = backend();
    let error = backend.probe(&Target::default(), &[probe], &call).await.unwrap_err();
    backend.close().await;
    assert!(matches!(&error, ConnectError::Failed { message, .. } if message.contains("thinking")), "{error:?}");
}

#[tokio::test]
async fn a_shell_that_is_killed_by_its_command_is_replaced() {
    let backend = backend();
    let error = backend.perform(&Target::default(), &run("echo bye; kill -9 $$"), &call()).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Lost { message, .. } if message.contains("bye")), "{error:?}");
    let done = backend.perform(&Target::default(), &run("echo again"), &call()).await.unwrap();
    assert_eq!(done.stdout.text(), "again");
}

#[tokio::test]
async fn a_background_process_does_not_hold_up_the_reply() {
    let backend = backend();
    let done = backend.perform(&Target::default(), &run("sleep 1000 & echo $!"), &call()).await.unwrap();
    let pid = done.stdout.text();
    let done = backend.perform(&Target::default(), &run(&format!("kill {pid}; echo killed")), &call()).await.unwrap();
    assert_eq!(done.stdout.text(), "killed");
}

#[tokio::test]
async fn calls_at_once_do_not_mix() {
    let backend = backend();
    let one = async |n: usize| {
        let done = backend.perform(&Target::default(), &run(&format!("sleep 0.05; echo {n}")), &call()).await.unwrap();
        assert_eq!(done.stdout.text(), n.to_string());
    };
    futures::future::join_all((0..20).map(one)).await;
}

#[tokio::test]
async fn argv_and_folder_are_taken_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let cwd = folder.path().join("it's here");
    std::fs::create_dir(&cwd).unwrap();
    let argv = ["printf", "<%s>", "a b", "$HOME", "'", "", "ü\n"].map(str::to_owned).to_vec();
    let argv = Effect::Run(Run { command: Command::Argv(argv), ..Run::shell("") });
    let done = backend().perform(&Target::default(), &argv, &call()).await.unwrap();
    assert_eq!(done.stdout.text(), "<a b><$HOME><'><><ü\n>");
    let here = Effect::Run(Run { cwd: Some(cwd.to_str().unwrap().into()), ..Run::shell("pwd") });
    let done = backend().perform(&Target::default(), &here, &call()).await.unwrap();
    assert_eq!(done.stdout.text(), cwd.to_str().unwrap());
    let nowhere = Effect::Run(Run { cwd: Some("/no/where".into()), ..Run::shell("echo never") });
    let done = backend().perform(&Target::default(), &nowhere, &call()).await.unwrap();
    assert_eq!((done.exit, done.stdout.text()), (126, String::new()));
}

#[test]
fn programs_speak_english_whatever_the_language_is() {
    let library = concat!(env!("CARGO_MANIFEST_DIR"), "/src/connect/host/lib.sh");
    let shown =
        "printf '%s|' \"${LANGUAGE-}\" \"${LC_ALL-}\" \"$LANG\" \"$LC_MESSAGES\" \"${LC_TIME-}\"; printenv LC_MESSAGES";
    for (given, wanted) in [
        (&[("LANGUAGE", "de"), ("LANG", "de_DE.UTF-8"), ("LC_TIME", "C")][..], "||de_DE.UTF-8|C|C|C\n"),
        (&[("LC_ALL", "de_DE.UTF-8"), ("LANG", "C"), ("LC_TIME", "C")], "||de_DE.UTF-8|C||C\n"),
        (&[("LC_MESSAGES", "de_DE.UTF-8"), ("LANG", "")], "|||C||C\n"),
    ] {
        for shell in ["sh", "bash"] {
            let script = format!("set -u; . '{library}'; {shown}");
            let mut command = std::process::Command::new(shell);
            let path = std::env::var_os("PATH").unwrap();
            command.args(["-c", &script]).env_clear().env("PATH", path).envs(given.iter().copied());
            let output = command.output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), wanted, "{shell} {given:?}");
        }
    }
}
