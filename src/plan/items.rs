//! Evaluates `for_each` and `delegate_to` of a step. Both must be known before the first step runs.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::Step;
use crate::secret;
use crate::template::{Context, TemplateError, Templates};

/// Maximum number of items of a step. More are taken for a mistake.
const MAX_ITEMS: usize = 1000;

/// Maximum length of an item's key in characters. The key is part of the unit's name.
const MAX_NAME_CHARS: usize = 100;

/// One item of a loop.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Name of the item. It does not depend on the position in the list, so a resumed run recognises the item.
    pub key: String,
    /// The value that templates see as `item`.
    pub value: Value,
}

/// Why the items of a `for_each` cannot be determined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The value is not a list or table, or an item has no usable key.
    #[error("{message}")]
    Bad {
        /// JSON pointer to the wrong value, relative to the step.
        pointer: String,
        message: String,
        help: String,
    },
}

impl Step {
    /// The items of the step's loop, in order. `None` if the step has no `for_each`.
    ///
    /// # Errors
    /// When a template fails, or an item has no key, or two items have the same key.
    pub fn items(&self, templates: &Templates, context: &Context) -> Result<Option<Vec<Item>>, ItemError> {
        let Some(raw) = &self.for_each else { return Ok(None) };
        let items = match templates.render_value(&raw.value, context)? {
            Value::Array(values) => values.into_iter().enumerate().map(|(n, value)| list_item(n, value)).collect(),
            Value::Object(map) => map.into_iter().map(|(key, value)| table_item(key, &value)).collect(),
            other => {
                let message = format!("`for_each` must be a list or a table, not {}", type_name(&other));
                Err(item_error("", message, "name a variable that is a list or a table, or write the items here"))
            }
        };
        require_distinct(items?).map(Some)
    }

    /// The values that the step's templates see for each item, on top of `context`. For a step without a loop this is
    /// `context` alone. Empty if the items cannot be determined.
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
    /// The rendered name of the machine on which the step runs instead of its host. `None` if the step has no
    /// `delegate_to`.
    pub fn delegate(&self, templates: &Templates, context: &Context) -> Option<Result<String, TemplateError>> {
        let name = Value::String(self.delegate_to.as_ref()?.value.clone());
        let name = templates.render_value(&name, context);
        Some(name.map(|name| as_text(&name).unwrap_or_else(|| name.to_string())))
    }
}

fn list_item(number: usize, value: Value) -> Result<Item, ItemError> {
    let pointer = format!("/{number}");
    let (key, pointer) = match &value {
        Value::Object(map) => (map.get("name").and_then(as_text), format!("{pointer}/name")),
        plain => (as_text(plain), pointer),
    };
    let Some(key) = key else {
        let message = format!("item {} of `for_each` has no name: it is {}", number + 1, type_name(&value));
        let help = "items are texts or numbers, or tables with a `name`; or write a table, whose keys are their names";
        return Err(item_error(&pointer, message, help));
    };
    Ok(Item { key: check_key(key, &pointer)?, value })
}

fn table_item(key: String, value: &Value) -> Result<Item, ItemError> {
    let pointer = format!("/{key}");
    let value = json!({ "key": key, "value": value });
    Ok(Item { key: check_key(key, &pointer)?, value })
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Checks that a key can be shown as part of a unit's name.
fn check_key(key: String, pointer: &str) -> Result<String, ItemError> {
    let length = key.chars().count();
    if secret::has_secret(&key) {
        let help = "names of items are shown in output: give the item a `name`, and keep the secret in another field";
        return Err(item_error(pointer, "an item of `for_each` has a secret in its name".to_owned(), help));
    }
    let message = if length == 0 {
        "an item of `for_each` has an empty name".to_owned()
    } else if key.contains(char::is_control) {
        format!("an item of `for_each` has control characters in its name: {key:?}")
    } else if length > MAX_NAME_CHARS {
        format!("an item of `for_each` has a name of {length} characters; {MAX_NAME_CHARS} are allowed")
    } else {
        return Ok(key);
    };
    Err(item_error(pointer, message, "write tables with a short `name`, and the rest in other fields"))
}

fn require_distinct(items: Vec<Item>) -> Result<Vec<Item>, ItemError> {
    if items.len() > MAX_ITEMS {
        let message = format!("`for_each` has {} items; {MAX_ITEMS} are allowed", items.len());
        return Err(item_error("", message, "split it up, or let one step do it for all of them"));
    }
    let mut seen = HashMap::new();
    for (number, item) in items.iter().enumerate() {
        if let Some(first) = seen.insert(item.key.as_str(), number) {
            let message = format!("items {} and {} of `for_each` are both named `{}`", first + 1, number + 1, item.key);
            let help = "a run identifies items by their names: rename or remove one of them";
            let name = if item.value.is_object() { "/name" } else { "" };
            return Err(item_error(&format!("/{number}{name}"), message, help));
        }
    }
    Ok(items)
}

fn item_error(pointer: &str, message: String, help: &str) -> ItemError {
    ItemError::Bad { pointer: format!("/for_each{pointer}"), message, help: help.to_owned() }
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
