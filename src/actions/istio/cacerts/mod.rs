//! `istio.cacerts`: istiod's CA is signed by Vault's intermediate.
//!
//! The key is created on this machine and stored only in the Secret of the cluster. Vault sees the signing request,
//! never the key.

mod params;
#[cfg(test)]
mod tests;

pub use params::Cacerts;

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::json;

use super::plugged_in::{self, PluggedIn};
use crate::actions::certificate::{Certificate, room_below};
use crate::actions::lifetime::{Lifetime, check_renewal};
use crate::actions::vault::{Issuer, check_lifetime, path};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::kube::{KindRef, Object, Query};
use crate::connect::vault::SignCsr;
use crate::connect::{Effect, EffectResult, Fact, Probe, kube, vault};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn};
use crate::secret::Secret;

impl Spec for Cacerts {
    const NAME: &'static str = "istio.cacerts";
    const SUMMARY: &'static str = "istiod's CA, signed by Vault's intermediate";
    const RUNS_ON: RunsOn = RunsOn::Cluster;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[
        Output { name: "subject", about: "subject of Istio's CA" },
        Output { name: "issuer", about: "its issuer, Vault's intermediate" },
        Output { name: "not_after", about: "end of its validity, RFC 3339" },
        Output { name: "fingerprint", about: "SHA-256 of it, hexadecimal" },
        Output { name: "root", about: "Vault's root, PEM" },
        Output { name: "root_fingerprint", about: "SHA-256 of Vault's root, hexadecimal" },
        Output { name: "rotated", about: "whether this run issued it" },
    ];
    const EXAMPLE: &'static str = r#"
[[phase.mesh-ca.step]]
id = "cacerts"
action = "istio.cacerts"
mount = "pki_int"
namespace = "istio-system"
common_name = "Istio CA"
ttl = "8760h"
renew_before = "2160h"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        check_renewal(self.ttl, self.renew_before)
    }
}

/// Indexes of the facts: the order of [`Cacerts::probes`].
const NAMESPACE: usize = 0;
const SECRET: usize = 1;
const ISSUER: usize = 2;
const ROOT: usize = 3;

impl Cacerts {
    fn judge(&self, facts: &[Fact]) -> Result<Verdict, Verdict> {
        plugged_in::namespace(&self.namespace, facts.get(NAMESPACE))?;
        let secret = plugged_in::secret(facts.get(SECRET))?;
        let issuer = self.issuer(facts)?;
        let there = secret.map(PluggedIn::parse);
        let (there, reason) = match there {
            None => (None, "there is none".to_owned()),
            Some(Err(why)) => (None, format!("the one that is there cannot be read: {why}")),
            Some(Ok(there)) => match self.reason(&there, &issuer) {
                Some(reason) => (Some(there), reason),
                None if self.has_newer_root(&there, &issuer) => {
                    let problem = secret.and_then(|s| self.missing_permission(s, Some(&there), &issuer));
                    return Ok(
                        problem.map_or_else(|| Verdict::Change(self.root_diff(&there, &issuer)), Verdict::Blocked)
                    );
                }
                None => {
                    let ca = &there.ca;
                    let seen = format!("{}, issued by {}, valid until {}", ca.subject, ca.issuer, ca.until());
                    return Ok(Verdict::Same { seen });
                }
            },
        };
        if let Some(problem) = secret.and_then(|s| self.missing_permission(s, there.as_ref(), &issuer)) {
            return Ok(Verdict::Blocked(problem));
        }
        if let Some(problem) = self.obstacle(&issuer) {
            return Ok(Verdict::Blocked(problem));
        }
        Ok(Verdict::Change(self.diff(there.as_ref(), &issuer, &reason)))
    }

    fn issuer(&self, facts: &[Fact]) -> Result<Issuer, Verdict> {
        match facts.get(ISSUER) {
            Some(fact) => Issuer::of(&self.mount, fact, facts.get(ROOT)),
            None => Err(Verdict::Blocked(Problem::new("there is no answer from Vault"))),
        }
    }

    fn name(&self) -> String {
        format!("Secret {}/{}", self.namespace, self.secret)
    }

    /// Why the existing CA must be replaced; `None` if it can stay.
    fn reason(&self, there: &PluggedIn, issuer: &Issuer) -> Option<String> {
        let ca = &there.ca;
        if let Some(defect) = there.defect() {
            return Some(defect);
        }
        if !there.trusts(issuer.root()) {
            return Some("its root is not Vault's".to_owned());
        }
        if !ca.is_issued_by(issuer.certificate()) {
            return Some(format!("it is not signed by the CA that Vault's {} has now", self.mount));
        }
        if let Some(difference) = self.difference(ca) {
            return Some(difference);
        }
        let left = ca.not_after.duration_since(issuer.at);
        (left <= seconds(self.renew_before))
            .then(|| format!("it ends on {}, less than {} from now", ca.until(), self.renew_before))
    }

