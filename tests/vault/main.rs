//! Vault's API and the actions on it, against a real OpenBao.
#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

mod bao;
#[path = "../shared/needs.rs"]
#[allow(dead_code, reason = "other tests ask more of it")]
mod needs;

use std::sync::{Arc, Mutex};

use bao::{Bao, TOKEN, call};
use rollout::actions::certificate::{Certificate, chain_to_root};
use rollout::actions::istio::Cacerts;
use rollout::actions::vault::{Ca, Health, Intermediate, SecretsEngine};
use rollout::actions::{Action, Spec, Verdict};
use rollout::connect::vault::{Backend, Data, Effect, EffectResult, Fact, Probe, SignCsr, State};
use rollout::connect::{CallContext, ConnectError, RealWorld, Target, World, kube};
use rollout::inventory::{Inventory, Token};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn action<T: Spec + DeserializeOwned>(params: Value) -> T {
    let action: T = serde_json::from_value(params).unwrap();
    action.rules().unwrap();
    action
}

async fn verdict(world: &RealWorld, action: &dyn Action) -> Verdict {
    let facts = world.probe(&Target::default(), &action.probes(), &call()).await.unwrap();
    action.verdict(&facts)
}

/// Makes a change, and expects it to be in effect afterwards.
async fn change(world: &RealWorld, action: &dyn Action) -> rollout::event::Outputs {
    let target = Target::default();
    let facts = world.probe(&target, &action.probes(), &call()).await.unwrap();
    let verdict = action.verdict(&facts);
    assert!(matches!(verdict, Verdict::Change(_)), "{verdict:?}");
    let mut done = Vec::new();
    while let Some(effect) = action.next_effect(&facts, &done).unwrap() {
        done.push(world.perform(&target, &effect, &call()).await.unwrap());
    }
    let facts = world.probe(&target, &action.probes(), &call()).await.unwrap();
    let verdict = action.verdict(&facts);
    assert!(matches!(verdict, Verdict::Same { .. }), "{verdict:?}");
    action.outputs(&facts, &done)
}

/// A call context, and the progress messages of the call.
fn heard() -> (Arc<Mutex<Vec<String>>>, CallContext) {
    let said = Arc::<Mutex<Vec<String>>>::default();
    let into = Arc::clone(&said);
    (said, CallContext { progress: Arc::new(move |text| into.lock().unwrap().push(text)), ..call() })
}

fn root_ca(bao: &Bao) -> (Backend, Effect) {
    let body = json!({ "common_name": "Root", "key_type": "ec", "key_bits": 256, "ttl": "87600h" });
    (bao.backend(), write("pki/root/generate/internal", body))
}

fn write(path: &str, body: Value) -> Effect {
    let Value::Object(body) = body else { panic!("an object") };
    Effect::Write { path: path.into(), body: Data(body) }
}

#[tokio::test]
async fn a_chain_of_authorities_is_built_once() {
    let Some(bao) = Bao::start().await else { return };
    let world = RealWorld::new(&bao.inventory());
    for path in ["pki", "pki_int"] {
        let engine = json!({ "path": path, "type": "pki", "max_lease_ttl": "87600h", "description": "for the test" });
        change(&world, &action::<SecretsEngine>(engine)).await;
    }

    let intermediate = json!({ "mount": "pki_int", "common_name": "Intermediate", "organization": "home" });
    let early = verdict(&world, &action::<Intermediate>(intermediate.clone())).await;
    assert!(matches!(&early, Verdict::Blocked(p) if p.message.contains("no default issuer")), "{early:?}");
    let (backend, root) = root_ca(&bao);
    backend.perform(&root, &call()).await.unwrap();
    let first = change(&world, &action::<Intermediate>(intermediate)).await;

    let ca = action::<Ca>(json!({ "mount": "pki_int", "min_path_length": 1 }));
    let Verdict::Same { seen } = verdict(&world, &ca).await else { panic!("it is sound") };
    assert!(seen.starts_with("O=home, CN=Intermediate, issued by CN=Root, valid until "), "{seen}");

    // With another name, the new issuer replaces the one that the mount had before.
    let renamed = action::<Intermediate>(json!({ "mount": "pki_int", "common_name": "Second" }));
    let second = change(&world, &renamed).await;
    assert_ne!(first["serial"], second["serial"]);
    let Verdict::Same { seen } = verdict(&world, &ca).await else { panic!("it is sound") };
    assert!(seen.starts_with("CN=Second, issued by CN=Root"), "{seen}");
}

