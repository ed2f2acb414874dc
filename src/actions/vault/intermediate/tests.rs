use serde_json::{Map, Value};

use super::*;
use crate::actions::certificate::testing::{absent_fact, below, issuer_fact, root};
use crate::connect::vault::Data;

fn action(toml: &str) -> Intermediate {
    toml::from_str(&format!("mount = 'pki_int'\ncommon_name = 'intermediate'\nttl = '8760h'\n{toml}")).unwrap()
}

fn lines(verdict: &Verdict) -> Vec<String> {
    let Verdict::Change(diff) = verdict else { panic!("{verdict:?} is no change") };
    diff.0.iter().flat_map(crate::diff::Delta::lines).collect()
}

#[test]
fn one_that_fits_is_kept() {
    let r = root("root");
    let i = below(&r, "intermediate", "2030-01-01", Some(1));
    let facts = [issuer_fact(&[&i, &r]), issuer_fact(&[&r])];
    let seen = "CN=intermediate, issued by CN=root, valid until 2030-01-01".to_owned();
    assert_eq!(action("").verdict(&facts), Verdict::Same { seen });
    assert_eq!(action("").outputs(&facts, &[])["not_after"], "2030-01-01T00:00:00Z");
}

#[test]
fn an_empty_mount_gets_one() {
    let facts = [absent_fact(), issuer_fact(&[&root("root")])];
    let lines = lines(&action("organization = 'home'").verdict(&facts));
    assert_eq!(lines[0], "+ CA pki_int common name: intermediate");
    assert_eq!(lines[1], "+ CA pki_int organization: home");
    assert!(lines[2].starts_with("+ CA pki_int issuer: CN=root ("), "{}", lines[2]);
    assert_eq!(lines[3..], ["+ CA pki_int path length: 1", "+ CA pki_int valid until: 365d from now"]);
}

#[test]
fn one_near_its_end_is_renewed() {
    let r = root("root");
    let i = below(&r, "intermediate", "2026-08-01", Some(1));
    let facts = [issuer_fact(&[&i, &r]), issuer_fact(&[&r])];
    assert_eq!(lines(&action("").verdict(&facts)), ["~ CA pki_int valid until: 2026-08-01 → 365d from now"]);
    assert!(matches!(action("renew_before = '30d'").verdict(&facts), Verdict::Same { .. }));
}

#[test]
fn one_of_another_root_or_name_is_replaced() {
    let (r, other) = (root("root"), root("root"));
    let i = below(&other, "intermediate", "2030-01-01", Some(1));
    let facts = [issuer_fact(&[&i, &other]), issuer_fact(&[&r])];
    assert!(lines(&action("").verdict(&facts))[0].starts_with("~ CA pki_int issuer: CN=root → CN=root ("));
    let named = below(&r, "another", "2030-01-01", Some(1));
    let facts = [issuer_fact(&[&named, &r]), issuer_fact(&[&r])];
    assert_eq!(lines(&action("").verdict(&facts))[0], "~ CA pki_int common name: another → intermediate");
}

#[test]
fn a_key_is_compared_only_where_the_plan_names_it() {
    let r = root("root");
    let i = below(&r, "intermediate", "2030-01-01", Some(1));
    let facts = [issuer_fact(&[&i, &r]), issuer_fact(&[&r])];
    for kept in ["", "key_type = 'ec'", "key_bits = 256", "key_type = 'ec'\nkey_bits = 256"] {
        assert!(matches!(action(kept).verdict(&facts), Verdict::Same { .. }), "{kept}");
    }
    let changed = |toml: &str| lines(&action(toml).verdict(&facts))[0].clone();
    assert_eq!(changed("key_type = 'rsa'\nkey_bits = 4096"), "~ CA pki_int key: ec 256 → rsa 4096");
    assert_eq!(changed("key_type = 'rsa'"), "~ CA pki_int key: ec 256 → rsa");
    assert_eq!(changed("key_bits = 384"), "~ CA pki_int key: ec 256 → ec 384");
}