    /// The first property of a CA, other than its lifetime, that differs from the parameters.
    fn difference(&self, ca: &Certificate) -> Option<String> {
        if ca.common_name != self.common_name || self.organization.as_ref().is_some_and(|o| *o != ca.organization) {
            return Some("its subject differs".to_owned());
        }
        (ca.dns_names != self.dns_names()).then(|| "its DNS names differ".to_owned())
    }

    /// The DNS names in the form of [`Certificate::dns_names`].
    fn dns_names(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.dns_names.iter().map(|name| name.to_ascii_lowercase()).collect();
        names.into_iter().collect()
    }

    /// Whether Vault's certificate of the root is valid longer than all those in the Secret.
    fn has_newer_root(&self, there: &PluggedIn, issuer: &Issuer) -> bool {
        let of_it = there.roots.iter().filter(|root| root.is_same_ca(issuer.root()));
        of_it.map(|root| root.not_after).max().is_some_and(|end| end < issuer.root().not_after)
    }

    /// The existing CA, if it can stay and only lacks the new certificate of its root.
    fn lacks_only_root(&self, facts: &[Fact], issuer: &Issuer) -> Option<PluggedIn> {
        let there = PluggedIn::parse(plugged_in::secret(facts.get(SECRET)).ok()??).ok()?;
        (self.reason(&there, issuer).is_none() && self.has_newer_root(&there, issuer)).then_some(there)
    }

    /// Why Vault's issuer cannot sign the CA.
    fn obstacle(&self, issuer: &Issuer) -> Option<Problem> {
        let above = issuer.certificate();
        if room_below(&issuer.chain).is_some_and(|room| room < 1) {
            let message =
                format!("{} in Vault's {} does not allow a CA below it (path length)", above.subject, self.mount);
            return Some(Problem::new(message).hint("issue the intermediate anew with max_path_length = 1 or more"));
        }
        let end = issuer.at.saturating_add(seconds(self.ttl)).ok()?;
        let first = issuer.chain.iter().min_by_key(|c| c.not_after)?;
        (end > first.not_after).then(|| {
            Problem::new(format!(
                "a lifetime of {} goes beyond {}, which is valid until {}",
                self.ttl,
                first.subject,
                first.until()
            ))
            .hint("lower ttl, or renew the CAs above first (vault.intermediate)")
        })
    }

    /// Why the existing CA may not be replaced unless the plan allows it.
    fn missing_permission(
        &self,
        secret: &serde_json::Value,
        there: Option<&PluggedIn>,
        issuer: &Issuer,
    ) -> Option<Problem> {
        if let Some(there) = there.filter(|t| !t.trusts(issuer.root()) && !self.replace_root) {
            let root = &there.roots[0];
            return Some(
                Problem::new(format!(
                    "{} holds a CA of another root: {} ({}), Vault's is {} ({})",
                    self.name(),
                    root.subject,
                    root.short_fingerprint(),
                    issuer.root().subject,
                    issuer.root().short_fingerprint()
                ))
                .hint(
                    "workloads of the two roots do not trust each other; to replace it nevertheless, \
                     set replace_root = true and restart all workloads afterwards",
                ),
            );
        }
        let owners = plugged_in::other_owners(secret);
        (!owners.is_empty() && !self.force).then(|| {
            Problem::new(format!("{} is owned by {}", self.name(), owners.join(", ")))
                .hint("to take it over, set force = true")
        })
    }

    fn root_diff(&self, there: &PluggedIn, issuer: &Issuer) -> Diff {
        let mut diff = Diff::act("hand out the certificate of the root that Vault has renewed, with the same key");
        let (before, after) = (root_with_end(&there.roots[0]), root_with_end(issuer.root()));
        diff.push_field(format!("{} root", self.name()), Some(before), Some(after));
        diff
    }

    fn diff(&self, there: Option<&PluggedIn>, issuer: &Issuer, reason: &str) -> Diff {
        let (name, ca) = (self.name(), there.map(|t| &t.ca));
        let organization = self.organization.as_ref().map(|o| format!("O={o}, ")).unwrap_or_default();
        let signer = |c: &Certificate| format!("{} ({})", c.subject, c.short_fingerprint());
        let above = issuer.certificate();
        let before = |c: &Certificate| if c.is_issued_by(above) { signer(above) } else { c.issuer.clone() };
        let mut diff = Diff::act(format!("have Vault's {} sign a CA for Istio: {reason}", self.mount));
        let mut push = |field: &str, before: Option<String>, after: String| {
            diff.push_field(format!("{name} {field}"), before, Some(after));
        };
        let subject = match (ca, self.organization.is_some()) {
            (Some(ca), false) if ca.common_name == self.common_name => ca.subject.clone(),
            _ => format!("{organization}CN={}", self.common_name),
        };
        push("subject", ca.map(|c| c.subject.clone()), subject);
        push("issuer", ca.map(before), signer(above));
        push("root", there.map(|t| signer(&t.roots[0])), signer(issuer.root()));
        let names = (ca.map(|c| c.dns_names.join(", ")).filter(|n| !n.is_empty()), self.dns_names().join(", "));
        if names.0.is_some() || !names.1.is_empty() {
            push("DNS names", names.0, names.1);
        }
        push("valid until", ca.map(Certificate::until), format!("{} from now", self.ttl));
        push("fingerprint", ca.map(|c| c.short_fingerprint().to_owned()), "known when it is signed".to_owned());
        push("private key", ca.map(|_| "the present one".to_owned()), "a new one, EC P-256".to_owned());
        diff
    }
}

