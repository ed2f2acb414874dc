//! The framing protocol with real shells: dash, bash, and busybox with nothing but its own tools.

use std::path::Path;

use super::super::frame::{Frame, user_script};
use super::super::link::spawn;
use super::super::output::MAX_BYTES;
use super::super::reply::ExchangeOptions;
use super::super::shell::{Mode, Shell, Streams};
use super::*;
use crate::needs;

/// Those shells that are installed here and that a host may have as `sh`.
pub fn shells() -> impl Iterator<Item = &'static str> {
    ["dash", "busybox", "bash"].into_iter().filter(|shell| needs::program(shell))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Starts `shell` with `arguments` split into words. Busybox gets only its own tools.
fn start(shell: &str, arguments: &str, tools: &Path) -> Streams {
    let mut command = tokio::process::Command::new("sh");
    let program = if shell == "busybox" { "busybox sh" } else { shell };
    command.arg("-c").arg(format!("exec {program} {arguments}"));
    if shell == "busybox" {
        let installed = std::process::Command::new("busybox").arg("--install").arg("-s").arg(tools).status();
        assert!(installed.unwrap().success());
        command.env("PATH", format!("{}:/bin", tools.display()));
    }
    spawn(command).unwrap()
}

pub async fn exchange(shell: &mut Shell, parts: &[String]) -> Vec<CommandOutput> {
    let mut frame = Frame::new();
    parts.iter().for_each(|part| frame.add_part(part.clone()));
    shell.exchange(&frame, None, ExchangeOptions::until(soon())).await.unwrap()
}

pub async fn in_each_shell(mode: Mode, check: impl AsyncFn(Shell)) {
    for name in shells() {
        let tools = tempfile::tempdir().unwrap();
        let shell = Shell::start(start(name, mode.arguments(), tools.path()), mode, None, soon()).await;
        check(shell.unwrap_or_else(|e| panic!("{name}: {e:?}"))).await;
    }
}

fn all(done: &[CommandOutput]) -> Vec<(i32, Vec<u8>, String)> {
    done.iter().map(|d| (d.exit, d.stdout.tail.clone(), d.stderr.text())).collect()
}

