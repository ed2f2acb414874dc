//! Renders strings, files and whole parameter tables.

use std::io::ErrorKind as Io;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Expression, Template, UndefinedBehavior};
use serde_json::Value;

use super::error::{ANONYMOUS, VERBATIM};
use super::weight::weigh;
use super::{Context, Names, TemplateError, bounds, builtin, filters, watch};
use crate::defect::catch_panic;
use crate::document::Project;

/// The template engine of one plan. Included files are cached; create a new engine to see changes.
pub struct Templates {
    project: Project,
    env: Environment<'static>,
    syntax: SyntaxConfig,
}

/// Maximum size of a template file, in bytes.
pub(super) const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Whether a string contains template syntax.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

impl Templates {
    /// Creates the engine for a project, or for the project at a folder.
    pub fn new(project: impl Into<Project>) -> Self {
        let project = project.into();
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        // By default the engine escapes values by file name: it would write JSON into YAML templates.
        env.set_auto_escape_callback(|_| AutoEscape::None);
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).trim_blocks(true).lstrip_blocks(true).build();
        let syntax = syntax.unwrap_or_default();
        env.set_syntax(syntax.clone());
        env.set_fuel(Some(bounds::FUEL));
        // Needed for the place of errors. The values that the engine collects in debug mode never reach a message.
        env.set_debug(true);
        let (files, file_syntax) = (project.clone(), syntax.clone());
        env.set_loader(move |name| {
            if let Some((_, source)) = name.split_once(VERBATIM) {
                bounds::check(source, false, &file_syntax)?;
                return Ok(Some(source.to_owned()));
            }
            match files.text(name, MAX_FILE_BYTES) {
                Ok(source) => {
                    bounds::check(&source, false, &file_syntax)?;
                    Ok(Some(source))
                }
                Err(error) if error.kind() == Io::NotFound => Ok(None),
                Err(error) => Err(Error::new(ErrorKind::InvalidOperation, error.to_string())),
            }
        });
        filters::add(&mut env);
        builtin::add(&mut env);
        Self { project, env, syntax }
    }

    /// The root folder of template files.
    pub fn root(&self) -> &Path {
        self.project.root()
    }

    /// The project whose files templates may read.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Renders a template. `name` is its path below the root, or empty for a string of the plan.
    ///
    /// # Errors
    /// When the template does not parse, a name is undefined or a filter refuses its input.
    pub fn render(&self, name: &str, source: &str, context: &Context) -> Result<String, TemplateError> {
        let label = if name.is_empty() { ANONYMOUS } else { name };
        let render = || self.template(label, source)?.render(context.0.clone());
        run_engine(name, source, render)
    }

    /// Renders every string in a value. A string that consists of one `{{ expression }}` becomes the value of the
    /// expression, with its type.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn render_value(&self, value: &Value, context: &Context) -> Result<Value, TemplateError> {
        Ok(match value {
            Value::String(text) if is_template(text) => match self.single_expression(text) {
                Some(expression) => self.evaluate(expression, context)?,
                None => Value::String(self.render("", text, context)?),
            },
            Value::Array(items) => {
                Value::Array(items.iter().map(|v| self.render_value(v, context)).collect::<Result<_, _>>()?)
            }
            Value::Object(map) => Value::Object(
                map.iter()
                    .map(|(k, v)| Ok((k.clone(), self.render_value(v, context)?)))
                    .collect::<Result<_, TemplateError>>()?,
            ),
            other => other.clone(),
        })
    }

    /// The value of an expression.
    ///
    /// # Errors
    /// As [`Self::render`]; also when the value itself is undefined.
    pub fn evaluate(&self, expression: &str, context: &Context) -> Result<Value, TemplateError> {
        let value = self.value_of(expression, context)?;
        weigh(&value, bounds::FUEL * 64).map_err(|e| TemplateError::from_engine(&e, "", expression))?;
        serde_json::to_value(&value).map_err(|e| TemplateError::new("", format!("value has no plain form: {e}")))
    }

    /// Whether an expression such as a `when` is true. The expression may be enclosed in `{{ }}`.
    ///
    /// # Errors
    /// As [`Self::evaluate`].
    pub fn is_true(&self, expression: &str, context: &Context) -> Result<bool, TemplateError> {
        let inner_expression = self.single_expression(expression.trim()).unwrap_or(expression);
        Ok(self.value_of(inner_expression, context)?.is_true())
    }

    fn value_of(&self, expression: &str, context: &Context) -> Result<minijinja::Value, TemplateError> {
        let place = |e: &minijinja::Error| TemplateError::from_engine(e, "", expression);
        let compiled = self.compile(expression).map_err(|e| place(&e))?;
        // The engine evaluates a comparison with an undefined name to false. Here it is reported as a misspelt name.
        if let Some(name) = Names::in_expression(&compiled, expression).unguarded().find(|n| !context.has(n)) {
            return Err(TemplateError::undefined("", name));
        }
        let value = run_engine("", expression, || compiled.eval(context.0.clone()))?;
        if value.is_undefined() { Err(TemplateError::undefined("", expression.trim())) } else { Ok(value) }
    }

    /// The expression, if the text is exactly one `{{ expression }}`. Blanks and line breaks around the braces make the
    /// text a string, unless a `-` in the braces strips them.
    pub(super) fn single_expression<'a>(&self, text: &'a str) -> Option<&'a str> {
        let text = if text.trim_start().starts_with("{{-") { text.trim_start() } else { text };
        let text = if text.trim_end().ends_with("-}}") { text.trim_end() } else { text };
        let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
        let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
        let inner = inner.strip_suffix(['-', '+']).unwrap_or(inner);
        // Avoids parsing for the most common text that is not a single expression.
        if inner.contains("{{") && !inner.contains(['"', '\'']) {
            return None;
        }
        // `{{ a }} {{ b }}` leaves `a }} {{ b`, which does not parse.
        self.compile(inner).is_ok().then_some(inner)
    }

    /// Parses a template, after a check of its size. The engine caches the result, since most templates are rendered
    /// for each host.
    pub(super) fn template(&self, name: &str, source: &str) -> Result<Template<'_, '_>, Error> {
        self.env.get_template(&format!("{name}{VERBATIM}{source}"))
    }

    /// Compiles an expression, after a check of its size.
    pub(super) fn compile<'a>(&'a self, expression: &'a str) -> Result<Expression<'a, 'a>, Error> {
        bounds::check(expression, true, &self.syntax)?;
        let env: &Environment<'a> = &self.env;
        env.compile_expression(expression)
    }

    pub(super) fn env(&self) -> &Environment<'static> {
        &self.env
    }
}

