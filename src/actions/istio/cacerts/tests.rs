use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::plugged_in::testing;
use super::*;
use crate::actions::Resource;
use crate::actions::certificate::testing::{Ca, absent_fact, below, issuer_fact, renewed, root};
use crate::secret::Secret;

fn action(toml: &str) -> Cacerts {
    let action: Cacerts = toml::from_str(&format!("mount = 'pki_int'\n{toml}")).unwrap();
    action.rules().unwrap();
    action
}

fn facts(secret: Option<Value>, issuer: &[&Ca]) -> Vec<Fact> {
    let namespace = json!({ "kind": "Namespace", "metadata": { "name": "istio-system" } });
    vec![testing::found(vec![namespace]), testing::found(secret.into_iter().collect()), issuer_fact(issuer)]
}

fn lines(verdict: &Verdict) -> Vec<String> {
    let Verdict::Change(diff) = verdict else { panic!("{verdict:?} is no change") };
    diff.0.iter().flat_map(crate::diff::Delta::lines).collect()
}

fn blocked(verdict: Verdict) -> Problem {
    let Verdict::Blocked(problem) = verdict else { panic!("{verdict:?} is not blocked") };
    assert!(problem.hint.is_some());
    problem
}

/// A root, an intermediate, and Istio's CA that ends on the given day.
fn authorities(end: &str) -> (Ca, Ca, Ca) {
    let r = root("root");
    let i = below(&r, "intermediate", "2030-01-01", Some(1));
    let ca = below(&i, "Istio CA", end, Some(0));
    (r, i, ca)
}

#[test]
fn a_sound_ca_is_kept() {
    let (r, i, ca) = authorities("2027-01-01");
    let facts = facts(Some(testing::cacerts(&[&ca, &i, &r])), &[&i, &r]);
    let seen = "CN=Istio CA, issued by CN=intermediate, valid until 2027-01-01".to_owned();
    assert_eq!(action("").verdict(&facts), Verdict::Same { seen });
    let outputs = action("").outputs(&facts, &[]);
    assert_eq!((&outputs["rotated"], &outputs["issuer"]), (&json!(false), &json!("CN=intermediate")));
    assert!(Cacerts::OUTPUTS.iter().all(|o| outputs.contains_key(o.name)));
    assert_eq!(outputs.len(), Cacerts::OUTPUTS.len());
}

#[test]
fn without_a_secret_one_is_made() {
    let (r, i, _) = authorities("2027-01-01");
    let lines = lines(&action("organization = 'home'").verdict(&facts(None, &[&i, &r])));
    assert_eq!(lines[0], "! have Vault's pki_int sign a CA for Istio: there is none");
    assert_eq!(lines[1], "+ Secret istio-system/cacerts subject: O=home, CN=Istio CA");
    assert!(lines[2].starts_with("+ Secret istio-system/cacerts issuer: CN=intermediate ("), "{}", lines[2]);
    assert!(lines[3].starts_with("+ Secret istio-system/cacerts root: CN=root ("), "{}", lines[3]);
    assert_eq!(lines[4], "+ Secret istio-system/cacerts valid until: 365d from now");
    assert_eq!(lines.len(), 7);
}

#[test]
fn one_near_its_end_is_renewed_and_shows_no_key() {
    let (r, i, ca) = authorities("2026-08-01");
    let secret = testing::cacerts(&[&ca, &i, &r]);
    let verdict = action("").verdict(&facts(Some(secret.clone()), &[&i, &r]));
    let lines = lines(&verdict);
    assert!(lines[0].ends_with(": it ends on 2026-08-01, less than 90d from now"), "{}", lines[0]);
    assert_eq!(lines[1], "~ Secret istio-system/cacerts valid until: 2026-08-01 → 365d from now");
    assert_eq!(lines[3], "~ Secret istio-system/cacerts private key: the present one → a new one, EC P-256");
    let key = ca.key().serialize_pem();
    let body: Vec<&str> = key.lines().filter(|l| !l.starts_with("-----")).collect();
    assert!(body.iter().all(|line| !format!("{verdict:?}").contains(line)));
    let kept = action("renew_before = '30d'").verdict(&facts(Some(secret), &[&i, &r]));
    assert!(matches!(kept, Verdict::Same { .. }), "{kept:?}");
}

