//! From TOML to the plain values that templates and actions take.

use serde_json::{Map, Value};
use toml::de::DeValue;

use crate::template::RESERVED;

/// The value without its places. Times become text; infinite numbers, which JSON lacks, do too.
pub(crate) fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(n) => {
            i64::from_str_radix(n.as_str(), n.radix()).map_or_else(|_| n.to_string().into(), Into::into)
        }
        DeValue::Float(n) => {
            let number = n.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            number.map_or_else(|| n.as_str().into(), Value::Number)
        }
        DeValue::Boolean(b) => Value::Bool(*b),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(items) => items.iter().map(|v| plain(v.get_ref())).collect(),
        DeValue::Table(table) => {
            // The parser sorts keys by name; people sort them by meaning.
            let mut entries: Vec<_> = table.iter().collect();
            entries.sort_by_key(|(k, _)| k.span().start);
            Value::Object(
                entries.into_iter().map(|(k, v)| (k.get_ref().to_string(), plain(v.get_ref()))).collect::<Map<_, _>>(),
            )
        }
    }
}

/// The TOML value that `text` is, else `text` itself.
pub fn toml_or_text(text: &str) -> Value {
    DeValue::parse(text).map_or_else(|_| text.into(), |v| plain(v.get_ref()))
}

/// Whether templates can use a variable of that name.
pub fn is_variable_name(name: &str) -> bool {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !RESERVED.contains(&name)
}
