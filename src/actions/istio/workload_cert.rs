//! `istio.workload_cert`: a workload's certificate is issued by istiod's CA.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::plugged_in::{self, PluggedIn};
use crate::actions::certificate::{Certificate, chain_to_root};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::kube::{Exec, ExecOutcome, manifest};
use crate::connect::{Effect, EffectResult, Fact, Probe, kube};
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};

/// The certificate that a pod's sidecar presents is signed by the CA in istiod's Secret, and leads to its root. The
/// step reads it from the sidecar itself: this is the certificate that other workloads see.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkloadCert {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod. Give either `pod` or `selector`.
    #[serde(default)]
    pub pod: Option<String>,
    /// Label selector as `kubectl -l` takes it; the first ready pod is used.
    #[serde(default)]
    pub selector: Option<String>,
    /// Container of the proxy. Default: `istio-proxy`.
    #[serde(default = "istio_proxy")]
    pub container: String,
    /// Namespace of istiod and its Secret. Default: `istio-system`.
    #[serde(default = "istio_system")]
    pub istio_namespace: String,
    /// Name of the Secret. Default: `cacerts`.
    #[serde(default = "cacerts")]
    pub secret: String,
}

fn istio_proxy() -> String {
    "istio-proxy".to_owned()
}

fn istio_system() -> String {
    "istio-system".to_owned()
}

fn cacerts() -> String {
    plugged_in::NAME.to_owned()
}

/// How much younger than istiod's new CA a workload's certificate may be and still be issued by the old CA. Istiod
/// loads a new Secret within a minute or two, and dates certificates back by two minutes.
const ROTATION_GRACE: SignedDuration = SignedDuration::from_mins(3);

impl Spec for WorkloadCert {
    const NAME: &'static str = "istio.workload_cert";
    const SUMMARY: &'static str = "a workload's certificate comes from the CA that istiod was given";
    const RUNS_ON: RunsOn = RunsOn::Cluster;
    const ROLE: Role = Role::Check;
    const OUTPUTS: &'static [Output] = &[
        Output { name: "pod", about: "the pod that was asked" },
        Output { name: "identity", about: "the workload's SPIFFE identity" },
        Output { name: "issuer", about: "issuer of its certificate" },
        Output { name: "not_after", about: "end of its certificate's validity, RFC 3339" },
    ];
    const EXAMPLE: &'static str = r#"
[[phase.verify.step]]
id = "workload-certificate"
action = "istio.workload_cert"
namespace = "trading"
selector = "app=trading-agent"
timeout = "1m"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        let message = match (&self.pod, &self.selector) {
            (None, None) => "pod or selector is needed",
            (Some(_), Some(_)) => "pod and selector exclude each other",
            _ => return Ok(()),
        };
        refuse("", message)
    }
}

