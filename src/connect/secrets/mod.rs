//! Reads all secrets that a run needs before the run starts, so that all problems are reported at once.
//!
//! Each value becomes a [`Secret`] as soon as it is read. Knows the inventory, Vault, and the programs and files that
//! hold secrets; never what the secrets are for.

mod age;
mod refusal;
mod sops;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use refusal::{Refusal, cannot_read};

use super::{CallContext, vault};
use crate::finding::{Finding, Findings, did_you_mean, listed};
use crate::inventory::{Inventory, Origin, SecretEntry};
use crate::secret::{MIN_MASKED_BYTES, Secret, environment};

/// Timeout of each request to Vault and of each call of `sops`.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The permission bits of group and others.
const OTHERS_MODE: u32 = 0o077;

/// Not all secrets could be read.
#[derive(Debug)]
pub struct UnreadableSecrets {
    /// One error for each unreadable secret, and all warnings.
    pub findings: Findings,
    /// Whether all failures are sources that could not be reached: nothing is known to be wrong with the secrets
    /// themselves then.
    pub unreachable: bool,
}

/// Reads the values of `entries`. The findings are warnings: readable by others, too short.
///
/// # Errors
/// When one of them cannot be read; all are tried.
pub async fn read(
    entries: &[&SecretEntry],
    inventory: &Inventory,
) -> Result<(BTreeMap<String, Secret>, Findings), UnreadableSecrets> {
    let mut reader = Reader {
        vault: vault::Backend::new(inventory),
        documents: HashMap::new(),
        fields: HashMap::new(),
        findings: Findings::new(),
    };
    let mut values = BTreeMap::new();
    let mut unreachable = true;
    for entry in entries {
        match reader.value(entry).await {
            Ok(value) => {
                reader.warn_if_short(entry, &value);
                values.insert(entry.name.value.clone(), value);
            }
            Err(refusal) => {
                unreachable &= refusal.unreachable;
                let message = format!("secret `{}`: {}", entry.name.value, refusal.message);
                let finding = Finding::error("no-secret", message).help(refusal.hint);
                reader.findings.push(finding.at(&entry.file, entry.span.clone(), ""));
            }
        }
    }
    reader.findings.or(values).map_err(|findings| UnreadableSecrets { findings, unreachable })
}

struct Reader {
    vault: vault::Backend,
    /// Decrypted SOPS files, by path: each is decrypted once.
    documents: HashMap<PathBuf, Value>,
    /// Fields of Vault secrets, by path and version of the engine: each is requested once.
    fields: HashMap<(String, u32), Map<String, Value>>,
    findings: Findings,
}

impl Reader {
    async fn value(&mut self, entry: &SecretEntry) -> Result<Secret, Refusal> {
        match &entry.origin {
            Origin::Env(name) => env(name),
            Origin::File(path) => {
                self.warn_of_mode(entry, path);
                let hint = "write the value into that file, with mode 0600";
                let bytes = std::fs::read(path).map_err(|e| Refusal::new(cannot_read(path, &e), hint))?;
                text(bytes, path)
            }
            Origin::Age { file, identity } => {
                let identity = identity.clone().or_else(age::standard_identity).ok_or_else(|| {
                    let hint = "add `identity = \"PATH\"` to the secret, or set ROLLOUT_AGE_IDENTITY";
                    Refusal::new(format!("there is no age key to decrypt {} with", file.display()), hint)
                })?;
                self.warn_of_mode(entry, &identity);
                text(age::decrypt(file, &identity)?, file)
            }
            Origin::Sops { file, key } => self.read_sops(file, key).await,
            Origin::Vault { path, key, kv } => self.read_vault(path, key, *kv).await,
        }
    }

    async fn read_sops(&mut self, file: &Path, key: &[String]) -> Result<Secret, Refusal> {
        if !self.documents.contains_key(file) {
            self.documents.insert(file.to_owned(), sops::decrypt("sops", file, READ_TIMEOUT).await?);
        }
        let (document, source) = (&self.documents[file], file.display());
        let found = key.iter().try_fold(document, |value, name| {
            let names = value.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
            value.get(name).ok_or_else(|| missing(&source, &key.join("."), name, names.collect()))
        })?;
        scalar(found, &source, &key.join("."))
    }

    async fn read_vault(&mut self, path: &str, key: &str, kv: u32) -> Result<Secret, Refusal> {
        let (id, source) = ((path.to_owned(), kv), format!("{path} in Vault"));
        if !self.fields.contains_key(&id) {
            let fields = self.vault_fields(path, kv).await?;
            self.fields.insert(id.clone(), fields);
        }
        let fields = &self.fields[&id];
        let names = || fields.keys().map(String::as_str).collect();
        scalar(fields.get(key).ok_or_else(|| missing(&source, key, key, names()))?, &source, key)
    }

