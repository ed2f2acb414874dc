//! Reads and writes the Secret from which istiod takes its CA.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::actions::certificate::{Certificate, chain_to_root};
use crate::actions::kube::objects;
use crate::actions::vault::Issuer;
use crate::actions::{Resource, Verdict};
use crate::connect::kube::{FIELD_MANAGER, KindRef, Probe as KubeProbe, Query, manifest};
use crate::connect::{Fact, Probe};
use crate::secret::Secret;

/// Keys that istiod reads from the Secret.
const CA_CERT: &str = "ca-cert.pem";
const CA_KEY: &str = "ca-key.pem";
const CERT_CHAIN: &str = "cert-chain.pem";
const ROOT_CERT: &str = "root-cert.pem";

/// Name of the Secret that istiod looks for.
pub const NAME: &str = "cacerts";

/// The content of the Secret.
pub struct PluggedIn {
    /// Istio's CA.
    pub ca: Certificate,
    pub ca_pem: String,
    /// Private key of `ca`.
    pub key: Secret,
    /// The certificates that istiod appends to every workload's certificate: the CA, then those above it.
    chain: Vec<Certificate>,
    /// The roots that workloads trust.
    pub roots: Vec<Certificate>,
}

pub fn probe(namespace: &str, name: &str) -> Probe {
    Probe::Kube(KubeProbe::Get(Query::one(KindRef::new("v1", "Secret"), Some(namespace), name)))
}

/// The Secret in a fact, if it exists.
///
/// # Errors
/// The verdict to return if the fact is no answer about objects.
pub fn secret(fact: Option<&Fact>) -> Result<Option<&Value>, Verdict> {
    Ok(objects(fact)?.items.first())
}

impl PluggedIn {
    /// Parses the Secret.
    ///
    /// # Errors
    /// The key that is missing or cannot be parsed; the message never contains a value.
    pub fn parse(secret: &Value) -> Result<Self, String> {
        let text = |key: &str| {
            let encoded = secret.get("data").and_then(|data| data.get(key)?.as_str());
            let encoded = encoded.ok_or_else(|| format!("it has no {key}"))?;
            let bytes = STANDARD.decode(encoded).map_err(|_| format!("{key} is no base64"))?;
            String::from_utf8(bytes).map_err(|_| format!("{key} is no text"))
        };
        let key = Secret::new(text(CA_KEY)?);
        let certificates = |name: &str| Certificate::parse_all(&text(name)?).map_err(|e| format!("{name}: {e}"));
        Ok(Self {
            ca: certificates(CA_CERT)?.swap_remove(0),
            ca_pem: text(CA_CERT)?,
            key,
            chain: certificates(CERT_CHAIN)?,
            roots: certificates(ROOT_CERT)?,
        })
    }

    /// Why istiod cannot work with the Secret; `None` if it can.
    pub fn defect(&self) -> Option<String> {
        if !self.ca.is_ca {
            return Some(format!("{CA_CERT} is no CA"));
        }
        match self.ca.has_key(&self.key) {
            Ok(true) => {}
            Ok(false) => return Some(format!("{CA_KEY} does not belong to {CA_CERT}")),
            Err(why) => return Some(format!("{CA_KEY}: {why}")),
        }
        if self.chain.first() != Some(&self.ca) {
            return Some(format!("{CERT_CHAIN} does not begin with {CA_CERT}"));
        }
        self.trusted_chain(&self.ca).err().map(|why| format!("{CERT_CHAIN}: {why}"))
    }

    /// The chain from a certificate up to one of the roots.
    ///
    /// # Errors
    /// Names the certificate whose issuer is missing.
    pub fn trusted_chain(&self, certificate: &Certificate) -> Result<Vec<Certificate>, String> {
        let mut pool = self.chain.clone();
        pool.extend(self.roots.iter().cloned());
        let way = chain_to_root(certificate, &pool)?;
        match way.last() {
            Some(root) if self.trusts(root) => Ok(way),
            _ => Err(format!("it does not lead to {ROOT_CERT}")),
        }
    }

    /// Whether workloads trust `root`: one of their roots is a certificate of the same CA.
    pub fn trusts(&self, root: &Certificate) -> bool {
        self.roots.iter().any(|own| own.is_same_ca(root))
    }
}

/// Field managers other than this tool that own a value of the Secret.
pub fn other_owners(secret: &Value) -> Vec<&str> {
    let mut owners: Vec<&str> = manifest::list(secret, "/metadata/managedFields")
        .iter()
        .filter(|entry| entry.pointer("/fieldsV1/f:data").is_some())
        .map(|entry| manifest::text(entry, "/manager"))
        .filter(|manager| *manager != FIELD_MANAGER)
        .collect();
    owners.dedup();
    owners
}

