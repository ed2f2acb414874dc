//! Checks names of plans, phases and steps, and collects the places of keys and values.

use crate::document::{Item, Node, Reader};
use crate::finding::{Span, Spanned};

/// Maximum length of the name of a plan, phase or step, in bytes. Names become part of file names, which have 255
/// bytes.
const MAX_NAME_BYTES: usize = 100;

/// Checks that a name can be used in addresses, file names and templates, and reports an error if not.
pub(super) fn is_name(reader: &mut Reader, name: &Spanned<String>, what: &str) -> bool {
    let mut chars = name.value.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let is_valid = first && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'));
    if !is_valid {
        let message = format!("`{}` cannot be {what}", name.value);
        let help = "lower-case letters, digits, `-`, `_` and `.`, beginning with a letter or digit".to_owned();
        reader.error("bad-name", &name.span, message, Some(help));
    } else if name.value.len() > MAX_NAME_BYTES {
        let message = format!("{what} has at most {MAX_NAME_BYTES} characters, and this one has {}", name.value.len());
        let help = "it is part of the names of files and leases: write a short one, and the rest as `description`";
        reader.error("bad-name", &name.span, message, Some(help.to_owned()));
    }
    is_valid
}

/// Collects the places of a parameter's keys and values, by JSON pointer.
pub(super) fn collect_spans(
    pointer: &str,
    node: &Node,
    spans: &mut Vec<(String, Span)>,
    keys: &mut Vec<(String, Span)>,
) {
    spans.push((pointer.to_owned(), node.span.clone()));
    match &node.item {
        Item::Scalar(_) => {}
        Item::List(items) => {
            for (n, item) in items.iter().enumerate() {
                collect_spans(&format!("{pointer}/{n}"), item, spans, keys);
            }
        }
        Item::Table(table) => {
            for (key, node) in &table.entries {
                let pointer = format!("{pointer}/{}", key.value);
                keys.push((pointer.clone(), key.span.clone()));
                collect_spans(&pointer, node, spans, keys);
            }
        }
    }
}
