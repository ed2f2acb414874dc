//! `vault.ca`: a PKI mount has a CA that can sign further CAs.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::Issuer;
use crate::actions::certificate::room_below;
use crate::actions::lifetime::Lifetime;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::event::{Outputs, Problem};
use crate::plan::{Output, Role, RunsOn};

/// The default issuer of a PKI mount is a CA whose chain verifies up to a root, and which is valid long enough.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ca {
    /// Path of the PKI mount, such as `pki_int`.
    pub mount: String,
    /// Path of the PKI mount with the root. Needed only if the chain of `mount` does not include the root.
    #[serde(default)]
    pub root_mount: Option<String>,
    /// How long every certificate of the chain must still be valid. Default: 30 days.
    #[serde(default = "month")]
    pub min_ttl: Lifetime,
    /// How many further CAs must be allowed below this one: 1 for the issuer of Istio's CA. Default: 0.
    #[serde(default)]
    pub min_path_length: u32,
}

fn month() -> Lifetime {
    Lifetime::hours(720)
}

impl Spec for Ca {
    const NAME: &'static str = "vault.ca";
    const SUMMARY: &'static str = "a PKI mount's CA verifies up to its root and lives long enough";
    const RUNS_ON: RunsOn = RunsOn::Controller;
    const ROLE: Role = Role::Check;
    const OUTPUTS: &'static [Output] = &[
        Output { name: "certificate", about: "the CA, PEM" },
        Output { name: "chain", about: "the CA and all above it, root last, PEM" },
        Output { name: "root", about: "the root, PEM" },
        Output { name: "root_fingerprint", about: "SHA-256 of the root, hexadecimal" },
        Output { name: "subject", about: "the CA's subject" },
        Output { name: "issuer", about: "the CA's issuer" },
        Output { name: "serial", about: "the CA's serial number, hexadecimal" },
        Output { name: "not_after", about: "end of the CA's validity, RFC 3339" },
    ];
    const EXAMPLE: &'static str = r#"
[[phase.prereq-pki.step]]
id = "intermediate"
action = "vault.ca"
mount = "pki_int"
min_ttl = "720h"
min_path_length = 1
"#;
}

impl Ca {
    fn issuer(&self, facts: &[Fact]) -> Result<Issuer, Verdict> {
        let Some(fact) = facts.first() else {
            return Err(Verdict::Blocked(Problem::new("there is no answer from Vault")));
        };
        Issuer::of(&self.mount, fact, facts.get(1))
    }
}

impl Action for Ca {
    fn probes(&self) -> Vec<Probe> {
        std::iter::once(&self.mount).chain(&self.root_mount).map(|mount| Issuer::probe(mount)).collect()
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let issuer = match self.issuer(facts) {
            Ok(issuer) => issuer,
            Err(verdict) => return verdict,
        };
        let ca = issuer.certificate();
        for certificate in &issuer.chain {
            if certificate.not_before > issuer.at {
                let message = format!("{} is valid only from {}", certificate.subject, certificate.not_before);
                return Verdict::Blocked(Problem::new(message).hint("compare the clocks of this machine and of Vault"));
            }
            let left = certificate.not_after.duration_since(issuer.at);
            if left < jiff::SignedDuration::from_secs(self.min_ttl.as_seconds().cast_signed()) {
                let message = format!(
                    "{} (in Vault's {}) is valid until {}, less than {} from now",
                    certificate.subject, self.mount, certificate.not_after, self.min_ttl
                );
                let hint = "issue a new CA (action vault.intermediate does it), or lower min_ttl";
                return Verdict::Blocked(Problem::new(message).hint(hint));
            }
        }
        let room = room_below(&issuer.chain);
        if room.is_some_and(|room| room < i64::from(self.min_path_length)) {
            let message = format!(
                "{} (in Vault's {}) does not allow {} more CAs below it: its chain's path lengths leave {}",
                ca.subject,
                self.mount,
                self.min_path_length,
                room.unwrap_or_default()
            );
            let hint = "issue it anew with a larger max_path_length";
            return Verdict::Blocked(Problem::new(message).hint(hint));
        }
        let above = if ca.is_root() { "a root".to_owned() } else { format!("issued by {}", ca.issuer) };
        Verdict::Same { seen: format!("{}, {above}, valid until {}", ca.subject, ca.until()) }
    }

