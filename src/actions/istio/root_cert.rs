//! `istio.root_cert`: istiod distributes the root of its Secret.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::plugged_in::{self, PluggedIn};
use crate::actions::certificate::Certificate;
use crate::actions::kube::objects;
use crate::actions::vault::Issuer;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::kube::{KindRef, Query, manifest};
use crate::connect::{Effect, EffectResult, Fact, Probe, kube};
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};

/// The ConfigMap `istio-ca-root-cert`, which istiod writes into every namespace, holds the root of istiod's Secret and
/// of Vault. The step waits until istiod has written it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RootCert {
    /// Namespaces whose ConfigMap is checked.
    pub namespaces: Vec<String>,
    /// Path of Vault's PKI mount that signed Istio's CA; its root is compared, too. Default: only the Secret is
    /// compared.
    #[serde(default)]
    pub mount: Option<String>,
    /// Namespace of istiod and its Secret. Default: `istio-system`.
    #[serde(default = "istio_system")]
    pub istio_namespace: String,
    /// Name of the Secret. Default: `cacerts`.
    #[serde(default = "cacerts")]
    pub secret: String,
}

fn istio_system() -> String {
    "istio-system".to_owned()
}

fn cacerts() -> String {
    plugged_in::NAME.to_owned()
}

/// Name of the ConfigMap that istiod writes.
const CONFIG_MAP: &str = "istio-ca-root-cert";

impl Spec for RootCert {
    const NAME: &'static str = "istio.root_cert";
    const SUMMARY: &'static str = "istiod distributes the root certificate of its Secret";
    const RUNS_ON: RunsOn = RunsOn::Cluster;
    const ROLE: Role = Role::Check;
    const OUTPUTS: &'static [Output] =
        &[Output { name: "root_fingerprint", about: "SHA-256 of the root, hexadecimal" }];
    const EXAMPLE: &'static str = r#"
[[phase.mesh-ca-proof.step]]
id = "root-handed-out"
action = "istio.root_cert"
namespaces = ["istio-system", "trading"]
mount = "pki_int"
timeout = "1m"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        if self.namespaces.is_empty() {
            return refuse("namespaces", "it cannot be empty");
        }
        Ok(())
    }
}

impl RootCert {
    fn judge(&self, facts: &[Fact]) -> Result<Verdict, Verdict> {
        let name = format!("Secret {}/{}", self.istio_namespace, self.secret);
        let Some(secret) = plugged_in::secret(facts.first())? else {
            return Ok(Verdict::Wait { seen: format!("there is no {name}") });
        };
        let there = PluggedIn::parse(secret).map_err(|why| {
            Verdict::Blocked(Problem::new(format!("{name}: {why}")).hint("create it with istio.cacerts"))
        })?;
        let config_maps = &facts[1..=self.namespaces.len()];
        if let (Some(mount), Some(fact)) = (&self.mount, facts.get(self.namespaces.len() + 1)) {
            let issuer = Issuer::of(mount, fact, None)?;
            if !there.trusts(issuer.root()) {
                let message = format!(
                    "the root in {name} is {} ({}), Vault's is {} ({})",
                    there.roots[0].subject,
                    there.roots[0].short_fingerprint(),
                    issuer.root().subject,
                    issuer.root().short_fingerprint()
                );
                return Ok(Verdict::Blocked(Problem::new(message).hint("let istio.cacerts renew it")));
            }
        }
        for (namespace, fact) in self.namespaces.iter().zip(config_maps) {
            if let Some(seen) = differs(namespace, objects(Some(fact))?.items.first(), &there) {
                return Ok(Verdict::Wait { seen });
            }
        }
        let root = &there.roots[0];
        let places = self.namespaces.join(", ");
        Ok(Verdict::Same { seen: format!("{} ({}) in {places}", root.subject, root.short_fingerprint()) })
    }
}

