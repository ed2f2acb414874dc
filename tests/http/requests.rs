//! HTTP requests as they are sent, and every way in which an answer can fail to come.

use std::time::Duration;

use crate::scripted::{Reply, Server};
use rollout::connect::http::{Answer, Backend, Fact, FailureKind, Probe};
use rollout::connect::{CallContext, ConnectError};
use rollout::inventory::Inventory;

fn get(url: impl Into<String>) -> Probe {
    Probe {
        url: url.into(),
        method: "GET".into(),
        headers: Vec::new(),
        body: None,
        follow_redirects: false,
        ca_cert: None,
        insecure: false,
        connect_to: None,
        timeout: Duration::from_secs(5),
    }
}

async fn ask(probe: Probe) -> Result<Fact, ConnectError> {
    Backend::new(&Inventory::default()).probe(&probe, &CallContext::silent(Duration::from_secs(10))).await
}

async fn answer(probe: Probe) -> Answer {
    match ask(probe).await.unwrap() {
        Fact::Answer(answer) => answer,
        Fact::NoResponse { why, .. } => panic!("no answer: {why}"),
    }
}

async fn nothing(probe: Probe) -> (FailureKind, String) {
    match ask(probe).await.unwrap() {
        Fact::Answer(answer) => panic!("an answer: {answer:?}"),
        Fact::NoResponse { kind, why } => (kind, why),
    }
}

#[tokio::test]
async fn method_headers_and_host_go_out_as_asked() {
    let server = Server::start(|_| Reply::Answer(201, "made".into())).await;
    let headers = vec![("Host".to_owned(), "trading.home".to_owned()), ("X-One".to_owned(), "1".to_owned())];
    let probe = Probe { method: "POST".into(), headers, body: Some("in".into()), ..get(server.url() + "/path?q=1") };
    let answer = answer(probe).await;
    assert_eq!((answer.status, answer.body.as_str()), (201, "made"));
    let head = server.requests("POST /path?q=1 HTTP/1.1")[0].to_lowercase();
    assert!(head.contains("host: trading.home\r\n") && head.contains("x-one: 1\r\n"), "{head}");
    assert_eq!(head.matches("host:").count(), 1);
}

#[tokio::test]
async fn a_long_body_is_cut() {
    let server = Server::start(|_| Reply::Answer(200, "x".repeat(200_000))).await;
    assert_eq!(answer(get(server.url())).await.body.len(), 64 * 1024);
}

#[tokio::test]
async fn redirects_are_followed_only_when_asked() {
    let end = Server::start(|_| Reply::Answer(200, "end".into())).await;
    let to = end.url();
    let start = Server::start(move |_| Reply::Redirect(to.clone())).await;
    assert_eq!(answer(get(start.url())).await.status, 307);
    assert_eq!(answer(Probe { follow_redirects: true, ..get(start.url()) }).await.body, "end");
}

/// Another port is another origin.
#[tokio::test]
async fn a_redirect_takes_headers_and_body_to_no_other_origin() {
    let end = Server::start(|_| Reply::Answer(200, "end".into())).await;
    let to = end.url();
    let start = Server::start(move |_| Reply::Redirect(to.clone())).await;
    let headers = vec![("X-Api-Key".to_owned(), "of-the-first".to_owned())];
    let probe = Probe { follow_redirects: true, headers, ..get(start.url() + "/?token=of-the-first") };
    assert_eq!(answer(probe.clone()).await.body, "end");
    let body = Some("of-the-first".to_owned());
    let (_, why) = nothing(Probe { method: "POST".into(), body, ..probe }).await;
    assert!(why.contains("a body is not sent to another origin"), "{why}");
    assert!(start.requests("GET")[0].contains("of-the-first"));
    let heads = end.requests("");
    assert!(
        heads.len() == 1 && !heads[0].contains("of-the-first") && !heads[0].to_lowercase().contains("referer"),
        "{heads:?}"
    );
}

#[tokio::test]
async fn a_name_can_be_sent_elsewhere() {
    let server = Server::start(|_| Reply::Answer(200, String::new())).await;
    let connect_to = Some(format!("127.0.0.1:{}", server.port));
    answer(Probe { connect_to, ..get("http://trading.invalid/") }).await;
    assert_eq!(server.requests("GET").len(), 1);
}

#[tokio::test]
async fn every_kind_of_silence_is_told_apart() {
    assert_eq!(nothing(get("http://127.0.0.1:1/")).await, (FailureKind::Refused, "connection refused".into()));
    let closing = Server::start(|_| Reply::Close).await;
    let (kind, why) = nothing(get(closing.url())).await;
    assert_eq!(kind, FailureKind::Closed, "{why}");
    let silent = Server::start(|_| Reply::Silence).await;
    let timeout = Duration::from_millis(200);
    let seen = nothing(Probe { timeout, ..get(silent.url()) }).await;
    assert_eq!(seen, (FailureKind::Timeout, "no answer in time".into()));
    assert_eq!(nothing(get("http://nowhere.invalid/")).await.0, FailureKind::Name);
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_an_error() {
    let bad = |probe: Probe| async move { ask(probe).await.unwrap_err().to_string() };
    assert!(bad(get("ftp://127.0.0.1/")).await.starts_with("cannot send the request to ftp://127.0.0.1/: "));
    assert!(bad(get("/no-host")).await.starts_with("cannot send the request to /no-host: "));
    let headers = vec![("a b".to_owned(), "c".to_owned())];
    assert!(bad(Probe { headers, ..get("http://127.0.0.1/") }).await.starts_with("header a b cannot be sent"));
    let ca_cert = Some("no PEM".to_owned());
    assert!(bad(Probe { ca_cert, ..get("https://127.0.0.1/") }).await.contains("contains no PEM certificate"));
}
