//! Pipelines of effects: expectations, results and progress.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::sandbox::{Sandbox, file, text};
use super::*;

fn command(script: &str) -> Probe {
    Probe::Run(Run::shell(script))
}

fn exits(done: &[CommandOutput]) -> Vec<i32> {
    done.iter().map(|done| done.exit).collect()
}

/// Whether an expectation of the present answer to `probe` still holds after the command `change`.
async fn still(sandbox: &Sandbox, probe: Probe, change: &str) -> bool {
    let fact = sandbox.probe(&probe).await;
    assert!(is_comparable(&probe, &fact), "{probe:?}: {fact:?}");
    let same = [run("true"), Effect::Expect(vec![(probe.clone(), fact.clone())]), run("echo on")];
    let (done, error, _) = sandbox.pipeline(&same, &[], &[]).await;
    assert_eq!((exits(&done), error.is_none()), (vec![0, 0, 0], true), "{probe:?}: {fact:?}");
    let other = [run(change), Effect::Expect(vec![(probe, fact)]), run("echo on")];
    let (done, error, _) = sandbox.pipeline(&other, &[], &[]).await;
    assert!(error.is_none() && done[0].exit == 0, "{done:?}");
    done.len() == 3
}

#[tokio::test]
async fn an_answer_that_has_moved_ends_the_row_before_what_rests_on_it() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("it's a file");
    let at = |read| Probe::File { path: text(&path), read };
    let quoted = format!("'{}'", text(&path).replace('\'', "'\\''"));

    assert!(!still(&sandbox, at(Read::Stat), &format!("echo 1 >{quoted}")).await, "it is there");
    assert!(!still(&sandbox, at(Read::Stat), &format!("echo longer >{quoted}")).await, "its size");
    assert!(!still(&sandbox, at(Read::Stat), &format!("chmod 4751 {quoted}")).await, "its mode");
    assert!(still(&sandbox, at(Read::Stat), &format!("echo LONGER >{quoted}")).await, "only what it has in it");
    for read in [Read::Hash, Read::Content, Read::unless("LONGER\n"), Read::unless("another")] {
        fs::write(&path, "LONGER\n").unwrap();
        assert!(!still(&sandbox, at(read), &format!("echo longer >{quoted}")).await, "{read:?}");
    }
    assert!(!still(&sandbox, at(Read::Content), &format!("rm {quoted}")).await, "it is gone");
    assert!(still(&sandbox, Probe::File { path: "/etc/passwd/x".into(), read: Read::Stat }, "true").await);
    let folder = Probe::File { path: text(sandbox.folder.path()), read: Read::Stat };
    assert!(!still(&sandbox, folder, &format!("chmod 711 '{}'", text(sandbox.folder.path()))).await);

    let script = |text: &str| command(&format!("cd '{}'; {text}", self::text(sandbox.folder.path())));
    let touch = |name: &str| format!("touch '{}'", text(&sandbox.path(name)));
    assert!(!still(&sandbox, script("test -e exit"), &touch("exit")).await, "its exit status");
    assert!(!still(&sandbox, script("ls; echo; echo"), &touch("out")).await, "its output");
    assert!(!still(&sandbox, script("ls err"), &touch("err")).await, "its errors");
    assert!(!still(&sandbox, script("if [ -e to ]; then echo a >&2; else echo a; fi"), &touch("to")).await);
    assert!(!still(&sandbox, script("printf a; if [ -e line ]; then echo; fi"), &touch("line")).await);
    assert!(still(&sandbox, script("echo \"it's\"; printf 'a\n\n'; echo '$x `y`' >&2; exit 7"), "true").await);
    assert!(still(&sandbox, script("cat; { unfinished"), "true").await, "nothing to read; a wrong script");
    let quiet = Probe::Run(Run { quiet: true, ..Run::shell(format!("date +%N; ls '{}' >&2; false", text(&path))) });
    assert!(still(&sandbox, quiet, "true").await, "only how it ends is of interest");
}

#[tokio::test]
async fn what_cannot_be_compared_is_known_before() {
    let sandbox = Sandbox::new();
    let link = sandbox.path("link");
    std::os::unix::fs::symlink("x", &link).unwrap();
    for probe in [
        command("printf 'a\\0b'"),
        command("printf '\\377'"),
        command("head -c 5000 /dev/zero | tr '\\0' x"),
        Probe::System,
        Probe::File { path: text(&link), read: Read::Stat },
        Probe::File { path: "/dev/null".into(), read: Read::Stat },
    ] {
        let fact = sandbox.probe(&probe).await;
        assert!(!is_comparable(&probe, &fact), "{probe:?}");
        let (done, ..) =
            sandbox.pipeline(&[run("true"), Effect::Expect(vec![(probe, fact)]), run("true")], &[], &[]).await;
        assert_eq!(exits(&done), [0, 1]);
    }
}

