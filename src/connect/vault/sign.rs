//! Requests a CA certificate for a private key that is generated here: Vault sees the signing request, never the key.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::json;

use super::{Backend, Data, EffectResult, SignCsr};
use crate::connect::{CallContext, ConnectError};
use crate::secret::Secret;

impl Backend {
    pub(super) async fn sign(&self, request: &SignCsr, call: &CallContext) -> Result<EffectResult, ConnectError> {
        let failed = |e: rcgen::Error| ConnectError::failed(format!("no signing request could be made: {e}"));
        let pair = KeyPair::generate().map_err(failed)?;
        let key = Secret::new(pair.serialize_pem());
        let csr = parameters(request).and_then(|p| p.serialize_request(&pair)).and_then(|c| c.pem()).map_err(failed)?;
        let path = format!("{}/root/sign-intermediate", request.mount);
        let answer = self.write(&path, &body(request, &csr), call).await?;
        let certificate = answer.text("certificate").unwrap_or_default().to_owned();
        if certificate.is_empty() {
            return Err(ConnectError::failed(format!("Vault answers {path} without a certificate")));
        }
        let mut chain: Vec<String> = answer.texts("ca_chain").into_iter().map(str::to_owned).collect();
        if chain.is_empty() {
            chain.extend(answer.text("issuing_ca").map(str::to_owned));
        }
        Ok(EffectResult::Signed { certificate, chain, key })
    }
}

fn parameters(request: &SignCsr) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(request.dns_names.clone())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, &request.common_name);
    if !request.organization.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, &request.organization);
    }
    Ok(params)
}

/// Parameters of `root/sign-intermediate`. Vault takes the subject from here, not from the signing request.
fn body(request: &SignCsr, csr: &str) -> Data {
    let mut body = serde_json::Map::new();
    body.insert("csr".into(), json!(csr));
    body.insert("format".into(), json!("pem"));
    body.insert("common_name".into(), json!(request.common_name));
    body.insert("exclude_cn_from_sans".into(), json!(true));
    body.insert("ttl".into(), json!(format!("{}s", request.ttl)));
    body.insert("max_path_length".into(), json!(request.max_path_length));
    if !request.organization.is_empty() {
        body.insert("organization".into(), json!(request.organization));
    }
    if !request.dns_names.is_empty() {
        body.insert("alt_names".into(), json!(request.dns_names.join(",")));
    }
    Data(body)
}