impl Action for Cacerts {
    fn probes(&self) -> Vec<Probe> {
        let namespace = Query::one(KindRef::new("v1", "Namespace"), None, &self.namespace);
        let mut probes = vec![
            Probe::Kube(kube::Probe::Get(namespace)),
            plugged_in::probe(&self.namespace, &self.secret),
            Issuer::probe(&self.mount),
        ];
        probes.extend(self.root_mount.as_deref().map(Issuer::probe));
        probes
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        self.judge(facts).unwrap_or_else(|verdict| verdict)
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let changed = || {
            Problem::new(format!("the CA of Vault's {} changed while this step ran", self.mount))
                .hint("run again: nothing has been written to the cluster")
        };
        let apply = |certificate: &str, key: &Secret, issuer: &Issuer| {
            let object = Object(plugged_in::object(&self.namespace, &self.secret, certificate, key, issuer));
            Effect::Kube(kube::Effect::Apply { object, namespace: None, force: self.force, settling: false })
        };
        match done {
            [] if let Ok(issuer) = self.issuer(facts)
                && let Some(there) = self.lacks_only_root(facts, &issuer) =>
            {
                Ok(Some(apply(&there.ca_pem, &there.key, &issuer)))
            }
            [] => Ok(Some(Effect::Vault(vault::Effect::SignCsr(SignCsr {
                mount: path(&self.mount).to_owned(),
                common_name: self.common_name.clone(),
                organization: self.organization.clone().unwrap_or_default(),
                ttl: self.ttl.as_seconds(),
                max_path_length: 0,
                dns_names: self.dns_names.clone(),
            })))),
            [EffectResult::Vault(vault::EffectResult::Signed { certificate, key, .. })] => {
                let issuer = self.issuer(facts).map_err(|_| changed())?;
                let signed = Certificate::parse(certificate)
                    .map_err(|e| Problem::new(format!("the certificate that Vault signed cannot be read: {e}")))?;
                if !signed.is_issued_by(issuer.certificate()) {
                    return Err(changed());
                }
                check_lifetime(&signed, self.ttl, path(&self.mount))?;
                if let Some(difference) = self.difference(&signed) {
                    let message =
                        format!("Vault's {} signed a CA that differs from the request: {difference}", self.mount);
                    return Err(Problem::new(message).hint("nothing has been written to the cluster"));
                }
                Ok(Some(apply(certificate, key, &issuer)))
            }
            _ => Ok(None),
        }
    }

    fn predicted_diff(&self, facts: &[Fact]) -> Diff {
        // A missing namespace has no Secret either.
        self.issuer(facts).map(|issuer| self.diff(None, &issuer, "there is none")).unwrap_or_default()
    }

    fn outputs(&self, facts: &[Fact], done: &[EffectResult]) -> Outputs {
        let signed = match done.first() {
            Some(EffectResult::Vault(vault::EffectResult::Signed { certificate, .. })) => {
                Certificate::parse(certificate).ok()
            }
            _ => {
                let secret = plugged_in::secret(facts.get(SECRET)).ok().flatten();
                secret.and_then(|s| PluggedIn::parse(s).ok()).map(|there| there.ca)
            }
        };
        let (Some(ca), Ok(issuer)) = (signed, self.issuer(facts)) else { return Outputs::new() };
        [
            ("subject", json!(ca.subject)),
            ("issuer", json!(ca.issuer)),
            ("not_after", json!(ca.not_after.to_string())),
            ("fingerprint", json!(ca.fingerprint)),
            ("root", json!(issuer.root_pem())),
            ("root_fingerprint", json!(issuer.root().fingerprint)),
            ("rotated", json!(matches!(done.first(), Some(EffectResult::Vault(_))))),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

fn root_with_end(root: &Certificate) -> String {
    format!("{} ({}), valid until {}", root.subject, root.short_fingerprint(), root.until())
}

fn seconds(lifetime: Lifetime) -> SignedDuration {
    SignedDuration::from_secs(lifetime.as_seconds().cast_signed())
}