/// A root and an intermediate CA in mounts of their own. The intermediate's mount keeps Vault's default limit of 768h.
async fn limited(bao: &Bao, world: &RealWorld) {
    change(world, &action::<SecretsEngine>(json!({ "path": "pki", "type": "pki", "max_lease_ttl": "87600h" }))).await;
    change(world, &action::<SecretsEngine>(json!({ "path": "pki_int", "type": "pki" }))).await;
    let (backend, root) = root_ca(bao);
    backend.perform(&root, &call()).await.unwrap();
    change(world, &action::<Intermediate>(json!({ "mount": "pki_int", "common_name": "Intermediate" }))).await;
}

#[tokio::test]
async fn a_lifetime_that_vault_cuts_down_fails_and_is_heard() {
    let Some(bao) = Bao::start().await else { return };
    let world = RealWorld::new(&bao.inventory());
    limited(&bao, &world).await;
    let issuer = bao.backend().probe(&Probe::Read { path: "pki_int/issuer/default/json".into() }, &call()).await;
    let namespace = kube::Objects::of(vec![json!({ "kind": "Namespace", "metadata": { "name": "istio-system" } })]);
    let kube = |objects| rollout::connect::Fact::Kube(kube::Fact::Objects(objects));
    let facts = [kube(namespace), kube(kube::Objects::of(Vec::new())), rollout::connect::Fact::Vault(issuer.unwrap())];
    let sign = |ttl: &str| action::<Cacerts>(json!({ "mount": "pki_int", "ttl": ttl, "renew_before": "24h" }));
    let (said, call) = heard();
    let ends = async |ttl: &str| {
        let action = sign(ttl);
        let effect = action.next_effect(&facts, &[]).unwrap().unwrap();
        let done = world.perform(&Target::default(), &effect, &call).await.unwrap();
        action.next_effect(&facts, &[done]).map(|effect| effect.is_some())
    };
    assert!(ends("768h").await.unwrap(), "what Vault may give is taken");
    let problem = ends("8760h").await.unwrap_err();
    assert_eq!(problem.message, "Vault's pki_int signed CN=Istio CA for 32d instead of 365d");
    let said = said.lock().unwrap().join("\n");
    assert!(said.contains("Vault warns: ") && said.contains("TTL"), "{said}");
}

#[tokio::test]
async fn the_key_of_an_intermediate_that_is_cut_down_is_named() {
    let Some(bao) = Bao::start().await else { return };
    let world = RealWorld::new(&bao.inventory());
    limited(&bao, &world).await;
    let backend = bao.backend();
    backend.perform(&write("sys/mounts/pki/tune", json!({ "max_lease_ttl": "768h" })), &call()).await.unwrap();
    let cut = action::<Intermediate>(json!({ "mount": "pki_int", "common_name": "Second" }));
    let target = Target::default();
    let facts = world.probe(&target, &cut.probes(), &call()).await.unwrap();
    let mut done = Vec::new();
    let problem = loop {
        match cut.next_effect(&facts, &done) {
            Ok(effect) => done.push(world.perform(&target, &effect.unwrap(), &call()).await.unwrap()),
            Err(problem) => break problem,
        }
    };
    let hint = problem.hint.unwrap();
    let key = hint.split("`vault delete ").nth(1).and_then(|rest| rest.split('`').next()).unwrap();
    let there = backend.probe(&Probe::Read { path: key.into() }, &call()).await.unwrap();
    assert!(matches!(there, Fact::Found { .. }), "{hint}");
}

#[tokio::test]
async fn the_key_of_an_intermediate_is_changed_when_the_plan_says_so() {
    let Some(bao) = Bao::start().await else { return };
    let world = RealWorld::new(&bao.inventory());
    limited(&bao, &world).await;
    let asked = json!({ "mount": "pki_int/", "common_name": "Intermediate", "key_type": "rsa", "key_bits": 3072 });
    change(&world, &action::<Intermediate>(asked)).await;
    let curve = json!({ "mount": "/pki_int", "common_name": "Intermediate", "key_type": "ec", "key_bits": 521 });
    change(&world, &action::<Intermediate>(curve)).await;
}

