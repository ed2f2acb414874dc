//! Parses `[secrets.NAME]` of plans and inventories: where the value of a secret comes from. Reads no secret.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde_json::Value;

use super::paths::{expand, home};
use crate::document::{Item, Node, Reader, Table};
use crate::finding::{Source, Span, Spanned, listed};
use crate::secret::register;
use crate::template::is_variable_name;

/// An entry `[secrets.NAME]`.
#[derive(Debug, Clone)]
pub struct SecretEntry {
    /// Name; templates use it as `secrets.NAME`.
    pub name: Spanned<String>,
    /// The file that contains the entry.
    pub file: Arc<Source>,
    /// Where its value comes from.
    pub origin: Origin,
    /// Place of the key that names the origin.
    pub span: Span,
}

/// Where a secret's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An environment variable of `rollout`.
    Env(String),
    /// The whole content of a file.
    File(PathBuf),
    /// A field of a secret in Vault's key-value engine.
    Vault {
        /// Path without `data/`; the first part is the mount of the engine.
        path: String,
        /// Name of the field.
        key: String,
        /// Version of the key-value engine, 1 or 2.
        kv: u32,
    },
    /// The whole content of a file that is encrypted with age.
    Age {
        file: PathBuf,
        /// File with the private key; default `$ROLLOUT_AGE_IDENTITY`.
        identity: Option<PathBuf>,
    },
    /// A value in a file that is encrypted with SOPS.
    Sops {
        file: PathBuf,
        /// Path of keys from the top of the file to the value.
        key: Vec<String>,
    },
}

/// Where the value of a secret comes from: exactly one of `env`, `file`, `vault`, `age` and `sops`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its documentation is used; a test compares its keys with those that are read")]
pub struct SecretKeys {
    /// Name of the environment variable that contains the value.
    env: Option<String>,
    /// Path of a file that contains only the value; a line break at its end is dropped.
    file: Option<String>,
    /// Path of a key-value secret in the inventory's Vault, such as `secret/grafana`; the first part is the mount.
    vault: Option<String>,
    /// With `vault`: name of the field. With `sops`: path of the value in the file, such as `grafana.password`.
    key: Option<String>,
    /// With `vault`: version of the key-value engine, 1 or 2; default 2.
    #[schemars(range(min = 1, max = 2))]
    kv: Option<u32>,
    /// Path of a file that is encrypted with age, binary or armored.
    age: Option<String>,
    /// With `age`: path of the file with the private key; default `$ROLLOUT_AGE_IDENTITY`.
    identity: Option<String>,
    /// Path of a file that is encrypted with SOPS; the program `sops` decrypts it.
    sops: Option<String>,
}

pub const SECRET_KEYS: &[&str] = &["env", "file", "vault", "key", "kv", "age", "identity", "sops"];
const SOURCES: [&str; 5] = ["env", "file", "vault", "age", "sops"];

/// Takes `[secrets]` off the top of a file; relative paths start from `root`.
pub fn read_secrets(reader: &mut Reader, top: &mut Table, root: &Path) -> Vec<SecretEntry> {
    let table = reader.table(top, "secrets");
    table.entries.into_iter().filter_map(|(name, node)| entry(reader, name, node, root)).collect()
}

fn entry(reader: &mut Reader, name: Spanned<String>, node: Node, root: &Path) -> Option<SecretEntry> {
    let owner = format!("secret `{}`", name.value);
    if !is_variable_name(&name.value) {
        let help = "letters, digits and `_`, as in {{ secrets.db_password }}".to_owned();
        reader.error("bad-name", &name.span, format!("`{}` cannot be the name of a secret", name.value), Some(help));
    }
    let Item::Table(mut table) = node.item else {
        refuse_inline_value(reader, &name, &node);
        return None;
    };
    if let Some((key, node)) = table.take("value") {
        refuse_inline_value(reader, &key, &node);
        return None;
    }
    let origins: Vec<Spanned<String>> =
        table.entries.iter().map(|(key, _)| key).filter(|k| SOURCES.contains(&k.value.as_str())).cloned().collect();
    let [source] = &origins[..] else {
        let (at, message) = match origins.get(1) {
            Some(second) => (&second.span, format!("{owner} has {}", listed(origins.iter().map(|k| k.value.as_str())))),
            None => (&name.span, format!("{owner} does not say where its value comes from")),
        };
        let help = format!("give exactly one of {}", listed(SOURCES));
        reader.error("secret-source", at, message, Some(help));
        reader.reject_unknown(without_known_keys(table), &owner, SECRET_KEYS);
        return None;
    };
    let (at, source) = (source.span.clone(), source.value.clone());
    let path = |reader: &mut Reader, table: &mut Table, key: &str| {
        reader.string(table, key).map(|text| expand(&text.value, root, home().as_deref()))
    };
    let origin = match source.as_str() {
        "env" => reader.string(&mut table, "env").and_then(|text| env(reader, &text)),
        "file" => path(reader, &mut table, "file").map(Origin::File),
        "vault" => vault(reader, &mut table, &at, &owner),
        "age" => {
            let identity = path(reader, &mut table, "identity");
            path(reader, &mut table, "age").map(|file| Origin::Age { file, identity })
        }
        _ => {
            let key = reader.required(&mut table, "key", &at, &owner);
            let key = key.map(|k| k.value.split('.').map(str::to_owned).collect());
            path(reader, &mut table, "sops").zip(key).map(|(file, key)| Origin::Sops { file, key })
        }
    };
    for (key, goes_with) in [("key", "`vault` or `sops`"), ("kv", "`vault`"), ("identity", "`age`")] {
        if let Some((key, _)) = table.take(key) {
            let message = format!("`{}` of {owner} does nothing without {goes_with}", key.value);
            reader.error("useless-key", &key.span, message, Some("remove it".into()));
        }
    }
    reader.reject_unknown(table, &owner, SECRET_KEYS);
    Some(SecretEntry { name, file: Arc::clone(&reader.source), origin: origin?, span: at })
}

