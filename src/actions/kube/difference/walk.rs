//! Compares two JSON values and adds a diff for each field that differs. Pure.

use serde_json::{Map, Value};

use super::objects::item_key;
use crate::connect::kube::Conflict;
use crate::diff::{Delta, Diff};
use crate::excerpt;
use crate::secret::redact;

/// A comparison of two versions of an object.
pub struct Walk<'a> {
    /// Name of the object in the diff.
    pub name: &'a str,
    /// Fields that other field managers own.
    pub conflicts: &'a [Conflict],
}

impl Walk<'_> {
    /// Adds the differences between the values at `path`.
    pub fn values(&self, path: &str, before: Option<&Value>, after: Option<&Value>, diff: &mut Diff) {
        match (before, after) {
            (Some(b), Some(a)) if b == a => {}
            (Some(Value::Object(b)), Some(Value::Object(a))) => self.maps(path, b, a, diff),
            (Some(Value::Array(b)), Some(Value::Array(a))) => self.lists(path, b, a, diff),
            (Some(Value::String(b)), Some(Value::String(a))) if b.contains('\n') || a.contains('\n') => {
                diff.0.push(Delta::Text { label: self.label(path), before: b.clone(), after: a.clone() });
            }
            (before, after) => diff.0.push(Delta::Field {
                path: self.label(path),
                before: before.map(shown_value),
                after: after.map(shown_value),
                owner: self.owner(path),
            }),
        }
    }

    fn maps(&self, path: &str, before: &Map<String, Value>, after: &Map<String, Value>, diff: &mut Diff) {
        let added = after.keys().filter(|k| !before.contains_key(*k));
        for key in before.keys().chain(added) {
            let plain = key.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
            let deeper = match (plain, path) {
                (true, "") => key.clone(),
                (true, _) => format!("{path}.{key}"),
                (false, _) => format!("{path}[{key}]"),
            };
            self.values(&deeper, before.get(key), after.get(key), diff);
        }
    }

    fn lists(&self, path: &str, before: &[Value], after: &[Value], diff: &mut Diff) {
        let key = item_key(before, after);
        let Some(key) = key else {
            for i in 0..before.len().max(after.len()) {
                self.values(&format!("{path}[{i}]"), before.get(i), after.get(i), diff);
            }
            return;
        };
        let find = |items: &[Value], id: &Value| items.iter().position(|i| &i[key] == id);
        for item in before {
            let there = find(after, &item[key]).map(|i| &after[i]);
            self.values(&format!("{path}[{}]", shown_value(&item[key])), Some(item), there, diff);
        }
        for item in after.iter().filter(|i| find(before, &i[key]).is_none()) {
            self.values(&format!("{path}[{}]", shown_value(&item[key])), None, Some(item), diff);
        }
    }

    fn label(&self, path: &str) -> String {
        format!("{} {path}", self.name)
    }

    fn owner(&self, path: &str) -> Option<String> {
        // A conflict writes list items as JSON, `containers[name="web"].image`; for sorting, only the order of names
        // matters.
        let plain = |field: &str| field.replace("[name=\"", "[").replace("\"]", "]");
        let same = |c: &&Conflict| plain(&c.field) == path || plain(&c.field).starts_with(&format!("{path}."));
        self.conflicts.iter().find(same).map(|c| c.manager.clone())
    }
}

fn shown_value(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    // Masked before it is shortened: a part of a secret would not be recognised.
    let text = redact(&text).into_owned();
    excerpt::head(&text, 200).into_owned()
}