impl WorkloadCert {
    fn judge(&self, facts: &[Fact]) -> Result<Verdict, Verdict> {
        let name = format!("Secret {}/{}", self.istio_namespace, self.secret);
        let Some(secret) = plugged_in::secret(facts.first())? else {
            return Ok(Verdict::Wait { seen: format!("there is no {name}") });
        };
        let there = PluggedIn::parse(secret).map_err(|why| {
            Verdict::Blocked(Problem::new(format!("{name}: {why}")).hint("create it with istio.cacerts"))
        })?;
        let (pod, leaf, chain) = match presented(facts) {
            Ok(presented) => presented,
            Err(seen) => return Ok(Verdict::Wait { seen }),
        };
        let chain = chain.split_first().map_or(&[][..], |(_, rest)| rest);
        let ca = &there.ca;
        if leaf.is_issued_by(ca) {
            return Ok(match there.trusted_chain(&leaf) {
                Ok(way) => Verdict::Same { seen: description(&pod, &leaf, &way) },
                Err(why) => Verdict::Blocked(Problem::new(format!("{name}: {why}")).hint("let istio.cacerts renew it")),
            });
        }
        let mut pool = chain.to_vec();
        pool.extend(there.roots.iter().cloned());
        let trusted = chain_to_root(&leaf, &pool).is_ok_and(|way| way.last().is_some_and(|root| there.trusts(root)));
        if !trusted {
            return Ok(Verdict::Blocked(
                Problem::new(format!(
                    "the certificate of pod {}/{pod} is issued by {}, not by {} of {name}, and leads to another root",
                    self.namespace, leaf.issuer, ca.subject
                ))
                .hint(format!(
                    "istiod makes a CA of its own when it starts without the Secret: restart it, then the workloads: \
                     kubectl -n {} rollout restart deployment istiod; kubectl -n {} rollout restart deployment",
                    self.istio_namespace, self.namespace
                )),
            ));
        }
        if ca.not_before.saturating_add(ROTATION_GRACE).is_ok_and(|taken| leaf.not_before <= taken) {
            let seen = format!("pod {pod}: {} is issued by the CA before this one, of the same root", identity(&leaf));
            return Ok(Verdict::Same { seen });
        }
        Ok(Verdict::Wait {
            seen: format!(
                "the certificate of pod {}/{pod} is newer than {} of {name}, but not signed by it: \
                 istiod has not taken the Secret yet",
                self.namespace, ca.subject
            ),
        })
    }
}

/// The identity and its chain: `identity ← CA ← ... ← root`.
fn description(pod: &str, leaf: &Certificate, way: &[Certificate]) -> String {
    let above: String = way.iter().skip(1).map(|c| format!(" ← {}", c.common_name)).collect();
    format!("pod {pod}: {}{above}", identity(leaf))
}

fn identity(leaf: &Certificate) -> &str {
    leaf.uris.first().map_or(leaf.subject.as_str(), String::as_str)
}

/// The pod, its certificate, and all certificates that it presents; otherwise what the pod said instead.
fn presented(facts: &[Fact]) -> Result<(String, Certificate, Vec<Certificate>), String> {
    let Some(Fact::Kube(kube::Fact::Exec(seen))) = facts.get(1) else {
        return Err("no pod was asked".to_owned());
    };
    let (pod, stdout) = match seen {
        ExecOutcome::Ended { pod, exit: 0, stdout, .. } => (pod, stdout),
        ExecOutcome::Ended { pod, exit, stderr, .. } => {
            return Err(format!(
                "the proxy of pod {pod} does not say its certificate: exit status {exit}: {}",
                stderr.trim()
            ));
        }
        ExecOutcome::NoPod(why) | ExecOutcome::NotRun(why) => return Err(why.clone()),
    };
    let chain = default_secret(stdout).ok_or_else(|| format!("the proxy of pod {pod} has no certificate yet"))?;
    let chain = Certificate::parse_all(&chain).map_err(|why| format!("the certificate of pod {pod}: {why}"))?;
    Ok((pod.clone(), chain[0].clone(), chain))
}

/// The certificate chain of Envoy's secret `default`, from Envoy's configuration dump. The agent that fetches the dump
/// may write log lines before and after it.
fn default_secret(output: &str) -> Option<String> {
    let dump = output.get(output.find('{')?..)?;
    let dump = serde_json::Deserializer::from_str(dump).into_iter::<Value>().next()?.ok()?;
    let secrets = manifest::list(&dump, "/configs");
    let default = secrets.iter().find(|s| manifest::text(s, "/name") == "default")?;
    let chain = default.pointer("/secret/tls_certificate/certificate_chain")?;
    match chain.get("inline_bytes").and_then(Value::as_str) {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => chain.get("inline_string")?.as_str().map(str::to_owned),
    }
}