/// Runs the engine under the watchdog. Turns a panic of the engine into an error of the template.
fn run_engine<T>(name: &str, source: &str, run: impl FnOnce() -> Result<T, Error>) -> Result<T, TemplateError> {
    let label = || if name.is_empty() { source.to_owned() } else { name.to_owned() };
    match watch::tracked(label, || catch_panic(run)) {
        Ok(result) => result.map_err(|e| TemplateError::from_engine(&e, name, source)),
        Err(defect) => Err(TemplateError::new(name, format!("template fails: {}", defect.message))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn context() -> Context {
        let values = json!({ "port": 80, "list": [1, 2], "app": { "name": "web" }, "off": false });
        Context::new(values.as_object().unwrap())
    }

    fn templates() -> Templates {
        Templates::new("/nowhere")
    }

    #[test]
    fn a_lone_expression_keeps_its_type() {
        let source = json!({
            "number": "{{ port }}", "text": "p={{ port }}", "two": "{{ port }}{{ port }}", "list": ["{{ list }}"],
            "table": " {{- app -}} \n", "line": "{{ port }}\n", "indented": "  {{ port }}", "lines": "\n{{ list }}\n\n", "plain": "{ port }", "flag": true, "map": "{{ {'a': {'b': port}} }}",
        });
        let wanted = json!({
            "number": 80, "text": "p=80", "two": "8080", "list": [[1, 2]],
            "table": { "name": "web" }, "line": "80\n", "indented": "  80", "lines": "\n[1, 2]\n\n", "plain": "{ port }", "flag": true, "map": { "a": { "b": 80 } },
        });
        assert_eq!(templates().render_value(&source, &context()).unwrap(), wanted);
    }

    #[test]
    fn a_changed_text_with_the_same_name_is_rendered_anew() {
        let templates = templates();
        for (source, wanted) in
            [("port {{ port }}", "port 80"), ("{{ app.name }}", "web"), ("port {{ port }}", "port 80")]
        {
            assert_eq!(templates.render("t.j2", source, &context()).unwrap(), wanted);
            assert_eq!(templates.render("", source, &context()).unwrap(), wanted);
        }
    }

    #[test]
    fn undefined_names_are_reported_with_their_line() {
        let error = templates().render("t.j2", "a\nb {{ app.nmae }}\n", &context()).unwrap_err();
        assert_eq!(error.undefined.as_deref(), Some("app.nmae"));
        assert_eq!(error.to_string(), "`app.nmae` is not defined (t.j2, line 2)");
        let error = templates().render_value(&json!("{{ prot }}"), &context()).unwrap_err();
        assert_eq!(error.to_string(), "`prot` is not defined");
        let error = templates().render("", "{% for x in nothing %}{% endfor %}", &context()).unwrap_err();
        assert_eq!(error.undefined.as_deref(), Some("nothing"));
    }

    #[test]
    fn expressions_are_true_or_false_and_undefined_names_are_errors() {
        let is_true = |e: &str| templates().is_true(e, &context());
        assert!(is_true("port == 80 and app.name in ['web']").unwrap());
        assert!(!is_true("{{ off }}").unwrap());
        assert!(!is_true("extra is defined").unwrap());
        assert!(is_true("extra | default(true)").unwrap());
        assert_eq!(is_true("prot == 80").unwrap_err().undefined.as_deref(), Some("prot"));
        assert!(is_true("port ==").unwrap_err().message.starts_with("template does not parse"));
    }

    #[test]
    fn files_include_others_below_the_root_and_keep_their_last_line_break() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("part.j2"), "part {{ port }}\n").unwrap();
        let templates = Templates::new(dir.path());
        let text = templates.render("a.yaml.j2", "x: {{ app.name }}\n{% include 'part.j2' %}\n", &context()).unwrap();
        assert_eq!(text, "x: web\npart 80\n");
        assert!(templates.render("a", "{% include '../etc/passwd' %}", &context()).is_err());
        assert!(templates.read("../x").is_err());
    }
}