#[test]
fn what_vault_or_the_plan_changed_is_followed() {
    let (r, i, ca) = authorities("2027-01-01");
    let secret = testing::cacerts(&[&ca, &i, &r]);
    let renewed = below(&r, "intermediate", "2031-01-01", Some(1));
    let reason =
        |action: Cacerts, issuer: &[&Ca]| lines(&action.verdict(&facts(Some(secret.clone()), issuer)))[0].clone();
    let of_vault = reason(action(""), &[&renewed, &r]);
    assert!(of_vault.ends_with("it is not signed by the CA that Vault's pki_int has now"), "{of_vault}");
    let of_plan = reason(action("common_name = 'Mesh CA'"), &[&i, &r]);
    assert!(of_plan.ends_with("its subject differs"), "{of_plan}");
}

#[test]
fn an_unsound_secret_is_replaced() {
    let (r, i, ca) = authorities("2027-01-01");
    let mut secret = testing::cacerts(&[&ca, &i, &r]);
    secret["data"]["ca-key.pem"] = json!(STANDARD.encode(rcgen::KeyPair::generate().unwrap().serialize_pem()));
    let first = lines(&action("").verdict(&facts(Some(secret), &[&i, &r]))).swap_remove(0);
    assert!(first.ends_with("ca-key.pem does not belong to ca-cert.pem"), "{first}");
    let empty = json!({ "metadata": { "name": "cacerts" }, "data": {} });
    let first = lines(&action("").verdict(&facts(Some(empty), &[&i, &r]))).swap_remove(0);
    assert!(first.ends_with("the one that is there cannot be read: it has no ca-key.pem"), "{first}");
}

#[test]
fn another_root_needs_a_word() {
    let (r, i, ca) = authorities("2027-01-01");
    let (other_r, other_i, _) = authorities("2027-01-01");
    let facts = facts(Some(testing::cacerts(&[&ca, &i, &r])), &[&other_i, &other_r]);
    let problem = blocked(action("").verdict(&facts));
    assert!(problem.message.starts_with("Secret istio-system/cacerts holds a CA of another root: CN=root ("));
    let lines = lines(&action("replace_root = true").verdict(&facts));
    assert!(lines[0].ends_with("its root is not Vault's"), "{}", lines[0]);
}

#[test]
fn another_owner_needs_a_word() {
    let (r, i, ca) = authorities("2026-08-01");
    let mut secret = testing::cacerts(&[&ca, &i, &r]);
    secret["metadata"]["managedFields"] = json!([{ "manager": "cert-manager", "fieldsV1": { "f:data": {} } }]);
    let facts = facts(Some(secret), &[&i, &r]);
    let problem = blocked(action("").verdict(&facts));
    assert_eq!(problem.message, "Secret istio-system/cacerts is owned by cert-manager");
    assert!(matches!(action("force = true").verdict(&facts), Verdict::Change(_)));
    // A valid CA is kept without permission to replace one.
    assert!(matches!(action("renew_before = '30d'").verdict(&facts), Verdict::Same { .. }));
}

#[test]
fn what_vault_cannot_sign_is_said_beforehand() {
    let r = root("root");
    let narrow = below(&r, "narrow", "2030-01-01", Some(0));
    let problem = blocked(action("").verdict(&facts(None, &[&narrow, &r])));
    assert_eq!(problem.message, "CN=narrow in Vault's pki_int does not allow a CA below it (path length)");
    let short = below(&r, "short", "2027-01-01", Some(1));
    let problem = blocked(action("").verdict(&facts(None, &[&short, &r])));
    assert_eq!(problem.message, "a lifetime of 365d goes beyond CN=short, which is valid until 2027-01-01");
}

