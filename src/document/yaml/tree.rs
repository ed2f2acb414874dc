//! From the parser's events to JSON values, with aliases put in and `<<` merged.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::{Map, Value};

use super::error::Error;
use super::limits::{MAX_DEPTH, Size, Spent};
use super::scalar::{Scalar, plain, tagged};
use crate::secret;

/// What a key that stands twice in one table means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeated {
    /// A mistake.
    Refuse,
    /// The last one counts, as in all that helm reads.
    LastWins,
}

/// One document of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it holds.
    pub value: Value,
    /// The line that its content starts in, from 1.
    pub line: usize,
}

/// A line and a column, from 1.
type Place = (usize, usize);

/// All documents of a text; one without content is null.
///
/// # Errors
/// The first fault.
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

/// A finished value.
#[derive(Clone)]
enum Node {
    Scalar(Scalar),
    Tree(Value),
}

/// A list or table that is not finished.
struct Open {
    inner: Inner,
    anchor: usize,
    place: Place,
    size: Size,
}

enum Inner {
    List(Vec<Value>),
    Table { map: Map<String, Value>, keys: HashMap<String, Place>, key: Key },
}

/// Where a table is between key and value.
enum Key {
    Awaited,
    Named(String),
    /// `<<`: the value's entries become the table's own.
    Merge,
}

struct Builder<'a> {
    text: &'a str,
    repeated: Repeated,
    documents: Vec<Document>,
    line: usize,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, Size)>,
    spent: Spent,
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
            spent: Spent::default(),
        }
    }

    fn event(&mut self, event: Event<'a>, span: &Span) -> Result<(), Error> {
        let place = (span.start.line(), span.start.col() + 1);
        match event {
            Event::DocumentStart(..) => {
                self.anchors.clear();
                self.line = place.0;
                self.documents.push(Document { value: Value::Null, line: place.0 });
            }
            Event::Scalar(text, style, anchor, tag) => {
                let size = Size { values: 1, bytes: text.len(), depth: 0 };
                self.spent.add(size, self.open.len(), place)?;
                let is_merge = &*text == "<<" && style == ScalarStyle::Plain && tag.is_none();
                if let (true, Some(Open { inner: Inner::Table { key: key @ Key::Awaited, .. }, .. })) =
                    (is_merge, self.open.last_mut())
                {
                    *key = Key::Merge;
                    return Ok(());
                }
                let scalar = meaning(&text, style, tag.as_deref()).map_err(|why| error(place, why))?;
                self.finished(Node::Scalar(scalar), size, anchor, place)?;
            }
            Event::SequenceStart(_, anchor, _) => self.start(Inner::List(Vec::new()), anchor, place)?,
            Event::MappingStart(_, anchor, _) => {
                let inner = Inner::Table { map: Map::new(), keys: HashMap::new(), key: Key::Awaited };
                self.start(inner, anchor, place)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let value = match open.inner {
                    Inner::List(items) => Value::Array(items),
                    Inner::Table { map, .. } => Value::Object(map),
                };
                let size = Size { depth: open.size.depth + 1, ..open.size };
                self.finished(Node::Tree(value), size, open.anchor, open.place)?;
            }
            Event::Alias(anchor) => {
                // Only what is finished can be put in.
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(error(place, "this alias stands inside of what it names"));
                };
                self.spent.add(size, self.open.len(), place)?;
                self.finished(node, size, 0, place)?;
            }
            // What is left says nothing of values.
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, inner: Inner, anchor: usize, place: Place) -> Result<(), Error> {
        let size = Size { values: 1, ..Size::default() };
        self.spent.add(Size { depth: 1, ..size }, self.open.len(), place)?;
        self.open.push(Open { inner, anchor, place, size });
        Ok(())
    }

    /// Puts a value where it belongs.
    fn finished(&mut self, node: Node, size: Size, anchor: usize, place: Place) -> Result<(), Error> {
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(outer) = self.open.last_mut() else {
            if let Some(document) = self.documents.last_mut() {
                (document.value, document.line) = (value(node, place)?, place.0);
            }
            return Ok(());
        };
        outer.size.values = outer.size.values.saturating_add(size.values);
        outer.size.bytes = outer.size.bytes.saturating_add(size.bytes);
        outer.size.depth = outer.size.depth.max(size.depth);
        let (map, keys, key) = match &mut outer.inner {
            Inner::List(items) => {
                items.push(value(node, place)?);
                return Ok(());
            }
            Inner::Table { map, keys, key } => (map, keys, key),
        };
        match std::mem::replace(key, Key::Awaited) {
            Key::Awaited => {
                let name = name(&node).map_err(|why| error(place, why))?;
                let earlier = keys.insert(name.clone(), place);
                if let (Some(earlier), Repeated::Refuse) = (earlier, self.repeated) {
                    return Err(self.twice(&name, earlier, place));
                }
                *key = Key::Named(name);
            }
            Key::Named(name) => drop(map.insert(name, value(node, place)?)),
            Key::Merge => merge(map, value(node, place)?).map_err(|why| error(place, why))?,
        }
        Ok(())
    }

    fn twice(&self, name: &str, earlier: Place, place: Place) -> Error {
        // What a secret holds may be a key.
        let key = if secret::is_in(self.text) { "this key".to_owned() } else { format!("the key `{name}`") };
        error(place, format!("{key} stands a second time in the same table; the first is in line {}", earlier.0))
    }
}

fn error(place: Place, message: impl Into<String>) -> Error {
    Error { line: place.0, column: place.1, message: message.into() }
}

fn meaning(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Scalar, String> {
    match tag.map(|tag| tag.suffix_in_namespace("tag:yaml.org,2002:")) {
        None if style == ScalarStyle::Plain => Ok(plain(text)),
        Some(Some(tag)) => tagged(&tag, text),
        None | Some(None) => Ok(Scalar::Text(text.to_owned())),
    }
}

fn value(node: Node, place: Place) -> Result<Value, Error> {
    match node {
        Node::Tree(value) => Ok(value),
        Node::Scalar(scalar) => scalar.value().ok_or_else(|| {
            error(place, "this is an infinite number or none at all, which JSON lacks; as a text it needs quotes")
        }),
    }
}

fn name(node: &Node) -> Result<String, &'static str> {
    match node {
        Node::Tree(_) => Err("a list or table cannot be a key; a value such as {{ x }} needs quotes"),
        Node::Scalar(scalar) => {
            scalar.key().ok_or("nothing and numbers this large cannot be keys; a text needs quotes")
        }
    }
}

/// Lays a table, or each of a list of tables, below what comes after it: earlier tables of the list win.
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
