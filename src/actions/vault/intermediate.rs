//! `vault.intermediate`: an intermediate CA whose key never leaves Vault, signed by a root that is in Vault too.

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Issuer, path, whole_lifetime};
use crate::actions::certificate::{Certificate, room_below};
use crate::actions::lifetime::{Lifetime, renews_before_its_end};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::vault::Data;
use crate::connect::{Effect, EffectResult, Fact, Probe, vault};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn};

/// A PKI mount's default issuer is an intermediate CA of this name, signed by another mount's root, and lives long
/// enough. It is issued anew when it does not; older issuers of the mount stay, so what they signed stays valid.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Intermediate {
    /// Path of the PKI mount that gets the intermediate.
    pub mount: String,
    /// Path of the PKI mount whose default issuer signs it.
    #[serde(default = "pki")]
    pub root_mount: String,
    /// Subject CN of the intermediate.
    pub common_name: String,
    /// Subject O of the intermediate. Without it, that of one that is there is left alone.
    #[serde(default)]
    pub organization: Option<String>,
    /// How long it lives. Counts only when it is issued; the step fails when Vault gives less.
    #[serde(default = "five_years")]
    pub ttl: Lifetime,
    /// How long before its end it is issued anew.
    #[serde(default = "quarter")]
    pub renew_before: Lifetime,
    /// Type of its key. Without it, a new one's is `ec`, and that of one that is there is left alone.
    #[serde(default)]
    pub key_type: Option<KeyType>,
    /// Size of its key, bits. Without it, a new one's is 256 for `ec`, 2048 for `rsa`, and that of one that is there is left
    /// alone.
    #[serde(default)]
    pub key_bits: Option<u32>,
    /// How many CAs may stand below it; Istio's CA is one.
    #[serde(default = "one")]
    pub max_path_length: u32,
}

/// Type of a CA's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// Elliptic curve.
    Ec,
    /// RSA.
    Rsa,
}

impl KeyType {
    /// As Vault calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Ec => "ec",
            Self::Rsa => "rsa",
        }
    }
}

fn pki() -> String {
    "pki".to_owned()
}

fn five_years() -> Lifetime {
    Lifetime::hours(5 * 365 * 24)
}

fn quarter() -> Lifetime {
    Lifetime::hours(90 * 24)
}

fn one() -> u32 {
    1
}

impl Spec for Intermediate {
    const NAME: &'static str = "vault.intermediate";
    const SUMMARY: &'static str = "an intermediate CA inside Vault, signed by Vault's root";
    const RUNS_ON: RunsOn = RunsOn::Controller;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[
        Output { name: "certificate", about: "the intermediate, PEM" },
        Output { name: "subject", about: "its subject" },
        Output { name: "issuer", about: "its issuer" },
        Output { name: "serial", about: "its serial number, hexadecimal" },
        Output { name: "not_after", about: "end of its validity, RFC 3339" },
        Output { name: "fingerprint", about: "SHA-256 of it, hexadecimal" },
    ];
    const EXAMPLE: &'static str = r#"
[[phase.pki.step]]
id = "intermediate"
action = "vault.intermediate"
mount = "pki_int"
root_mount = "pki"
common_name = "Home Intermediate CA"
ttl = "43800h"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        renews_before_its_end(self.ttl, self.renew_before)
    }
}

/// Where the steps of [`Intermediate::next`] stand, in their order.
const GENERATE: usize = 0;
const SIGN: usize = 1;
const SET: usize = 2;
const CHOOSE: usize = 3;

impl Intermediate {
    /// What is there; `None` when the mount has no issuer, or one that leads to no root.
    fn current(&self, facts: &[Fact]) -> Option<Issuer> {
        Issuer::of(&self.mount, facts.first()?, facts.get(1)).ok()
    }

    fn root(&self, facts: &[Fact]) -> Result<Issuer, Verdict> {
        match facts.get(1) {
            Some(fact) => Issuer::of(&self.root_mount, fact, None),
            None => Err(Verdict::Blocked(Problem::new("there is no answer from Vault"))),
        }
    }

    /// Whether the root can sign what is asked for.
    fn obstacle(&self, root: &Issuer) -> Option<Problem> {
        let end = root.at.saturating_add(SignedDuration::from_secs(self.ttl.as_seconds().cast_signed()));
        if end.is_ok_and(|end| end > root.certificate().not_after) {
            let message = format!(
                "a lifetime of {} goes beyond {} in Vault's {}, which is valid until {}",
                self.ttl,
                root.certificate().subject,
                self.root_mount,
                root.certificate().until()
            );
            return Some(Problem::new(message).hint("lower ttl, or issue a new root"));
        }
        let room = room_below(&root.chain);
        room.is_some_and(|room| room < i64::from(self.max_path_length) + 1).then(|| {
            let message = format!(
                "{} in Vault's {} does not allow an intermediate with max_path_length = {}",
                root.certificate().subject,
                self.root_mount,
                self.max_path_length
            );
            Problem::new(message).hint("lower max_path_length, or issue a new root without such a limit")
        })
    }

