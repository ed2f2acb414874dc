//! Translates kubectl's JSONPath (`{.status.phase}`) into that of the standard (`$['status']['phase']`). Pure.

use jsonpath_rust::JsonPath as _;
use serde_json::Value;

/// The values at a path in an object; empty if a part of the path is absent.
///
/// # Errors
/// When the path has a syntax error.
pub fn values<'a>(object: &'a Value, path: &str) -> Result<Vec<&'a Value>, String> {
    let standard = standard(path)?;
    object.query(&standard).map_err(|_| format!("{path} is not a JSONPath that kubectl takes"))
}

/// A value as kubectl prints it: strings without quotes.
pub fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Checks the syntax of a path.
///
/// # Errors
/// The error of the path; `None` if it is well-formed.
pub fn check(path: &str) -> Result<(), String> {
    values(&Value::Null, path).map(drop)
}

fn standard(path: &str) -> Result<String, String> {
    let inner = path.trim();
    let inner = match (inner.strip_prefix('{').map(|rest| rest.strip_suffix('}')), inner.ends_with('}')) {
        (Some(Some(rest)), _) => rest,
        (None, false) => inner,
        _ => return Err(format!("{path} has an unmatched brace")),
    };
    let inner = inner.trim().trim_start_matches('$');
    if inner.is_empty() {
        return Err("an empty path names nothing".to_owned());
    }
    let mut out = String::from("$");
    let mut chars = inner.chars().peekable();
    let mut name = String::new();
    while let Some(c) = chars.next() {
        match c {
            '.' => {
                segment(&mut out, &mut name);
                if chars.next_if_eq(&'.').is_some() {
                    out.push_str("..");
                }
            }
            '[' => {
                segment(&mut out, &mut name);
                bracket(&mut out, &mut chars).ok_or_else(|| format!("{path} has an unmatched bracket"))?;
            }
            '\\' => name.extend(chars.next()),
            c => name.push(c),
        }
    }
    segment(&mut out, &mut name);
    Ok(out)
}

/// Ends a name: `a/b` becomes `['a/b']`, since dots of the standard take plain identifiers only.
fn segment(out: &mut String, name: &mut String) {
    if name == "*" {
        out.push_str("[*]");
    } else if !name.is_empty() {
        let escaped = name.replace('\\', "\\\\").replace('\'', "\\'");
        out.push_str(&format!("['{escaped}']"));
    }
    name.clear();
}

/// Copies an index, slice or filter up to its closing bracket.
fn bracket(out: &mut String, chars: &mut impl Iterator<Item = char>) -> Option<()> {
    out.push('[');
    let (mut depth, mut quote) = (1, None);
    for c in chars {
        out.push(c);
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => depth -= 1,
            (None, _) => {}
        }
        if depth == 0 {
            return Some(());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(path: &str) -> Vec<String> {
        let object = json!({
            "metadata": {"labels": {"app.kubernetes.io/name": "web"}},
            "status": {"phase": "Running", "ready": 2, "conditions": [
                {"type": "Ready", "status": "True"}, {"type": "Synced", "status": "False"}]},
        });
        values(&object, path).unwrap().into_iter().map(shown).collect()
    }

    #[test]
    fn kubectl_forms_are_understood() {
        assert_eq!(seen("{.status.phase}"), ["Running"]);
        assert_eq!(seen(".status.ready"), ["2"]);
        assert_eq!(seen("status.phase"), ["Running"]);
        assert_eq!(seen("{$.status.conditions[1].status}"), ["False"]);
        assert_eq!(seen("{.status.conditions[*].type}"), ["Ready", "Synced"]);
        assert_eq!(seen(r"{.metadata.labels.app\.kubernetes\.io/name}"), ["web"]);
        assert_eq!(seen("{.metadata.labels['app.kubernetes.io/name']}"), ["web"]);
        assert_eq!(seen(r#"{.status.conditions[?(@.type=="Ready")].status}"#), ["True"]);
        assert_eq!(seen("{..phase}"), ["Running"]);
    }

    #[test]
    fn what_is_absent_is_no_error() {
        assert!(seen("{.spec.replicas}").is_empty());
    }

    #[test]
    fn broken_paths_are_refused() {
        for path in ["", "{}", "{.a", ".a[0", "{.a[?(@.b==]}"] {
            assert!(check(path).is_err(), "{path}");
        }
    }
}