    async fn vault_fields(&self, path: &str, kv: u32) -> Result<Map<String, Value>, Refusal> {
        let (mount, below) = path.split_once('/').unwrap_or((path, ""));
        let api_path = if kv == 2 { format!("{mount}/data/{below}") } else { path.to_owned() };
        match self.vault.probe(&vault::Probe::Read { path: api_path }, &CallContext::silent(READ_TIMEOUT)).await? {
            vault::Fact::Found { data, .. } if kv != 2 => Ok(data.0),
            // KV version 2 answers for a deleted version without an object of fields.
            vault::Fact::Found { mut data, .. } if data.0.get("data").is_some_and(Value::is_object) => {
                match data.0.remove("data") {
                    Some(Value::Object(fields)) => Ok(fields),
                    _ => Ok(Map::new()),
                }
            }
            _ => {
                let hint = format!("check with `vault kv get {path}`; for version 1 of the engine, add `kv = 1`");
                Err(Refusal::new(format!("{path} does not exist in Vault, or was deleted"), hint))
            }
        }
    }

    /// Warns when others on this machine may read the file.
    fn warn_of_mode(&mut self, entry: &SecretEntry, path: &Path) {
        let mode = std::fs::metadata(path).map_or(0, |meta| meta.permissions().mode() & 0o7777);
        if mode & OTHERS_MODE != 0 {
            let message = format!("{} has mode {mode:04o}, so others on this machine may read it", path.display());
            let finding = Finding::warning("open-file", message).help(format!("chmod 600 {}", path.display()));
            self.findings.push(finding.at(&entry.file, entry.span.clone(), ""));
        }
    }

    fn warn_if_short(&mut self, entry: &SecretEntry, value: &Secret) {
        if value.expose().len() < MIN_MASKED_BYTES {
            let name = &entry.name.value;
            let message = format!(
                "secret `{name}` has less than {MIN_MASKED_BYTES} bytes, so it is not masked where it shows up"
            );
            let help = "use a longer one, or mark the steps that may show it with `sensitive = true`";
            self.findings.push(Finding::warning("short-secret", message).help(help).at(
                &entry.file,
                entry.span.clone(),
                "",
            ));
        }
    }
}

fn env(name: &str) -> Result<Secret, Refusal> {
    let hint = format!("export {name} in the shell that runs rollout, or name another source");
    match environment::var(name) {
        Ok(value) if !value.is_empty() => Ok(Secret::new(value)),
        Ok(_) => Err(Refusal::new(format!("${name} is empty"), hint)),
        Err(std::env::VarError::NotPresent) => Err(Refusal::new(format!("${name} is not set"), hint)),
        Err(std::env::VarError::NotUnicode(_)) => Err(Refusal::new(format!("${name} is not UTF-8 text"), hint)),
    }
}

/// The whole file without one trailing line break, which editors add.
fn text(bytes: Vec<u8>, path: &Path) -> Result<Secret, Refusal> {
    let text = String::from_utf8(bytes).map_err(|_| {
        Refusal::new(format!("{} is not UTF-8 text", path.display()), "keep it in base64, and use `| b64decode`")
    })?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
    if text.is_empty() {
        return Err(Refusal::new(format!("{} is empty", path.display()), "write the value into it"));
    }
    Ok(Secret::new(text))
}

/// The value at `key` as text: a string, number or boolean that is not empty.
fn scalar(value: &Value, source: &dyn Display, key: &str) -> Result<Secret, Refusal> {
    match value {
        Value::String(text) if text.is_empty() => {
            Err(Refusal::new(format!("`{key}` of {source} is empty"), "give it a value"))
        }
        Value::String(text) => Ok(Secret::new(text.clone())),
        Value::Number(_) | Value::Bool(_) => Ok(Secret::new(value.to_string())),
        _ => Err(Refusal::new(format!("`{key}` of {source} is not text"), "name a key whose value is text")),
    }
}

fn missing(source: &dyn Display, key: &str, name: &str, names: Vec<&str>) -> Refusal {
    let near = did_you_mean(name, names.iter().copied());
    let hint = near.unwrap_or_else(|| format!("the keys there are {}", listed(names)));
    Refusal::new(format!("there is no `{key}` in {source}"), hint)
}

#[cfg(test)]
mod tests;
