//! Derives the list of an action's parameters from its JSON Schema, for the checks and for the documentation.

use serde_json::Value;

use super::ActionInfo;

/// One parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Key in the step.
    pub name: String,
    /// Description.
    pub about: String,
    /// Its type in words, such as `list of strings`.
    pub kind: String,
    pub required: bool,
    /// Default value. `None` also for empty defaults, which mean "not given".
    pub default: Option<Value>,
    /// Set if strings in the value name files of the project.
    pub file: Option<FileKind>,
    sample: Value,
}

impl Param {
    /// A value of the right type, used in the place of a value that is not known yet.
    pub(super) fn sample(&self) -> Value {
        self.sample.clone()
    }
}

/// How a file is used that a parameter names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A template, which is rendered.
    Template,
    /// A text file, used unchanged.
    Plain,
    /// A file of any size and kind, used unchanged.
    Source,
    /// A folder, all of whose files are used unchanged.
    Folder,
    /// A file that the step writes on the machine that runs `rollout`.
    Written,
}

impl ActionInfo {
    /// The parameters, in the order of their definition.
    pub fn params(&self) -> Vec<Param> {
        let schema = (self.schema)();
        let required: Vec<&str> = strings(&schema["required"]);
        let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
        let param = |(name, property): (&String, &Value)| Param {
            name: name.clone(),
            about: description(property, &schema),
            kind: type_in_words(property, &schema),
            required: required.contains(&name.as_str()),
            default: property.get("default").filter(|d| is_worth_showing(d)).cloned(),
            file: file_kind(property, &schema),
            sample: sample(property, &schema),
        };
        properties.iter().map(param).collect()
    }
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether a default tells the reader something. An empty default means "not given".
fn is_worth_showing(default: &Value) -> bool {
    match default {
        Value::Null => false,
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn description(property: &Value, schema: &Value) -> String {
    let own = property["description"].as_str().or_else(|| resolve(property, schema)["description"].as_str());
    own.unwrap_or_default().trim().to_owned()
}

/// Follows a `$ref`; a property without one is returned itself.
fn resolve<'a>(property: &'a Value, schema: &'a Value) -> &'a Value {
    let target = property["$ref"].as_str().and_then(|r| r.strip_prefix('#')).and_then(|p| schema.pointer(p));
    target.unwrap_or(property)
}

/// The alternative schemas of a property, without `null`.
fn alternatives<'a>(property: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let property = resolve(property, schema);
    let options = ["anyOf", "oneOf"].into_iter().find_map(|k| property[k].as_array());
    match options {
        Some(options) => options
            .iter()
            .filter(|o| o["type"] != "null")
            .flat_map(|o| if o.get("const").is_some() { vec![o] } else { alternatives(o, schema) })
            .collect(),
        None => vec![property],
    }
}

fn file_kind(property: &Value, schema: &Value) -> Option<FileKind> {
    alternatives(property, schema).into_iter().find_map(|p| match p["format"].as_str() {
        Some("template") => Some(FileKind::Template),
        Some("file") => Some(FileKind::Plain),
        Some("source") => Some(FileKind::Source),
        Some("folder") => Some(FileKind::Folder),
        Some("written") => Some(FileKind::Written),
        _ => ["items", "additionalProperties"]
            .into_iter()
            .filter_map(|k| p.get(k))
            .find_map(|inner| inner.is_object().then(|| file_kind(inner, schema)).flatten()),
    })
}

fn type_in_words(property: &Value, schema: &Value) -> String {
    let options = alternatives(property, schema);
    let constants: Vec<String> = options
        .iter()
        .flat_map(|o| o.get("const").into_iter().chain(o["enum"].as_array().into_iter().flatten()))
        .filter(|c| !c.is_null())
        .map(Value::to_string)
        .collect();
    if !constants.is_empty() {
        return format!("one of {}", constants.join(", "));
    }
    let mut words: Vec<String> = options.into_iter().map(|o| single_type(o, schema)).collect();
    words.dedup();
    words.join(" or ")
}

fn single_type(property: &Value, schema: &Value) -> String {
    let types = match &property["type"] {
        Value::String(one) => vec![one.as_str()],
        many => strings(many),
    };
    let name = |t: &str| match (t, property["format"].as_str()) {
        ("string", Some("template")) => "template file".to_owned(),
        ("string", Some("file" | "source" | "written")) => "file".to_owned(),
        ("string", Some("folder")) => "folder".to_owned(),
        ("integer", _) => range("integer", property),
        ("array", _) => match type_in_words(&property["items"], schema).as_str() {
            one @ ("string" | "integer" | "table" | "file" | "template file") => format!("list of {one}s"),
            other => format!("list of {other}"),
        },
        ("object", _) => match property.get("additionalProperties").filter(|p| p.is_object()) {
            Some(value) if value.get("type").is_some() || value.get("$ref").is_some() => {
                format!("table of {}", type_in_words(value, schema))
            }
            _ => "table".to_owned(),
        },
        (other, _) => other.to_owned(),
    };
    let names: Vec<String> = types.into_iter().filter(|t| *t != "null").map(name).collect();
    if names.is_empty() { "any value".to_owned() } else { names.join(" or ") }
}

fn sample(property: &Value, schema: &Value) -> Value {
    let options = alternatives(property, schema);
    let Some(first) = options.first() else { return Value::Null };
    if let Some(constant) = first.get("const").or_else(|| first["enum"].get(0)) {
        return constant.clone();
    }
    let kind = first["type"].as_str().or_else(|| strings(&first["type"]).into_iter().find(|t| *t != "null"));
    match kind {
        Some("integer" | "number") => first.get("minimum").cloned().unwrap_or_else(|| 1.into()),
        Some("boolean") => true.into(),
        Some("array") => Value::Array(vec![sample(&first["items"], schema)]),
        Some("object") => Value::Object(serde_json::Map::new()),
        _ => "later".into(),
    }
}

/// Shows only narrow ranges: `0..=4294967295` follows from the integer type and tells the reader nothing.
fn range(name: &str, property: &Value) -> String {
    match (property["minimum"].as_i64(), property["maximum"].as_i64()) {
        (Some(low), Some(high)) if high <= 65_535 => format!("{name} {low}–{high}"),
        (Some(1), _) => format!("{name} from 1"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::catalog;
    use crate::plan::Catalog as _;

    #[test]
    fn parameters_are_described_in_words() {
        let catalog = catalog();
        let params = catalog.action("test.file").unwrap().params();
        let lines: Vec<String> = params
            .iter()
            .map(|p| format!("{}: {} req={} {:?} {:?}", p.name, p.kind, p.required, p.default, p.file))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        path: string req=true None None
        template: template file req=false None Some(Template)
        source: file req=false None Some(Plain)
        mode: string req=false Some(String("0644")) None
        state: one of "present", "absent" req=false Some(String("present")) None
        aliases: list of strings req=false None None
        count: integer 0–255 req=false None None
        "#);
        assert_eq!(params[0].about, "Where it goes.");
    }
}
