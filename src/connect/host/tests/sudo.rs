//! Becomes root by a real sudo that wants a password. Needs root, to create users.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::secrets::seen;
use super::sshd::Sshd;
use super::*;
use crate::needs;

/// A user with a password on this machine; gone when dropped.
struct Account {
    sshd: Sshd,
    name: String,
}

impl Account {
    /// Creates a user with these lines of sudoers, in which `USER` stands for the name, and an sshd with these
    /// settings; `None` without root.
    fn new(password: &str, sudoers: &str, settings: &str) -> Option<Self> {
        if !needs::root("make users") || !["useradd", "sudo", "sshd"].into_iter().all(needs::program) {
            return None;
        }
        let nonce = super::super::frame::nonce();
        let account = Self { sshd: Sshd::start(settings), name: format!("rollout-{}", &nonce[..8]) };
        let made = Command::new("useradd").args(["-M", "-d", "/", "-s", "/bin/sh", &account.name]).status();
        assert!(made.unwrap().success());
        let mut chpasswd = Command::new("chpasswd").stdin(Stdio::piped()).spawn().unwrap();
        chpasswd.stdin.take().unwrap().write_all(format!("{}:{password}\n", account.name).as_bytes()).unwrap();
        assert!(chpasswd.wait().unwrap().success());
        // The server reads the user's keys with that user's rights.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(account.sshd.folder.path(), open).unwrap();
        let log = format!("Defaults:{} logfile={}\n", account.name, account.log().display());
        std::fs::write(account.sudoers(), log + &sudoers.replace("USER", &account.name) + "\n").unwrap();
        Some(account)
    }

    fn sudoers(&self) -> PathBuf {
        PathBuf::from("/etc/sudoers.d").join(&self.name)
    }

    fn log(&self) -> PathBuf {
        self.sshd.folder.path().join("sudo.log")
    }

    /// A target that becomes root from this user.
    fn target(&self) -> Target {
        let mut target = self.sshd.target();
        let host = Arc::make_mut(target.host.as_mut().unwrap());
        host.user = Some(self.name.clone());
        host.access.password = Some("sudo".into());
        target.as_root = true;
        target
    }

    /// A backend with this sudo password.
    fn backend(&self, password: &str) -> Backend {
        let backend = self.sshd.backend();
        backend.set_sudo_passwords([("sudo".to_owned(), Secret::new(password))].into());
        backend
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.sudoers());
        self.sshd.cut();
        // Other tests may change the list of users at the same time.
        let gone = || Command::new("userdel").args(["-f", &self.name]).output().is_ok_and(|o| o.status.success());
        for _ in 0..50 {
            if gone() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A password that would do something if a shell ran it.
fn password(trace: &std::path::Path) -> String {
    format!("touch {}; x=p-{}", trace.display(), super::super::frame::nonce())
}

fn failed(error: ConnectError) -> (String, String) {
    match error {
        ConnectError::Failed { message, hint } => (message, hint.unwrap_or_default()),
        other => panic!("{other:?}"),
    }
}

const ALL: &str = "USER ALL=(ALL:ALL) ALL";
const WITHOUT: &str = "USER ALL=(ALL:ALL) NOPASSWD: ALL";

#[tokio::test]
async fn sudo_gets_its_password_and_nobody_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let (trace, go) = (folder.path().join("trace"), folder.path().join("go"));
    let password = password(&trace);
    let Some(account) = Account::new(&password, ALL, "") else { return };
    let (backend, target) = (account.backend(&password), account.target());
    let (call, mut lines) = listening(Duration::from_secs(30));
    let script = format!("id -u; while ! [ -e {} ]; do sleep 0.05; done; cat; echo $SUDO_USER", go.display());
    let effect = run(&script);
    let looking = async {
        assert_eq!(lines.recv().await.as_deref(), Some("0"));
        let places = seen(&password);
        std::fs::write(&go, "").unwrap();
        places
    };
    let (done, places) = tokio::join!(backend.perform(&target, &effect, &call), looking);
    assert_eq!(done.unwrap().stdout.text(), format!("0\n{}", account.name));
    assert_eq!(places, Vec::<String>::new());
    // A large file gets a shell of its own.
    let content: Vec<u8> = (0..=250).cycle().take(2_000_000).collect();
    let path = folder.path().join("large").to_str().unwrap().to_owned();
    let write = Effect::WriteFile(WriteFile {
        path: path.clone(),
        content: content.clone().into(),
        attributes: Attributes::default(),
        backup: false,
        validate: None,
    });
    backend.perform(&target, &write, &self::call()).await.unwrap();
    assert!(std::fs::read(path).unwrap() == content);
    assert!(!trace.exists(), "a shell read the password");
}

#[tokio::test]
async fn what_root_left_running_is_ended_by_root() {
    let Some(account) = Account::new("right-password", ALL, "") else { return };
    let (backend, target) = (account.backend("right-password"), account.target());
    ends_when_dropped(&backend, &target, "echo $$; exec sleep 1000").await;
    let (call, mut lines) = listening(Duration::from_secs(30));
    let effect = run("echo $$; exec sleep 1000");
    let cut = async {
        let pid: u32 = lines.recv().await.unwrap().parse().unwrap();
        account.sshd.cut();
        pid
    };
    let (lost, pid) = tokio::join!(backend.perform(&target, &effect, &call), cut);
    assert!(matches!(lost, Err(ConnectError::Lost { .. })), "{lost:?}");
    assert_eq!(backend.perform(&target, &run("id -u"), &self::call()).await.unwrap().stdout.text(), "0");
    until("what was cut off is gone", || !runs(pid)).await;
}

#[tokio::test]
async fn a_password_that_sudo_does_not_ask_for_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let password = password(&trace);
    // A shell that echoes its commands also prints the words of sudo's prompt.
    let shows = "ForceCommand set -x; exec sh -x -c \"$SSH_ORIGINAL_COMMAND\"";
    for settings in ["", shows] {
        for sudoers in [WITHOUT, ALL] {
            let Some(account) = Account::new(&password, sudoers, settings) else { return };
            let (backend, target) = (account.backend(&password), account.target());
            let done = backend.perform(&target, &run("id -u; cat"), &call()).await.unwrap();
            assert_eq!((done.stdout.text(), done.exit), ("0".into(), 0), "{sudoers} {settings}");
            let facts = backend.probe(&target, &[Probe::System], &call()).await.unwrap();
            assert!(matches!(&facts[0], Fact::System(system) if system.user == "root"));
            drop(backend);
            assert!(!trace.exists(), "a shell read the password: {sudoers} {settings}");
        }
    }
}

