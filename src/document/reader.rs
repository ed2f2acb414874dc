//! Takes typed values off a table and collects the findings about it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{Item, Node, Table, parse, parse_duration, read_text};
use crate::finding::{Finding, Findings, Source, Span, Spanned, did_you_mean, listed};

/// Maximum size of a plan or inventory, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

pub struct Reader {
    /// The file's path and text.
    pub source: Arc<Source>,
    /// The findings so far.
    pub findings: Findings,
}

impl Reader {
    /// Reads a file from disk.
    ///
    /// # Errors
    /// When the file cannot be read, is not text or not TOML. `what` names the kind of file in the message.
    pub fn open(path: &Path, what: &str) -> Result<(Self, Table), Findings> {
        let text = read_text(path, MAX_FILE_BYTES).map_err(|error| {
            let message = format!("cannot read the {what} {}: {error}", path.display());
            let help = (error.kind() == std::io::ErrorKind::NotFound).then(|| missing_file_help(path));
            Findings::from(Finding::error("unreadable", message).maybe_help(help))
        })?;
        Self::new(Source { path: path.to_owned(), text })
    }

    /// Parses a text. CRLF line ends are converted to LF: TOML treats both alike, and no value contains a `\\r` that is
    /// not written as an escape.
    ///
    /// # Errors
    /// When the text is not TOML.
    pub fn new(mut source: Source) -> Result<(Self, Table), Findings> {
        if source.text.contains("\r\n") {
            source.text = source.text.replace("\r\n", "\n");
        }
        let source = Arc::new(source);
        let table = parse(&source)?;
        Ok((Self { source, findings: Findings::new() }, table))
    }

    /// Records an error at a place.
    pub fn error(&mut self, code: &'static str, span: &Span, message: impl Into<String>, help: Option<String>) {
        let finding = Finding::error(code, message).at(&self.source, span.clone(), "").maybe_help(help);
        self.findings.push(finding);
    }

    /// Records that a value has the wrong type.
    pub fn wrong_type(&mut self, key: &str, node: &Node, wanted: &str, help: Option<String>) {
        let message = format!("`{key}` must be {wanted}, not {}", node.type_name());
        self.error("wrong-type", &node.span, message, help);
    }

    /// Takes a string off the table.
    pub fn string(&mut self, table: &mut Table, key: &str) -> Option<Spanned<String>> {
        let (_, node) = table.take(key)?;
        let Item::Scalar(Value::String(text)) = &node.item else {
            let help = match &node.item {
                Item::Scalar(value) => Some(format!("write {key} = \"{value}\"")),
                _ => None,
            };
            self.wrong_type(key, &node, "a string", help);
            return None;
        };
        Some(Spanned::new(text.clone(), node.span.clone()))
    }

    /// Takes a required string. If the key is missing, the error is reported at `owner`, about `of`.
    pub fn required(&mut self, table: &mut Table, key: &str, owner: &Span, of: &str) -> Option<Spanned<String>> {
        if !table.entries.iter().any(|(name, _)| name.value == key) {
            let similar = table.entries.iter().find(|(name, _)| did_you_mean(&name.value, [key]).is_some());
            let help = similar.map_or_else(
                || format!("add `{key} = \"…\"`"),
                |(name, _)| format!("`{}` is there instead: did you mean `{key}`?", name.value),
            );
            self.error("missing-key", owner, format!("{of} has no `{key}`"), Some(help));
            return None;
        }
        self.string(table, key)
    }

    /// Takes a list of strings. `None` if the key is missing.
    pub fn strings(&mut self, table: &mut Table, key: &str) -> Option<Vec<Spanned<String>>> {
        let (_, node) = table.take(key)?;
        let Item::List(items) = &node.item else {
            let help = match &node.item {
                Item::Scalar(Value::String(text)) => Some(format!("write {key} = [\"{text}\"]")),
                _ => None,
            };
            self.wrong_type(key, &node, "a list of strings", help);
            return None;
        };
        let mut out = Vec::new();
        for item in items {
            match &item.item {
                Item::Scalar(Value::String(text)) => out.push(Spanned::new(text.clone(), item.span.clone())),
                _ => self.wrong_type(key, item, "a list of strings", None),
            }
        }
        Some(out)
    }

    /// Takes a boolean.
    pub fn flag(&mut self, table: &mut Table, key: &str) -> Option<bool> {
        let (_, node) = table.take(key)?;
        let Item::Scalar(Value::Bool(flag)) = node.item else {
            self.wrong_type(key, &node, "`true` or `false`", None);
            return None;
        };
        Some(flag)
    }

    /// Takes an integer and checks its bounds.
    pub fn integer(&mut self, table: &mut Table, key: &str, bounds: std::ops::RangeInclusive<u32>) -> Option<u32> {
        let (_, node) = table.take(key)?;
        let Item::Scalar(Value::Number(number)) = &node.item else {
            self.wrong_type(key, &node, "an integer", None);
            return None;
        };
        let value = number.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| bounds.contains(n));
        if value.is_none() {
            let message = format!("`{key}` must be from {} to {}, not {number}", bounds.start(), bounds.end());
            self.error("out-of-range", &node.span, message, None);
        }
        value
    }

    /// Takes a duration such as `"90s"`.
    pub fn duration(&mut self, table: &mut Table, key: &str) -> Option<Duration> {
        let (_, node) = table.take(key)?;
        match &node.item {
            Item::Scalar(Value::String(text)) => match parse_duration(text) {
                Ok(duration) => return Some(duration),
                Err(message) => {
                    let help = text.trim().parse::<u64>().ok().map(|n| format!("write {key} = \"{n}s\""));
                    self.error("bad-duration", &node.span, message, help);
                }
            },
            Item::Scalar(number @ Value::Number(_)) => {
                let help = format!("write {key} = \"{number}s\"; units are ms, s, m, h");
                self.error("bad-duration", &node.span, format!("`{key}` is a duration without a unit"), Some(help));
            }
            _ => self.wrong_type(key, &node, "a duration such as \"90s\"", None),
        }
        None
    }

    /// Takes a table. Returns an empty table if the key is missing.
    pub fn table(&mut self, table: &mut Table, key: &str) -> Table {
        match table.take(key) {
            None => Table::default(),
            Some((_, Node { item: Item::Table(inner), .. })) => inner,
            Some((_, node)) => {
                self.wrong_type(key, &node, "a table", None);
                Table::default()
            }
        }
    }

    /// Reports every key that is left over as unknown. `of` names the table in the message; `known` are the keys that
    /// it may have.
    pub fn reject_unknown(&mut self, table: Table, of: &str, known: &[&str]) {
        for (key, _) in table.entries {
            let similar = did_you_mean(&key.value, known.iter().copied());
            let help = similar.unwrap_or_else(|| format!("{of} may have {}", listed(known.iter().copied())));
            self.error("unknown-key", &key.span, format!("`{}` is not a key of {of}", key.value), Some(help));
        }
    }
}

/// The help text for a file that does not exist.
fn missing_file_help(path: &Path) -> String {
    if path == Path::new("-") {
        return "`-` is not read as standard input here: name a file".into();
    }
    similar_file(path).unwrap_or_else(|| "paths are relative to the current folder".into())
}

/// "Did you mean" for a file with a similar name in the same folder.
fn similar_file(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names: Vec<String> =
        std::fs::read_dir(folder).ok()?.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    did_you_mean(name, names.iter().map(String::as_str))
}
