//! Objects prepared for a comparison: reduced to the fields that count, and merged with the wanted ones. Pure.

use serde_json::Value;

use crate::connect::kube::{FIELD_MANAGER, manifest};

/// Metadata that the API writes.
const KEPT_BY_API: &[&str] =
    &["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"];

/// Keys that identify the items of a list, in order of preference.
const ITEM_KEYS: &[&str] = &["name", "containerPort", "mountPath", "port", "ip", "topologyKey"];

/// The key that identifies the items of both lists; `None` if no key does.
pub fn item_key(one: &[Value], other: &[Value]) -> Option<&'static str> {
    ITEM_KEYS.iter().copied().find(|key| identifies_items(one, key) && identifies_items(other, key))
}

/// Whether every item has `key`, and no two items the same value.
fn identifies_items(items: &[Value], key: &str) -> bool {
    let ids: Vec<&Value> = items.iter().filter_map(|i| i.get(key)).collect();
    ids.len() == items.len() && ids.iter().enumerate().all(|(i, id)| !ids[..i].contains(id))
}

/// The parts of `object` that `wanted` has as well. List items are matched by their identifying key.
pub fn restricted_to(object: &Value, wanted: &Value) -> Value {
    match (object, wanted) {
        (Value::Object(object), Value::Object(wanted)) => {
            let both = wanted.iter().filter_map(|(key, wanted)| Some((key, object.get(key)?, wanted)));
            Value::Object(both.map(|(key, value, wanted)| (key.clone(), restricted_to(value, wanted))).collect())
        }
        (Value::Array(object), Value::Array(wanted)) => {
            let key = item_key(object, wanted);
            let Some(key) = key else { return Value::Array(object.clone()) };
            let same = |item: &&Value| wanted.iter().find(|wanted| wanted[key] == item[key]);
            Value::Array(object.iter().filter_map(|item| Some(restricted_to(item, same(&item)?))).collect())
        }
        (object, _) => object.clone(),
    }
}

/// The live object with the wanted fields in place of its own. List items are matched by their identifying key.
pub fn overlay(live: &Value, wanted: &Value) -> Value {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            let mut all = live.clone();
            for (key, value) in wanted {
                let value = live.get(key).map_or_else(|| value.clone(), |there| overlay(there, value));
                all.insert(key.clone(), value);
            }
            Value::Object(all)
        }
        (Value::Array(live), Value::Array(wanted)) => {
            let key = item_key(live, wanted);
            let same = |item: &Value| key.and_then(|key| live.iter().find(|there| there[key] == item[key]));
            wanted.iter().map(|item| same(item).map_or_else(|| item.clone(), |there| overlay(there, item))).collect()
        }
        (_, wanted) => wanted.clone(),
    }
}

/// The object without what the API or controllers write on their own, and with secrets masked.
pub fn comparable(object: &Value, wanted: &Value) -> Value {
    let mut object = manifest::masked(object);
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        for key in KEPT_BY_API {
            metadata.remove(*key);
        }
    }
    if let (Value::Object(map), None) = (&mut object, wanted.get("status")) {
        map.remove("status");
    }
    object
}

/// The fields that this tool's field manager owns.
pub fn ownership(object: &Value) -> Option<&Value> {
    manifest::list(object, "/metadata/managedFields")
        .iter()
        .find(|entry| {
            manifest::text(entry, "/manager") == FIELD_MANAGER
                && manifest::text(entry, "/operation") == "Apply"
                && manifest::text(entry, "/subresource").is_empty()
        })
        .and_then(|entry| entry.get("fieldsV1"))
}
