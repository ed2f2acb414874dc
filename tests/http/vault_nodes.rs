//! Which Vault node is asked, and what happens when the node fails during a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::scripted::{Reply, Server};
use rollout::connect::vault::{Backend, Data, Effect, Fact, Probe};
use rollout::connect::{CallContext, ConnectError};
use rollout::inventory::{Inventory, Token, Vault};

const ACTIVE: &str = r#"{"version":"1.20.0"}"#;
const READ: &str = r#"{"data":{"from":"here"}}"#;

/// A variable that cargo sets for every test; its value serves as a token.
const TOKEN: &str = "CARGO_MANIFEST_DIR";

fn backend(nodes: &[&Server]) -> Backend {
    let addresses = nodes.iter().map(|n| n.url()).collect();
    let mut inventory = Inventory::default();
    inventory.vault = Vault { addresses, token: Token::Env(TOKEN.into()), ..Vault::default() };
    Backend::new(&inventory)
}

fn call() -> CallContext {
    CallContext::silent(Duration::from_secs(10))
}

fn read() -> Probe {
    Probe::Read { path: "pki/x".into() }
}

fn is_health(head: &str) -> bool {
    head.starts_with("GET /v1/sys/health ")
}

#[tokio::test]
async fn the_next_active_node_is_found_when_one_steps_down() {
    let over = Arc::new(AtomicBool::new(false));
    let stepped_down = over.clone();
    let first = Server::start(move |head| match (is_health(head), over.load(Ordering::SeqCst)) {
        (true, false) => Reply::Answer(200, ACTIVE.into()),
        (true, true) => Reply::Answer(503, "{}".into()),
        (false, false) => Reply::Answer(200, READ.into()),
        (false, true) => Reply::Answer(503, r#"{"errors":["Vault is sealed"]}"#.into()),
    })
    .await;
    let up = stepped_down.clone();
    let second = Server::start(move |head| match (is_health(head), up.load(Ordering::SeqCst)) {
        (true, false) => Reply::Answer(429, "{}".into()),
        (true, true) => Reply::Answer(200, ACTIVE.into()),
        (false, _) => Reply::Answer(200, READ.into()),
    })
    .await;
    let backend = backend(&[&second, &first]);
    backend.probe(&read(), &call()).await.unwrap();
    backend.probe(&read(), &call()).await.unwrap();
    assert_eq!((first.requests("pki/x").len(), second.requests("pki/x").len()), (2, 0));
    assert_eq!(first.requests("sys/health").len(), 1, "the active node is remembered");

    stepped_down.store(true, Ordering::SeqCst);
    let fact = backend.probe(&read(), &call()).await.unwrap();
    assert!(matches!(fact, Fact::Found { data, .. } if data.text("from") == Some("here")));
    assert_eq!(second.requests("pki/x").len(), 1);
}

#[tokio::test]
async fn a_write_that_may_have_arrived_is_not_repeated() {
    let server =
        Server::start(|head| if is_health(head) { Reply::Answer(200, ACTIVE.into()) } else { Reply::Close }).await;
    let effect = Effect::Write { path: "pki/root/generate/internal".into(), body: Data::default() };
    let error = backend(&[&server]).perform(&effect, &call()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Lost { .. }), "{error:?}");
    assert_eq!(server.requests("POST").len(), 1);
}

#[tokio::test]
async fn a_write_that_was_turned_away_is_repeated() {
    let once = AtomicBool::new(true);
    let server = Server::start(move |head| match is_health(head) {
        true => Reply::Answer(200, ACTIVE.into()),
        false if once.swap(false, Ordering::SeqCst) => Reply::Answer(503, "{}".into()),
        false => Reply::Answer(204, String::new()),
    })
    .await;
    let effect = Effect::Write { path: "sys/mounts/pki".into(), body: Data::default() };
    backend(&[&server]).perform(&effect, &call()).await.unwrap();
    assert_eq!(server.requests("POST").len(), 2);
}

#[tokio::test]
async fn an_election_is_waited_for_until_the_deadline() {
    let server = Server::start(|_| Reply::Answer(429, "{}".into())).await;
    let Err(error) = backend(&[&server]).probe(&read(), &CallContext::silent(Duration::from_millis(700))).await else {
        panic!("nobody is active")
    };
    assert_eq!(error.to_string(), format!("no active Vault node: {} standby", server.url()));
    assert!(server.requests("sys/health").len() > 1);
}

#[tokio::test]
async fn the_token_goes_to_named_nodes_only() {
    let stranger = Server::start(|_| Reply::Answer(200, READ.into())).await;
    let elsewhere = stranger.url();
    let server = Server::start(move |head| match is_health(head) {
        true => Reply::Answer(200, ACTIVE.into()),
        false => Reply::Redirect(format!("{elsewhere}/v1/pki/x")),
    })
    .await;
    assert!(backend(&[&server]).probe(&read(), &call()).await.is_err());
    assert!(stranger.requests("").is_empty());

    let both = backend(&[&server, &stranger]);
    both.probe(&read(), &call()).await.unwrap();
    assert!(stranger.requests("pki/x")[0].contains(&std::env::var(TOKEN).unwrap()));
}
