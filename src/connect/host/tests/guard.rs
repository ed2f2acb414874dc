//! Guards with real shells: dash, bash, and busybox with nothing but its own tools.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use super::super::frame::Frame;
use super::super::guard::{probe_script, read};
use super::super::link::spawn;
use super::super::reply::ExchangeOptions;
use super::super::shell::{Mode, Shell};
use super::protocol::shells;
use super::*;

/// A guard's time, longer than any test.
const LONG: Duration = Duration::from_secs(500);
const SHORT: Duration = Duration::from_secs(1);

/// A host whose user has a home folder of his own; `sh` is one of several shells.
struct TestHost {
    folder: tempfile::TempDir,
    shell: Shell,
}

impl TestHost {
    async fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tools = folder.path().join("tools");
        fs::create_dir(&tools).unwrap();
        if name == "busybox" {
            let installed = std::process::Command::new("busybox").arg("--install").arg("-s").arg(&tools).status();
            assert!(installed.unwrap().success());
        } else {
            symlink(format!("/bin/{name}"), tools.join("sh")).unwrap();
        }
        let mut command = tokio::process::Command::new(tools.join("sh"));
        let path = if name == "busybox" { String::new() } else { std::env::var("PATH").unwrap() };
        command.env("PATH", format!("{}:{path}", tools.display())).env("HOME", folder.path().join("home"));
        fs::create_dir_all(folder.path().join("home")).unwrap();
        fs::create_dir_all(folder.path().join("t/tree")).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let shell = Shell::start(spawn(command).unwrap(), Mode::Program, None, deadline).await;
        Self { folder, shell: shell.unwrap_or_else(|e| panic!("{name}: {e:?}")) }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join("t").join(name).to_str().unwrap().to_owned()
    }

    fn home_is_empty(&self) -> bool {
        fs::read_dir(self.folder.path().join("home")).unwrap().next().is_none()
    }

    async fn exchange(&mut self, parts: Vec<String>) -> Vec<CommandOutput> {
        let mut frame = Frame::new();
        parts.into_iter().for_each(|part| frame.add_part(part));
        self.shell
            .exchange(&frame, None, ExchangeOptions::until(Instant::now() + Duration::from_secs(20)))
            .await
            .unwrap()
    }

    async fn perform(&mut self, guard: GuardCommand) -> Result<CommandOutput, String> {
        let done = self.exchange(guard.request().parts).await;
        guard.judge(done).map_err(|error| error.to_string())
    }

    async fn arm(&mut self, time: Duration, restore: Option<String>) {
        let (token, unit) = ("t1".to_owned(), "p/a@pi".to_owned());
        self.perform(GuardCommand::Arm { token, time, unit, restore }).await.unwrap();
    }

    async fn within(&mut self, effect: Effect) -> Result<CommandOutput, String> {
        self.perform(GuardCommand::Within { token: "t1".to_owned(), effect: Box::new(effect) }).await
    }

    async fn standing(&mut self) -> Option<GuardState> {
        let done = self.exchange(vec![probe_script()]).await;
        read(&done[0]).unwrap()
    }

    async fn restored(&mut self) -> GuardState {
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            let standing = self.standing().await.unwrap();
            if matches!(standing.phase, GuardPhase::Restored | GuardPhase::RestoredInPart) {
                return standing;
            }
            assert!(Instant::now() < deadline, "{standing:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn pid(&self) -> u32 {
        let text = fs::read_to_string(self.folder.path().join("home/.rollout-guard/pid")).unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    }

    /// Everything below `t`: names, modes, targets and contents.
    fn listing(&self) -> Vec<String> {
        fn walk(path: &Path, out: &mut Vec<String>) {
            let about = fs::symlink_metadata(path).unwrap();
            let what = if about.is_symlink() {
                format!("-> {}", fs::read_link(path).unwrap().display())
            } else if about.is_dir() {
                fs::read_dir(path).unwrap().for_each(|entry| walk(&entry.unwrap().path(), out));
                String::new()
            } else {
                format!("{} of {}", fs::read_to_string(path).unwrap(), about.mtime())
            };
            out.push(format!("{} {:o} {what}", path.display(), about.mode()));
        }
        let mut out = Vec::new();
        walk(&self.folder.path().join("t"), &mut out);
        out.sort();
        out
    }
}

fn token() -> String {
    "t1".to_owned()
}

fn write(path: &str, validate: Option<&str>) -> Effect {
    let validate = validate.map(str::to_owned);
    let attributes = Attributes { mode: Some(0o600), ..Attributes::default() };
    Effect::WriteFile(WriteFile { path: path.into(), content: "new\n".into(), attributes, backup: false, validate })
}