#[tokio::test]
async fn root_is_not_asked_for_a_password() {
    let sshd = Sshd::start("");
    let backend = sshd.backend();
    if backend.perform(&sshd.target(), &run("id -u"), &call()).await.unwrap().stdout.text() != "0" {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    backend.set_sudo_passwords([("sudo".to_owned(), Secret::new(password(&trace)))].into());
    let mut target = sshd.target();
    Arc::make_mut(target.host.as_mut().unwrap()).access.password = Some("sudo".into());
    target.as_root = true;
    let done = backend.perform(&target, &run("echo ${SUDO_USER-none}; cat"), &call()).await.unwrap();
    assert_eq!(done.stdout.text(), "none");
    assert!(!trace.exists());
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let Some(account) = Account::new("right-password", ALL, "") else { return };
    let (backend, target) = (account.backend("wrong-password"), account.target());
    let try_it = async || failed(backend.perform(&target, &run("id -u"), &call()).await.unwrap_err());
    let started = Instant::now();
    for (message, hint) in futures::future::join_all((0..5).map(|_| try_it())).await {
        assert!(message.contains("password for sudo on pi-1 is wrong") && hint.contains("sudo -k -v"), "{message}");
    }
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    try_it().await;
    // Requests that need no root still work.
    let user = Target { as_root: false, ..target.clone() };
    assert_ne!(backend.perform(&user, &run("id -u"), &call()).await.unwrap().stdout.text(), "0");
    let log = || std::fs::read_to_string(account.log()).unwrap_or_default();
    until("sudo has noted it", || log().contains("incorrect password attempt")).await;
    let attempts: Vec<String> = log().lines().filter(|l| l.contains("attempt")).map(str::to_owned).collect();
    assert!(attempts.len() == 1 && attempts[0].contains(" 1 incorrect"), "{}", log());
}

#[tokio::test]
async fn without_a_password_or_the_right_to_it_the_error_says_so() {
    let Some(account) = Account::new("right-password", ALL, "") else { return };
    let asked = account.sshd.backend().perform(&account.target(), &run("id -u"), &call()).await;
    let (message, hint) = failed(asked.unwrap_err());
    assert!(message.contains("wants a password") && hint.contains("[become] password"), "{message}: {hint}");
    std::fs::write(account.sudoers(), "").unwrap();
    let (message, _) =
        failed(account.backend("right-password").perform(&account.target(), &run("id -u"), &call()).await.unwrap_err());
    assert!(message.contains("does not let the user become root"), "{message}");
    for bad in ["two\nlines".to_owned(), "long".repeat(100)] {
        let asked = account.backend(&bad).perform(&account.target(), &run("id -u"), &call()).await;
        let (message, _) = failed(asked.unwrap_err());
        assert!(message.contains("is not one line of at most 255 bytes"), "{message}");
    }
}