/// The Secret to write: the CA, its key, and the certificates above the CA. The chain leaves out the root: workloads
/// already have it, and it would be sent with every handshake.
pub fn object(namespace: &str, name: &str, certificate: &str, key: &Secret, issuer: &Issuer) -> Value {
    let certificate = certificate.trim().to_owned() + "\n";
    let between = issuer.pems[..issuer.pems.len() - 1].concat();
    let chain = format!("{certificate}{between}");
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "namespace": namespace },
        "type": "Opaque",
        "data": {
            CA_CERT: STANDARD.encode(&certificate),
            CA_KEY: STANDARD.encode(key.expose()),
            CERT_CHAIN: STANDARD.encode(chain),
            ROOT_CERT: STANDARD.encode(issuer.root_pem()),
        },
    })
}

/// Checks that the namespace exists.
///
/// # Errors
/// The verdict to return if the fact says that it does not.
pub fn namespace(name: &str, fact: Option<&Fact>) -> Result<(), Verdict> {
    if objects(fact)?.items.is_empty() { Err(Verdict::Missing(Resource::Namespace(name.to_owned()))) } else { Ok(()) }
}

/// Secrets with CAs, for tests.
#[cfg(test)]
pub mod testing {
    use super::*;
    use crate::actions::certificate::testing::Ca;
    use crate::connect::kube;

    /// A Secret; `chain` begins with Istio's CA and ends with its root.
    pub fn cacerts(chain: &[&Ca]) -> Value {
        let pems = |cas: &[&Ca]| STANDARD.encode(cas.iter().map(|ca| ca.pem()).collect::<String>());
        let (first, last) = (chain[0], chain[chain.len() - 1]);
        let mut secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": NAME, "namespace": "istio-system" },
            "data": {},
        });
        secret["data"][CA_CERT] = json!(pems(&[first]));
        secret["data"][CA_KEY] = json!(STANDARD.encode(first.key().serialize_pem()));
        secret["data"][CERT_CHAIN] = json!(pems(&chain[..chain.len() - 1]));
        secret["data"][ROOT_CERT] = json!(pems(&[last]));
        secret
    }

    pub fn found(items: Vec<Value>) -> Fact {
        Fact::Kube(kube::Fact::Objects(kube::Objects::of(items)))
    }
}

#[cfg(test)]
mod tests {
    use super::testing::cacerts;
    use super::*;
    use crate::actions::certificate::testing::{below, root};

    #[test]
    fn a_sound_secret_has_no_defect() {
        let r = root("root");
        let i = below(&r, "intermediate", "2030-01-01", Some(1));
        let ca = below(&i, "Istio CA", "2027-01-01", Some(0));
        let plugged = PluggedIn::parse(&cacerts(&[&ca, &i, &r])).unwrap();
        assert_eq!(plugged.defect(), None);
        assert_eq!(plugged.ca.common_name, "Istio CA");
    }

    #[test]
    fn every_defect_is_named() {
        let (r, other) = (root("root"), root("other"));
        let i = below(&r, "intermediate", "2030-01-01", Some(1));
        let ca = below(&i, "Istio CA", "2027-01-01", Some(0));
        let sound = cacerts(&[&ca, &i, &r]);
        let defect = |key: &str, from: &Value| {
            let mut secret = sound.clone();
            secret["data"][key] = from["data"][key].clone();
            PluggedIn::parse(&secret).map(|p| p.defect().unwrap())
        };
        let foreign = cacerts(&[&other, &other]);
        assert_eq!(defect(CA_KEY, &foreign).unwrap(), "ca-key.pem does not belong to ca-cert.pem");
        assert_eq!(defect(CERT_CHAIN, &foreign).unwrap(), "cert-chain.pem does not begin with ca-cert.pem");
        assert!(defect(ROOT_CERT, &foreign).unwrap().contains("its issuer is CN=root"));
        assert_eq!(defect(CA_CERT, &json!({})).unwrap_err(), "it has no ca-cert.pem");
        let broken = json!({ "data": { ROOT_CERT: "YQ==" } });
        assert_eq!(defect(ROOT_CERT, &broken).unwrap_err(), "root-cert.pem: there is no PEM certificate in it");
    }

    #[test]
    fn only_owners_of_values_count() {
        let secret = json!({ "metadata": { "managedFields": [
            { "manager": "rollout", "fieldsV1": { "f:data": {} } },
            { "manager": "kubectl-create", "fieldsV1": { "f:data": {} } },
            { "manager": "labeler", "fieldsV1": { "f:metadata": {} } },
        ] } });
        assert_eq!(other_owners(&secret), ["kubectl-create"]);
    }
}
