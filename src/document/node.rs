//! The tree.

use std::sync::Arc;

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::value::scalar;
use crate::finding::{Finding, Findings, Source, Span, Spanned};

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub item: Item,
    /// Its place in the file.
    pub span: Span,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// Text, a number, a boolean or a time (as text).
    Scalar(Value),
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(Table),
}

/// A table's entries, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Key and value.
    pub entries: Vec<(Spanned<String>, Node)>,
}

/// Reads a file's text.
///
/// # Errors
/// All places that are not TOML.
pub fn parse(source: &Arc<Source>) -> Result<Table, Findings> {
    let (tree, errors) = DeTable::parse_recoverable(&source.text);
    if errors.is_empty() {
        return Ok(Table::new(tree.get_ref()));
    }
    let mut findings = Findings::new();
    findings.extend(errors.iter().map(|e| {
        let end = source.text.len();
        let span = e.span().unwrap_or(end..end);
        Finding::error("syntax", format!("not TOML: {}", e.message())).at(source, span, "")
    }));
    Err(findings.sorted())
}

impl Table {
    fn new(table: &DeTable<'_>) -> Self {
        let mut entries: Vec<_> = table
            .iter()
            .map(|(key, value)| {
                let name = Spanned::new(key.get_ref().to_string(), key.span());
                (name, Node::new(value.get_ref(), value.span()))
            })
            .collect();
        // The parser sorts keys by name; people sort them by meaning.
        entries.sort_by_key(|(key, _)| key.span.start);
        Self { entries }
    }

    /// Takes an entry off the table.
    pub fn take(&mut self, key: &str) -> Option<(Spanned<String>, Node)> {
        let at = self.entries.iter().position(|(name, _)| name.value == key)?;
        Some(self.entries.remove(at))
    }

    /// The table without places.
    pub fn to_json(&self) -> Map<String, Value> {
        self.entries.iter().map(|(key, node)| (key.value.clone(), node.to_json())).collect()
    }
}

impl Node {
    pub(super) fn new(value: &DeValue<'_>, span: Span) -> Self {
        let item = match value {
            DeValue::Array(items) => Item::List(items.iter().map(|v| Self::new(v.get_ref(), v.span())).collect()),
            DeValue::Table(table) => Item::Table(Table::new(table)),
            other => Item::Scalar(scalar(other).unwrap_or_default()),
        };
        Self { item, span }
    }

    /// The value without places.
    pub fn to_json(&self) -> Value {
        match &self.item {
            Item::Scalar(value) => value.clone(),
            Item::List(items) => items.iter().map(Self::to_json).collect(),
            Item::Table(table) => Value::Object(table.to_json()),
        }
    }

    /// What it is, for messages.
    pub fn type_name(&self) -> &'static str {
        match &self.item {
            Item::Scalar(Value::String(_)) => "a string",
            Item::Scalar(Value::Bool(_)) => "a boolean",
            Item::Scalar(Value::Number(n)) if n.is_f64() => "a number",
            Item::Scalar(_) => "an integer",
            Item::List(_) => "a list",
            Item::Table(_) => "a table",
        }
    }
}

/// The TOML value that `text` is, else `text` itself.
pub fn toml_or_text(text: &str) -> Value {
    DeValue::parse(text).map_or_else(|_| text.into(), |v| Node::new(v.get_ref(), v.span()).to_json())
}
