//! The values that templates see.

use std::collections::BTreeMap;

use minijinja::value::{Serde, merge_maps};
use serde_json::{Map, Value};

/// Names at the top level that `rollout` defines itself, so that no variable may have them.
pub const RESERVED_NAMES: [&str; 7] = ["host", "hosts", "groups", "steps", "secrets", "plan", "item"];

/// Whether `name` can be the name of a variable.
pub fn is_variable_name(name: &str) -> bool {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !RESERVED_NAMES.contains(&name)
}

/// The values that templates see. Cheap to clone and to extend. Has no `Debug`, since values may be secret.
#[derive(Clone, Default)]
pub struct Context(pub(super) minijinja::Value);

impl Context {
    /// A context with these values at the top level.
    pub fn new(values: &Map<String, Value>) -> Self {
        Self(minijinja::Value::from(Serde(values)))
    }

    /// Adds a value, which hides an earlier one of the same name.
    #[must_use]
    pub fn with(&self, name: &str, value: &Value) -> Self {
        let one = BTreeMap::from([(name, minijinja::Value::from(Serde(value)))]);
        Self(merge_maps([self.0.clone(), one.into()]))
    }

    /// Adds values, which hide earlier ones of the same names.
    #[must_use]
    pub fn with_all(&self, values: &Map<String, Value>) -> Self {
        Self(merge_maps([self.0.clone(), minijinja::Value::from(Serde(values))]))
    }

    /// Adds all values of `other`, which hide earlier ones of the same names.
    #[must_use]
    pub fn below(&self, other: &Self) -> Self {
        Self(merge_maps([self.0.clone(), other.0.clone()]))
    }

    /// Adds the value `table[key]` under the name `name`.
    #[must_use]
    pub fn with_entry_as(&self, name: &str, table: &str, key: &str) -> Self {
        let value = self.0.get_attr(table).and_then(|table| table.get_attr(key)).unwrap_or_default();
        Self(merge_maps([self.0.clone(), BTreeMap::from([(name, value)]).into()]))
    }

    /// Whether a dotted path is defined.
    pub fn has(&self, path: &str) -> bool {
        let mut value = self.0.clone();
        for part in path.split('.') {
            match value.get_attr(part) {
                Ok(next) if !next.is_undefined() => value = next,
                _ => return false,
            }
        }
        true
    }

    pub fn is_table(&self, path: &str) -> bool {
        let value = path.split('.').try_fold(self.0.clone(), |value, part| value.get_attr(part).ok());
        value.is_some_and(|v| v.kind() == minijinja::value::ValueKind::Map)
    }

    /// The names directly below a dotted path (empty: the top level), for "did you mean".
    pub fn names_at(&self, path: &str) -> Vec<String> {
        let mut value = self.0.clone();
        for part in path.split('.').filter(|p| !p.is_empty()) {
            value = value.get_attr(part).unwrap_or_default();
        }
        value.try_iter().map(|keys| keys.map(|k| k.to_string()).collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_hide_earlier_values() {
        let base = Context::new(&Map::from_iter([("a".into(), 1.into()), ("b".into(), 2.into())]));
        let top = base.with("a", &serde_json::json!({ "deep": 3 }));
        assert!(top.has("a.deep") && top.has("b") && !top.has("a.other"));
        assert!(base.has("a") && !base.has("a.deep"));
        assert_eq!(top.names_at("a"), ["deep"]);
    }
}
