//! What a test needs from the machine that it runs on. If something is missing, the test prints a note and passes, so
//! that `cargo test` works on a laptop. With `ROLLOUT_ALL=1`, which `tests/all` sets, it fails instead.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

/// Programs that may be missing, and how to get them.
const PROGRAMS: &[(&str, &str)] = &[
    ("bash", "apt-get install bash"),
    ("busybox", "apt-get install busybox-static"),
    ("dash", "apt-get install dash"),
    ("ip", "apt-get install iproute2"),
    ("nsenter", "apt-get install util-linux"),
    ("setpriv", "apt-get install util-linux"),
    ("sops", "`tests/lab/lab up` builds it; add /var/lib/rollout-lab/bin to PATH"),
    ("ssh-keygen", "apt-get install openssh-client"),
    ("sshd", "apt-get install openssh-server"),
    ("strace", "apt-get install strace"),
    ("sudo", "apt-get install sudo"),
    ("systemd-nspawn", "apt-get install systemd-container"),
    ("unshare", "apt-get install util-linux"),
    ("useradd", "apt-get install passwd"),
];

/// Whether a program of [`PROGRAMS`] is installed.
pub fn program(name: &str) -> bool {
    let Some((_, how)) = PROGRAMS.iter().find(|(program, _)| *program == name) else {
        panic!("say in PROGRAMS where `{name}` comes from");
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    // Not every user has /usr/sbin in PATH.
    met(found || Path::new("/usr/sbin").join(name).is_file(), &format!("the program `{name}`"), how)
}

/// Whether the test runs as root, which it needs to do `what`.
pub fn root(what: &str) -> bool {
    met(rustix::process::geteuid().is_root(), &format!("root, to {what}"), "run the tests as root")
}

/// Whether namespaces of these kinds can be created, such as `--pid`.
pub fn namespaces(kinds: &[&str]) -> bool {
    if !program("unshare") {
        return false;
    }
    let tried = Command::new("unshare").args(kinds).args(["--fork", "true"]).output();
    let may = tried.is_ok_and(|output| output.status.success());
    met(
        may,
        &format!("the right to `unshare {}`", kinds.join(" ")),
        "run the tests as root, in no container without it",
    )
}

/// Whether tests that take minutes or gigabytes should run (`ROLLOUT_LONG`).
pub fn time() -> bool {
    met(std::env::var_os("ROLLOUT_LONG").is_some(), "minutes or gigabytes, for all of it", "ROLLOUT_LONG=1 runs it")
}

/// Whether a need of the test is met. If not, this prints a note once, bypassing the test harness, which hides the
/// output of passing tests; with `ROLLOUT_ALL` the test fails. `how` says how to meet the need.
pub fn met(met: bool, what: &str, how: &str) -> bool {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if met {
        return true;
    }
    let needs = format!("needs {what}: {how}");
    assert!(
        std::env::var_os("ROLLOUT_ALL").is_none(),
        "with ROLLOUT_ALL nothing may be skipped, and this test {needs}"
    );
    if TOLD.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(needs.clone()) {
        let _ = writeln!(std::io::stderr(), "skipped: {needs}");
    }
    false
}