#[test]
fn what_is_missing_is_named() {
    let (r, i, _) = authorities("2027-01-01");
    let mut no_namespace = facts(None, &[&i, &r]);
    no_namespace[NAMESPACE] = testing::found(Vec::new());
    assert_eq!(action("").verdict(&no_namespace), Verdict::Missing(Resource::Namespace("istio-system".into())));
    assert!(!action("").predicted_diff(&no_namespace).is_empty(), "a preview shows the CA all the same");
    let mut no_issuer = facts(None, &[&i, &r]);
    no_issuer[ISSUER] = absent_fact();
    assert!(blocked(action("").verdict(&no_issuer)).message.starts_with("Vault has no CA at pki_int"));
}

#[test]
fn the_key_goes_into_the_secret_and_nowhere_else() {
    let (r, i, ca) = authorities("2027-01-01");
    let (action, facts) = (action(""), facts(None, &[&i, &r]));
    let Some(Effect::Vault(vault::Effect::SignCsr(request))) = action.next_effect(&facts, &[]).unwrap() else {
        panic!()
    };
    assert_eq!((request.mount.as_str(), request.max_path_length, request.ttl), ("pki_int", 0, 365 * 24 * 3600));
    let key = Secret::new(ca.key().serialize_pem());
    let signed = EffectResult::Vault(vault::EffectResult::Signed { certificate: ca.pem(), chain: Vec::new(), key });
    let effect = action.next_effect(&facts, std::slice::from_ref(&signed)).unwrap();
    let Some(Effect::Kube(kube::Effect::Apply { object, force: false, .. })) = effect else { panic!() };
    let there = PluggedIn::parse(&object.0).unwrap();
    assert_eq!(there.defect(), None);
    let chain = STANDARD.decode(object.0["data"]["cert-chain.pem"].as_str().unwrap()).unwrap();
    let names: Vec<_> = Certificate::parse_all(std::str::from_utf8(&chain).unwrap()).unwrap();
    let names: Vec<_> = names.iter().map(|c| c.common_name.as_str()).collect();
    assert_eq!(names, ["Istio CA", "intermediate"], "the root is not sent");
    let done = [signed, EffectResult::Kube(kube::EffectResult::Applied(Object(Value::Null)))];
    assert!(action.next_effect(&facts, &done).unwrap().is_none());
    assert_eq!(action.outputs(&facts, &done)["rotated"], json!(true));
    // The next run keeps what this run wrote.
    let again = super::tests::facts(Some(object.0), &[&i, &r]);
    assert!(matches!(action.verdict(&again), Verdict::Same { .. }));
}

#[test]
fn an_issuer_that_changed_meanwhile_stops_it() {
    let (r, _, ca) = authorities("2027-01-01");
    let renewed = below(&r, "intermediate", "2031-01-01", Some(1));
    let key = Secret::new(ca.key().serialize_pem());
    let signed = EffectResult::Vault(vault::EffectResult::Signed { certificate: ca.pem(), chain: Vec::new(), key });
    let problem = action("").next_effect(&facts(None, &[&renewed, &r]), &[signed]).err().unwrap();
    assert_eq!(problem.message, "the CA of Vault's pki_int changed while this step ran");
}

#[test]
fn what_vault_cut_down_or_left_out_is_not_written() {
    let (r, i, ca) = authorities("2027-01-01");
    let facts = facts(None, &[&i, &r]);
    let signed = |ca: &Ca| {
        let key = Secret::new(ca.key().serialize_pem());
        [EffectResult::Vault(vault::EffectResult::Signed { certificate: ca.pem(), chain: Vec::new(), key })]
    };
    let refused = |toml: &str, ca: &Ca| action(toml).next_effect(&facts, &signed(ca)).err().unwrap();
    let problem = refused("", &below(&i, "Istio CA", "2026-02-02", Some(0)));
    assert_eq!(problem.message, "Vault's pki_int signed CN=Istio CA for 32d instead of 365d");
    assert!(problem.hint.unwrap().contains("-max-lease-ttl=8760h pki_int"));
    let problem = refused("dns_names = ['istiod.istio-system.svc']", &ca);
    assert_eq!(problem.message, "Vault's pki_int signed a CA that differs from the request: its DNS names differ");
}