#[tokio::test]
async fn paths_are_those_of_the_namespace() {
    let Some(bao) = Bao::start().await else { return };
    bao.backend().perform(&write("sys/namespaces/team", json!({})), &call()).await.unwrap();
    let mut inventory = bao.inventory();
    inventory.vault.namespace = Some("team".into());
    let world = RealWorld::new(&inventory);
    change(&world, &action::<SecretsEngine>(json!({ "path": "mine", "type": "kv" }))).await;
    let mounted = async |backend: Backend| {
        let fact = backend.probe(&Probe::Read { path: "sys/mounts/mine".into() }, &call()).await.unwrap();
        matches!(fact, Fact::Found { .. })
    };
    assert!(mounted(Backend::new(&inventory)).await && !mounted(bao.backend()).await);
}

#[tokio::test]
async fn an_engine_is_tuned_but_never_replaced() {
    let Some(bao) = Bao::start().await else { return };
    let world = RealWorld::new(&bao.inventory());
    change(&world, &action::<SecretsEngine>(json!({ "path": "apps/kv", "type": "kv", "version": 2 }))).await;
    let tuned = json!({ "path": "apps/kv", "type": "kv", "max_lease_ttl": "10h", "description": "apps" });
    change(&world, &action::<SecretsEngine>(tuned)).await;
    let other = verdict(&world, &action::<SecretsEngine>(json!({ "path": "apps/kv", "type": "pki" }))).await;
    assert!(matches!(other, Verdict::Blocked(_)), "{other:?}");
}

#[tokio::test]
async fn a_ca_is_signed_for_a_key_that_stays_here() {
    let Some(bao) = Bao::start().await else { return };
    let (backend, root) = root_ca(&bao);
    backend
        .perform(&write("sys/mounts/pki", json!({ "type": "pki", "config": { "max_lease_ttl": "87600h" } })), &call())
        .await
        .unwrap();
    backend.perform(&root, &call()).await.unwrap();
    let request = SignCsr {
        mount: "pki".into(),
        common_name: "Istio CA".into(),
        organization: "home".into(),
        ttl: 24 * 3600,
        max_path_length: 0,
        dns_names: vec!["istiod.istio-system.svc".into()],
    };
    let done = backend.perform(&Effect::SignCsr(request.clone()), &call()).await.unwrap();
    let EffectResult::Signed { certificate, chain, key } = done else { panic!("a certificate") };
    let ca = Certificate::parse(&certificate).unwrap();
    let above = Certificate::parse_all(&chain.join("\n")).unwrap();
    assert_eq!(ca.subject, "O=home, CN=Istio CA");
    assert_eq!((ca.is_ca, ca.path_length), (true, Some(0)));
    assert_eq!(ca.has_key(&key), Ok(true));
    assert_eq!(chain_to_root(&ca, &above).unwrap().len(), 2);
    let hours = ca.not_after.duration_since(jiff::Timestamp::now()).as_hours();
    assert!((22..=24).contains(&hours), "{hours}");

    let nowhere = SignCsr { mount: "nowhere".into(), ..request };
    let error = backend.perform(&Effect::SignCsr(nowhere), &call()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Failed { .. }));
    let start = "Vault answers nowhere/root/sign-intermediate with HTTP 404: no handler for route";
    assert!(error.to_string().starts_with(start), "{error}");
}

