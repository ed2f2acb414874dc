//! Limits: sessions of a connection, connections of a server.

use super::sshd::{Sshd, target};
use super::*;

#[tokio::test]
async fn a_server_that_allows_fewer_sessions_gets_fewer() {
    let sshd = Sshd::start("MaxSessions 2");
    let (backend, user) = (sshd.backend(), sshd.target());
    let one = async |n: usize| {
        let done = backend.perform(&user, &run(&format!("sleep 0.1; echo {n}")), &call()).await.unwrap();
        assert_eq!(done.stdout.text(), n.to_string());
    };
    futures::future::join_all((0..12).map(one)).await;
    // A large file needs a session too, while two shells are idle.
    let path = sshd.folder.path().join("large").to_str().unwrap().to_owned();
    let write = Effect::WriteFile(WriteFile {
        path: path.clone(),
        content: vec![b'x'; 300_000].into(),
        attributes: Attributes::default(),
        backup: false,
        validate: None,
    });
    backend.perform(&user, &write, &call()).await.unwrap();
    assert_eq!(std::fs::metadata(path).unwrap().len(), 300_000);
    assert_eq!(sshd.logins(), 1);
}

#[tokio::test]
async fn what_is_cancelled_is_ended_even_when_there_is_no_second_session() {
    let sshd = Sshd::start("MaxSessions 1");
    ends_when_dropped(&sshd.backend(), &sshd.target(), "echo $$; exec sleep 1000").await;
    ends_at_the_deadline(&sshd.backend(), &sshd.target()).await;
}

#[tokio::test]
async fn a_server_that_allows_no_session_is_told_from_one_that_is_away() {
    let sshd = Sshd::start("MaxSessions 0");
    let error = sshd.backend().perform(&sshd.target(), &run("true"), &call()).await.unwrap_err();
    let ConnectError::Failed { message, hint } = error else { panic!("{error:?}") };
    assert!(message.contains("refuses to open a session") && hint.unwrap().contains("MaxSessions"), "{message}");
}

#[tokio::test]
async fn a_host_has_no_more_shells_than_the_inventory_allows() {
    let sshd = Sshd::start("");
    let backend = sshd.backend();
    let mut target = sshd.target();
    Arc::make_mut(target.host.as_mut().unwrap()).access.max_sessions = Some(1);
    let alone = run(&format!("d={}; mkdir $d && sleep 0.1 && rmdir $d", sshd.folder.path().join("alone").display()));
    let call = call();
    let all = (0..4).map(|_| backend.perform(&target, &alone, &call));
    for done in futures::future::join_all(all).await {
        let done = done.unwrap();
        assert_eq!(done.exit, 0, "{}", done.stderr.text());
    }
}

#[tokio::test]
async fn many_hosts_behind_one_server_do_not_overrun_it() {
    // The server drops all connections beyond ten that are not logged in; it may notice the end of a login late.
    let sshd = Sshd::start("MaxStartups 10:100:10");
    let mut inventory = sshd.inventory();
    inventory.ssh.connect_timeout = Some(Duration::from_secs(10));
    let hosts: Vec<Target> = (0..24)
        .map(|n| {
            let mut target = target("127.0.0.1", sshd.port);
            Arc::make_mut(target.host.as_mut().unwrap()).name = format!("pi-{n}");
            target
        })
        .collect();
    inventory.hosts = hosts.iter().filter_map(|target| target.host.clone()).collect();
    let backend = Backend::new(&inventory);
    let long = CallContext::silent(Duration::from_secs(60));
    let (backend, long) = (&backend, &long);
    let all = hosts.iter().map(|host| async move { backend.perform(host, &run("echo here"), long).await });
    for done in futures::future::join_all(all).await {
        assert_eq!(done.unwrap().stdout.text(), "here");
    }
    assert_eq!(sshd.logins(), 24);
}

#[tokio::test]
async fn options_of_ssh_come_before_its_configuration() {
    let sshd = Sshd::start("KexAlgorithms ecdh-sha2-nistp256");
    let ask = async |exchange: &str| {
        let mut target = sshd.target();
        let host = Arc::make_mut(target.host.as_mut().unwrap());
        if !exchange.is_empty() {
            host.access.options.insert("kexalgorithms".into(), exchange.into());
        }
        sshd.backend().perform(&target, &run("echo here"), &call()).await.map_err(|e| e.problem().message)
    };
    assert!(ask("").await.unwrap_err().contains("no algorithm in common"));
    assert_eq!(
        ask("no-such-exchange,ecdh-sha2-nistp256").await.unwrap_err().split(':').next(),
        Some("ssh does not accept its configuration")
    );
    assert_eq!(ask("curve25519-sha256,ecdh-sha2-nistp256").await.unwrap().stdout.text(), "here");
}