    fn subject(&self) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("common_name".into(), json!(self.common_name));
        if let Some(organization) = &self.organization {
            body.insert("organization".into(), json!(organization));
        }
        body.insert("exclude_cn_from_sans".into(), json!(true));
        body
    }

    fn generate(&self) -> Effect {
        let mut body = self.subject();
        let key_type = self.key_type.unwrap_or(KeyType::Ec);
        let bits = match key_type {
            KeyType::Ec => 256,
            KeyType::Rsa => 2048,
        };
        body.insert("key_type".into(), json!(key_type.name()));
        body.insert("key_bits".into(), json!(self.key_bits.unwrap_or(bits)));
        write(format!("{}/intermediate/generate/internal", path(&self.mount)), body)
    }

    fn sign(&self, csr: &str) -> Effect {
        let mut body = self.subject();
        body.insert("csr".into(), json!(csr));
        body.insert("ttl".into(), json!(format!("{}s", self.ttl.as_seconds())));
        body.insert("max_path_length".into(), json!(self.max_path_length));
        body.insert("format".into(), json!("pem"));
        write(format!("{}/root/sign-intermediate", path(&self.root_mount)), body)
    }

    /// Adds that the key that was made for a certificate which is not taken stays in the mount: who may make one may not
    /// always remove it.
    fn with_key_left(&self, problem: Problem, done: &[EffectResult]) -> Problem {
        let Ok(key) = answered(done, GENERATE, "key_id") else { return problem };
        let hint = problem.hint.clone().map(|hint| format!("{hint}; ")).unwrap_or_default();
        let mount = path(&self.mount);
        problem.hint(format!("{hint}`vault delete {mount}/key/{key}` removes the key that was made for it"))
    }

    /// Whether the key of one that is there is as asked for.
    fn has_wanted_key(&self, ca: &Certificate) -> bool {
        self.key_type.is_none_or(|wanted| wanted.name() == ca.key_type)
            && self.key_bits.is_none_or(|bits| usize::try_from(bits).is_ok_and(|bits| bits == ca.key_bits))
    }

    /// With the root beside it, the mount can serve the whole chain.
    fn set(&self, certificate: &str, root: &Issuer) -> Effect {
        let bundle = format!("{}\n{}", certificate.trim(), root.pems.concat());
        let body = Map::from_iter([("certificate".to_owned(), json!(bundle))]);
        write(format!("{}/intermediate/set-signed", path(&self.mount)), body)
    }

    /// The default issuer does not follow by itself where the mount had one before.
    fn choose(&self, set: &Data) -> Result<Effect, Problem> {
        let ours = set.0.get("mapping").and_then(Value::as_object).into_iter().flatten();
        let id = ours.filter(|(_, key)| key.as_str().is_some_and(|k| !k.is_empty())).map(|(issuer, _)| issuer).next();
        let id = id.ok_or_else(|| {
            Problem::new(format!(
                "Vault's {} did not match the new certificate to the key it was made for",
                path(&self.mount)
            ))
            .hint(format!("look at its issuers: vault list {}/issuers", path(&self.mount)))
        })?;
        let body = Map::from_iter([("default".to_owned(), json!(id))]);
        Ok(write(format!("{}/config/issuers", path(&self.mount)), body))
    }
}

