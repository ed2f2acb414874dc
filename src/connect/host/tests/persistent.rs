//! Connections kept for the next run, over a real sshd.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::sshd::Sshd;
use super::*;

/// A backend as a run of its own.
fn run_of(sshd: &Sshd, folder: &Path) -> Backend {
    let mut inventory = sshd.inventory();
    inventory.ssh.control_persist = Some(Duration::from_secs(600));
    Backend::keeping_in(&inventory, folder.to_owned())
}

async fn says(backend: &Backend, target: &Target) {
    let done = backend.perform(target, &run("echo here"), &call()).await.unwrap();
    assert_eq!(done.stdout.text(), "here");
}

fn links(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    entries.filter(|path| path.is_symlink()).collect()
}

/// The process id of the only persistent master, by `ssh -O check`.
fn master(folder: &Path) -> u32 {
    let links = links(folder);
    assert_eq!(links.len(), 1, "{links:?}");
    let output = Command::new("ssh").args(["-O", "check", "-S"]).arg(&links[0]).arg("any").output().unwrap();
    let output = String::from_utf8_lossy(&output.stderr).into_owned();
    output.split("pid=").nth(1).and_then(|t| t.split(')').next()).unwrap_or_else(|| panic!("{output}")).parse().unwrap()
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").arg(name).arg(pid.to_string()).status().unwrap().success());
}

/// Kills a stopped process at the end of the test.
struct Stopped(u32);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.0.to_string()]).status();
    }
}

#[tokio::test]
async fn the_next_run_uses_the_same_connection() {
    let (sshd, folder) = (Sshd::start(""), tempfile::tempdir().unwrap());
    for _ in 0..3 {
        let backend = run_of(&sshd, folder.path());
        says(&backend, &sshd.target()).await;
        backend.close().await;
    }
    assert_eq!(sshd.logins(), 1);
    let pid = master(folder.path());
    // The command is in the documentation.
    let ended = Command::new("ssh").args(["-O", "exit", "-S"]).arg(&links(folder.path())[0]).arg("any").output();
    assert!(ended.unwrap().status.success());
    until("the master is gone", || !runs(pid)).await;
    let backend = run_of(&sshd, folder.path());
    says(&backend, &sshd.target()).await;
    assert_eq!((sshd.logins(), links(folder.path()).len()), (2, 1));
    // Nothing is left of the first master.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn other_options_or_users_have_another_connection() {
    let (sshd, folder) = (Sshd::start(""), tempfile::tempdir().unwrap());
    says(&run_of(&sshd, folder.path()), &sshd.target()).await;
    let mut other = sshd.target();
    Arc::make_mut(other.host.as_mut().unwrap()).access.options.insert("Compression".into(), "yes".into());
    says(&run_of(&sshd, folder.path()), &other).await;
    assert_eq!((sshd.logins(), links(folder.path()).len()), (2, 2));
    says(&run_of(&sshd, folder.path()), &sshd.target()).await;
    assert_eq!(sshd.logins(), 2);
}

#[tokio::test]
async fn a_connection_that_is_not_kept_ends_with_its_run() {
    let sshd = Sshd::start("");
    let backend = sshd.backend();
    says(&backend, &sshd.target()).await;
    assert!(sshd.sessions() > 0);
    backend.close().await;
    drop(backend);
    until("the connection is gone", || sshd.sessions() == 0).await;
}

#[tokio::test]
async fn a_master_that_was_killed_is_replaced() {
    let (sshd, folder) = (Sshd::start(""), tempfile::tempdir().unwrap());
    says(&run_of(&sshd, folder.path()), &sshd.target()).await;
    let pid = master(folder.path());
    signal("-KILL", pid);
    until("the master is gone", || !runs(pid)).await;
    assert!(links(folder.path())[0].exists(), "its socket is still there, without a listener");
    let started = Instant::now();
    says(&run_of(&sshd, folder.path()), &sshd.target()).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(sshd.logins(), 2);
    says(&run_of(&sshd, folder.path()), &sshd.target()).await;
    assert_eq!(sshd.logins(), 2);
}

#[tokio::test]
async fn a_master_that_hangs_holds_nobody_up() {
    let (sshd, folder) = (Sshd::start(""), tempfile::tempdir().unwrap());
    says(&run_of(&sshd, folder.path()), &sshd.target()).await;
    let stopped = Stopped(master(folder.path()));
    signal("-STOP", stopped.0);
    let started = Instant::now();
    says(&run_of(&sshd, folder.path()), &sshd.target()).await;
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!(sshd.logins(), 2);
    assert_ne!(master(folder.path()), stopped.0);
}

#[tokio::test]
async fn a_master_whose_network_is_gone_is_given_up_soon() {
    let (sshd, folder) = (Sshd::start(""), tempfile::tempdir().unwrap());
    says(&run_of(&sshd, folder.path()), &sshd.target()).await;
    let first = master(folder.path());
    // The server accepts data and never answers.
    sshd.stop_sessions();
    let started = Instant::now();
    let backend = run_of(&sshd, folder.path());
    says(&backend, &sshd.target()).await;
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    assert_eq!(sshd.logins(), 2);
    assert_ne!(master(folder.path()), first);
}

#[tokio::test]
async fn two_runs_that_begin_at_once_both_connect() {
    let (sshd, folder) = (Sshd::start(""), tempfile::tempdir().unwrap());
    let (a, b, target) = (run_of(&sshd, folder.path()), run_of(&sshd, folder.path()), sshd.target());
    tokio::join!(says(&a, &target), says(&b, &target));
    tokio::join!(a.close(), b.close());
    let before = sshd.logins();
    assert!(before <= 2, "{before}");
    says(&run_of(&sshd, folder.path()), &target).await;
    assert_eq!(sshd.logins(), before);
}

#[tokio::test]
async fn something_else_in_the_place_of_a_link_is_replaced() {
    let (sshd, folder) = (Sshd::start(""), tempfile::tempdir().unwrap());
    says(&run_of(&sshd, folder.path()), &sshd.target()).await;
    let link = links(folder.path()).remove(0);
    signal("-KILL", master(folder.path()));
    std::fs::remove_file(&link).unwrap();
    std::fs::write(&link, "").unwrap();
    says(&run_of(&sshd, folder.path()), &sshd.target()).await;
    assert_eq!((sshd.logins(), links(folder.path())), (2, vec![link]));
}
