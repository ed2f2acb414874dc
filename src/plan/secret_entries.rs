//! The secrets that a plan may use, and what stands in the place of their values in the checks. Reads none.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Plan;
use crate::inventory::{Inventory, SecretEntry};

/// The secrets by name: the inventory's, and the plan's that it does not have.
pub fn secrets<'a>(plan: &'a Plan, inventory: &'a Inventory) -> BTreeMap<&'a str, &'a SecretEntry> {
    plan.secrets.iter().chain(&inventory.secrets).map(|entry| (entry.name.value.as_str(), entry)).collect()
}

/// What the checks see in the place of a secret's value. The redactor knows it, so rules about secrets hold for it.
const STAND_IN: &str = "stand-in-for-secret-";

/// The secrets, each with something else in the place of its value.
pub(super) fn stand_ins(plan: &Plan, inventory: &Inventory) -> Map<String, Value> {
    let stand_in = |name: &str| {
        let text = format!("{STAND_IN}{name}");
        crate::secret::register(&text);
        (name.to_owned(), text.into())
    };
    secrets(plan, inventory).into_keys().map(stand_in).collect()
}

/// The same values as if no secret were in them.
pub(super) fn without_secrets(values: &Map<String, Value>) -> Map<String, Value> {
    let text = Value::Object(values.clone()).to_string().replace(STAND_IN, "stand-in-for-nobody-");
    match serde_json::from_str(&text) {
        Ok(Value::Object(map)) => map,
        _ => values.clone(),
    }
}
