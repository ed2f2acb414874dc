//! `[secrets.NAME]`, in plans and inventories alike: where the value of a secret comes from. Nothing here reads one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde_json::Value;

use super::paths::{expand, home};
use crate::document::{Item, Node, Reader, Table};
use crate::finding::{Source, Span, Spanned, listed};
use crate::secret::register;
use crate::template::is_variable_name;

/// A secret by name.
#[derive(Debug, Clone)]
pub struct SecretEntry {
    /// Its name: `secrets.NAME` in templates.
    pub name: Spanned<String>,
    /// The file that it stands in.
    pub file: Arc<Source>,
    /// Where its value comes from.
    pub origin: Origin,
    /// Where that stands.
    pub span: Span,
}

/// Where a secret's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An environment variable of ours.
    Env(String),
    /// All of a file.
    File(PathBuf),
    /// A field of a Vault secret; its path without `data/`, and the version of its key-value engine.
    Vault {
        /// The first part is the engine's mount.
        path: String,
        /// The field.
        key: String,
        /// 1 or 2.
        kv: u32,
    },
    /// All of a file that is encrypted with age.
    Age {
        /// The file.
        file: PathBuf,
        /// The file with the key to it; default `$ROLLOUT_AGE_IDENTITY`.
        identity: Option<PathBuf>,
    },
    /// A value in a file that is encrypted with SOPS.
    Sops {
        /// The file.
        file: PathBuf,
        /// Names from the top down to it.
        key: Vec<String>,
    },
}

/// Where a secret's value comes from: one of `env`, `file`, `vault`, `age` and `sops`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its documentation is used; a test compares its keys with those that are read")]
pub struct SecretKeys {
    /// Name of an environment variable.
    env: Option<String>,
    /// A file that has nothing else in it; a line break at its end is left out.
    file: Option<String>,
    /// Path of a key-value secret in the inventory's Vault, such as `secret/grafana`; the first part is the mount.
    vault: Option<String>,
    /// With `vault` the field; with `sops` where the value is, such as `grafana.password`.
    key: Option<String>,
    /// With `vault`: version of the key-value engine, 1 or 2; default 2.
    #[schemars(range(min = 1, max = 2))]
    kv: Option<u32>,
    /// A file that is encrypted with age, binary or armored.
    age: Option<String>,
    /// With `age`: the file with the key to it; default `$ROLLOUT_AGE_IDENTITY`.
    identity: Option<String>,
    /// A file that is encrypted with SOPS; the program `sops` reads it.
    sops: Option<String>,
}

/// Keys of `[secrets.NAME]`.
pub const SECRET_KEYS: &[&str] = &["env", "file", "vault", "key", "kv", "age", "identity", "sops"];
const SOURCES: [&str; 5] = ["env", "file", "vault", "age", "sops"];

/// Takes `[secrets]` off a file; relative paths start from `root`.
pub fn read_secrets(reader: &mut Reader, top: &mut Table, root: &Path) -> Vec<SecretEntry> {
    let table = reader.table(top, "secrets");
    table.entries.into_iter().filter_map(|(name, node)| entry(reader, name, node, root)).collect()
}