/// How the ConfigMap of a namespace differs from the Secret; `None` if it does not.
fn differs(namespace: &str, config_map: Option<&serde_json::Value>, there: &PluggedIn) -> Option<String> {
    let Some(config_map) = config_map else {
        return Some(format!("istiod has not written ConfigMap {namespace}/{CONFIG_MAP} yet"));
    };
    match Certificate::parse_all(manifest::text(config_map, "/data/root-cert.pem")) {
        Err(why) => Some(format!("ConfigMap {namespace}/{CONFIG_MAP}: {why}")),
        Ok(roots) if there.roots.iter().all(|root| roots.iter().any(|r| r.is_same_ca(root))) => None,
        Ok(roots) => Some(format!(
            "istiod distributes the root {} ({}) in {namespace}, not {} ({}): \
             istiod has not loaded the Secret; restart istiod if it started before the Secret existed",
            roots[0].subject,
            roots[0].short_fingerprint(),
            there.roots[0].subject,
            there.roots[0].short_fingerprint()
        )),
    }
}

impl Action for RootCert {
    fn probes(&self) -> Vec<Probe> {
        let config_map = |namespace: &String| {
            let query = Query::one(KindRef::new("v1", "ConfigMap"), Some(namespace), CONFIG_MAP);
            Probe::Kube(kube::Probe::Get(query))
        };
        let mut probes = vec![plugged_in::probe(&self.istio_namespace, &self.secret)];
        probes.extend(self.namespaces.iter().map(config_map));
        probes.extend(self.mount.as_deref().map(Issuer::probe));
        probes
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        if facts.len() < self.probes().len() {
            return Verdict::Blocked(Problem::new("there are fewer answers than probes"));
        }
        self.judge(facts).unwrap_or_else(|verdict| verdict)
    }

    fn next_effect(&self, _: &[Fact], _: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(None)
    }

    fn outputs(&self, facts: &[Fact], _: &[EffectResult]) -> Outputs {
        let secret = plugged_in::secret(facts.first()).ok().flatten();
        let there = secret.and_then(|s| PluggedIn::parse(s).ok());
        there.map(|t| ("root_fingerprint".to_owned(), json!(t.roots[0].fingerprint))).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::plugged_in::testing::{cacerts, found};
    use super::*;
    use crate::actions::certificate::testing::{Ca, below, issuer_fact, root};

    fn action() -> RootCert {
        toml::from_str("namespaces = ['istio-system', 'trading']\nmount = 'pki_int'").unwrap()
    }

    fn config_map(root: &Ca) -> Fact {
        found(vec![json!({ "data": { "root-cert.pem": root.pem() } })])
    }

    #[test]
    fn the_same_root_everywhere_passes() {
        let r = root("root");
        let i = below(&r, "intermediate", "2030-01-01", Some(1));
        let facts = [found(vec![cacerts(&[&i, &r])]), config_map(&r), config_map(&r), issuer_fact(&[&i, &r])];
        let Verdict::Same { seen } = action().verdict(&facts) else { panic!() };
        assert!(seen.starts_with("CN=root (") && seen.ends_with(") in istio-system, trading"), "{seen}");
        assert_eq!(action().outputs(&facts, &[]).len(), 1);
    }

    #[test]
    fn a_namespace_without_it_or_with_another_is_waited_for() {
        let (r, own) = (root("root"), root("cluster.local"));
        let i = below(&r, "intermediate", "2030-01-01", Some(1));
        let secret = || found(vec![cacerts(&[&i, &r])]);
        let issuer = || issuer_fact(&[&i, &r]);
        let Verdict::Wait { seen } = action().verdict(&[secret(), config_map(&r), found(vec![]), issuer()]) else {
            panic!()
        };
        assert_eq!(seen, "istiod has not written ConfigMap trading/istio-ca-root-cert yet");
        let Verdict::Wait { seen } = action().verdict(&[secret(), config_map(&own), config_map(&r), issuer()]) else {
            panic!()
        };
        assert!(seen.starts_with("istiod distributes the root CN=cluster.local ("), "{seen}");
        let Verdict::Wait { seen } = action().verdict(&[found(vec![]), config_map(&r), config_map(&r), issuer()])
        else {
            panic!()
        };
        assert_eq!(seen, "there is no Secret istio-system/cacerts");
    }

    #[test]
    fn a_secret_of_another_root_than_vaults_is_wrong() {
        let (r, other) = (root("root"), root("vault root"));
        let i = below(&r, "intermediate", "2030-01-01", Some(1));
        let facts = [found(vec![cacerts(&[&i, &r])]), config_map(&r), config_map(&r), issuer_fact(&[&other])];
        let Verdict::Blocked(problem) = action().verdict(&facts) else { panic!() };
        assert!(problem.message.contains("Vault's is CN=vault root ("), "{}", problem.message);
    }
}
