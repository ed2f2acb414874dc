//! Connecting ahead of the first request.

use std::net::TcpListener;

use super::sshd::{Sshd, target};
use super::*;

/// Whether an ssh process of this test is connecting to the port.
fn connecting_to(port: u16) -> bool {
    let wanted = format!("\0-p\0{port}\0");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.into_iter().any(|line| line.windows(wanted.len()).any(|part| part == wanted.as_bytes()))
}

#[tokio::test]
async fn a_connection_that_was_begun_early_is_the_one_that_is_used() {
    let sshd = Sshd::start("");
    let backend = sshd.backend();
    backend.preconnect(sshd.target().host);
    until("it is logged in", || sshd.logins() == 1).await;
    backend.perform(&sshd.target(), &run("true"), &call()).await.unwrap();
    assert_eq!(sshd.logins(), 1);
}

#[tokio::test]
async fn what_failed_early_is_told_to_who_asks() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (sshd, target) = (Sshd::start(""), target("127.0.0.1", closed));
    let backend = sshd.backend();
    backend.preconnect(target.host.clone());
    until("it failed", || !connecting_to(closed)).await;
    let error = backend.probe(&target, &[Probe::System], &call()).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Unreachable { message, .. } if message.contains("refuses")), "{error:?}");
}

#[tokio::test]
async fn closing_ends_what_is_still_connecting() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let sshd = Sshd::start("");
    let mut inventory = sshd.inventory();
    inventory.ssh.connect_timeout = Some(Duration::from_secs(600));
    let backend = Backend::new(&inventory);
    backend.preconnect(target("127.0.0.1", port).host);
    until("it connects", || connecting_to(port)).await;
    backend.close().await;
    until("nobody connects any more", || !connecting_to(port)).await;
}