#[tokio::test]
async fn a_row_ends_at_the_first_command_that_fails_and_asks_what_is_to_be_asked_then() {
    let sandbox = Sandbox::new();
    let (one, two) = (sandbox.path("one"), sandbox.path("two"));
    let [probe_one, on_failure] = [&one, &two].map(|path| Probe::File { path: text(path), read: Read::Content });
    let (on_success, on_failure) =
        ([probe_one.clone(), command("echo behind")], [on_failure, probe_one, command("echo otherwise")]);
    let write = |path| Effect::WriteFile(file(path, "1"));
    let effects = [write(&one), run("echo out; exit 3"), write(&two)];
    let (done, error, facts) = sandbox.pipeline(&effects, &on_success, &on_failure).await;
    assert_eq!((exits(&done), error.is_none()), (vec![0, 3], true));
    assert_eq!(done[1].stdout.text(), "out");
    let [None, Some(facts)] = &facts else { panic!("{facts:?}") };
    let [Fact::File(None), Fact::File(Some(seen)), Fact::Run(output)] = &facts[..] else { panic!("{facts:?}") };
    assert_eq!((seen.content.as_deref(), output.stdout.text().as_str()), (Some(&b"1"[..]), "otherwise"));

    let (done, error, facts) =
        sandbox.pipeline(&[write(&one), run("true"), write(&two)], &on_success, &on_failure).await;
    assert_eq!((exits(&done), error.is_none()), (vec![0, 0, 0], true));
    let [Some(facts), None] = &facts else { panic!("{facts:?}") };
    assert!(matches!(&facts[..], [Fact::File(Some(_)), Fact::Run(output)] if output.stdout.text() == "behind"));

    // An effect that fails is an error; the results before it are reported.
    let nowhere = sandbox.path("nowhere/x");
    let (done, error, facts) = sandbox.pipeline(&[run("true"), write(&nowhere), run("true")], &[], &on_failure).await;
    assert_eq!(exits(&done), [0]);
    assert!(error.unwrap().to_string().contains("there is no directory") && facts[1].is_some());
    let seen = fs::read_dir(sandbox.folder.path()).unwrap().count();
    assert_eq!((seen, fs::metadata(&two).unwrap().permissions().mode() & 0o777), (2, 0o600));
}

#[tokio::test]
async fn behind_a_command_that_takes_its_time_nothing_is_begun_and_its_end_is_told_at_once() {
    let sandbox = Sandbox::new();
    let gate = sandbox.path("gate");
    // The command ends more than 2 s (the limit of `_ro_soon`) after the first effect's result has been reported.
    let wait = format!("until [ -e '{}' ]; do sleep 0.05; done; sleep 3", text(&gate));
    let effects =
        [run("echo first"), Effect::Expect(Vec::new()), run(&wait), Effect::Expect(Vec::new()), run("echo never")];
    let seen = Mutex::new(Vec::new());
    let done = |done: CommandOutput| {
        seen.lock().unwrap().push(done.exit);
        fs::write(&gate, "").unwrap();
    };
    let timeouts = [Duration::from_secs(30); 5];
    let pipeline = Pipeline {
        effects: effects.to_vec(),
        timeouts: &timeouts,
        on_success: Vec::new(),
        on_failure: Vec::new(),
        on_result: &done,
    };
    let (error, _) = sandbox.backend.perform_pipeline(&Target::default(), pipeline, &call()).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(*seen.lock().unwrap(), [0, 0, 0, 1], "what follows the long one is not begun");
}

#[tokio::test]
async fn what_a_command_prints_at_once_is_shown_while_it_runs() {
    let sandbox = Sandbox::new();
    // The line most likely arrives together with the end of the effect before it.
    let effects = ["true", "echo line; exec sleep 1000"].map(run).to_vec();
    let timeouts = [Duration::from_secs(20), Duration::from_secs(3)];
    let pipeline =
        Pipeline { effects, timeouts: &timeouts, on_success: Vec::new(), on_failure: Vec::new(), on_result: &|_| {} };
    let (call, mut lines) = listening(Duration::from_secs(20));
    let (error, _) = sandbox.backend.perform_pipeline(&Target::default(), pipeline, &call).await;
    assert!(matches!(&error, Some(ConnectError::Lost { .. })), "{error:?}");
    assert_eq!(lines.recv().await.as_deref(), Some("line"));
}

#[tokio::test]
async fn each_of_a_row_has_its_own_time() {
    let sandbox = Sandbox::new();
    let effects = [run("sleep 2.5"), run("echo $$; exec sleep 1000"), run("true")];
    let seen = Mutex::new(Vec::new());
    let done = |done: CommandOutput| seen.lock().unwrap().push(done.exit);
    // More than the second effect's timeout passes before the effect begins.
    let timeouts = [Duration::from_secs(20), Duration::from_secs(2), Duration::from_secs(20)];
    let pipeline = Pipeline {
        effects: effects.to_vec(),
        timeouts: &timeouts,
        on_success: Vec::new(),
        on_failure: Vec::new(),
        on_result: &done,
    };
    let (call, mut lines) = listening(Duration::from_secs(20));
    let (error, _) = sandbox.backend.perform_pipeline(&Target::default(), pipeline, &call).await;
    let pid: u32 = lines.recv().await.unwrap().parse().unwrap();
    assert!(matches!(&error, Some(ConnectError::Lost { .. })), "{error:?}");
    assert_eq!(*seen.lock().unwrap(), [0]);
    until("the late process is gone", || !runs(pid)).await;
}

#[tokio::test]
async fn a_secret_that_others_would_see_ends_a_row_before_it() {
    let sandbox = Sandbox::new();
    let secret = crate::secret::Secret::new("hunter-of-rows-2".to_owned());
    let shows = run(&format!("echo {}", secret.expose()));
    let (done, error, _) = sandbox.pipeline(&[run("echo first"), shows, run("echo never")], &[], &[]).await;
    assert_eq!(exits(&done), [0]);
    assert!(error.unwrap().to_string().contains("has a secret in it"));
}