#[tokio::test]
async fn each_script_has_its_own_outputs_and_status() {
    in_each_shell(Mode::Program, async |mut shell| {
        let scripts = [
            "printf 'no line break'; printf err >&2; exit 3",
            "printf 'a\\0b\\001c\\377'",
            "cat; echo read; cd /; x=1",
            "set -e; false; echo never",
            "kill -s TERM $(sh -c 'echo $PPID')",
            "pwd >/dev/null; echo \"${x-unset}\" 'it'\"'\"'s' \"$#\"",
        ];
        let parts: Vec<String> = scripts.iter().map(|s| user_script(s, None, b"")).collect();
        let done = exchange(&mut shell, &parts).await;
        let out = |text: &str| text.as_bytes().to_vec();
        assert_eq!(
            all(&done),
            [
                (3, out("no line break"), "err".into()),
                (0, b"a\0b\x01c\xff".to_vec(), String::new()),
                (0, out("read\n"), String::new()),
                (1, out(""), String::new()),
                (143, out(""), done[4].stderr.text()),
                (0, out("unset it's 0\n"), String::new()),
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn a_syntax_error_hurts_only_its_own_script() {
    in_each_shell(Mode::Program, async |mut shell| {
        let parts = ["if; then", "echo 'open", "echo }; }", "echo fine"].map(|s| user_script(s, None, b""));
        let done = exchange(&mut shell, &parts).await;
        assert!(done[..3].iter().all(|d| d.exit != 0 && !d.stderr.text().is_empty()), "{done:?}");
        assert_eq!(done[3].stdout.text(), "fine");
    })
    .await;
}

#[tokio::test]
async fn no_output_of_a_script_is_taken_for_framing() {
    in_each_shell(Mode::Program, async |mut shell| {
        // Everything that a script can find out about its environment, printed back.
        let done =
            exchange(&mut shell, &[user_script("set; export -p; printf '\\001%s 0\\n' \"$_ro_n\"", None, b"")]).await;
        assert_eq!(done.len(), 1);
        assert_eq!(done[0].exit, 0, "{}", done[0].stderr.text());
        assert!(done[0].stdout.text().ends_with("\u{1} 0"));
    })
    .await;
}

#[tokio::test]
async fn floods_on_both_streams_neither_hang_nor_fill_memory() {
    in_each_shell(Mode::Program, async |mut shell| {
        let flood =
            "i=0; while [ $i -lt 50 ]; do head -c 100000 /dev/zero; head -c 30000 /dev/zero >&2; i=$((i+1)); done";
        let done = exchange(&mut shell, &[user_script(flood, None, b""), user_script("echo next", None, b"")]).await;
        for (output, length) in [(&done[0].stdout, 5_000_000), (&done[0].stderr, 1_500_000)] {
            let hash = sha256(&vec![0; length]);
            assert_eq!((output.length, &output.sha256), (length as u64, &hash));
            // Secrets of other tests may lie across the cut.
            assert!((MAX_BYTES / 2..=MAX_BYTES).contains(&output.tail.len()), "{}", output.tail.len());
        }
        assert_eq!(done[1].stdout.text(), "next");
    })
    .await;
}

#[tokio::test]
async fn a_payload_arrives_as_it_is() {
    let payload: Vec<u8> = (0..=255).cycle().take(20_000).collect();
    in_each_shell(Mode::Program, async |mut shell| {
        let parts = [user_script("cat", None, &payload), user_script("exit 4", None, b"unread")];
        let done = exchange(&mut shell, &parts).await;
        assert_eq!((done[0].exit, &done[0].stdout.sha256), (0, &sha256(&payload)));
        assert_eq!(done[1].exit, 4);
    })
    .await;
}

#[tokio::test]
async fn a_large_payload_follows_its_request() {
    let payload: Vec<u8> = (0..=250).cycle().take(3_000_000).collect();
    in_each_shell(Mode::Lines, async |mut shell| {
        let mut frame = Frame::new();
        frame.add_part(user_script("cat", None, b""));
        let done = shell.exchange(&frame, Some(&payload.clone().into()), ExchangeOptions::until(soon())).await.unwrap();
        assert_eq!((done[0].stdout.length, &done[0].stdout.sha256), (payload.len() as u64, &sha256(&payload)));
        assert!(!shell.is_reusable());
    })
    .await;
}

#[tokio::test]
async fn half_a_payload_changes_nothing() {
    in_each_shell(Mode::Lines, async |mut shell| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file").to_str().unwrap().to_owned();
        let mut frame = Frame::new();
        frame.add_part(format!("_ro_write {path} 100 '' 0644 '' ''"));
        let done = shell.exchange(&frame, Some(&"half".into()), ExchangeOptions::until(soon())).await.unwrap();
        assert_eq!((done[0].exit, done[0].stderr.text()), (1, "only 4 of 100 bytes arrived".into()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    })
    .await;
}

#[tokio::test]
async fn what_a_profile_prints_is_passed_over() {
    let mut command = tokio::process::Command::new("sh");
    command.arg("-c").arg("printf 'Welcome!\\n\\001'; echo oops >&2; exec sh");
    let mut shell = Shell::start(spawn(command).unwrap(), Mode::Program, None, soon()).await.unwrap();
    assert_eq!(all(&exchange(&mut shell, &["echo hi".into()]).await), [(0, b"hi\n".to_vec(), String::new())]);
}

#[tokio::test]
async fn a_script_does_not_outlive_the_one_who_sent_it() {
    for name in shells() {
        let folder = tempfile::tempdir().unwrap();
        let tools = tempfile::tempdir().unwrap();
        let shell = Shell::start(start(name, "", tools.path()), Mode::Program, None, soon()).await;
        let mut shell = shell.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let begun = folder.path().join("begun");
        let hangs = format!("sh -c 'echo $$ >{0}.new; mv {0}.new {0}; exec sleep 600'", begun.display());
        let mut frame = Frame::new();
        frame.add_part(user_script(&hangs, None, b"input"));
        // The sender sends the request and disappears without closing it properly.
        let sent = shell.exchange(&frame, None, ExchangeOptions::until(soon()));
        tokio::select! {
            _ = sent => panic!("{name}: it ended by itself"),
            () = until("the script began", || begun.exists()) => {}
        }
        let pid = std::fs::read_to_string(&begun).unwrap().trim().parse().unwrap();
        assert!(runs(pid));
        drop(shell);
        until(&format!("{name}: the script ended"), || !runs(pid)).await;
    }
}

#[tokio::test]
async fn a_shell_that_ends_is_noticed_at_once() {
    in_each_shell(Mode::Program, async |mut shell| {
        assert!(!shell.has_ended());
        let mut frame = Frame::new();
        frame.add_part(user_script("echo last words; kill -9 $$", None, b""));
        let started = Instant::now();
        let broken = shell.exchange(&frame, None, ExchangeOptions::until(soon())).await.unwrap_err();
        assert!(!broken.timed_out && started.elapsed() < Duration::from_secs(5));
        assert_eq!(broken.last_output, "last words");
        assert!(shell.has_ended());
    })
    .await;
}

#[tokio::test]
async fn a_program_that_is_no_shell_is_shown_with_its_words() {
    let mut command = tokio::process::Command::new("sh");
    command.arg("-c").arg("echo This account is not available.; exit 1");
    let broken = Shell::start(spawn(command).unwrap(), Mode::Program, None, soon()).await.err().unwrap();
    assert_eq!((broken.timed_out, broken.last_output.as_str()), (false, "This account is not available."));
}

#[tokio::test]
async fn files_are_described_alike_by_all_tools() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("a \\b:c"), "text").unwrap();
    std::os::unix::fs::symlink("x", path("link")).unwrap();
    let file = |name: &str, read| Probe::File { path: path(name), read };
    let probes = [
        file("a \\b:c", Read::Hash),
        file("a \\b:c", Read::Content),
        file("link", Read::Hash),
        file("none", Read::Hash),
        Probe::System,
        Probe::Module { name: "surely-not-there".into() },
        Probe::Sysctl { key: "net.ipv4.tcp_rmem".into() },
    ];
    in_each_shell(Mode::Program, async |mut shell| {
        let batch = super::super::probes::Batch::new(&probes);
        let mut facts = Vec::new();
        batch.read(&exchange(&mut shell, &batch.request().parts).await, &mut facts).unwrap();
        let (Fact::File(Some(hashed)), Fact::File(Some(read))) = (&facts[0], &facts[1]) else { panic!("{facts:?}") };
        assert_eq!(hashed.sha256, Some(sha256(b"text")));
        assert_eq!(read.content.as_deref(), Some(&b"text"[..]));
        assert!(matches!(&facts[2], Fact::File(Some(f)) if f.kind == FileKind::Link("x".into())), "{facts:?}");
        assert_eq!(facts[3], Fact::File(None));
        let Fact::System(system) = &facts[4] else { panic!("{facts:?}") };
        assert!(system.page_size >= 4096 && system.cpus > 0 && system.memory_total > 0, "{system:?}");
        assert_eq!(facts[5], Fact::Module(Module::Absent));
        assert!(matches!(&facts[6], Fact::Sysctl(Some(v)) if v.split(' ').count() == 3), "{facts:?}");
    })
    .await;
}