fn entry(reader: &mut Reader, name: Spanned<String>, node: Node, root: &Path) -> Option<SecretEntry> {
    let of = format!("secret `{}`", name.value);
    if !is_variable_name(&name.value) {
        let help = "letters, digits and `_`, as in {{ secrets.db_password }}".to_owned();
        reader.error("bad-name", &name.span, format!("`{}` cannot be the name of a secret", name.value), Some(help));
    }
    let Item::Table(mut table) = node.item else {
        written_down(reader, &name, &node);
        return None;
    };
    if let Some((key, node)) = table.take("value") {
        written_down(reader, &key, &node);
        return None;
    }
    let given: Vec<Spanned<String>> =
        table.entries.iter().map(|(key, _)| key).filter(|k| SOURCES.contains(&k.value.as_str())).cloned().collect();
    let [source] = &given[..] else {
        let (at, message) = match given.get(1) {
            Some(second) => (&second.span, format!("{of} has {}", listed(given.iter().map(|k| k.value.as_str())))),
            None => (&name.span, format!("{of} does not say where its value comes from")),
        };
        let help = format!("give exactly one of {}", listed(SOURCES));
        reader.error("secret-source", at, message, Some(help));
        reader.reject_unknown(only_unknown(table), &of, SECRET_KEYS);
        return None;
    };
    let (at, source) = (source.span.clone(), source.value.clone());
    let path = |reader: &mut Reader, table: &mut Table, key: &str| {
        reader.string(table, key).map(|text| expand(&text.value, root, home().as_deref()))
    };
    let origin = match source.as_str() {
        "env" => reader.string(&mut table, "env").and_then(|text| env(reader, &text)),
        "file" => path(reader, &mut table, "file").map(Origin::File),
        "vault" => vault(reader, &mut table, &at, &of),
        "age" => {
            let identity = path(reader, &mut table, "identity");
            path(reader, &mut table, "age").map(|file| Origin::Age { file, identity })
        }
        _ => {
            let key = reader.required(&mut table, "key", &at, &of);
            let key = key.map(|k| k.value.split('.').map(str::to_owned).collect());
            path(reader, &mut table, "sops").zip(key).map(|(file, key)| Origin::Sops { file, key })
        }
    };
    for (key, goes_with) in [("key", "`vault` or `sops`"), ("kv", "`vault`"), ("identity", "`age`")] {
        if let Some((key, _)) = table.take(key) {
            let message = format!("`{}` of {of} does nothing without {goes_with}", key.value);
            reader.error("useless-key", &key.span, message, Some("take it away".into()));
        }
    }
    reader.reject_unknown(table, &of, SECRET_KEYS);
    Some(SecretEntry { name, file: Arc::clone(&reader.source), origin: origin?, span: at })
}

/// The value itself in the place of where it comes from.
fn written_down(reader: &mut Reader, at: &Spanned<String>, node: &Node) {
    if let Value::String(value) = node.to_json() {
        // The excerpt of this and of neighbouring findings would show it.
        register(&value);
    }
    let help = "name where it comes from, for example env = \"DB_PASSWORD\" or file = \"~/.secrets/db\"".to_owned();
    reader.error("secret-in-file", &at.span, "a secret's value does not belong into this file", Some(help));
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

fn vault(reader: &mut Reader, table: &mut Table, at: &Span, of: &str) -> Option<Origin> {
    let path = reader.string(table, "vault");
    let key = reader.required(table, "key", at, of);
    let kv = reader.integer(table, "kv", 1..=2).unwrap_or(2);
    let path = path.filter(|path| {
        let inside = path.value.trim_matches('/').split_once('/');
        if inside.is_none() {
            let help = "write MOUNT/PATH, for example \"secret/grafana\"".to_owned();
            reader.error("bad-value", &path.span, format!("`{}` is no path below a mount", path.value), Some(help));
        } else if kv == 2 && inside.is_some_and(|(_, path)| path.starts_with("data/")) {
            let help = format!("write \"{}\"", path.value.replacen("/data/", "/", 1));
            let message = "`data/` belongs to the API, not to the secret's path".to_owned();
            reader.error("bad-value", &path.span, message, Some(help));
        }
        inside.is_some()
    });
    Some(Origin::Vault { path: path?.value.trim_matches('/').to_owned(), key: key?.value, kv })
}

fn only_unknown(mut table: Table) -> Table {
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
    fn each_source_is_read() {
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
    fn what_is_wrong_is_shown_where_it_is() {
        insta::assert_snapshot!(read(
            "[secrets]\nplain = 'hunter2-in-the-file'\nb = { value = 'other-in-the-file' }\nc = {}\n\
             d = { env = 'D', file = 'd' }\ne = { env = 'A=B' }\nf = { vault = 'secret', key = 'k' }\n\
             g = { vault = 'secret/data/g' }\nh = { file = 'h', kv = 2 }\ni = { fiel = 'i' }\n'j-k' = { env = 'J' }\n"
        ).unwrap_err(), @r#"
     × a secret's value does not belong into this file
      ╭─[plan.toml:2:1]
    1 │ [secrets]
    2 │ plain = '‹secret›'
      · ─────
    3 │ b = { value = '‹secret›' }
      ╰────
     help: name where it comes from, for example env = "DB_PASSWORD" or file = "~/.secrets/db"

     × a secret's value does not belong into this file
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

     × `secret` is no path below a mount
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
     help: take it away

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
