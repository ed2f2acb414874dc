//! The JSON Schema of plan files, for editors: from the actions' own schemas and the keys that every step may have.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::{Catalog, StepKind};
use crate::inventory::SecretKeys;

/// Deepest nesting of definitions that is followed; a schema that refers to itself ends there.
const MAX_DEPTH: usize = 8;

/// A plan file.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its documentation is used; a test compares its keys with those that are read")]
struct PlanFile {
    /// What this plan is.
    plan: Head,
    /// Variables, used as `{{ name }}`; the inventory and `--var` override them.
    #[serde(default)]
    vars: BTreeMap<String, Value>,
    /// Secrets by name, used as `{{ secrets.NAME }}`; the inventory's of the same names come first.
    #[serde(default)]
    secrets: BTreeMap<String, SecretKeys>,
    /// The phases by name: the nodes of the graph.
    phase: BTreeMap<String, PhaseKeys>,
}

/// What this plan is.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its documentation is used; a test compares its keys with those that are read")]
struct Head {
    /// Name of the plan: lower-case letters, digits, `-`, `_` and `.`.
    name: String,
    /// One line for people.
    description: Option<String>,
}

/// A phase: steps that run in order, unless they say otherwise.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its documentation is used; a test compares its keys with those that are read")]
struct PhaseKeys {
    /// One line for people.
    description: Option<String>,
    /// Phases that must end well first.
    needs: Option<Vec<String>>,
    /// Expression; the phase is skipped when it is false.
    when: Option<String>,
    /// Batches of hosts, each of which goes through all steps before the next one starts: a number, a percentage such as
    /// `25%`, or a list of sizes, the last of which goes on.
    #[schemars(schema_with = "batches")]
    serial: Option<Value>,
    /// How many of its hosts may fail, a number or a percentage, and the others still go on, without the failed ones.
    #[schemars(schema_with = "portion")]
    max_failures: Option<Value>,
    /// For changes that may cut the connection: the guard of each of its steps that changes a host and has none of its own,
    /// such as `2m`. Each is confirmed by itself.
    guard: Option<String>,
    /// Command that puts a step's change into effect under the guard.
    guard_apply: Option<String>,
    /// Command that the host runs when it has put back what was there before a step; default `guard_apply`.
    guard_restore: Option<String>,
    /// Command that must end well over the new connection, too.
    guard_check: Option<String>,
    /// The steps.
    step: Option<Vec<Value>>,
    /// Steps that run once at the end of the phase, if a changed step has notified them.
    handler: Option<Vec<Value>>,
    /// Steps that undo others when the phase fails, the last step's first.
    on_failure: Option<Vec<Value>>,
}

