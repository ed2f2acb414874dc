//! Additional filters: encodings, YAML and JSON both ways, shell quoting, checksums, paths.

use crate::digest;
use crate::document::yaml;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::weight::weigh_within_budget;

/// Registers the filters.
pub(super) fn add(env: &mut Environment<'_>) {
    env.add_filter("b64encode", |text: &str| STANDARD.encode(text));
    env.add_filter("b64decode", b64decode);
    env.add_filter("to_yaml", to_yaml);
    env.add_filter("toyaml", to_yaml);
    env.add_filter("from_yaml", from_yaml);
    env.add_filter("to_json", to_json);
    env.add_filter("from_json", from_json);
    env.add_filter("quote", quote);
    env.add_filter("sha256", |text: &str| digest::sha256(text.as_bytes()));
    env.add_filter("basename", |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned());
    env.add_filter("dirname", |path: &str| path.rsplit_once('/').map_or("", |(dir, _)| dir).to_owned());
}

fn refuse(what: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("{what}: {why}"))
}

fn b64decode(text: &str) -> Result<String, Error> {
    let bytes = STANDARD.decode(text.trim()).map_err(|e| refuse("b64decode", e))?;
    String::from_utf8(bytes).map_err(|_| refuse("b64decode", "the content is not UTF-8 text"))
}

/// Drops the line break at the end, so that `{{ x | to_yaml | indent(4) }}` can stand on its own line.
fn to_yaml(state: &State<'_, '_>, value: Value) -> Result<String, Error> {
    weigh_within_budget(state, &value)?;
    let json = serde_json::to_value(&value).map_err(|e| refuse("to_yaml", e))?;
    Ok(yaml::to_string(&json).trim_end_matches('\n').to_owned())
}

fn from_yaml(text: &str) -> Result<Value, Error> {
    let value = yaml::from_str(text, yaml::Repeated::Refuse).map_err(|e| refuse("from_yaml", e))?;
    Ok(Value::from(Serde(value)))
}

/// Plain JSON, unlike `tojson`, which escapes its output for HTML.
fn to_json(state: &State<'_, '_>, value: Value) -> Result<String, Error> {
    weigh_within_budget(state, &value)?;
    serde_json::to_string(&value).map_err(|e| refuse("to_json", e))
}

fn from_json(text: &str) -> Result<Value, Error> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|e| refuse("from_json", e))?;
    Ok(Value::from(Serde(value)))
}

fn quote(text: &str) -> Result<String, Error> {
    shlex::try_quote(text).map(std::borrow::Cow::into_owned).map_err(|e| refuse("quote", e))
}

#[cfg(test)]
mod tests {
    use super::super::{Context, Templates};

    fn render(source: &str) -> String {
        let context = Context::new(&serde_json::from_str(r#"{"m":{"b":1,"a":["x"]},"s":"it's"}"#).unwrap());
        Templates::new("/nowhere").render("", source, &context).unwrap()
    }

    #[test]
    fn encodings_go_both_ways() {
        assert_eq!(render("{{ s | b64encode }} {{ s | b64encode | b64decode }}"), "aXQncw== it's");
        assert_eq!(render("{{ (m | to_json | from_json).b }}{{ (m | to_yaml | from_yaml).a[0] }}"), "1x");
    }

    #[test]
    fn yaml_keeps_the_order_and_fits_into_indent() {
        assert_eq!(render("v:\n  {{ m | to_yaml | indent(2) }}\n"), "v:\n  b: 1\n  a:\n  - x\n");
    }

    #[test]
    fn errors_of_filters_do_not_show_their_input() {
        let secret = format!("Losung-7042: {{ x: [1, 2\n{}", "Losung-7042 ".repeat(20));
        crate::secret::register(&secret);
        let context = Context::new(&serde_json::from_value(serde_json::json!({"s": secret})).unwrap());
        for source in ["{{ s | from_yaml }}", "{{ s | from_json }}", "{{ s | b64decode }}"] {
            let error = Templates::new("/nowhere").render("", source, &context).unwrap_err().to_string();
            assert!(!error.contains("7042") && !error.contains("Losung"), "{error}");
        }
        let error = Templates::new("/nowhere").render("", "{{ s | from_yaml }}", &context).unwrap_err().to_string();
        assert!(error.contains("line 1 column 19"), "{error}");
    }

    #[test]
    fn quoted_text_is_read_back_by_the_shell() {
        let quoted = render("{{ s | quote }}");
        assert_eq!(shlex::split(&quoted).unwrap(), ["it's"]);
    }

    #[test]
    fn checksums_and_paths() {
        assert!(render("{{ 'abc' | sha256 }}").starts_with("ba7816bf8f01cfea"));
        assert_eq!(render("{{ '/a/b.c' | basename }} {{ '/a/b.c' | dirname }}"), "b.c /a");
    }
}
