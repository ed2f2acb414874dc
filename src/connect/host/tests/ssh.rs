//! Over a real ssh connection.

use std::net::TcpListener;

use super::sshd::{Sshd, target};
use super::*;

fn unreachable(error: ConnectError) -> (String, String) {
    match error {
        ConnectError::Unreachable { message, hint } => (message, hint.unwrap_or_default()),
        other => panic!("not unreachable: {other:?}"),
    }
}

async fn refused(sshd: &Sshd) -> (String, String) {
    unreachable(sshd.backend().probe(&sshd.target(), &[Probe::System], &call()).await.unwrap_err())
}

#[tokio::test]
async fn many_calls_at_once_share_one_connection() {
    let sshd = Sshd::start("");
    let (backend, target) = (sshd.backend(), sshd.target());
    let one = async |n: usize| {
        let done = backend.perform(&target, &run(&format!("sleep 0.1; echo {n}")), &call()).await.unwrap();
        assert_eq!(done.stdout.text(), n.to_string());
        let facts = backend.probe(&target, &[Probe::System], &call()).await.unwrap();
        assert!(matches!(&facts[0], Fact::System(_)));
    };
    futures::future::join_all((0..20).map(one)).await;
    assert_eq!(sshd.logins(), 1);
}

#[tokio::test]
async fn root_needs_no_sudo() {
    let sshd = Sshd::start("");
    let backend = sshd.backend();
    let mut target = sshd.target();
    target.as_root = true;
    if backend.perform(&sshd.target(), &run("id -u"), &call()).await.unwrap().stdout.text() == "0" {
        let done = backend.perform(&target, &run("id -u; echo ${SUDO_USER-none}"), &call()).await.unwrap();
        assert_eq!(done.stdout.text(), "0\nnone");
    }
}

#[tokio::test]
async fn what_the_login_prints_does_no_harm() {
    let sshd = Sshd::start("ForceCommand echo Welcome to this host; echo oops >&2; eval \"$SSH_ORIGINAL_COMMAND\"");
    let done = sshd.backend().perform(&sshd.target(), &run("echo hi; echo there >&2"), &call()).await.unwrap();
    assert_eq!((done.stdout.text(), done.stderr.text()), ("hi".into(), "there".into()));
}

#[tokio::test]
async fn a_large_file_goes_over_its_own_channel() {
    let sshd = Sshd::start("");
    let path = sshd.folder.path().join("large").to_str().unwrap().to_owned();
    let content: Vec<u8> = (0..=250).cycle().take(2_000_000).collect();
    let effect = Effect::WriteFile(WriteFile {
        path: path.clone(),
        content: content.clone().into(),
        attributes: Attributes::default(),
        backup: false,
        validate: None,
    });
    sshd.backend().perform(&sshd.target(), &effect, &call()).await.unwrap();
    assert!(std::fs::read(path).unwrap() == content);
    assert_eq!(sshd.logins(), 1);
}

#[tokio::test]
async fn an_unknown_host_key_is_refused() {
    let sshd = Sshd::start("");
    sshd.know("");
    let (message, hint) = refused(&sshd).await;
    assert!(message.contains("host key of 127.0.0.1 is not in known_hosts"), "{message}");
    assert!(hint.contains("fingerprint"), "{hint}");
}

#[tokio::test]
async fn a_changed_host_key_is_refused_plainly() {
    let sshd = Sshd::start("");
    sshd.know(&sshd.public_key("stranger"));
    let (message, hint) = refused(&sshd).await;
    assert!(message.contains("is NOT the one in known_hosts") && message.contains("SHA256:"), "{message}");
    assert!(hint.contains("somebody may be between") && !hint.contains("StrictHostKeyChecking"), "{hint}");
    assert_eq!(sshd.logins(), 0);
}

#[tokio::test]
async fn a_login_that_is_refused_is_told() {
    let sshd = Sshd::start("");
    sshd.client_config("stranger");
    let (message, _) = refused(&sshd).await;
    assert!(message.contains("refuses the login") && message.contains("publickey"), "{message}");
}

