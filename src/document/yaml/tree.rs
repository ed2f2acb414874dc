//! Builds JSON values from the parser's events, with aliases resolved and `<<` merged.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::{Map, Value};

use super::error::Error;
use super::limits::{MAX_DEPTH, Size, Usage};
use super::scalar::{Scalar, plain, tagged};
use crate::secret;

/// How to treat a key that occurs twice in one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeated {
    /// Report an error.
    Refuse,
    /// Use the last value, as helm does.
    LastWins,
}

/// One document of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub value: Value,
    /// The line where the content starts, from 1.
    pub line: usize,
}

/// A line and a column, from 1.
type Position = (usize, usize);

/// Parses all documents of a text. A document without content is null.
///
/// # Errors
/// The first error in the text.
pub fn documents(text: &str, repeated: Repeated) -> Result<Vec<Document>, Error> {
    let options = granit_parser::options! {
        emit_comments: false,
        block_scalar_eof_without_line_feed: true,
        flow_nesting_limit: MAX_DEPTH + 1,
        block_nesting_limit: MAX_DEPTH + 1,
    };
    let mut builder = Builder { text, repeated, ..Builder::new() };
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|e| Error {
            line: e.marker().line(),
            column: e.marker().col() + 1,
            message: e.info().lines().next().unwrap_or_default().to_owned(),
        })?;
        builder.event(event, &span)?;
    }
    Ok(builder.documents)
}

/// A complete value.
#[derive(Clone)]
enum Node {
    Scalar(Scalar),
    Tree(Value),
}

/// A list or table whose end has not been read yet.
struct OpenContainer {
    container: Container,
    anchor: usize,
    position: Position,
    size: Size,
}

enum Container {
    List(Vec<Value>),
    Table { map: Map<String, Value>, keys: HashMap<String, Position>, key: Key },
}

/// What the next value in a table is.
enum Key {
    Awaited,
    Named(String),
    /// The value of `<<`, whose entries are merged into the table.
    Merge,
}

struct Builder<'a> {
    text: &'a str,
    repeated: Repeated,
    documents: Vec<Document>,
    line: usize,
    open: Vec<OpenContainer>,
    anchors: HashMap<usize, (Node, Size)>,
    usage: Usage,
}

impl<'a> Builder<'a> {
    fn new() -> Self {
        Self {
            text: "",
            repeated: Repeated::Refuse,
            documents: Vec::new(),
            line: 1,
            open: Vec::new(),
            anchors: HashMap::new(),
            usage: Usage::default(),
        }
    }

    fn event(&mut self, event: Event<'a>, span: &Span) -> Result<(), Error> {
        let position = (span.start.line(), span.start.col() + 1);
        match event {
            Event::DocumentStart(..) => {
                self.anchors.clear();
                self.line = position.0;
                self.documents.push(Document { value: Value::Null, line: position.0 });
            }
            Event::Scalar(text, style, anchor, tag) => {
                let size = Size { values: 1, bytes: text.len(), depth: 0 };
                self.usage.add(size, self.open.len(), position)?;
                let is_merge = &*text == "<<" && style == ScalarStyle::Plain && tag.is_none();
                if let (true, Some(OpenContainer { container: Container::Table { key: key @ Key::Awaited, .. }, .. })) =
                    (is_merge, self.open.last_mut())
                {
                    *key = Key::Merge;
                    return Ok(());
                }
                let scalar =
                    resolve_scalar(&text, style, tag.as_deref()).map_err(|message| error(position, message))?;
                self.insert(Node::Scalar(scalar), size, anchor, position)?;
            }
            Event::SequenceStart(_, anchor, _) => self.start(Container::List(Vec::new()), anchor, position)?,
            Event::MappingStart(_, anchor, _) => {
                let container = Container::Table { map: Map::new(), keys: HashMap::new(), key: Key::Awaited };
                self.start(container, anchor, position)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let value = match open.container {
                    Container::List(items) => Value::Array(items),
                    Container::Table { map, .. } => Value::Object(map),
                };
                let size = Size { depth: open.size.depth + 1, ..open.size };
                self.insert(Node::Tree(value), size, open.anchor, open.position)?;
            }
            Event::Alias(anchor) => {
                // An alias can only stand for a complete value.
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(error(position, "this alias refers to the value that contains it"));
                };
                self.usage.add(size, self.open.len(), position)?;
                self.insert(node, size, 0, position)?;
            }
            // The other events carry no values.
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, container: Container, anchor: usize, position: Position) -> Result<(), Error> {
        let size = Size { values: 1, ..Size::default() };
        self.usage.add(Size { depth: 1, ..size }, self.open.len(), position)?;
        self.open.push(OpenContainer { container, anchor, position, size });
        Ok(())
    }