#[test]
fn dns_names_are_compared_in_any_order_and_case() {
    let (r, i, bare) = authorities("2027-01-01");
    let mut params = crate::actions::certificate::testing::ca_params("Istio CA", "2027-01-01", Some(0));
    params.subject_alt_names =
        ["b.example", "a.example"].map(|n| rcgen::SanType::DnsName(n.try_into().unwrap())).to_vec();
    let named = rcgen::CertifiedIssuer::signed_by(params, rcgen::KeyPair::generate().unwrap(), &i).unwrap();
    let verdict = |toml: &str, ca: &Ca| action(toml).verdict(&facts(Some(testing::cacerts(&[ca, &i, &r])), &[&i, &r]));
    let wanted = "dns_names = ['A.example', 'b.example', 'a.example']";
    assert!(matches!(verdict(wanted, &named), Verdict::Same { .. }));
    let added = lines(&verdict(wanted, &bare));
    assert!(added[0].ends_with("its DNS names differ"), "{}", added[0]);
    assert_eq!(added[1], "+ Secret istio-system/cacerts DNS names: a.example, b.example");
    assert_eq!(lines(&verdict("", &named))[1], "~ Secret istio-system/cacerts DNS names: a.example, b.example → ");
}

#[test]
fn a_root_that_was_renewed_with_its_key_is_the_same_root() {
    let (old, i, ca) = authorities("2027-01-01");
    let new = renewed(&old, "root", "2046-01-01");
    let there = testing::cacerts(&[&ca, &i, &old]);
    // Only the root's certificate is new: it is written beside the existing CA and key.
    let only_root = facts(Some(there.clone()), &[&i, &new]);
    let shown = lines(&action("").verdict(&only_root));
    assert!(shown[0].starts_with("! hand out the certificate of the root"), "{shown:?}");
    assert!(shown.len() == 2 && shown[1].ends_with("valid until 2046-01-01"), "{shown:?}");
    let Some(Effect::Kube(kube::Effect::Apply { object, .. })) = action("").next_effect(&only_root, &[]).unwrap()
    else {
        panic!("it is written")
    };
    for key in ["ca-cert.pem", "ca-key.pem", "cert-chain.pem"] {
        let text = |value: &Value| STANDARD.decode(value["data"][key].as_str().unwrap()).unwrap().trim_ascii().to_vec();
        assert_eq!(text(&object.0), text(&there), "{key}");
    }
    let done = [EffectResult::Kube(kube::EffectResult::Applied(Object(Value::Null)))];
    assert!(action("").next_effect(&only_root, &done).unwrap().is_none());
    assert_eq!(action("").outputs(&only_root, &done)["rotated"], json!(false));
    let again = facts(Some(object.0), &[&i, &new]);
    assert!(matches!(action("").verdict(&again), Verdict::Same { .. }));
    // An older certificate of the root in Vault does not replace the newer one.
    assert!(matches!(action("").verdict(&facts(again_secret(&again), &[&i, &old])), Verdict::Same { .. }));
    // A new intermediate below the same root needs no permission in the plan.
    let next = below(&new, "intermediate", "2031-01-01", Some(1));
    assert!(matches!(action("").verdict(&facts(Some(there), &[&next, &new])), Verdict::Change(_)));
}

fn again_secret(facts: &[Fact]) -> Option<Value> {
    plugged_in::secret(facts.get(SECRET)).unwrap().cloned()
}

#[test]
fn renewal_must_be_shorter_than_life() {
    let action: Cacerts = toml::from_str("mount = 'pki_int'\nttl = '24h'\nrenew_before = '24h'").unwrap();
    assert_eq!(action.rules().unwrap_err().pointer, "/renew_before");
}
