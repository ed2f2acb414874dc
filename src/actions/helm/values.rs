//! Merges the values of a chart, from files and single settings, as helm does. Pure.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::document::yaml::{self, Repeated};
use crate::plan::TemplateFile;

/// One template file or several; later ones override earlier ones.
#[derive(Debug, Clone, Default)]
pub struct Templates(pub Vec<TemplateFile>);

impl<'de> Deserialize<'de> for Templates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Templates;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a path or a list of paths")
            }
            fn visit_str<E: Error>(self, path: &str) -> Result<Templates, E> {
                Ok(Templates(vec![TemplateFile { path: path.to_owned(), content: String::new() }]))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Templates, A::Error> {
                Ok(Templates(vec![TemplateFile::deserialize(MapAccessDeserializer::new(map))?]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Templates, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Templates)
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl JsonSchema for Templates {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Templates".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = TemplateFile::json_schema(generator);
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// Merges the values of all files in their order, then the single settings.
///
/// # Errors
/// JSON pointer of the wrong parameter, and the reason.
pub fn merged(files: &Templates, set: &Map<String, Value>) -> Result<Value, (String, String)> {
    let mut values = Value::Object(Map::new());
    for (i, file) in files.0.iter().enumerate() {
        let error = |why: String| (format!("/values/{i}"), why);
        merge(&mut values, Value::Object(table(&file.content).map_err(|e| error(e.to_string()))?));
    }
    for (path, value) in set {
        put(&mut values, path, value.clone()).map_err(|why| (format!("/set/{path}"), why))?;
    }
    Ok(values)
}

/// Parses the values of one file.
///
/// # Errors
/// When the text is no YAML, or no table.
pub fn table(text: &str) -> Result<Map<String, Value>, yaml::Error> {
    match yaml::from_str(text, Repeated::LastWins)? {
        Value::Null => Ok(Map::new()),
        Value::Object(table) => Ok(table),
        _ => Err(yaml::Error { line: 1, column: 1, message: "this is no table of values".to_owned() }),
    }
}

/// Merges `over` into `base`: tables are merged, all other values replaced.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

/// Sets the value at a path such as `a.b[0].c`; a backslash before a dot makes it part of the key.
fn put(values: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let mut place = values;
    for step in steps(path)? {
        place = match step {
            Step::Key(key) => {
                if !place.is_object() {
                    *place = Value::Object(Map::new());
                }
                let Value::Object(map) = place else { return Err("not a table".to_owned()) };
                map.entry(key).or_insert(Value::Null)
            }
            Step::Index(index) => {
                if !place.is_array() {
                    *place = Value::Array(Vec::new());
                }
                let Value::Array(items) = place else { return Err("not a list".to_owned()) };
                if index >= items.len() {
                    items.resize(index + 1, Value::Null);
                }
                &mut items[index]
            }
        };
    }
    *place = value;
    Ok(())
}

enum Step {
    Key(String),
    Index(usize),
}

fn steps(path: &str) -> Result<Vec<Step>, String> {
    let (mut steps, mut name) = (Vec::new(), String::new());
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => name.extend(chars.next()),
            '.' | '[' => {
                if !name.is_empty() {
                    steps.push(Step::Key(std::mem::take(&mut name)));
                }
                if c == '[' {
                    let digits: String = chars.by_ref().take_while(|c| *c != ']').collect();
                    let index = digits.parse::<usize>().ok().filter(|i| *i < 1000);
                    steps.push(Step::Index(index.ok_or_else(|| format!("[{digits}] is no index"))?));
                }
            }
            c => name.push(c),
        }
    }
    if !name.is_empty() {
        steps.push(Step::Key(name));
    }
    if steps.is_empty() { Err("an empty path names no value".to_owned()) } else { Ok(steps) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn files(texts: &[&str]) -> Templates {
        let file = |text: &&str| TemplateFile { path: "v.yaml".into(), content: (*text).to_owned() };
        Templates(texts.iter().map(file).collect())
    }

    #[test]
    fn later_files_win_and_tables_are_merged() {
        let values = merged(&files(&["a: {b: 1, c: [1]}\n", "a: {c: [2], d: null}\n"]), &Map::new()).unwrap();
        assert_eq!(values, json!({"a": {"b": 1, "c": [2], "d": null}}));
    }

    #[test]
    fn single_settings_come_last_and_reach_into_lists() {
        let set = json!({"a.b": "x", "l[1].n": 2, r"k.app\.io/name": true});
        let values = merged(&files(&["a: {b: 1, c: 3}\n"]), set.as_object().unwrap()).unwrap();
        let expected = json!({"a": {"b": "x", "c": 3}, "l": [null, {"n": 2}], "k": {"app.io/name": true}});
        assert_eq!(values, expected);
    }

    #[test]
    fn files_are_read_as_helm_reads_them() {
        let values = merged(&files(&["mode: 0400\nmode: 0600\non: yes\n"]), &Map::new()).unwrap();
        assert_eq!(values, json!({"mode": 384, "true": true}));
    }

    #[test]
    fn empty_files_are_no_values() {
        assert_eq!(merged(&files(&["", "# only a comment\n"]), &Map::new()).unwrap(), json!({}));
    }

    #[test]
    fn what_is_no_table_is_refused_by_place() {
        assert_eq!(merged(&files(&["", "- a\n"]), &Map::new()).unwrap_err().0, "/values/1");
        let set = json!({"a[x]": 1});
        assert_eq!(merged(&files(&[]), set.as_object().unwrap()).unwrap_err().0, "/set/a[x]");
    }

    #[test]
    fn one_path_and_a_list_of_paths_are_both_taken() {
        let of = |v: Value| serde_json::from_value::<Templates>(v).unwrap().0.len();
        assert_eq!((of(json!("a")), of(json!(["a", {"path": "b", "content": "x: 1"}]))), (1, 2));
        assert!(serde_json::from_value::<Templates>(json!(1)).is_err());
    }
}
