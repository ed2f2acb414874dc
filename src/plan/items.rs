//! Loops and delegation: the items that a step's `for_each` comes to, and the machine that it runs on. Both are known
//! before the first step runs.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::Step;
use crate::secret;
use crate::template::{Context, TemplateError, Templates};

/// Most items of a step; more is a mistake.
const MAX_ITEMS: usize = 1000;

/// The longest key, in characters: it is part of a unit's name.
const MAX_NAME_CHARS: usize = 100;

/// What a step is done for.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its name: the same wherever it stands in the list.
    pub key: String,
    /// What templates see as `item`.
    pub value: Value,
}

/// Why a `for_each` has no items.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// It cannot be rendered.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// It, or one of its items, is nothing that a step can be done for.
    #[error("{message}")]
    Bad {
        /// JSON pointer to what is wrong, from the step.
        pointer: String,
        /// What is wrong with it.
        message: String,
        /// What to do about it.
        help: String,
    },
}

impl Step {
    /// The items of its loop, in their order; `None`: it is no loop.
    ///
    /// # Errors
    /// When a template fails, or an item has no name of its own.
    pub fn items(&self, templates: &Templates, context: &Context) -> Result<Option<Vec<Item>>, ItemError> {
        let Some(raw) = &self.for_each else { return Ok(None) };
        let items = match templates.render_value(&raw.value, context)? {
            Value::Array(values) => values.into_iter().enumerate().map(|(n, value)| of_list(n, value)).collect(),
            Value::Object(map) => map.into_iter().map(|(key, value)| of_table(key, &value)).collect(),
            other => {
                let message = format!("`for_each` must come to a list or a table, not {}", type_name(&other));
                Err(bad("", message, "name a variable that is one, or write the items here"))
            }
        };
        distinct(items?).map(Some)
    }

    /// What its templates see for each of its items, where `context` is what they see besides; for a step that is no loop,
    /// that alone. Items that cannot be known are left out.
    pub fn views(&self, templates: &Templates, context: &Context) -> Vec<(Option<String>, Context)> {
        match self.items(templates, context) {
            Ok(None) => vec![(None, context.clone())],
            Ok(Some(items)) => {
                let view = |item: Item| (Some(item.key), context.with("item", &item.value));
                items.into_iter().map(view).collect()
            }
            Err(_) => Vec::new(),
        }
    }
}

impl Step {
    /// The name of the machine that it runs on instead of its host; `None`: it runs there.
    pub fn delegate(&self, templates: &Templates, context: &Context) -> Option<Result<String, TemplateError>> {
        let name = Value::String(self.delegate_to.as_ref()?.value.clone());
        let name = templates.render_value(&name, context);
        Some(name.map(|name| text(&name).unwrap_or_else(|| name.to_string())))
    }
}

fn of_list(number: usize, value: Value) -> Result<Item, ItemError> {
    let at = format!("/{number}");
    let (key, at) = match &value {
        Value::Object(map) => (map.get("name").and_then(text), format!("{at}/name")),
        plain => (text(plain), at),
    };
    let Some(key) = key else {
        let message = format!("item {} of `for_each` has no name: it is {}", number + 1, type_name(&value));
        let help = "items are texts or numbers, or tables with a `name`; or write a table, whose keys are their names";
        return Err(bad(&at, message, help));
    };
    Ok(Item { key: named(key, &at)?, value })
}

fn of_table(key: String, value: &Value) -> Result<Item, ItemError> {
    let at = format!("/{key}");
    let value = json!({ "key": key, "value": value });
    Ok(Item { key: named(key, &at)?, value })
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// A key that can be shown as part of a unit's name.
fn named(key: String, at: &str) -> Result<String, ItemError> {
    let length = key.chars().count();
    if secret::is_in(&key) {
        let help = "items are named everywhere: give it a `name`, and keep the secret in another field";
        return Err(bad(at, "an item of `for_each` has a secret in its name".to_owned(), help));
    }
    let message = if length == 0 {
        "an item of `for_each` has an empty name".to_owned()
    } else if key.contains(char::is_control) {
        format!("an item of `for_each` has a name of several lines or with signs that cannot be shown: {key:?}")
    } else if length > MAX_NAME_CHARS {
        format!("an item of `for_each` has a name of {length} characters; {MAX_NAME_CHARS} are allowed")
    } else {
        return Ok(key);
    };
    Err(bad(at, message, "write tables with a short `name`, and the rest in other fields"))
}

fn distinct(items: Vec<Item>) -> Result<Vec<Item>, ItemError> {
    if items.len() > MAX_ITEMS {
        let message = format!("`for_each` comes to {} items; {MAX_ITEMS} are allowed", items.len());
        return Err(bad("", message, "split it up, or let one step do it for all of them"));
    }
    let mut seen = HashMap::new();
    for (number, item) in items.iter().enumerate() {
        if let Some(first) = seen.insert(item.key.as_str(), number) {
            let message = format!("items {} and {} of `for_each` are both named `{}`", first + 1, number + 1, item.key);
            let help = "a run knows an item by its name: give one of them another, or take it away";
            let name = if item.value.is_object() { "/name" } else { "" };
            return Err(bad(&format!("/{number}{name}"), message, help));
        }
    }
    Ok(items)
}

fn bad(at: &str, message: String, help: &str) -> ItemError {
    ItemError::Bad { pointer: format!("/for_each{at}"), message, help: help.to_owned() }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}
