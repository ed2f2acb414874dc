//! Rendering of strings, files and whole parameter tables.

use std::io::ErrorKind as Io;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Expression, Template, UndefinedBehavior};
use serde_json::Value;

use super::error::{ANONYMOUS, VERBATIM};
use super::weight::weigh;
use super::{Context, Names, TemplateError, bounds, builtin, filters, watch};
use crate::defect::caught;
use crate::document::Project;

/// The template engine of one plan. Included files are read once; make a new one to see newer ones.
pub struct Templates {
    project: Project,
    env: Environment<'static>,
    syntax: SyntaxConfig,
}

/// Most bytes of a file that is read whole.
pub(super) const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Whether a string has anything to render.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

impl Templates {
    /// For a plan of this project, or of one whose relative paths start from this folder.
    pub fn new(project: impl Into<Project>) -> Self {
        let project = project.into();
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        // The engine would else write JSON into YAML templates, by their file name.
        env.set_auto_escape_callback(|_| AutoEscape::None);
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).trim_blocks(true).lstrip_blocks(true).build();
        let syntax = syntax.unwrap_or_default();
        env.set_syntax(syntax.clone());
        env.set_fuel(Some(bounds::FUEL));
        // Gives errors their place; values that the engine collects with it never reach a message.
        env.set_debug(true);
        let (files, of_files) = (project.clone(), syntax.clone());
        env.set_loader(move |name| {
            if let Some((_, source)) = name.split_once(VERBATIM) {
                bounds::check(source, false, &of_files)?;
                return Ok(Some(source.to_owned()));
            }
            match files.text(name, MAX_FILE_BYTES) {
                Ok(source) => {
                    bounds::check(&source, false, &of_files)?;
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

    /// The folder that template files lie below.
    pub fn root(&self) -> &Path {
        self.project.root()
    }

    /// The files that it may read.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Renders a template; `name` is its path below the root, or empty for a string of the plan.
    ///
    /// # Errors
    /// When it does not parse, something is not defined or a filter refuses its input.
    pub fn render(&self, name: &str, source: &str, context: &Context) -> Result<String, TemplateError> {
        let called = if name.is_empty() { ANONYMOUS } else { name };
        let render = || self.template(called, source)?.render(context.0.clone());
        guarded(name, source, render)
    }

    /// Renders every string in a value. A string that is one `{{ expression }}` becomes that expression's value, with its
    /// type; strings without templates stay as they are.
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
    /// As [`Self::render`]; also when the value itself is not defined.
    pub fn evaluate(&self, expression: &str, context: &Context) -> Result<Value, TemplateError> {
        let value = self.value_of(expression, context)?;
        weigh(&value, bounds::FUEL * 64).map_err(|e| TemplateError::from_engine(&e, "", expression))?;
        serde_json::to_value(&value).map_err(|e| TemplateError::new("", format!("value has no plain form: {e}")))
    }

    /// Whether an expression such as a `when` holds; it may stand in `{{ }}`.
    ///
    /// # Errors
    /// As [`Self::evaluate`].
    pub fn is_true(&self, expression: &str, context: &Context) -> Result<bool, TemplateError> {
        let bare = self.single_expression(expression.trim()).unwrap_or(expression);
        Ok(self.value_of(bare, context)?.is_true())
    }

    fn value_of(&self, expression: &str, context: &Context) -> Result<minijinja::Value, TemplateError> {
        let place = |e: &minijinja::Error| TemplateError::from_engine(e, "", expression);
        let compiled = self.compile(expression).map_err(|e| place(&e))?;
        // A comparison with something undefined is simply false to the engine; to us it is a mistyped name.
        if let Some(name) = Names::in_expression(&compiled, expression).unguarded().find(|n| !context.has(n)) {
            return Err(TemplateError::undefined("", name));
        }
        let value = guarded("", expression, || compiled.eval(context.0.clone()))?;
        if value.is_undefined() { Err(TemplateError::undefined("", expression.trim())) } else { Ok(value) }
    }

    /// The expression, when the text is exactly one `{{ expression }}`. Blanks and line ends around it make it a text, of
    /// which they are a part, but for those that a `-` in the braces takes away.
    pub(super) fn single_expression<'a>(&self, text: &'a str) -> Option<&'a str> {
        let text = if text.trim_start().starts_with("{{-") { text.trim_start() } else { text };
        let text = if text.trim_end().ends_with("-}}") { text.trim_end() } else { text };
        let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
        let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
        let inner = inner.strip_suffix(['-', '+']).unwrap_or(inner);
        // So that the most common text that is none need not be parsed.
        if inner.contains("{{") && !inner.contains(['"', '\'']) {
            return None;
        }
        // `{{ a }} {{ b }}` leaves `a }} {{ b`, which is no expression.
        self.compile(inner).is_ok().then_some(inner)
    }

    /// A template that is not too large for the engine. It is parsed once: most are rendered for each host.
    pub(super) fn template(&self, name: &str, source: &str) -> Result<Template<'_, '_>, Error> {
        self.env.get_template(&format!("{name}{VERBATIM}{source}"))
    }

    /// An expression that is not too large for the engine.
    pub(super) fn compile<'a>(&'a self, expression: &'a str) -> Result<Expression<'a, 'a>, Error> {
        bounds::check(expression, true, &self.syntax)?;
        let env: &Environment<'a> = &self.env;
        env.compile_expression(expression)
    }

    pub(super) fn env(&self) -> &Environment<'static> {
        &self.env
    }
}

/// What the engine gives, seen by who watches; a defect of the engine is an error of the template.
fn guarded<T>(name: &str, source: &str, act: impl FnOnce() -> Result<T, Error>) -> Result<T, TemplateError> {
    let called = || if name.is_empty() { source.to_owned() } else { name.to_owned() };
    match watch::seen(called, || caught(act)) {
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
    fn a_text_that_changes_under_its_name_is_rendered_as_it_is_now() {
        let templates = templates();
        for (source, wanted) in
            [("port {{ port }}", "port 80"), ("{{ app.name }}", "web"), ("port {{ port }}", "port 80")]
        {
            assert_eq!(templates.render("t.j2", source, &context()).unwrap(), wanted);
            assert_eq!(templates.render("", source, &context()).unwrap(), wanted);
        }
    }

    #[test]
    fn what_is_not_defined_is_named_with_its_line() {
        let error = templates().render("t.j2", "a\nb {{ app.nmae }}\n", &context()).unwrap_err();
        assert_eq!(error.undefined.as_deref(), Some("app.nmae"));
        assert_eq!(error.to_string(), "`app.nmae` is not defined (t.j2, line 2)");
        let error = templates().render_value(&json!("{{ prot }}"), &context()).unwrap_err();
        assert_eq!(error.to_string(), "`prot` is not defined");
        let error = templates().render("", "{% for x in nothing %}{% endfor %}", &context()).unwrap_err();
        assert_eq!(error.undefined.as_deref(), Some("nothing"));
    }

    #[test]
    fn expressions_hold_or_not_and_never_guess() {
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
