//! Kubernetes objects as YAML and JSON: reading documents, naming, ordering, hiding secrets. Pure.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::secret::MASK;

/// Kinds that others need, in the order in which they are applied; all other kinds follow.
const FIRST: &[&str] = &[
    "Namespace",
    "PriorityClass",
    "ResourceQuota",
    "LimitRange",
    "CustomResourceDefinition",
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

/// Kinds that catch what others create and so go last.
const LAST: &[&str] = &["APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// The objects of a manifest: as [`documents`], but each has a kind and a name.
///
/// # Errors
/// What is wrong with the text, with line and column, or which object lacks what.
pub fn objects(yaml: &str) -> Result<Vec<Value>, String> {
    let objects = documents(yaml)?;
    for object in &objects {
        for field in ["/apiVersion", "/kind", "/metadata/name"] {
            if text(object, field).is_empty() {
                return Err(format!("{} has no {}", identity(object), field[1..].replace('/', ".")));
            }
        }
    }
    Ok(objects)
}

/// The objects of a YAML text: all its documents, with those inside `List` objects; empty documents are left out.
///
/// # Errors
/// What is wrong with the text, with line and column.
pub fn documents(yaml: &str) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).map_err(|e| first_line(&e.to_string()))?;
    let mut objects = Vec::new();
    for document in documents {
        match document {
            Value::Null => {}
            Value::Object(mut list) if is_list(&list) => {
                if let Some(Value::Array(items)) = list.remove("items") {
                    objects.extend(items);
                }
            }
            object => objects.push(object),
        }
    }
    Ok(objects)
}

fn is_list(object: &Map<String, Value>) -> bool {
    object.get("kind").and_then(Value::as_str).is_some_and(|k| k.ends_with("List")) && object.contains_key("items")
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

/// Puts objects that others need first; the order is otherwise kept.
pub fn sort(objects: &mut [Value]) {
    objects.sort_by_key(|object| {
        let kind = text(object, "/kind");
        match (FIRST.iter().position(|k| *k == kind), LAST.contains(&kind)) {
            (Some(place), _) => place,
            (None, false) => FIRST.len(),
            (None, true) => FIRST.len() + 1,
        }
    });
}

/// How a person names the object: `Deployment app/web`, `Namespace app`.
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

/// API group of an `apiVersion`; empty for the core group.
pub fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The object with the values of a Secret replaced by a mark that changes when the value does.
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
    let digest = Sha256::digest(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    format!("{MASK} {:02x}{:02x}{:02x}", digest[0], digest[1], digest[2])
}

/// The object as YAML, secrets hidden.
pub fn yaml(object: &Value) -> String {
    let object = masked(object);
    serde_saphyr::to_string(&object).unwrap_or_else(|_| format!("{object:#}\n"))
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
        assert_eq!(error, "Pod ? has no metadata.name");
    }

    #[test]
    fn broken_yaml_says_where() {
        assert!(objects("a: b: c\n").unwrap_err().contains("line 1"));
    }

    #[test]
    fn yaml_is_read_as_kubectl_reads_it() {
        let text =
            "apiVersion: v1\nkind: X\nmetadata: {name: x}\na: yes\nb: off\nc: 'yes'\nd: &m {k: 1}\ne: {<<: *m}\n";
        let object = &objects(text).unwrap()[0];
        assert_eq!(object["a"], json!(true));
        assert_eq!(object["b"], json!(false));
        assert_eq!(object["c"], json!("yes"));
        assert_eq!(object["e"], json!({"k": 1}));
    }

    #[test]
    fn ambiguous_strings_survive_writing_and_reading() {
        let object =
            json!({"kind": "X", "a": "yes", "b": "1.10", "c": "null", "d": "line\nline\n", "e": "0x1", "f": ""});
        let back: Value = serde_saphyr::from_str(&yaml(&object)).unwrap();
        assert_eq!(back, object);
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
    }
}
