//! Builds the JSON Schema of plan files, for editors, from the schemas of the actions and the common keys of all steps.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::{Catalog, StepKind};
use crate::inventory::SecretKeys;

/// Maximum depth to which nested definitions are inlined. A schema that refers to itself ends there.
const MAX_DEPTH: usize = 8;

/// A plan file.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its documentation is used; a test compares its keys with those that are read")]
struct PlanFile {
    /// Name and description of the plan.
    plan: PlanKeys,
    /// Variables, used as `{{ name }}`. Variables of the inventory and `--var` override them.
    #[serde(default)]
    vars: BTreeMap<String, Value>,
    /// Secrets by name, used as `{{ secrets.NAME }}`. A secret of the same name in the inventory overrides the plan's.
    #[serde(default)]
    secrets: BTreeMap<String, SecretKeys>,
    /// Phases by name. Phases run in parallel unless one `needs` the other.
    phase: BTreeMap<String, PhaseKeys>,
}

/// Name and description of the plan.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its documentation is used; a test compares its keys with those that are read")]
struct PlanKeys {
    /// Name of the plan: lower-case letters, digits, `-`, `_` and `.`; at most 100 characters.
    name: String,
    /// Description in one line, for readers.
    description: Option<String>,
}

/// A phase: steps that run in file order, unless their `needs` say otherwise.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its documentation is used; a test compares its keys with those that are read")]
struct PhaseKeys {
    /// Description in one line, for readers.
    description: Option<String>,
    /// Phases that must succeed before this phase starts; default none.
    needs: Option<Vec<String>>,
    /// Expression such as `zone == 'eu'`; the phase is skipped if it is false. Default: the phase always runs.
    when: Option<String>,
    /// Size of the batches of hosts; each batch completes all steps of the phase before the next batch starts. A number
    /// of hosts, a percentage such as `25%`, or a list of sizes, whose last one repeats. Default: all hosts at once.
    #[schemars(schema_with = "batches")]
    serial: Option<Value>,
    /// How many hosts may fail, as a number or a percentage such as `10%`, before the other hosts stop. Default: no
    /// further batch starts after a failure.
    #[schemars(schema_with = "portion")]
    max_failures: Option<Value>,
    /// For changes that may cut the connection: guard time, such as `2m`, of each step that changes a host and has no
    /// `guard` of its own. Each step is confirmed on its own. Default: no guard.
    guard: Option<String>,
    /// Command that activates a step's change while the guard is armed, such as `systemctl reload ssh`.
    guard_apply: Option<String>,
    /// Command that the host runs after it has restored the state before a step; default `guard_apply`.
    guard_restore: Option<String>,
    /// Command that must succeed over the new connection before the change is confirmed; default none.
    guard_check: Option<String>,
    /// Steps of the phase.
    step: Option<Vec<Value>>,
    /// Handlers: steps that run once at the end of the phase if a step that changed something notified them.
    handler: Option<Vec<Value>>,
    /// Steps that undo other steps if the phase fails, in reverse order of those steps.
    on_failure: Option<Vec<Value>>,
}