impl Action for WorkloadCert {
    fn probes(&self) -> Vec<Probe> {
        let exec = Exec {
            namespace: self.namespace.clone(),
            pod: self.pod.clone(),
            selector: self.selector.clone(),
            container: Some(self.container.clone()),
            command: ["pilot-agent", "request", "GET", "config_dump?resource=dynamic_active_secrets"]
                .map(str::to_owned)
                .to_vec(),
            stdin: None,
        };
        vec![plugged_in::probe(&self.istio_namespace, &self.secret), Probe::Kube(kube::Probe::Exec(exec))]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        self.judge(facts).unwrap_or_else(|verdict| verdict)
    }

    fn next_effect(&self, _: &[Fact], _: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(None)
    }

    fn outputs(&self, facts: &[Fact], _: &[EffectResult]) -> Outputs {
        let Ok((pod, leaf, _)) = presented(facts) else { return Outputs::new() };
        [
            ("pod", json!(pod)),
            ("identity", json!(identity(&leaf))),
            ("issuer", json!(leaf.issuer)),
            ("not_after", json!(leaf.not_after.to_string())),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

#[cfg(test)]
pub mod testing {
    use rcgen::{KeyPair, SanType};

    use super::*;
    use crate::actions::certificate::testing::{Ca, leaf_params};

    pub const IDENTITY: &str = "spiffe://cluster.local/ns/trading/sa/agent";

    /// Envoy's dump with a workload certificate issued in `year`, and the certificates above it.
    pub fn dump(year: i32, issuer: &Ca, above: &[&Ca]) -> String {
        let mut params = leaf_params("", "2028-01-01");
        params.not_before = rcgen::date_time_ymd(year, 2, 1);
        params.subject_alt_names = vec![SanType::URI(IDENTITY.try_into().unwrap())];
        let leaf = params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap();
        let chain: String = std::iter::once(leaf.pem()).chain(above.iter().map(|ca| ca.pem())).collect();
        json!({ "configs": [
            { "name": "ROOTCA", "secret": { "validation_context": {} } },
            { "name": "default", "secret": { "tls_certificate": {
                "certificate_chain": { "inline_bytes": STANDARD.encode(chain) },
                "private_key": { "inline_bytes": "W3JlZGFjdGVkXQ==" },
            } } },
        ] })
        .to_string()
    }

    /// The fact that the proxy of `agent-1` printed `stdout`.
    pub fn proxy_says(stdout: String) -> Fact {
        let seen = ExecOutcome::Ended { pod: "agent-1".into(), exit: 0, stdout, stderr: String::new() };
        Fact::Kube(kube::Fact::Exec(seen))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::KeyPair;

    use super::super::plugged_in::testing::{cacerts, found};
    use super::testing::{IDENTITY, dump, proxy_says};
    use super::*;
    use crate::actions::certificate::testing::{Ca, below, ca_params, root};

    fn action() -> WorkloadCert {
        toml::from_str("namespace = 'trading'\nselector = 'app=agent'").unwrap()
    }

    /// A root, an intermediate and Istio's CA.
    fn authorities() -> (Ca, Ca, Ca) {
        let r = root("root");
        let i = below(&r, "intermediate", "2030-01-01", Some(1));
        let ca = below(&i, "Istio CA", "2027-01-01", Some(0));
        (r, i, ca)
    }

    #[test]
    fn one_of_the_present_ca_passes() {
        let (r, i, ca) = authorities();
        let facts = [found(vec![cacerts(&[&ca, &i, &r])]), proxy_says(dump(2026, &ca, &[&ca, &i]))];
        let seen = format!("pod agent-1: {IDENTITY} ← Istio CA ← intermediate ← root");
        assert_eq!(action().verdict(&facts), Verdict::Same { seen });
        let outputs = action().outputs(&facts, &[]);
        assert_eq!(outputs["identity"], IDENTITY);
        assert!(WorkloadCert::OUTPUTS.iter().all(|o| outputs.contains_key(o.name)));
        let logged = format!("warn\tOS CA Cert could not be found\n{}\ninfo\tbye\n", dump(2026, &ca, &[&ca, &i]));
        let facts = [found(vec![cacerts(&[&ca, &i, &r])]), proxy_says(logged)];
        assert!(matches!(action().verdict(&facts), Verdict::Same { .. }));
    }

    #[test]
    fn one_of_istiods_own_ca_does_not() {
        let (r, i, ca) = authorities();
        let own = root("cluster.local");
        let facts = [found(vec![cacerts(&[&ca, &i, &r])]), proxy_says(dump(2026, &own, &[&own]))];
        let Verdict::Blocked(problem) = action().verdict(&facts) else { panic!() };
        assert!(
            problem.message.starts_with("the certificate of pod trading/agent-1 is issued by CN=cluster.local, not by")
        );
        assert!(problem.hint.unwrap().contains("rollout restart deployment istiod"));
    }

    #[test]
    fn one_of_a_namesake_does_not() {
        let (r, i, ca) = authorities();
        let (other_r, other_i, other_ca) = authorities();
        let dump = dump(2026, &other_ca, &[&other_ca, &other_i, &other_r]);
        let verdict = action().verdict(&[found(vec![cacerts(&[&ca, &i, &r])]), proxy_says(dump)]);
        assert!(matches!(verdict, Verdict::Blocked(_)), "{verdict:?}");
    }

    #[test]
    fn one_from_before_a_renewal_is_still_trusted() {
        let (r, i, old) = authorities();
        let mut params = ca_params("Istio CA", "2029-01-01", Some(0));
        params.not_before = rcgen::date_time_ymd(2026, 5, 1);
        let new = rcgen::CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &i).unwrap();
        let secret = || found(vec![cacerts(&[&new, &i, &r])]);
        let Verdict::Same { seen } = action().verdict(&[secret(), proxy_says(dump(2026, &old, &[&old, &i]))]) else {
            panic!()
        };
        assert_eq!(seen, format!("pod agent-1: {IDENTITY} is issued by the CA before this one, of the same root"));
        // Issued after the renewal by the old CA: istiod has not loaded the new one yet.
        let Verdict::Wait { seen } = action().verdict(&[secret(), proxy_says(dump(2027, &old, &[&old, &i]))]) else {
            panic!()
        };
        assert!(seen.ends_with("istiod has not taken the Secret yet"), "{seen}");
    }

    #[test]
    fn what_is_not_there_yet_is_waited_for() {
        let (r, i, ca) = authorities();
        let secret = || found(vec![cacerts(&[&ca, &i, &r])]);
        let waits = |facts: &[Fact]| match action().verdict(facts) {
            Verdict::Wait { seen } => seen,
            other => panic!("{other:?}"),
        };
        assert_eq!(waits(&[found(vec![]), proxy_says(String::new())]), "there is no Secret istio-system/cacerts");
        let no_pod = Fact::Kube(kube::Fact::Exec(ExecOutcome::NoPod("no pod has app=agent".into())));
        assert_eq!(waits(&[secret(), no_pod]), "no pod has app=agent");
        let empty = proxy_says(json!({ "configs": [] }).to_string());
        assert_eq!(waits(&[secret(), empty]), "the proxy of pod agent-1 has no certificate yet");
        let failed =
            ExecOutcome::Ended { pod: "p".into(), exit: 1, stdout: String::new(), stderr: "no Envoy\n".into() };
        let seen = waits(&[secret(), Fact::Kube(kube::Fact::Exec(failed))]);
        assert_eq!(seen, "the proxy of pod p does not say its certificate: exit status 1: no Envoy");
    }

    #[test]
    fn one_pod_is_meant() {
        let rules = |toml: &str| toml::from_str::<WorkloadCert>(toml).unwrap().rules();
        assert!(rules("namespace = 'a'").is_err());
        assert!(rules("namespace = 'a'\npod = 'b'\nselector = 'c'").is_err());
        assert!(rules("namespace = 'a'\npod = 'b'").is_ok());
    }
}