#[test]
fn one_that_vault_cut_down_is_not_taken() {
    let r = root("root");
    let short = below(&r, "intermediate", "2026-02-02", Some(1));
    let facts = [absent_fact(), issuer_fact(&[&r])];
    let answer = |key: &str, value: &str| {
        let map = Map::from_iter([(key.to_owned(), json!(value))]);
        EffectResult::Vault(vault::EffectResult::Written(Data(map)))
    };
    let done = [answer("key_id", "1-2"), answer("certificate", &short.pem())];
    let problem = action("").next_effect(&facts, &done).err().unwrap();
    assert_eq!(problem.message, "Vault's pki signed CN=intermediate for 32d instead of 365d");
    assert!(problem.hint.unwrap().ends_with("; `vault delete pki_int/key/1-2` removes the key that was made for it"));
}

#[test]
fn slashes_at_the_ends_of_a_mount_are_no_other_mount() {
    let slashed: Intermediate = toml::from_str("mount = '/pki_int/'\nroot_mount = 'pki/'\ncommon_name = 'x'").unwrap();
    let plain: Intermediate = toml::from_str("mount = 'pki_int'\nroot_mount = 'pki'\ncommon_name = 'x'").unwrap();
    assert_eq!(slashed.probes(), plain.probes());
    let path = |action: &Intermediate| match action.generate() {
        Effect::Vault(vault::Effect::Write { path, .. }) => path,
        _ => panic!("a write"),
    };
    assert_eq!(path(&slashed), path(&plain));
}

#[test]
fn renewal_must_be_shorter_than_life() {
    assert_eq!(action("renew_before = '8760h'").rules().unwrap_err().pointer, "/renew_before");
}

#[test]
fn without_a_root_there_is_none() {
    let verdict = action("").verdict(&[absent_fact(), absent_fact()]);
    assert!(matches!(verdict, Verdict::Blocked(p) if p.message.starts_with("Vault has no CA at pki (")));
}

#[test]
fn what_the_root_cannot_sign_is_said_beforehand() {
    let r = root("root");
    let Verdict::Blocked(problem) =
        action("").verdict(&[absent_fact(), issuer_fact(&[&below(&r, "b", "2027-01-01", None), &r])])
    else {
        panic!("blocked")
    };
    assert_eq!(problem.message, "a lifetime of 365d goes beyond CN=b in Vault's pki, which is valid until 2027-01-01");
    let narrow = below(&r, "narrow", "2035-01-01", Some(1));
    let Verdict::Blocked(problem) = action("").verdict(&[absent_fact(), issuer_fact(&[&narrow, &r])]) else {
        panic!("blocked")
    };
    assert_eq!(problem.message, "CN=narrow in Vault's pki does not allow an intermediate with max_path_length = 1");
}

#[test]
fn the_new_issuer_becomes_the_default_one() {
    let r = root("root");
    let i = below(&r, "intermediate", "2030-01-01", Some(1));
    let facts = [absent_fact(), issuer_fact(&[&r])];
    let action = action("");
    let answer = |value: Value| {
        let Value::Object(map) = value else { panic!("an object") };
        EffectResult::Vault(vault::EffectResult::Written(Data(map)))
    };
    let mut done = Vec::new();
    let mut paths = Vec::new();
    for value in [
        json!({ "csr": "the request" }),
        json!({ "certificate": i.pem() }),
        json!({ "mapping": { "of-the-root": "", "of-the-new": "key" } }),
        json!({}),
    ] {
        let effect = action.next_effect(&facts, &done).unwrap();
        let Some(Effect::Vault(vault::Effect::Write { path, body })) = effect else { panic!("a write") };
        paths.push((path, body));
        done.push(answer(value));
    }
    assert!(action.next_effect(&facts, &done).unwrap().is_none());
    let names: Vec<_> = paths.iter().map(|(p, _)| p.as_str()).collect();
    assert_eq!(
        names,
        [
            "pki_int/intermediate/generate/internal",
            "pki/root/sign-intermediate",
            "pki_int/intermediate/set-signed",
            "pki_int/config/issuers"
        ]
    );
    assert_eq!(paths[1].1.text("csr"), Some("the request"));
    assert_eq!(Certificate::parse_all(paths[2].1.text("certificate").unwrap()).unwrap().len(), 2);
    assert_eq!(paths[3].1.text("default"), Some("of-the-new"));
    assert_eq!(action.outputs(&facts, &done)["subject"], "CN=intermediate");
}
