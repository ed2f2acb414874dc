//! Finds the names and filters that a template uses, without rendering it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::error::TemplateError;
use super::names::Names;
use super::render::{MAX_FILE_BYTES, Templates, is_template};

impl Templates {
    /// The names in a template; `name` as for [`Templates::render`]. Included files are not read; see [`Names::files`].
    ///
    /// # Errors
    /// When the template or expression does not parse.
    pub fn names(&self, name: &str, source: &str) -> Result<Names, TemplateError> {
        let template = self.template(name, source).map_err(|e| TemplateError::from_engine(&e, name, source))?;
        Ok(Names::sort(template.undeclared_variables(true), source))
    }

    /// The names in an expression such as a `when`.
    ///
    /// # Errors
    /// When the template or expression does not parse.
    pub fn names_in_expression(&self, expression: &str) -> Result<Names, TemplateError> {
        let bare = self.single_expression(expression.trim()).unwrap_or(expression);
        let compiled = self.compile(bare).map_err(|e| TemplateError::from_engine(&e, "", expression))?;
        Ok(Names::in_expression(&compiled, bare))
    }

    /// The names in all strings of a value. Strings that do not parse are skipped.
    pub fn names_in_value(&self, value: &Value) -> Names {
        let mut names = Names::default();
        match value {
            Value::String(text) if is_template(text) => names = self.names("", text).unwrap_or_default(),
            Value::Array(items) => items.iter().for_each(|v| names.extend(self.names_in_value(v))),
            Value::Object(map) => map.values().for_each(|v| names.extend(self.names_in_value(v))),
            _ => {}
        }
        names
    }

    /// # Errors
    /// When the file does not exist, cannot be read, is not text, is larger than 16 MiB or lies outside the root.
    pub fn read(&self, path: &str) -> Result<String, TemplateError> {
        self.project().text(path, MAX_FILE_BYTES).map_err(|e| TemplateError::new(path, e.to_string()))
    }

    /// The names in a template file and in all files that it includes.
    ///
    /// # Errors
    /// The error of the first file that does not exist or does not parse.
    pub fn names_in_file(&self, path: &str) -> Result<Names, TemplateError> {
        let mut names = Names::default();
        let mut todo = vec![path.to_owned()];
        let mut seen = BTreeSet::new();
        while let Some(path) = todo.pop() {
            if seen.insert(path.clone()) {
                let found = self.names(&path, &self.read(&path)?)?;
                todo.extend(found.files.iter().cloned());
                names.extend(found);
            }
        }
        Ok(names)
    }

    /// The unknown filters in a template. The engine itself reports them only while rendering.
    pub fn unknown_filters(&self, source: &str) -> BTreeSet<String> {
        let known = |name: &str| {
            let result = self.env().compile_expression_owned(format!("'' | {name}")).and_then(|e| e.eval(()));
            !result.is_err_and(|e| e.kind() == minijinja::ErrorKind::UnknownFilter)
        };
        let mut unknown = BTreeSet::new();
        for code in blocks(source) {
            for part in without_strings(code).split('|').skip(1) {
                let name: String = part.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if !name.is_empty() && !known(&name) {
                    unknown.insert(name);
                }
            }
        }
        unknown
    }
}

/// The code inside `{{ }}` and `{% %}`.
fn blocks(source: &str) -> impl Iterator<Item = &str> {
    let inside = |open: &'static str, close: &'static str| {
        source.split(open).skip(1).filter_map(move |rest| rest.split(close).next())
    };
    inside("{{", "}}").chain(inside("{%", "%}"))
}

/// Removes the content of string literals.
fn without_strings(code: &str) -> String {
    let mut out = String::new();
    let mut quote = None;
    for c in code.chars() {
        match quote {
            None => {
                quote = matches!(c, '"' | '\'').then_some(c);
                out.push(c);
            }
            Some(q) if q == c => {
                quote = None;
                out.push(c);
            }
            Some(_) => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::template::OutputRef;

    fn names(source: &str) -> Names {
        Templates::new("/nowhere").names("", source).unwrap()
    }

    #[test]
    fn names_defined_by_the_template_itself_are_not_listed() {
        let found = names("{% set a = b.c %}{{ a }}{% for x in range(n) %}{{ x.y }}{{ loop.index }}{% endfor %}");
        assert_eq!(found.iter().collect::<Vec<_>>(), ["b.c", "n"]);
    }

    #[test]
    fn names_with_a_default_need_not_be_defined() {
        let found =
            names("{{ a | default('x') }}{{ b is defined }}{{ c is not defined }}{{ d|d(1) }}{{ e }}{{ isle }}");
        assert_eq!(found.unguarded().collect::<Vec<_>>(), ["e", "isle"]);
        assert_eq!(found.iter().count(), 6);
    }

    #[test]
    fn outputs_are_found_in_values_and_expressions() {
        let value =
            json!({ "a": ["{{ steps.token.value }}"], "b": "{{ steps.init.hosts['pi-1'].ip }}", "c": "steps.x.y" });
        let found = Templates::new("/nowhere").names_in_value(&value).outputs();
        let output = |step: &str, output: Option<&str>| OutputRef { step: step.into(), output: output.map(Into::into) };
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [output("init", None), output("token", Some("value"))]);
    }

    #[test]
    fn filters_that_do_not_exist_are_found_without_rendering() {
        let source =
            "a | b {{ x | upper | nope }}{% for y in z | sorted %}{{ y | split('| no') | join(\"|n\") }}{% endfor %}";
        let found = Templates::new("/nowhere").unknown_filters(source);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["nope", "sorted"]);
    }

    #[test]
    fn included_files_are_entered_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "{{ x }}{% include \"b\" %}{% include 'no' ignore missing %}").unwrap();
        std::fs::write(dir.path().join("b"), "{{ y.z }}{%- include 'a' -%}").unwrap();
        let found = Templates::new(dir.path()).names_in_file("a").unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), ["x", "y.z"]);
        std::fs::write(dir.path().join("b"), "\n{{ y. }}").unwrap();
        let error = Templates::new(dir.path()).names_in_file("a").unwrap_err();
        assert_eq!((error.name.as_str(), error.line), ("b", Some(2)));
    }
}
