//! Kubernetes objects as YAML and JSON: parsing, naming, ordering, masking of secrets. No I/O.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::document::yaml::{self, Error, Repeated};
use crate::secret;

/// Kinds that others depend on, in the order of their application; all other kinds follow.
const APPLIED_FIRST: &[&str] = &[
    "Namespace",
    "PriorityClass",
    "ResourceQuota",
    "LimitRange",
    "CustomResourceDefinition",
    "RuntimeClass",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Service",
];

/// Kinds that intercept the creation of other objects; applied last.
const APPLIED_LAST: &[&str] = &["APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// The objects of a manifest. Like [`documents`], but each object must have a kind and a name.
///
/// # Errors
/// What is wrong with the text, or which field an object lacks; with line and column.
pub fn objects(yaml: &str) -> Result<Vec<Value>, Error> {
    let mut objects = Vec::new();
    for document in yaml::documents(yaml, Repeated::Refuse)? {
        let wrong = |message: String| Error { line: document.line, column: 1, message };
        for object in expand_list(document.value) {
            if !object.is_object() {
                return Err(wrong("this is no object: it has no apiVersion and no kind".to_owned()));
            }
            for field in ["/apiVersion", "/kind", "/metadata/name"] {
                if text(&object, field).is_empty() {
                    return Err(wrong(format!(
                        "{} has no {}",
                        identity(&object),
                        field.trim_start_matches('/').replace('/', ".")
                    )));
                }
            }
            let mut object = object;
            merge_string_data(&mut object);
            objects.push(object);
        }
    }
    Ok(objects)
}

/// The objects in helm's output: of all documents, including the items of `List` objects. Empty documents are left out.
///
/// # Errors
/// What is wrong with the text, with line and column.
pub fn documents(yaml: &str) -> Result<Vec<Value>, Error> {
    let documents = yaml::documents(yaml, Repeated::LastWins)?;
    Ok(documents.into_iter().flat_map(|document| expand_list(document.value)).collect())
}

fn expand_list(document: Value) -> Vec<Value> {
    match document {
        Value::Null => Vec::new(),
        Value::Object(mut list) if is_list(&list) => match list.remove("items") {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        },
        object => vec![object],
    }
}

/// Turns `stringData` of a Secret into `data`, as the API does. Under server-side apply, a key later removed from
/// `stringData` would otherwise stay in `data` for ever, since the API does not track where the value came from.
fn merge_string_data(object: &mut Value) {
    if text(object, "/kind") != "Secret" || text(object, "/apiVersion") != "v1" {
        return;
    }
    let Some(fields) = object.as_object_mut() else { return };
    // Values that are not strings stay, so that the API refuses them.
    let is_text = |values: &Value| values.as_object().is_some_and(|m| m.values().all(Value::is_string));
    if !fields.get("stringData").is_some_and(is_text)
        || fields.get("data").is_some_and(|d| !d.is_object() && !d.is_null())
    {
        return;
    }
    let Some(Value::Object(texts)) = fields.remove("stringData") else { return };
    let data = fields.entry("data").or_insert_with(|| Value::Object(Map::new()));
    if data.is_null() {
        *data = Value::Object(Map::new());
    }
    if let Value::Object(data) = data {
        let encoded = |value: &Value| STANDARD.encode(value.as_str().unwrap_or_default());
        data.extend(texts.iter().map(|(key, value)| (key.clone(), encoded(value).into())));
    }
}

fn is_list(object: &Map<String, Value>) -> bool {
    object.get("kind").and_then(Value::as_str).is_some_and(|k| k.ends_with("List")) && object.contains_key("items")
}

/// Sorts objects that others depend on to the front; otherwise keeps the order.
pub fn sort(objects: &mut [Value]) {
    objects.sort_by_key(|object| {
        let kind = text(object, "/kind");
        match (APPLIED_FIRST.iter().position(|k| *k == kind), APPLIED_LAST.contains(&kind)) {
            (Some(index), _) => index,
            (None, false) => APPLIED_FIRST.len(),
            (None, true) => APPLIED_FIRST.len() + 1,
        }
    });
}

/// The object's name in messages: `Deployment app/web`, `Namespace app`.
pub fn identity(object: &Value) -> String {
    let or_unknown = |s: &str| if s.is_empty() { "?".to_owned() } else { s.to_owned() };
    let kind = or_unknown(text(object, "/kind"));
    let name = or_unknown(text(object, "/metadata/name"));
    match text(object, "/metadata/namespace") {
        "" => format!("{kind} {name}"),
        namespace => format!("{kind} {namespace}/{name}"),
    }
}

/// The string at a JSON pointer; empty when there is none.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The list at a JSON pointer; empty when there is none.
pub fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// A copy of the object in which the values of a Secret are replaced by a mark that changes with the value.
#[must_use]
pub fn masked(object: &Value) -> Value {
    let mut object = object.clone();
    if text(&object, "/kind") == "Secret" {
        for field in ["data", "stringData"] {
            if let Some(Value::Object(values)) = object.get_mut(field) {
                for value in values.values_mut() {
                    *value = Value::String(mark(value));
                }
            }
        }
        // kubectl apply keeps a copy of the whole object here.
        let last = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";
        if let Some(copy) = object.pointer_mut(last) {
            *copy = Value::String(mark(copy));
        }
    }
    object
}

fn mark(value: &Value) -> String {
    secret::mark(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// The object as YAML, with the values of a Secret masked.
pub fn yaml(object: &Value) -> String {
    yaml::to_string(&masked(object))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_and_lists_are_taken_apart() {
        let text = "---\n# nothing\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\napiVersion: v1\n\
                    kind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: b, namespace: a}\n";
        let names: Vec<String> = objects(text).unwrap().iter().map(identity).collect();
        assert_eq!(names, ["Namespace a", "ConfigMap a/b"]);
    }

    #[test]
    fn an_object_without_a_name_is_refused() {
        let error = objects("apiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}\n").unwrap_err();
        assert_eq!(error.to_string(), "line 1 column 1: Pod ? has no metadata.name");
        let second = objects("apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n- 1\n").unwrap_err();
        assert_eq!(second.to_string(), "line 5 column 1: this is no object: it has no apiVersion and no kind");
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_in_manifests_and_taken_from_helm() {
        let text = "apiVersion: v1\nkind: X\nmetadata: {name: x}\na: {b: 0400, b: 0600}\n";
        assert!(objects(text).unwrap_err().to_string().contains("line 4 column 14: the key `b`"));
        assert_eq!(documents(text).unwrap()[0]["a"], json!({"b": 384}));
    }

    #[test]
    fn texts_of_a_secret_are_applied_as_its_data() {
        let read =
            |rest: &str| objects(&format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n{rest}")).unwrap();
        let secret = &read("data: {a: b25l, b: b25l}\nstringData: {b: two, c: ''}\n")[0];
        assert_eq!(secret["data"], json!({"a": "b25l", "b": "dHdv", "c": ""}));
        assert!(secret.get("stringData").is_none());
        assert_eq!(read("stringData: {a: one}\n")[0]["data"], json!({"a": "b25l"}));
        assert_eq!(read("stringData: {a: 1}\n")[0]["stringData"], json!({"a": 1}), "the API refuses it");
    }

    #[test]
    fn what_others_need_goes_first() {
        let of = |kind: &str| json!({"kind": kind});
        let mut all = [
            of("ValidatingWebhookConfiguration"),
            of("Deployment"),
            of("Gateway"),
            of("CustomResourceDefinition"),
            of("Namespace"),
        ];
        sort(&mut all);
        let kinds: Vec<&str> = all.iter().map(|o| text(o, "/kind")).collect();
        let expected =
            ["Namespace", "CustomResourceDefinition", "Deployment", "Gateway", "ValidatingWebhookConfiguration"];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn a_secret_shows_that_it_changes_but_not_what_it_is() {
        let of = |value: &str| yaml(&json!({"kind": "Secret", "metadata": {"name": "s"}, "data": {"password": value}}));
        assert!(!of("aHVudGVyMg==").contains("aHVudGVyMg"));
        assert_ne!(of("aHVudGVyMg=="), of("aHVudGVyMw=="));
        // The mark is keyed, so that values cannot be guessed by hashing candidates.
        let plain = crate::digest::sha256(b"aHVudGVyMg==");
        assert!(!of("aHVudGVyMg==").contains(&plain[..6]));
    }
}