/// Reports a secret whose value itself is written into the file.
fn refuse_inline_value(reader: &mut Reader, at: &Spanned<String>, node: &Node) {
    if let Value::String(value) = node.to_json() {
        // Registered as a secret, or the excerpts of this and of neighbouring findings would show it.
        register(&value);
    }
    let help = "name where it comes from, for example env = \"DB_PASSWORD\" or file = \"~/.secrets/db\"".to_owned();
    reader.error("secret-in-file", &at.span, "the value of a secret does not belong in this file", Some(help));
}

fn env(reader: &mut Reader, text: &Spanned<String>) -> Option<Origin> {
    let name = text.value.trim_start_matches('$');
    if name.is_empty() || name.contains(['=', '\0', ' ']) {
        let message = format!("`{}` cannot be the name of an environment variable", text.value);
        reader.error("bad-value", &text.span, message, None);
        return None;
    }
    Some(Origin::Env(name.to_owned()))
}

fn vault(reader: &mut Reader, table: &mut Table, at: &Span, owner: &str) -> Option<Origin> {
    let path = reader.string(table, "vault");
    let key = reader.required(table, "key", at, owner);
    let kv = reader.integer(table, "kv", 1..=2).unwrap_or(2);
    let path = path.filter(|path| {
        let below_mount = path.value.trim_matches('/').split_once('/');
        if below_mount.is_none() {
            let help = "write MOUNT/PATH, for example \"secret/grafana\"".to_owned();
            reader.error("bad-value", &path.span, format!("`{}` is not a path below a mount", path.value), Some(help));
        } else if kv == 2 && below_mount.is_some_and(|(_, path)| path.starts_with("data/")) {
            let help = format!("write \"{}\"", path.value.replacen("/data/", "/", 1));
            let message = "`data/` belongs to the API, not to the secret's path".to_owned();
            reader.error("bad-value", &path.span, message, Some(help));
        }
        below_mount.is_some()
    });
    Some(Origin::Vault { path: path?.value.trim_matches('/').to_owned(), key: key?.value, kv })
}