/// Common keys of all steps.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its documentation is used; a test compares its keys with those that are read")]
struct StepKeys {
    /// Id of the step, unique in the plan. Later steps read its outputs as `steps.ID.OUTPUT`, with `_` for `-` and `.`
    /// in the id.
    id: String,
    /// Name of the action, such as `node.file`; `rollout actions` lists all actions.
    action: String,
    /// Host pattern: the step runs once on each of these hosts. `all`, names, groups, `pi-*`, `pi-[1:3]`; `a,b` (both),
    /// `a:!b` (a without b), `a:&b` (only hosts in both).
    hosts: Option<String>,
    /// Ids of steps of the same phase that must succeed first; default the step before this one. `[]`: none.
    needs: Option<Vec<String>>,
    /// Expression such as `host.disk is defined`; the step is skipped if it is false. Default: the step always runs.
    when: Option<String>,
    /// Runs the step once for each item, in order: a list, a table, or one `{{ expression }}` over variables. Templates
    /// see the item as `item`; for a table as `item.key` and `item.value`. A table in a list needs a `name`.
    for_each: Option<ForEach>,
    /// Whether the step runs only once, on the first of its hosts, for all of them; default `false`.
    run_once: Option<bool>,
    /// Name of the machine on which the step runs instead of its host, such as `localhost`; may be a template. Default:
    /// the host.
    delegate_to: Option<String>,
    /// Whether the step runs as root on the host, by sudo; default `false`.
    r#become: Option<bool>,
    /// How often a failed attempt is retried; default 0.
    #[schemars(range(max = 1000))]
    retry: Option<u32>,
    /// Delay before the first retry, such as `2s`; doubled for each further retry, up to one minute. Default `1s`.
    retry_delay: Option<String>,
    /// Timeout of one attempt, and of waiting for a condition, such as `90s` or `5m`; default that of the action.
    timeout: Option<String>,
    /// Size of the batches of hosts; each batch completes the step before the next one starts. A number of hosts, a
    /// percentage such as `25%`, or a list of sizes, whose last one repeats. Default: all hosts at once. Only for
    /// `step`.
    #[schemars(schema_with = "batches")]
    serial: Option<Value>,
    /// How many hosts may fail, as a number or a percentage such as `10%`, before the other hosts stop. Default: no
    /// further batch starts after a failure. Only for `step`.
    #[schemars(schema_with = "portion")]
    max_failures: Option<Value>,
    /// Whether the run continues if this step fails; the failure is shown as a warning. A host that cannot be reached
    /// still counts as a failure. Default `false`.
    ignore_errors: Option<bool>,
    /// Ids of handlers of the phase that run if this step changes something. Only for `step`.
    notify: Option<Vec<String>>,
    /// Whether the handlers notified so far run before this step, and not only at the end of the phase; default
    /// `false`. Only for `step`.
    flush: Option<bool>,
    /// Ids of `on_failure` steps of the phase that undo this step if the phase fails. Only for `step`.
    on_failure: Option<Vec<String>>,
    /// For a change that may cut the connection: the host reverts the change by itself unless it is reached over a new
    /// connection within this time, such as `2m`. Replaces the guard of the phase and its commands; `false` turns the
    /// phase's guard off for this step. Only for `step`, as are the `guard_…` keys.
    #[schemars(schema_with = "time_or_false")]
    guard: Option<Value>,
    /// Command that activates the change while the guard is armed, such as `systemctl reload ssh`. A handler would run
    /// too late, after the guard is off.
    guard_apply: Option<String>,
    /// Command that the host runs after it has restored the earlier state; default `guard_apply`.
    guard_restore: Option<String>,
    /// Command that must succeed over the new connection before the change is confirmed; default none.
    guard_check: Option<String>,
    /// Whether diff, outputs and console output of the step are masked; default `false`.
    sensitive: Option<bool>,
    /// Labels for `--tags`.
    tags: Option<Vec<String>>,
}

/// Items of a loop.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its documentation is used")]
enum ForEach {
    /// List of items: strings, numbers, or tables with a `name`.
    List(Vec<Value>),
    /// Items by name.
    Table(BTreeMap<String, Value>),
    /// A template whose value is a list or a table.
    Template(String),
}

/// A duration, or `false`.
fn time_or_false(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [{ "type": "string" }, { "const": false }] })
}

/// A number of hosts or a percentage.
fn portion(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": "^[0-9]{1,3}%$" }] })
}

/// One batch size or a list of sizes.
fn batches(generator: &mut SchemaGenerator) -> Schema {
    let one = portion(generator);
    json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
}

/// The schema of plans that use the actions of `catalog`.
pub fn schema(catalog: &dyn Catalog) -> Value {
    let mut schema = inlined(&schemars::schema_for!(PlanFile).to_value(), MAX_DEPTH);
    schema["title"] = json!("rollout plan");
    let common = inlined(&schemars::schema_for!(StepKeys).to_value(), MAX_DEPTH);
    let steps: Vec<Value> = catalog
        .actions()
        .into_iter()
        .map(|action| {
            let action_schema = inlined(&(action.schema)(), MAX_DEPTH);
            let mut properties = common["properties"].as_object().cloned().unwrap_or_default();
            properties["action"] = json!({ "const": action.name, "description": action.summary });
            let action_properties = action_schema["properties"].as_object().into_iter().flatten();
            properties.extend(action_properties.map(|(name, property)| (name.clone(), or_template(property))));
            let required: Vec<Value> = ["id", "action"].into_iter().map(Value::from).collect();
            let required =
                required.into_iter().chain(action_schema["required"].as_array().cloned().unwrap_or_default());
            json!({
                "title": action.name,
                "description": action.summary,
                "type": "object",
                "properties": properties,
                "required": required.collect::<Vec<_>>(),
                "additionalProperties": false,
            })
        })
        .collect();
    for part in StepKind::ALL {
        let list = &mut schema["properties"]["phase"]["additionalProperties"]["properties"][part.key()];
        list["items"] = json!({ "oneOf": steps });
    }
    schema
}

