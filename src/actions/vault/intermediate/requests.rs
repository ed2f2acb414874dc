//! The requests to Vault that issue an intermediate, and what their answers contain.

use serde_json::{Map, Value, json};

use super::params::{Intermediate, KeyType};
use crate::actions::vault::{Issuer, path};
use crate::connect::vault::{self, Data};
use crate::connect::{Effect, EffectResult};
use crate::event::Problem;

/// Indexes of the effects: the order in `next_effect`.
pub const GENERATE: usize = 0;
pub const SIGN: usize = 1;
pub const SET: usize = 2;
pub const CHOOSE: usize = 3;

impl Intermediate {
    fn subject(&self) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("common_name".into(), json!(self.common_name));
        if let Some(organization) = &self.organization {
            body.insert("organization".into(), json!(organization));
        }
        body.insert("exclude_cn_from_sans".into(), json!(true));
        body
    }

    pub fn generate(&self) -> Effect {
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

    pub fn sign(&self, csr: &str) -> Effect {
        let mut body = self.subject();
        body.insert("csr".into(), json!(csr));
        body.insert("ttl".into(), json!(format!("{}s", self.ttl.as_seconds())));
        body.insert("max_path_length".into(), json!(self.max_path_length));
        body.insert("format".into(), json!("pem"));
        write(format!("{}/root/sign-intermediate", path(&self.root_mount)), body)
    }

    /// Adds a hint to remove the key, which stays in the mount although its certificate was rejected. Deleting it here
    /// would fail where the token may create keys, but not delete them.
    pub fn with_key_left(&self, problem: Problem, done: &[EffectResult]) -> Problem {
        let Ok(key) = answered(done, GENERATE, "key_id") else { return problem };
        let hint = problem.hint.clone().map(|hint| format!("{hint}; ")).unwrap_or_default();
        let mount = path(&self.mount);
        problem.hint(format!("{hint}`vault delete {mount}/key/{key}` removes the key that was made for it"))
    }

    /// Stores the certificate together with the root: the mount can then serve the whole chain.
    pub fn set(&self, certificate: &str, root: &Issuer) -> Effect {
        let bundle = format!("{}\n{}", certificate.trim(), root.pems.concat());
        let body = Map::from_iter([("certificate".to_owned(), json!(bundle))]);
        write(format!("{}/intermediate/set-signed", path(&self.mount)), body)
    }

    /// Makes the new certificate the default issuer: Vault does not do so if the mount already had one.
    pub fn choose(&self, set: &Data) -> Result<Effect, Problem> {
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

fn write(path: String, body: Map<String, Value>) -> Effect {
    Effect::Vault(vault::Effect::Write { path, body: Data(body) })
}

/// A text in the result of an earlier effect.
pub fn answered<'a>(done: &'a [EffectResult], step: usize, key: &str) -> Result<&'a str, Problem> {
    match done.get(step) {
        Some(EffectResult::Vault(vault::EffectResult::Written(data))) => data.text(key),
        _ => None,
    }
    .ok_or_else(|| Problem::new(format!("Vault's answer has no {key}")))
}
