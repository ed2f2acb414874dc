//! Converts TOML scalars to JSON values, and estimates the size of values.

use serde_json::Value;
use toml::de::DeValue;

/// Maximum size of the values of all variables, on all hosts together, in bytes.
pub const MAX_BYTES: usize = 128 << 20;

/// Approximate size of a value in memory, in bytes.
pub fn size(value: &Value) -> usize {
    const VALUE_BYTES: usize = 64;
    VALUE_BYTES
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(size).sum(),
            Value::Object(map) => map.iter().map(|(key, value)| key.len() + size(value)).sum(),
            _ => 0,
        }
}

/// Converts a scalar; returns `None` for lists and tables. Times become strings. So do infinite numbers and integers
/// beyond 64 bits, which JSON lacks.
pub(super) fn scalar(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
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
        DeValue::Array(_) | DeValue::Table(_) => return None,
    })
}