impl Action for Intermediate {
    fn probes(&self) -> Vec<Probe> {
        vec![Issuer::probe(&self.mount), Issuer::probe(&self.root_mount)]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let root = match self.root(facts) {
            Ok(root) => root,
            Err(verdict) => return verdict,
        };
        let current = self.current(facts);
        if let Some(issuer) = &current {
            let ca = issuer.certificate();
            let left = ca.not_after.duration_since(issuer.at);
            let fits = ca.common_name == self.common_name
                && self.organization.as_ref().is_none_or(|o| *o == ca.organization)
                && ca.is_issued_by(root.certificate())
                && self.has_wanted_key(ca)
                && ca.path_length == Some(self.max_path_length);
            if fits && left > SignedDuration::from_secs(self.renew_before.as_seconds().cast_signed()) {
                let seen = format!("{}, issued by {}, valid until {}", ca.subject, ca.issuer, ca.until());
                return Verdict::Same { seen };
            }
        }
        if let Some(problem) = self.obstacle(&root) {
            return Verdict::Blocked(problem);
        }
        let now = current.as_ref().map(Issuer::certificate);
        let mount = &self.mount;
        let mut diff = Diff::default();
        diff.push_field(
            format!("CA {mount} common name"),
            now.map(|c| c.common_name.clone()),
            Some(self.common_name.clone()),
        );
        if let Some(organization) = &self.organization {
            let there = now.map(|c| c.organization.clone());
            diff.push_field(format!("CA {mount} organization"), there, Some(organization.clone()));
        }
        let above = root.certificate();
        let signer = |c: &Certificate| {
            if c.is_issued_by(above) {
                format!("{} ({})", above.subject, above.short_fingerprint())
            } else {
                c.issuer.clone()
            }
        };
        let wanted = format!("{} ({})", above.subject, above.short_fingerprint());
        diff.push_field(format!("CA {mount} issuer"), now.map(signer), Some(wanted));
        let length = |c: &Certificate| c.path_length.map_or("unlimited".to_owned(), |n| n.to_string());
        diff.push_field(format!("CA {mount} path length"), now.map(length), Some(self.max_path_length.to_string()));
        if now.is_some_and(|ca| !self.has_wanted_key(ca)) {
            let key = |kind: &str, bits: String| format!("{kind} {bits}").trim().to_owned();
            let there = now.map(|ca| key(ca.key_type, ca.key_bits.to_string()));
            let wanted = self.key_type.map_or_else(|| now.map_or("", |ca| ca.key_type), KeyType::name);
            let wanted = key(wanted, self.key_bits.map(|bits| bits.to_string()).unwrap_or_default());
            diff.push_field(format!("CA {mount} key"), there, Some(wanted));
        }
        diff.push_field(
            format!("CA {mount} valid until"),
            now.map(Certificate::until),
            Some(format!("{} from now", self.ttl)),
        );
        Verdict::Change(diff)
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        match done.len() {
            GENERATE => Ok(Some(self.generate())),
            SIGN => Ok(Some(self.sign(answered(done, GENERATE, "csr")?))),
            SET => {
                let root = self.root(facts).map_err(|_| Problem::new("the root is not there any more"))?;
                let pem = answered(done, SIGN, "certificate")?;
                let signed = Certificate::parse(pem)
                    .map_err(|e| Problem::new(format!("the certificate that Vault signed cannot be read: {e}")))?;
                whole_lifetime(&signed, self.ttl, path(&self.root_mount)).map_err(|p| self.with_key_left(p, done))?;
                Ok(Some(self.set(pem, &root)))
            }
            CHOOSE => match &done[SET] {
                EffectResult::Vault(vault::EffectResult::Written(data)) => Ok(Some(self.choose(data)?)),
                _ => Err(Problem::new("Vault gave an answer of another kind")),
            },
            _ => Ok(None),
        }
    }

    fn outputs(&self, facts: &[Fact], done: &[EffectResult]) -> Outputs {
        let signed = answered(done, SIGN, "certificate").ok().map(str::to_owned);
        let pem = signed.or_else(|| self.current(facts).map(|issuer| issuer.pems[0].clone())).unwrap_or_default();
        let Ok(ca) = Certificate::parse(&pem) else { return Outputs::new() };
        [
            ("certificate", pem),
            ("subject", ca.subject),
            ("issuer", ca.issuer),
            ("serial", ca.serial),
            ("not_after", ca.not_after.to_string()),
            ("fingerprint", ca.fingerprint),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect()
    }
}

fn write(path: String, body: Map<String, Value>) -> Effect {
    Effect::Vault(vault::Effect::Write { path, body: Data(body) })
}

/// A text of an earlier answer.
fn answered<'a>(done: &'a [EffectResult], step: usize, key: &str) -> Result<&'a str, Problem> {
    match done.get(step) {
        Some(EffectResult::Vault(vault::EffectResult::Written(data))) => data.text(key),
        _ => None,
    }
    .ok_or_else(|| Problem::new(format!("Vault's answer has no {key}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::certificate::testing::{absent_fact, below, issuer_fact, root};

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
        assert!(
            problem.hint.unwrap().ends_with("; `vault delete pki_int/key/1-2` removes the key that was made for it")
        );
    }

    #[test]
    fn slashes_at_the_ends_of_a_mount_are_no_other_mount() {
        let slashed: Intermediate =
            toml::from_str("mount = '/pki_int/'\nroot_mount = 'pki/'\ncommon_name = 'x'").unwrap();
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
        assert_eq!(
            problem.message,
            "a lifetime of 365d goes beyond CN=b in Vault's pki, which is valid until 2027-01-01"
        );
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
}