async fn in_each_shell(check: impl AsyncFn(TestHost)) {
    for name in shells() {
        check(TestHost::new(name).await).await;
    }
}

#[tokio::test]
async fn what_effects_alter_comes_back() {
    in_each_shell(async |mut host| {
        fs::write(host.path("it's a file"), "old\n").unwrap();
        fs::set_permissions(host.path("it's a file"), Permissions::from_mode(0o4640)).unwrap();
        symlink("nowhere", host.path("link")).unwrap();
        fs::write(host.path("tree/leaf"), "leaf\n").unwrap();
        fs::set_permissions(host.path("tree"), Permissions::from_mode(0o711)).unwrap();
        let before = host.listing();
        let ran = host.folder.path().join("ran");
        host.arm(LONG, Some(format!("cat '{}' >'{}'", host.path("it's a file").replace('\'', "'\\''"), ran.display())))
            .await;
        let standing = host.standing().await.unwrap();
        assert_eq!((standing.phase, standing.alive, standing.unit.as_str()), (GuardPhase::Armed, true, "p/a@pi"));
        assert!(standing.remaining > LONG / 2 && standing.remaining <= LONG, "{standing:?}");
        let open = || Attributes { mode: Some(0o777), ..Attributes::default() };
        let effects = [
            write(&host.path("it's a file"), None),
            write(&host.path("it's a file"), None),
            write(&host.path("made"), None),
            Effect::Link { path: host.path("link"), target: "elsewhere".into() },
            Effect::Link { path: host.path("new-link"), target: "elsewhere".into() },
            Effect::Attributes { path: host.path("tree"), attributes: open() },
            Effect::Directory { path: host.path("a/b/c"), attributes: open() },
            write(&host.path("a/b/c/d"), None),
            Effect::Remove { path: host.path("tree") },
        ];
        for effect in effects {
            host.within(effect.clone()).await.unwrap_or_else(|error| panic!("{effect:?}: {error}"));
        }
        assert_ne!(host.listing(), before);
        host.perform(GuardCommand::Restore { token: token() }).await.unwrap();
        let standing = host.restored().await;
        assert_eq!((standing.phase, host.listing()), (GuardPhase::Restored, before), "{}", standing.output);
        assert_eq!(fs::read_to_string(&ran).unwrap(), "old\n", "the command sees what was put back");
        assert!(standing.output.contains(&format!("put back {}", host.path("link"))), "{}", standing.output);
        assert!(!host.home_is_empty(), "whoever comes next must be able to know");
        host.perform(GuardCommand::Forget { token: token() }).await.unwrap();
        assert!(host.home_is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_guard_that_is_taken_away_leaves_nothing() {
    in_each_shell(async |mut host| {
        host.arm(LONG, None).await;
        let error =
            host.perform(GuardCommand::Arm { token: "t2".into(), time: LONG, unit: "u".into(), restore: None }).await;
        assert!(error.unwrap_err().contains("there is a guard already"));
        host.within(write(&host.path("made"), None)).await.unwrap();
        let waits = host.pid();
        assert!(host.perform(GuardCommand::Disarm { token: "other".into() }).await.is_err());
        host.perform(GuardCommand::Disarm { token: token() }).await.unwrap();
        until("the process that waits is gone", || !runs(waits)).await;
        assert!(host.home_is_empty() && host.standing().await.is_none());
        assert!(host.perform(GuardCommand::Disarm { token: token() }).await.is_err());
        assert_eq!(fs::read_to_string(host.path("made")).unwrap(), "new\n");
    })
    .await;
}

#[tokio::test]
async fn when_its_time_is_over_nothing_is_changed_or_confirmed_any_more() {
    in_each_shell(async |mut host| {
        host.arm(SHORT, None).await;
        host.within(write(&host.path("made"), None)).await.unwrap();
        assert_eq!(host.restored().await.phase, GuardPhase::Restored);
        let error = host.within(write(&host.path("made"), None)).await.unwrap_err();
        assert!(error.contains("nothing was changed") && error.contains("time was over"), "{error}");
        assert!(host.perform(GuardCommand::Disarm { token: token() }).await.is_err());
        assert!(host.perform(GuardCommand::Apply { token: token(), command: "true".into() }).await.is_err());
        assert!(!Path::new(&host.path("made")).exists());
    })
    .await;
}

#[tokio::test]
async fn a_guard_that_begins_to_restore_while_it_is_looked_at_is_seen() {
    in_each_shell(async |mut host| {
        host.arm(LONG, None).await;
        // The timer renames the mark between the listing and the test of the first name.
        let renames = "test() { command mv armed.t1 restoring.t1 2>/dev/null; command [ \"$@\" ]; }";
        let (library, looks) = probe_script().rsplit_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let done = host.exchange(vec![format!("{library}\n{renames}\n{looks}")]).await;
        assert_eq!(read(&done[0]).unwrap().map(|standing| standing.phase), Some(GuardPhase::Restoring));
    })
    .await;
}

#[tokio::test]
async fn an_effect_that_ends_after_the_time_is_over_is_put_back_too() {
    in_each_shell(async |mut host| {
        host.arm(SHORT, None).await;
        let gone = format!(
            "until test -e {0}/home/.rollout-guard/restored.t1; do sleep 0.05; done; :",
            host.folder.path().display()
        );
        let error = host.within(write(&host.path("made"), Some(&gone))).await.unwrap_err();
        assert!(error.contains("the guard expired while the change was made"), "{error}");
        host.restored().await;
        assert!(!Path::new(&host.path("made")).exists());
    })
    .await;
}

#[tokio::test]
async fn what_a_reboot_has_ended_is_restored_when_it_is_told() {
    in_each_shell(async |mut host| {
        host.arm(LONG, None).await;
        host.within(write(&host.path("made"), None)).await.unwrap();
        let waits = host.pid();
        let group = format!("-{waits}");
        assert!(std::process::Command::new("kill").args(["-KILL", "--", &group]).status().unwrap().success());
        until("the process that waits is gone", || !runs(waits)).await;
        assert!(!host.standing().await.unwrap().alive);
        host.perform(GuardCommand::Restore { token: token() }).await.unwrap();
        assert_eq!(host.restored().await.phase, GuardPhase::Restored);
        assert!(!Path::new(&host.path("made")).exists());
    })
    .await;
}

#[tokio::test]
async fn a_command_that_puts_it_into_effect_goes_on_by_itself_until_all_is_put_back() {
    in_each_shell(async |mut host| {
        host.arm(LONG, Some("exit 4".into())).await;
        host.perform(GuardCommand::Apply { token: token(), command: "echo oops >&2; exit 3".into() }).await.unwrap();
        let standing = host.standing().await.unwrap();
        assert_eq!((standing.applied, standing.output.as_str()), (Some(3), "oops"));
        let pid = host.path("pid");
        host.perform(GuardCommand::Apply { token: token(), command: format!("echo $$ >{pid}; exec sleep 1000") })
            .await
            .unwrap();
        let sleeps = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        assert!(runs(sleeps) && host.standing().await.unwrap().applied.is_none());
        host.perform(GuardCommand::Restore { token: token() }).await.unwrap();
        let standing = host.restored().await;
        assert!(!runs(sleeps));
        assert_eq!(standing.phase, GuardPhase::RestoredInPart);
        assert!(standing.output.contains("ran exit 4: exit 4"), "{}", standing.output);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_changed() {
    in_each_shell(async |mut host| {
        host.arm(LONG, None).await;
        fs::remove_dir_all(host.folder.path().join("home/.rollout-guard/kept")).unwrap();
        let error = host.within(write(&host.path("made"), None)).await.unwrap_err();
        assert!(error.contains("cannot save the present state"), "{error}");
        assert!(!Path::new(&host.path("made")).exists());
    })
    .await;
}

#[tokio::test]
async fn a_large_file_goes_over_its_own_channel_or_is_not_taken_for_a_request() {
    let sshd = super::sshd::Sshd::start("");
    let (backend, target) = (sshd.backend(), sshd.target());
    let path = sshd.folder.path().join("large");
    let content: Vec<u8> = (0..=250).cycle().take(200_000).collect();
    let (content, attributes) = (content.into(), Attributes::default());
    let path = path.to_str().unwrap().to_owned();
    let effect =
        Effect::WriteFile(WriteFile { path: path.clone(), content, attributes, backup: false, validate: None });
    // No guard with this token exists.
    let within = Effect::Guard(GuardCommand::Within { token: "none".into(), effect: Box::new(effect) });
    let error = backend.perform(&target, &within, &call()).await.unwrap_err();
    assert!(error.to_string().contains("nothing was changed"), "{error}");
    assert!(!Path::new(&path).exists());
}

#[tokio::test]
async fn a_fresh_call_connects_anew_and_those_after_it_stay_there() {
    let sshd = super::sshd::Sshd::start("");
    let (backend, target) = (sshd.backend(), sshd.target());
    let fresh = Target { reconnect: true, ..target.clone() };
    let pid = async |target: &Target| {
        let done = backend.perform(target, &run("echo $PPID"), &call()).await.unwrap();
        done.stdout.text()
    };
    let first = pid(&target).await;
    assert_eq!((pid(&target).await == first, sshd.logins()), (true, 1));
    let second = pid(&fresh).await;
    assert_eq!((second == first, sshd.logins()), (false, 2));
    assert_eq!((pid(&target).await == second, sshd.logins()), (true, 2));
}