/// Keys that every step may have.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its documentation is used; a test compares its keys with those that are read")]
struct StepKeys {
    /// Unique in the plan; later steps find this one's outputs as `steps.ID.OUTPUT`, with `_` for `-` and `.`.
    id: String,
    /// What to do; `rollout actions` lists all.
    action: String,
    /// Host pattern: the step runs once on each host. `all`, names, groups, `pi-*`, `pi-[1:3]`; `a,b`, `a:!b`, `a:&b`.
    hosts: Option<String>,
    /// Steps of the same phase that must end well first; default the step before this one. `[]`: none.
    needs: Option<Vec<String>>,
    /// Expression; the step is skipped when it is false.
    when: Option<String>,
    /// Runs the step once for each item, in order: a list, a table, or one `{{ expression }}` over variables. Templates
    /// see `item`; of a table `item.key` and `item.value`. Tables in a list have a `name`.
    for_each: Option<ForEach>,
    /// Whether it runs once, on the first of its hosts, for all of them.
    run_once: Option<bool>,
    /// Name of the machine that it runs on instead of the host, such as `localhost`; may be a template.
    delegate_to: Option<String>,
    /// Whether it runs as root on the host.
    r#become: Option<bool>,
    /// Attempts after the first one failed.
    #[schemars(range(max = 1000))]
    retry: Option<u32>,
    /// Pause before the second attempt, such as `2s`; doubled for each further one, never more than a minute.
    retry_delay: Option<String>,
    /// Deadline of one attempt, and of a wait, such as `90s` or `5m`.
    timeout: Option<String>,
    /// Batches of hosts, each of which is done before the next one starts: a number, a percentage such as `25%`, or a list
    /// of sizes, the last of which goes on. Only steps of `step` have this key.
    #[schemars(schema_with = "batches")]
    serial: Option<Value>,
    /// How many of its hosts may fail, a number or a percentage, and the others still go on, without the failed ones. Only
    /// steps of `step` have this key.
    #[schemars(schema_with = "portion")]
    max_failures: Option<Value>,
    /// Whether what needs it goes on when it fails; it is shown as a warning then. A host that cannot be reached is a
    /// failure all the same.
    ignore_errors: Option<bool>,
    /// Handlers of the phase that run when this step changed something. Only steps of `step` have this key.
    notify: Option<Vec<String>>,
    /// Whether the handlers that were notified so far run before this step. Only steps of `step` have this key.
    flush: Option<bool>,
    /// Steps of the phase's `on_failure` that undo this one. Only steps of `step` have this key.
    on_failure: Option<Vec<String>>,
    /// For a change that may cut the connection: the host takes it back by itself unless it can be reached over a new
    /// connection within this time, such as `2m`. Only steps of `step` have this key and the three that follow. In the place
    /// of the phase's guard as a whole; `false`: without that one.
    #[schemars(schema_with = "time_or_false")]
    guard: Option<Value>,
    /// Command that puts the change into effect under the guard, such as `systemctl reload ssh`: a handler would run when
    /// the guard is off.
    guard_apply: Option<String>,
    /// Command that the host runs when it has put back what was there before; default `guard_apply`.
    guard_restore: Option<String>,
    /// Command that must end well over the new connection, too.
    guard_check: Option<String>,
    /// Whether its diff, outputs and output are masked.
    sensitive: Option<bool>,
    /// Labels.
    tags: Option<Vec<String>>,
}

/// What a step is done for.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its documentation is used")]
enum ForEach {
    /// The items, each with a name: texts, numbers, or tables with a `name`.
    List(Vec<Value>),
    /// The items by name.
    Table(BTreeMap<String, Value>),
    /// A template that comes to one of these.
    Template(String),
}

/// A duration, or none in spite of another one.
fn time_or_false(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [{ "type": "string" }, { "const": false }] })
}

/// A number of hosts or a part of them.
fn portion(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": "^[0-9]{1,3}%$" }] })
}

/// One size or several.
fn batches(generator: &mut SchemaGenerator) -> Schema {
    let one = portion(generator);
    json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
}

/// The schema of a plan that may name the actions of `catalog`.
pub fn schema(catalog: &dyn Catalog) -> Value {
    let mut schema = inlined(&schemars::schema_for!(PlanFile).to_value(), MAX_DEPTH);
    schema["title"] = json!("rollout plan");
    let common = inlined(&schemars::schema_for!(StepKeys).to_value(), MAX_DEPTH);
    let steps: Vec<Value> = catalog
        .actions()
        .into_iter()
        .map(|kind| {
            let own = inlined(&(kind.schema)(), MAX_DEPTH);
            let mut properties = common["properties"].as_object().cloned().unwrap_or_default();
            properties["action"] = json!({ "const": kind.name, "description": kind.summary });
            let own_properties = own["properties"].as_object().into_iter().flatten();
            properties.extend(own_properties.map(|(name, property)| (name.clone(), or_template(property))));
            let required: Vec<Value> = ["id", "action"].into_iter().map(Value::from).collect();
            let required = required.into_iter().chain(own["required"].as_array().cloned().unwrap_or_default());
            json!({
                "title": kind.name,
                "description": kind.summary,
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

/// The schema with every `$ref` replaced by what it refers to, and without definitions of its own.
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
                    // What stands beside the reference says more than the definition.
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

/// The property, or a template that renders to it, at every level.
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
    // Editors show these for the property itself.
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
        assert_eq!(keys(&schemars::schema_for!(Head).to_value()), PLAN_KEYS);
        assert_eq!(keys(&schemars::schema_for!(PhaseKeys).to_value()), PHASE_KEYS);
        assert_eq!(keys(&schemars::schema_for!(StepKeys).to_value()), STEP_KEYS);
    }

    #[test]
    fn each_action_is_one_shape_of_a_step() {
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
