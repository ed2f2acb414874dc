//! An action's parameters, read off its JSON Schema: for the checks and for the documentation.

use serde_json::Value;

use super::ActionInfo;

/// One parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its key in a step.
    pub name: String,
    /// What it is.
    pub about: String,
    /// Its type in words, such as `list of strings`.
    pub kind: String,
    /// Whether a step must have it.
    pub required: bool,
    /// What holds without it, when that says something.
    pub default: Option<Value>,
    /// Whether its strings name files of the project.
    pub file: Option<FileKind>,
    sample: Value,
}

impl Param {
    /// Some value of its type, for a value that is not known yet.
    pub(super) fn sample(&self) -> Value {
        self.sample.clone()
    }
}

/// What becomes of a file that a parameter names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// It is rendered.
    Template,
    /// It is a text, and taken as it is.
    Plain,
    /// It is taken as it is, and may be of any size and kind.
    Source,
    /// It is a folder, and all files in it are taken as they are.
    Folder,
    /// It is written by the step, on the machine that runs the tool.
    Written,
}

impl ActionInfo {
    /// Its parameters, in the order of its definition.
    pub fn params(&self) -> Vec<Param> {
        let schema = (self.schema)();
        let required: Vec<&str> = strings(&schema["required"]);
        let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
        let param = |(name, property): (&String, &Value)| Param {
            name: name.clone(),
            about: text(property, &schema),
            kind: words(property, &schema),
            required: required.contains(&name.as_str()),
            default: property.get("default").filter(|d| says_something(d)).cloned(),
            file: file(property, &schema),
            sample: sample(property, &schema),
        };
        properties.iter().map(param).collect()
    }
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// An empty default is how "not given" looks.
fn says_something(default: &Value) -> bool {
    match default {
        Value::Null => false,
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn text(property: &Value, schema: &Value) -> String {
    let own = property["description"].as_str().or_else(|| resolve(property, schema)["description"].as_str());
    own.unwrap_or_default().trim().to_owned()
}

/// The definition that a `$ref` leads to, or the property itself.
fn resolve<'a>(property: &'a Value, schema: &'a Value) -> &'a Value {
    let target = property["$ref"].as_str().and_then(|r| r.strip_prefix('#')).and_then(|p| schema.pointer(p));
    target.unwrap_or(property)
}

/// The alternatives of a property, without `null`.
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

fn file(property: &Value, schema: &Value) -> Option<FileKind> {
    alternatives(property, schema).into_iter().find_map(|p| match p["format"].as_str() {
        Some("template") => Some(FileKind::Template),
        Some("file") => Some(FileKind::Plain),
        Some("source") => Some(FileKind::Source),
        Some("folder") => Some(FileKind::Folder),
        Some("written") => Some(FileKind::Written),
        _ => ["items", "additionalProperties"]
            .into_iter()
            .filter_map(|k| p.get(k))
            .find_map(|inner| inner.is_object().then(|| file(inner, schema)).flatten()),
    })
}

/// The type in words.
fn words(property: &Value, schema: &Value) -> String {
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
    let mut words: Vec<String> = options.into_iter().map(|o| one_type(o, schema)).collect();
    words.dedup();
    words.join(" or ")
}

fn one_type(property: &Value, schema: &Value) -> String {
    let types = match &property["type"] {
        Value::String(one) => vec![one.as_str()],
        many => strings(many),
    };
    let name = |t: &str| match (t, property["format"].as_str()) {
        ("string", Some("template")) => "template file".to_owned(),
        ("string", Some("file" | "source" | "written")) => "file".to_owned(),
        ("string", Some("folder")) => "folder".to_owned(),
        ("integer", _) => range("integer", property),
        ("array", _) => match words(&property["items"], schema).as_str() {
            one @ ("string" | "integer" | "table" | "file" | "template file") => format!("list of {one}s"),
            other => format!("list of {other}"),
        },
        ("object", _) => match property.get("additionalProperties").filter(|p| p.is_object()) {
            Some(value) if value.get("type").is_some() || value.get("$ref").is_some() => {
                format!("table of {}", words(value, schema))
            }
            _ => "table".to_owned(),
        },
        (other, _) => other.to_owned(),
    };
    let names: Vec<String> = types.into_iter().filter(|t| *t != "null").map(name).collect();
    if names.is_empty() { "any value".to_owned() } else { names.join(" or ") }
}

/// Some value of a property's type.
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

/// Only narrow ranges: `0..=4294967295` is what a machine sees, not a person.
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
        let seen: Vec<String> = params
            .iter()
            .map(|p| format!("{}: {} req={} {:?} {:?}", p.name, p.kind, p.required, p.default, p.file))
            .collect();
        insta::assert_snapshot!(seen.join("\n"), @r#"
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