    fn next_effect(&self, _: &[Fact], _: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(None)
    }

    fn outputs(&self, facts: &[Fact], _: &[EffectResult]) -> Outputs {
        let Ok(issuer) = self.issuer(facts) else { return Outputs::new() };
        let ca = issuer.certificate();
        [
            ("certificate", json!(issuer.pems[0])),
            ("chain", json!(issuer.pems.concat())),
            ("root", json!(issuer.root_pem())),
            ("root_fingerprint", json!(issuer.root().fingerprint)),
            ("subject", json!(ca.subject)),
            ("issuer", json!(ca.issuer)),
            ("serial", json!(ca.serial)),
            ("not_after", json!(ca.not_after.to_string())),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::certificate::testing::{absent_fact, below, ca_params, issuer_fact, leaf_params, root};

    fn ca(min_path_length: u32) -> Ca {
        Ca { mount: "pki_int".into(), root_mount: None, min_ttl: Lifetime::hours(720), min_path_length }
    }

    fn blocked(verdict: Verdict) -> String {
        let Verdict::Blocked(problem) = verdict else { panic!("{verdict:?} is not blocked") };
        assert!(problem.hint.is_some());
        problem.message
    }

    #[test]
    fn a_sound_chain_passes_and_is_handed_on() {
        let r = root("root");
        let i = below(&r, "intermediate", "2030-01-01", Some(1));
        let facts = [issuer_fact(&[&i, &r])];
        let seen = "CN=intermediate, issued by CN=root, valid until 2030-01-01".to_owned();
        assert_eq!(ca(1).verdict(&facts), Verdict::Same { seen });
        let outputs = ca(1).outputs(&facts, &[]);
        assert_eq!(outputs["not_after"], "2030-01-01T00:00:00Z");
        assert_eq!(outputs.len(), Ca::OUTPUTS.len());
        assert!(Ca::OUTPUTS.iter().all(|o| outputs.contains_key(o.name)));
    }

    #[test]
    fn a_root_passes_too() {
        let r = root("root");
        let seen = "CN=root, a root, valid until 2036-01-01".to_owned();
        assert_eq!(ca(0).verdict(&[issuer_fact(&[&r])]), Verdict::Same { seen });
    }

    #[test]
    fn an_empty_mount_has_none() {
        assert!(blocked(ca(0).verdict(&[absent_fact()])).starts_with("Vault has no CA at pki_int"));
    }

    #[test]
    fn every_certificate_of_the_chain_must_live_long_enough() {
        let key = rcgen::KeyPair::generate().unwrap();
        let old = rcgen::CertifiedIssuer::self_signed(ca_params("old root", "2026-06-15", None), key).unwrap();
        let i = below(&old, "intermediate", "2030-01-01", None);
        let message = blocked(ca(0).verdict(&[issuer_fact(&[&i, &old])]));
        assert_eq!(
            message,
            "CN=old root (in Vault's pki_int) is valid until 2026-06-15T00:00:00Z, less than 30d from now"
        );
    }

    #[test]
    fn a_ca_of_the_future_is_a_clock_problem() {
        let mut params = ca_params("root", "2036-01-01", None);
        params.not_before = rcgen::date_time_ymd(2027, 1, 1);
        let late = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
        assert_eq!(blocked(ca(0).verdict(&[issuer_fact(&[&late])])), "CN=root is valid only from 2027-01-01T00:00:00Z");
    }

    #[test]
    fn the_path_length_must_leave_room() {
        let r = root("root");
        let i = below(&r, "intermediate", "2030-01-01", Some(0));
        let message = blocked(ca(1).verdict(&[issuer_fact(&[&i, &r])]));
        assert!(message.ends_with("does not allow 1 more CAs below it: its chain's path lengths leave 0"), "{message}");
    }

    #[test]
    fn a_certificate_that_is_no_ca_leads_nowhere() {
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertifiedIssuer::self_signed(leaf_params("leaf", "2030-01-01"), key).unwrap();
        assert!(blocked(ca(0).verdict(&[issuer_fact(&[&leaf])])).contains("leads to no root"));
    }
}