    /// Adds a complete value to the enclosing list or table, or to the document.
    fn insert(&mut self, node: Node, size: Size, anchor: usize, position: Position) -> Result<(), Error> {
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(parent) = self.open.last_mut() else {
            if let Some(document) = self.documents.last_mut() {
                (document.value, document.line) = (value(node, position)?, position.0);
            }
            return Ok(());
        };
        parent.size.values = parent.size.values.saturating_add(size.values);
        parent.size.bytes = parent.size.bytes.saturating_add(size.bytes);
        parent.size.depth = parent.size.depth.max(size.depth);
        let (map, keys, key) = match &mut parent.container {
            Container::List(items) => {
                items.push(value(node, position)?);
                return Ok(());
            }
            Container::Table { map, keys, key } => (map, keys, key),
        };
        match std::mem::replace(key, Key::Awaited) {
            Key::Awaited => {
                let key_text = key_name(&node).map_err(|message| error(position, message))?;
                let first_place = keys.insert(key_text.clone(), position);
                if let (Some(first_place), Repeated::Refuse) = (first_place, self.repeated) {
                    return Err(self.repeated_key(&key_text, first_place, position));
                }
                *key = Key::Named(key_text);
            }
            Key::Named(key_text) => drop(map.insert(key_text, value(node, position)?)),
            Key::Merge => merge(map, value(node, position)?).map_err(|message| error(position, message))?,
        }
        Ok(())
    }

    fn repeated_key(&self, name: &str, first_place: Position, position: Position) -> Error {
        // The key may be part of a secret.
        let key = if secret::has_secret(self.text) { "this key".to_owned() } else { format!("the key `{name}`") };
        error(position, format!("{key} occurs twice in the same table; the first is in line {}", first_place.0))
    }
}

fn error(position: Position, message: impl Into<String>) -> Error {
    Error { line: position.0, column: position.1, message: message.into() }
}

fn resolve_scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Scalar, String> {
    match tag.map(|tag| tag.suffix_in_namespace("tag:yaml.org,2002:")) {
        None if style == ScalarStyle::Plain => Ok(plain(text)),
        Some(Some(tag)) => tagged(&tag, text),
        None | Some(None) => Ok(Scalar::Text(text.to_owned())),
    }
}

fn value(node: Node, position: Position) -> Result<Value, Error> {
    match node {
        Node::Tree(value) => Ok(value),
        Node::Scalar(scalar) => scalar.value().ok_or_else(|| {
            error(position, "JSON has no infinite numbers or NaN; quote the value if a string is meant")
        }),
    }
}

fn key_name(node: &Node) -> Result<String, &'static str> {
    match node {
        Node::Tree(_) => Err("a list or table cannot be a key; a value such as {{ x }} needs quotes"),
        Node::Scalar(scalar) => {
            scalar.key().ok_or("null and numbers this large cannot be keys; quote the key if a string is meant")
        }
    }
}

/// Merges a table, or each of a list of tables, into `map`. Later keys of `map` override them; in a list, earlier
/// tables win.
fn merge(map: &mut Map<String, Value>, value: Value) -> Result<(), &'static str> {
    const WANTED: &str = "`<<` takes a table or a list of tables";
    let tables = match value {
        Value::Array(items) => items,
        one => vec![one],
    };
    for table in tables.into_iter().rev() {
        let Value::Object(table) = table else { return Err(WANTED) };
        map.extend(table);
    }
    Ok(())
}