/// Replaces every `$ref` by its definition, and drops the definitions.
pub(crate) fn inlined(schema: &Value, depth: usize) -> Value {
    fn walk(value: &Value, root: &Value, depth: usize) -> Value {
        match value {
            Value::Object(map) => {
                let target = map.get("$ref").and_then(Value::as_str).and_then(|r| root.pointer(r.strip_prefix('#')?));
                if let Some(target) = target {
                    if depth == 0 {
                        return json!({});
                    }
                    let mut out = walk(target, root, depth - 1);
                    // Keys beside the `$ref` override those of the definition.
                    for (key, value) in map.iter().filter(|(key, _)| *key != "$ref") {
                        out[key] = walk(value, root, depth);
                    }
                    return out;
                }
                let kept = map.iter().filter(|(key, _)| *key != "$defs");
                Value::Object(kept.map(|(key, value)| (key.clone(), walk(value, root, depth))).collect())
            }
            Value::Array(items) => items.iter().map(|v| walk(v, root, depth)).collect(),
            other => other.clone(),
        }
    }
    walk(schema, schema, depth)
}

/// Allows a template string in the place of any value that is not a string, at every level.
fn or_template(property: &Value) -> Value {
    let mut own = property.clone();
    for inner in ["items", "additionalProperties"] {
        if own[inner].is_object() {
            own[inner] = or_template(&own[inner]);
        } else if own[inner].is_null()
            && let Some(map) = own.as_object_mut()
        {
            map.remove(inner);
        }
    }
    if let Some(properties) = own.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(|p| *p = or_template(p));
    }
    let any_string = own["type"] == "string" && own.get("enum").is_none() && own.get("const").is_none();
    let no_type =
        own.get("type").is_none() && !["anyOf", "oneOf", "enum", "const"].iter().any(|k| own.get(k).is_some());
    if let Some(map) = own.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    if any_string || no_type {
        return own;
    }
    let mut out = Map::new();
    // Editors show these keys only at the property itself, not inside `anyOf`.
    for key in ["description", "default"] {
        if let Some(value) = own.as_object_mut().and_then(|map| map.remove(key)) {
            out.insert(key.to_owned(), value);
        }
    }
    out.insert("anyOf".to_owned(), json!([own, { "type": "string", "pattern": "\\{\\{" }]));
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::super::parse::{PHASE_KEYS, PLAN_KEYS, TOP_KEYS};
    use super::super::step::STEP_KEYS;
    use super::super::testing::catalog;
    use super::*;

    fn keys(schema: &Value) -> Vec<&str> {
        schema["properties"].as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn the_schema_has_the_keys_that_are_read() {
        assert_eq!(keys(&schemars::schema_for!(PlanFile).to_value()), TOP_KEYS);
        assert_eq!(keys(&schemars::schema_for!(PlanKeys).to_value()), PLAN_KEYS);
        assert_eq!(keys(&schemars::schema_for!(PhaseKeys).to_value()), PHASE_KEYS);
        assert_eq!(keys(&schemars::schema_for!(StepKeys).to_value()), STEP_KEYS);
    }

    #[test]
    fn each_action_is_one_alternative_of_a_step() {
        let schema = schema(&catalog());
        let step = &schema["properties"]["phase"]["additionalProperties"]["properties"]["step"]["items"];
        let file = &step["oneOf"][0];
        assert_eq!(file["properties"]["action"]["const"], "test.file");
        assert_eq!(file["required"], json!(["id", "action", "path"]));
        assert_eq!(file["properties"]["path"]["type"], "string");
        assert_eq!(file["properties"]["count"]["description"], "Copies.");
        assert_eq!(file["properties"]["count"]["anyOf"][1]["pattern"], "\\{\\{");
        assert!(!schema.to_string().contains("$ref"), "{schema:#}");
        assert!(!schema.to_string().contains("$defs"), "{schema:#}");
    }
}
