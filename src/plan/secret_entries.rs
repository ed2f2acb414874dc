//! The secrets that a plan may use, and the placeholders for their values in the checks. Reads no secret.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Plan;
use crate::inventory::{Inventory, SecretEntry};

/// All secrets by name. A secret of the inventory overrides the plan's.
pub fn secrets<'a>(plan: &'a Plan, inventory: &'a Inventory) -> BTreeMap<&'a str, &'a SecretEntry> {
    plan.secrets.iter().chain(&inventory.secrets).map(|entry| (entry.name.value.as_str(), entry)).collect()
}

/// Prefix of the placeholder that the checks see instead of a secret. The placeholder is registered with the redactor,
/// so rules about secrets apply to it.
const STAND_IN: &str = "stand-in-for-secret-";

/// Placeholders for all secrets, by name.
pub(super) fn stand_ins(plan: &Plan, inventory: &Inventory) -> Map<String, Value> {
    let stand_in = |name: &str| {
        let text = format!("{STAND_IN}{name}");
        crate::secret::register(&text);
        (name.to_owned(), text.into())
    };
    secrets(plan, inventory).into_keys().map(stand_in).collect()
}

/// The values with the placeholders replaced by text that the redactor does not treat as secret.
pub(super) fn without_secrets(values: &Map<String, Value>) -> Map<String, Value> {
    let text = Value::Object(values.clone()).to_string().replace(STAND_IN, "stand-in-for-nobody-");
    match serde_json::from_str(&text) {
        Ok(Value::Object(map)) => map,
        _ => values.clone(),
    }
}