#[tokio::test]
async fn what_is_not_there_is_a_fact() {
    let Some(bao) = Bao::start().await else { return };
    let backend = bao.backend();
    backend.perform(&write("sys/mounts/empty", json!({ "type": "pki" })), &call()).await.unwrap();
    for path in ["empty/issuer/default/json", "nowhere/issuer/default/json", "sys/mounts/nowhere", "secret/data/none"] {
        let fact = backend.probe(&Probe::Read { path: path.into() }, &call()).await.unwrap();
        let Fact::Absent { why } = fact else { panic!("{path} is there") };
        assert!(!why.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_secret_that_is_read_shows_only_its_keys() {
    let Some(bao) = Bao::start().await else { return };
    let backend = bao.backend();
    backend
        .perform(&write("secret/data/db", json!({ "data": { "password": "hunter2-of-the-test" } })), &call())
        .await
        .unwrap();
    let fact = backend.probe(&Probe::Read { path: "secret/data/db".into() }, &call()).await.unwrap();
    assert!(!format!("{fact:?}").contains("hunter2"));
    let Fact::Found { data, .. } = fact else { panic!("it is there") };
    assert_eq!(data.0["data"]["password"], "hunter2-of-the-test");
}

#[tokio::test]
async fn a_token_that_lacks_something_is_told_what() {
    let Some(bao) = Bao::start().await else { return };
    let with = |token: Token| {
        let mut inventory = bao.inventory();
        inventory.vault.token = token;
        Backend::new(&inventory)
    };
    let read = Probe::Read { path: "secret/data/db".into() };
    let Err(ConnectError::Failed { message, hint }) =
        with(Token::Env("ROLLOUT_NO_SUCH_TOKEN".into())).probe(&read, &call()).await
    else {
        panic!("no token")
    };
    assert_eq!(message, "there is no Vault token: $ROLLOUT_NO_SUCH_TOKEN is not set");
    assert!(hint.unwrap().contains("token_file"));

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s.no-such-token-at-all").unwrap();
    let wrong = with(Token::File(file.path().to_owned()));
    let Err(ConnectError::Failed { message, hint }) = wrong.probe(&read, &call()).await else { panic!("a bad token") };
    assert_eq!(message, "Vault answers secret/data/db with HTTP 403: permission denied");
    assert!(hint.unwrap().starts_with(&format!(
        "the token from {} is not valid or its policy lacks read on secret/data/db",
        file.path().display()
    )));
}

#[tokio::test]
async fn every_node_is_looked_at_and_a_sealed_one_advised_on() {
    let Some(bao) = Bao::start().await else { return };
    let mut inventory = bao.inventory();
    inventory.vault.addresses.push("https://127.0.0.1:1".into());
    let backend = Backend::new(&inventory);
    let Fact::Health(nodes) = backend.probe(&Probe::Health, &call()).await.unwrap() else { panic!("health") };
    assert_eq!(nodes[0].state, State::Active);
    assert_eq!(nodes[1].state, State::Unreachable("connection refused".into()));
    assert!(!nodes[0].version.is_empty());

    // The node that is up serves requests, whatever the other node does.
    backend.perform(&write("sys/seal", json!({})), &call()).await.unwrap();
    let Err(error) = backend.probe(&Probe::Read { path: "sys/mounts/pki".into() }, &call()).await else {
        panic!("sealed")
    };
    let problem = error.problem();
    assert!(problem.message.starts_with("no active Vault node: https://127.0.0.1:"), "{}", problem.message);
    assert!(problem.hint.unwrap().starts_with("unseal it: vault operator unseal -address=https://127.0.0.1:"));

    let world = RealWorld::new(&bao.inventory());
    let Verdict::Blocked(problem) = verdict(&world, &action::<Health>(json!({}))).await else { panic!("it is sealed") };
    assert!(problem.message.ends_with("is sealed"), "{}", problem.message);
}

#[tokio::test]
async fn an_untrusted_certificate_is_said_so() {
    let Some(bao) = Bao::start().await else { return };
    let mut inventory = bao.inventory();
    inventory.vault.ca_cert = None;
    let Err(error) = Backend::new(&inventory).probe(&Probe::Read { path: "x".into() }, &call()).await else {
        panic!("untrusted")
    };
    let problem = error.problem();
    assert!(problem.message.contains("certificate"), "{}", problem.message);
    assert!(problem.hint.unwrap().contains("[vault] ca_cert"));
    assert!(!problem.message.contains(TOKEN));
}

#[tokio::test]
async fn https_is_checked_with_the_ca_that_is_named() {
    use rollout::actions::http::Check;
    let Some(bao) = Bao::start().await else { return };
    let world = RealWorld::new(&Inventory::default());
    let pem = std::fs::read_to_string(bao.ca_cert()).unwrap();
    let url = format!("{}/v1/sys/health", bao.address());
    let trusted = action::<Check>(
        json!({ "url": url, "ca_cert": { "path": "ca.pem", "content": pem }, "contains": "initialized" }),
    );
    let seen = verdict(&world, &trusted).await;
    assert!(matches!(seen, Verdict::Same { .. }), "{seen:?}");

    let untrusted = action::<Check>(json!({ "url": url, "expect_failure": true }));
    let seen = verdict(&world, &untrusted).await;
    assert!(matches!(&seen, Verdict::Wait { seen } if seen.contains("certificate")), "{seen:?}");
    let insecure = action::<Check>(json!({ "url": url, "insecure": true }));
    assert!(matches!(verdict(&world, &insecure).await, Verdict::Same { .. }));

    // TLS checks the name in the URL, whatever address the connection has.
    let named = "https://localhost:1/v1/sys/health";
    let address = bao.address().replace("https://", "");
    let elsewhere = action::<Check>(
        json!({ "url": named, "connect_to": address, "ca_cert": { "path": "ca.pem", "content": pem } }),
    );
    let seen = verdict(&world, &elsewhere).await;
    assert!(matches!(seen, Verdict::Same { .. }), "{seen:?}");
}
