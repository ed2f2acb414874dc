//! `vault.intermediate`: an intermediate CA whose key never leaves Vault, signed by a root in the same Vault.

mod params;
mod requests;
#[cfg(test)]
mod tests;

pub use params::{Intermediate, KeyType};

use jiff::SignedDuration;
use serde_json::json;

use self::requests::{CHOOSE, GENERATE, SET, SIGN, answered};
use super::{Issuer, check_lifetime, path};
use crate::actions::certificate::{Certificate, room_below};
use crate::actions::lifetime::check_renewal;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::{Effect, EffectResult, Fact, Probe, vault};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn};

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
        check_renewal(self.ttl, self.renew_before)
    }
}

impl Intermediate {
    /// The existing issuer; `None` if the mount has none, or if its chain does not end in a root.
    fn current(&self, facts: &[Fact]) -> Option<Issuer> {
        Issuer::of(&self.mount, facts.first()?, facts.get(1)).ok()
    }

    fn root(&self, facts: &[Fact]) -> Result<Issuer, Verdict> {
        match facts.get(1) {
            Some(fact) => Issuer::of(&self.root_mount, fact, None),
            None => Err(Verdict::Blocked(Problem::new("there is no answer from Vault"))),
        }
    }

    /// Why the root cannot sign the intermediate; `None` if it can.
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

    /// Whether the existing CA has the wanted key type and size.
    fn has_wanted_key(&self, ca: &Certificate) -> bool {
        self.key_type.is_none_or(|wanted| wanted.name() == ca.key_type)
            && self.key_bits.is_none_or(|bits| usize::try_from(bits).is_ok_and(|bits| bits == ca.key_bits))
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
                check_lifetime(&signed, self.ttl, path(&self.root_mount)).map_err(|p| self.with_key_left(p, done))?;
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
