//! Reads the secrets that a run needs: all of them, so that all that is wrong is told at once, and before anything else.
//!
//! Each value is a [`Secret`] as soon as it is read. Knows the inventory, Vault and the programs and files that keep
//! secrets; never what they are for.

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

/// How long Vault, and each call of `sops`, may take.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The permission bits that let others in.
const OTHERS_MODE: u32 = 0o077;

/// Why not all secrets were read.
#[derive(Debug)]
pub struct UnreadableSecrets {
    /// One for each that cannot be read, and all warnings.
    pub findings: Findings,
    /// Whether that is only since its source could not be reached; nothing is known to be wrong with what was asked then.
    pub unreachable: bool,
}

/// Reads the values of `entries`, and warns of what is unwise.
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
                reader.judge(entry, &value);
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
    /// Decrypted files of SOPS; each is read once.
    documents: HashMap<PathBuf, Value>,
    /// The fields of Vault's secrets, by path and version; each is asked for once.
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
                    Refusal::new(format!("nothing says which key {} is encrypted for", file.display()), hint)
                })?;
                self.warn_of_mode(entry, &identity);
                text(age::decrypt(file, &identity)?, file)
            }
            Origin::Sops { file, key } => self.of_document(file, key).await,
            Origin::Vault { path, key, kv } => self.of_vault(path, key, *kv).await,
        }
    }

    async fn of_document(&mut self, file: &Path, key: &[String]) -> Result<Secret, Refusal> {
        if !self.documents.contains_key(file) {
            self.documents.insert(file.to_owned(), sops::decrypt("sops", file, READ_TIMEOUT).await?);
        }
        let (document, of) = (&self.documents[file], file.display());
        let found = key.iter().try_fold(document, |value, name| {
            let names = value.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
            value.get(name).ok_or_else(|| missing(&of, &key.join("."), name, names.collect()))
        })?;
        scalar(found, &of, &key.join("."))
    }

    async fn of_vault(&mut self, path: &str, key: &str, kv: u32) -> Result<Secret, Refusal> {
        let (place, of) = ((path.to_owned(), kv), format!("{path} in Vault"));
        if !self.fields.contains_key(&place) {
            let fields = self.fields_of(path, kv).await?;
            self.fields.insert(place.clone(), fields);
        }
        let fields = &self.fields[&place];
        let names = || fields.keys().map(String::as_str).collect();
        scalar(fields.get(key).ok_or_else(|| missing(&of, key, key, names()))?, &of, key)
    }

    async fn fields_of(&self, path: &str, kv: u32) -> Result<Map<String, Value>, Refusal> {
        let (mount, below) = path.split_once('/').unwrap_or((path, ""));
        let asked = if kv == 2 { format!("{mount}/data/{below}") } else { path.to_owned() };
        match self.vault.probe(&vault::Probe::Read { path: asked }, &CallContext::silent(READ_TIMEOUT)).await? {
            vault::Fact::Found { data, .. } if kv != 2 => Ok(data.0),
            // A version that was deleted has no fields, and is found all the same.
            vault::Fact::Found { mut data, .. } if data.0.get("data").is_some_and(Value::is_object) => {
                match data.0.remove("data") {
                    Some(Value::Object(fields)) => Ok(fields),
                    _ => Ok(Map::new()),
                }
            }
            _ => {
                let hint = format!("`vault kv get {path}` should show it; of version 1 of the engine, add `kv = 1`");
                Err(Refusal::new(format!("there is no {path} in Vault, or not any more"), hint))
            }
        }
    }

    /// A file that others on this machine may read.
    fn warn_of_mode(&mut self, entry: &SecretEntry, path: &Path) {
        let mode = std::fs::metadata(path).map_or(0, |meta| meta.permissions().mode() & 0o7777);
        if mode & OTHERS_MODE != 0 {
            let message = format!("{} has mode {mode:04o}, so others on this machine may read it", path.display());
            let finding = Finding::warning("open-file", message).help(format!("chmod 600 {}", path.display()));
            self.findings.push(finding.at(&entry.file, entry.span.clone(), ""));
        }
    }

    fn judge(&mut self, entry: &SecretEntry, value: &Secret) {
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

/// All of a file, without the line break that editors put at its end.
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

/// Text, or a number or truth value as text; not empty.
fn scalar(value: &Value, of: &dyn Display, key: &str) -> Result<Secret, Refusal> {
    match value {
        Value::String(text) if text.is_empty() => {
            Err(Refusal::new(format!("`{key}` of {of} is empty"), "give it a value"))
        }
        Value::String(text) => Ok(Secret::new(text.clone())),
        Value::Number(_) | Value::Bool(_) => Ok(Secret::new(value.to_string())),
        _ => Err(Refusal::new(format!("`{key}` of {of} is no text"), "name a value that is one")),
    }
}

fn missing(of: &dyn Display, key: &str, name: &str, names: Vec<&str>) -> Refusal {
    let near = did_you_mean(name, names.iter().copied());
    let hint = near.unwrap_or_else(|| format!("beside it there is {}", listed(names)));
    Refusal::new(format!("there is no `{key}` in {of}"), hint)
}

#[cfg(test)]
mod tests;