#[tokio::test]
async fn addresses_that_lead_nowhere_are_told_apart() {
    let sshd = Sshd::start("");
    let ask = async |address: &str, port| {
        let asked = sshd.backend().probe(&target(address, port), &[Probe::System], &call()).await;
        unreachable(asked.unwrap_err()).0
    };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let closed_port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert!(ask("no-such-host.invalid", 22).await.contains("the name no-such-host.invalid does not resolve"));
    assert!(ask("127.0.0.1", closed_port).await.contains("refuses the connection"));
    assert!(ask("127.0.0.1", silent_port).await.contains("does not answer"));
}

#[tokio::test]
async fn a_connection_that_fails_is_tried_once_for_all_who_wait() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let sshd = Sshd::start("");
    let (backend, target) = (sshd.backend(), target("127.0.0.1", silent.local_addr().unwrap().port()));
    let started = Instant::now();
    let ask = async || unreachable(backend.probe(&target, &[Probe::System], &call()).await.unwrap_err());
    futures::future::join_all((0..6).map(|_| ask())).await;
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
}

#[tokio::test]
async fn waiting_for_a_connection_ends_at_the_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let sshd = Sshd::start("");
    let target = target("127.0.0.1", silent.local_addr().unwrap().port());
    let started = Instant::now();
    let soon = CallContext::silent(Duration::from_millis(300));
    unreachable(sshd.backend().probe(&target, &[Probe::System], &soon).await.unwrap_err());
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_dropped_call_ends_its_command_on_the_host() {
    let sshd = Sshd::start("");
    ends_when_dropped(&sshd.backend(), &sshd.target(), "echo $$; sleep 1000").await;
    assert_eq!(sshd.logins(), 1);
}

#[tokio::test]
async fn a_late_command_is_ended_on_the_host() {
    let sshd = Sshd::start("");
    ends_at_the_deadline(&sshd.backend(), &sshd.target()).await;
}

#[tokio::test]
async fn an_effect_that_is_cut_off_is_lost_and_the_next_call_connects_again() {
    let sshd = Sshd::start("");
    let (backend, target) = (sshd.backend(), sshd.target());
    let (call, mut lines) = listening(Duration::from_secs(20));
    let effect = run("sh -c 'echo half way $$; exec sleep 1000'");
    let cut = async {
        let line = lines.recv().await.unwrap();
        sshd.cut();
        line.rsplit(' ').next().unwrap().parse::<u32>().unwrap()
    };
    let (error, pid) = tokio::join!(backend.perform(&target, &effect, &call), cut);
    let error = error.unwrap_err();
    let ConnectError::Lost { message, .. } = &error else { panic!("{error:?}") };
    assert!(message.contains("connection to pi-1 was lost") && message.contains("half way"), "{message}");
    let done = backend.perform(&target, &run("echo again"), &self::call()).await.unwrap();
    assert_eq!((done.stdout.text(), sshd.logins()), ("again".into(), 2));
    assert!(!runs(pid), "what was cut off still runs");
}

#[tokio::test]
async fn a_connection_lost_between_calls_is_made_again_unnoticed() {
    let sshd = Sshd::start("");
    let (backend, target) = (sshd.backend(), sshd.target());
    let say = run("echo done");
    assert_eq!(backend.perform(&target, &say, &call()).await.unwrap().stdout.text(), "done");
    sshd.cut();
    // A probe may be repeated.
    backend.probe(&target, &[Probe::System], &call()).await.unwrap();
    sshd.cut();
    // A shell that has been idle for a while is tested before its next request.
    tokio::time::sleep(super::super::remote::TRUSTED_IDLE_TIME).await;
    assert_eq!(backend.perform(&target, &say, &call()).await.unwrap().stdout.text(), "done");
    assert_eq!(sshd.logins(), 3);
}

#[tokio::test]
async fn closing_leaves_no_process_behind() {
    let sshd = Sshd::start("");
    let backend = sshd.backend();
    let done = backend.perform(&sshd.target(), &run("echo $$"), &call()).await.unwrap();
    let shell: u32 = done.stdout.text().parse().unwrap();
    assert!(runs(shell));
    backend.close().await;
    until("the shell on the host is gone", || !runs(shell)).await;
}
