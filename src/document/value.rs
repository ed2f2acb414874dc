//! From TOML to the plain values that templates and actions take.

use serde_json::Value;
use toml::de::DeValue;

/// What the values of all variables may come to, on all hosts together, bytes.
pub const MAX_BYTES: usize = 128 << 20;

/// What a value takes, about, bytes: its texts, and something for itself and each value in it.
pub fn size(value: &Value) -> usize {
    const EACH: usize = 64;
    EACH + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + size(value)).sum(),
        _ => 0,
    }
}

/// A value that holds no others. Times become text; infinite numbers and integers beyond 64 bits, which JSON lacks, do
/// too.
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
