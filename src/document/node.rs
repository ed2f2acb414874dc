//! The TOML tree with places.

use std::sync::Arc;

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::value::scalar;
use crate::finding::{Finding, Findings, Source, Span, Spanned};

/// A value and its place in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub item: Item,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A string, a number, a boolean, or a time (as a string).
    Scalar(Value),
    List(Vec<Node>),
    Table(Table),
}

/// A table's entries, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    pub entries: Vec<(Spanned<String>, Node)>,
}

/// Parses the text of a file.
///
/// # Errors
/// All syntax errors.
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
        // The parser sorts keys by name. The order in the file matters to readers and to the order of steps.
        entries.sort_by_key(|(key, _)| key.span.start);
        Self { entries }
    }

    /// Removes an entry from the table and returns it.
    pub fn take(&mut self, key: &str) -> Option<(Spanned<String>, Node)> {
        let at = self.entries.iter().position(|(name, _)| name.value == key)?;
        Some(self.entries.remove(at))
    }

    /// The table as JSON, without places.
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

    /// The value as JSON, without places.
    pub fn to_json(&self) -> Value {
        match &self.item {
            Item::Scalar(value) => value.clone(),
            Item::List(items) => items.iter().map(Self::to_json).collect(),
            Item::Table(table) => Value::Object(table.to_json()),
        }
    }

    /// The type of the value, for messages.
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

/// Parses `text` as a TOML value. Text that is not TOML is returned as a string.
pub fn toml_or_text(text: &str) -> Value {
    DeValue::parse(text).map_or_else(|_| text.into(), |v| Node::new(v.get_ref(), v.span()).to_json())
}