fn without_known_keys(mut table: Table) -> Table {
    table.entries.retain(|(key, _)| !SECRET_KEYS.contains(&key.value.as_str()));
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Style;

    fn read(text: &str) -> Result<Vec<SecretEntry>, String> {
        let source = Source { path: "plan.toml".into(), text: text.into() };
        let (mut reader, mut table) = Reader::new(source).unwrap();
        let entries = read_secrets(&mut reader, &mut table, Path::new("/project"));
        let style = Style { color: false, unicode: true, width: 100 };
        reader.findings.or(entries).map(|(entries, _)| entries).map_err(|findings| findings.text(style))
    }

    #[test]
    fn each_origin_is_parsed() {
        let text = "[secrets]\na.env = '$A'\nb.file = 'b'\nc = { vault = '/secret/c/', key = 'k' }\n\
                    d = { vault = 'kv/d', key = 'k', kv = 1 }\ne.age = '/e.age'\nf = { age = 'f', identity = 'key' }\n\
                    g = { sops = 'g.yaml', key = 'x.y' }";
        let origins: Vec<Origin> = read(text).unwrap().into_iter().map(|e| e.origin).collect();
        let vault = |path: &str, kv| Origin::Vault { path: path.into(), key: "k".into(), kv };
        let wanted = [
            Origin::Env("A".into()),
            Origin::File("/project/b".into()),
            vault("secret/c", 2),
            vault("kv/d", 1),
            Origin::Age { file: "/e.age".into(), identity: None },
            Origin::Age { file: "/project/f".into(), identity: Some("/project/key".into()) },
            Origin::Sops { file: "/project/g.yaml".into(), key: vec!["x".into(), "y".into()] },
        ];
        assert_eq!(origins, wanted);
    }

    #[test]
    fn errors_are_shown_at_their_place() {
        insta::assert_snapshot!(read(
            "[secrets]\nplain = 'hunter2-in-the-file'\nb = { value = 'other-in-the-file' }\nc = {}\n\
             d = { env = 'D', file = 'd' }\ne = { env = 'A=B' }\nf = { vault = 'secret', key = 'k' }\n\
             g = { vault = 'secret/data/g' }\nh = { file = 'h', kv = 2 }\ni = { fiel = 'i' }\n'j-k' = { env = 'J' }\n"
        ).unwrap_err(), @r#"
     × the value of a secret does not belong in this file
      ╭─[plan.toml:2:1]
    1 │ [secrets]
    2 │ plain = '‹secret›'
      · ─────
    3 │ b = { value = '‹secret›' }
      ╰────
     help: name where it comes from, for example env = "DB_PASSWORD" or file = "~/.secrets/db"

     × the value of a secret does not belong in this file
      ╭─[plan.toml:3:7]
    2 │ plain = '‹secret›'
    3 │ b = { value = '‹secret›' }
      ·       ─────
    4 │ c = {}
      ╰────
     help: name where it comes from, for example env = "DB_PASSWORD" or file = "~/.secrets/db"

     × secret `c` does not say where its value comes from
      ╭─[plan.toml:4:1]
    3 │ b = { value = '‹secret›' }
    4 │ c = {}
      · ─
    5 │ d = { env = 'D', file = 'd' }
      ╰────
     help: give exactly one of `env`, `file`, `vault`, `age`, `sops`

     × secret `d` has `env`, `file`
      ╭─[plan.toml:5:18]
    4 │ c = {}
    5 │ d = { env = 'D', file = 'd' }
      ·                  ────
    6 │ e = { env = 'A=B' }
      ╰────
     help: give exactly one of `env`, `file`, `vault`, `age`, `sops`

     × `A=B` cannot be the name of an environment variable
      ╭─[plan.toml:6:13]
    5 │ d = { env = 'D', file = 'd' }
    6 │ e = { env = 'A=B' }
      ·             ─────
    7 │ f = { vault = 'secret', key = 'k' }
      ╰────

     × `secret` is not a path below a mount
      ╭─[plan.toml:7:15]
    6 │ e = { env = 'A=B' }
    7 │ f = { vault = 'secret', key = 'k' }
      ·               ────────
    8 │ g = { vault = 'secret/data/g' }
      ╰────
     help: write MOUNT/PATH, for example "secret/grafana"

     × secret `g` has no `key`
      ╭─[plan.toml:8:7]
    7 │ f = { vault = 'secret', key = 'k' }
    8 │ g = { vault = 'secret/data/g' }
      ·       ─────
    9 │ h = { file = 'h', kv = 2 }
      ╰────
     help: add `key = "…"`

     × `data/` belongs to the API, not to the secret's path
      ╭─[plan.toml:8:15]
    7 │ f = { vault = 'secret', key = 'k' }
    8 │ g = { vault = 'secret/data/g' }
      ·               ───────────────
    9 │ h = { file = 'h', kv = 2 }
      ╰────
     help: write "secret/g"

     × `kv` of secret `h` does nothing without `vault`
       ╭─[plan.toml:9:19]
     8 │ g = { vault = 'secret/data/g' }
     9 │ h = { file = 'h', kv = 2 }
       ·                   ──
    10 │ i = { fiel = 'i' }
       ╰────
     help: remove it

     × secret `i` does not say where its value comes from
       ╭─[plan.toml:10:1]
     9 │ h = { file = 'h', kv = 2 }
    10 │ i = { fiel = 'i' }
       · ─
    11 │ 'j-k' = { env = 'J' }
       ╰────
     help: give exactly one of `env`, `file`, `vault`, `age`, `sops`

     × `fiel` is not a key of secret `i`
       ╭─[plan.toml:10:7]
     9 │ h = { file = 'h', kv = 2 }
    10 │ i = { fiel = 'i' }
       ·       ────
    11 │ 'j-k' = { env = 'J' }
       ╰────
     help: did you mean `file`?

     × `j-k` cannot be the name of a secret
       ╭─[plan.toml:11:1]
    10 │ i = { fiel = 'i' }
    11 │ 'j-k' = { env = 'J' }
       · ─────
       ╰────
     help: letters, digits and `_`, as in {{ secrets.db_password }}
    "#);
    }
}
