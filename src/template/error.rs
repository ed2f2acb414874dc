//! Errors of templates.

use std::ops::Range;

/// A template that does not parse or cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", place(.name, *.line))]
pub struct TemplateError {
    /// Path of the template file below the root. Empty for a string in the plan.
    pub name: String,
    /// Line in the template, from 1.
    pub line: Option<usize>,
    /// Byte range of the error in the template's source.
    pub range: Option<Range<usize>>,
    /// The message. For an undefined expression, it contains the expression.
    pub message: String,
    /// The undefined expression, such as `steps.a.ip`.
    pub undefined: Option<String>,
}

/// Words that begin an action in Go templates, but no valid expression here.
const GO_FUNCTIONS: [&str; 13] = [
    "range", "with", "define", "template", "block", "include", "toYaml", "printf", "index", "json", "if", "else", "end",
];

fn place(name: &str, line: Option<usize>) -> String {
    match (name.is_empty(), line) {
        (false, Some(line)) => format!(" ({name}, line {line})"),
        (false, None) => format!(" ({name})"),
        (true, Some(line)) if line > 1 => format!(" (line {line} of the string)"),
        (true, _) => String::new(),
    }
}

impl TemplateError {
    pub(super) fn new(name: &str, message: impl Into<String>) -> Self {
        Self { name: name.to_owned(), line: None, range: None, message: message.into(), undefined: None }
    }

    /// A hint for a text that does not parse: templates of other tools, and the shell, use braces too.
    pub fn hint(&self, source: &str) -> Option<&'static str> {
        if !self.message.starts_with("template does not parse") {
            return None;
        }
        let looks_like_go = source.split("{{").skip(1).any(|inner| {
            let inner = inner.trim_start_matches('-').trim_start();
            let word = inner.split([' ', '}', '(', '"']).next().unwrap_or_default();
            inner.starts_with(['.', '$', '/', '`']) || GO_FUNCTIONS.contains(&word)
        });
        if looks_like_go {
            return Some(
                "is it a template of Go, as docker, kubectl and helm take it? put {% raw %}…{% endraw %} around it",
            );
        }
        let looks_like_shell = source.contains("${#") || source.contains("{#") && !source.contains("#}");
        looks_like_shell
            .then_some("`{#` begins a comment; put {% raw %}…{% endraw %} around what is meant for the shell")
    }

    pub(super) fn undefined(name: &str, what: &str) -> Self {
        Self { undefined: Some(what.to_owned()), ..Self::new(name, format!("`{what}` is not defined")) }
    }

    /// Converts an error of the engine; `source` is the text of the template called `name`.
    pub(super) fn from_engine(error: &minijinja::Error, name: &str, source: &str) -> Self {
        use minijinja::ErrorKind;
        // "error in x": the cause has the details from the included template.
        let is_include = |error: &minijinja::Error| error.kind() == ErrorKind::BadInclude;
        let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<minijinja::Error>());
        if let Some(cause) = cause.filter(|_| is_include(error)) {
            return Self::from_engine(cause, name, source);
        }
        // An error in an included template has that template's name, and a range in that template.
        let origin = error.name().and_then(|origin| origin.split(VERBATIM).next());
        let is_included = origin.is_some_and(|n| n != name && n != ANONYMOUS && n != EXPRESSION);
        let template_name = if is_included { origin.unwrap_or(name) } else { name };
        let range = if is_included { None } else { error.range() };
        let text = range.clone().and_then(|r| source.get(r)).map(|t| t.trim().to_owned());
        let mut converted = match (error.kind(), text) {
            (ErrorKind::UndefinedError, Some(text)) => Self::undefined(template_name, &text),
            (kind, _) => Self::new(template_name, message(kind, error.detail())),
        };
        (converted.line, converted.range) = (error.line(), range);
        converted
    }
}

/// Separates name and text in the key under which the engine caches a template whose text is passed in.
pub(super) const VERBATIM: char = '\0';

pub(super) const ANONYMOUS: &str = "<string>";
const EXPRESSION: &str = "<expression>";

fn message(kind: minijinja::ErrorKind, detail: Option<&str>) -> String {
    match detail {
        Some(detail) if kind == minijinja::ErrorKind::SyntaxError => format!("template does not parse: {detail}"),
        Some("recursion limit exceeded") => "template includes or calls itself endlessly".to_owned(),
        Some(detail) => format!("template fails: {detail}"),
        None if kind == minijinja::ErrorKind::OutOfFuel => {
            let steps = super::bounds::FUEL;
            format!("template takes more than {steps} steps or {} MB to render", steps * 64 / 1_000_000)
        }
        None => format!("template fails: {kind}"),
    }
}

#[cfg(test)]
mod tests {
    use crate::template::Templates;

    #[test]
    fn templates_of_other_tools_are_recognised() {
        let hint = |text: &str| Templates::new("/nowhere").names("", text).err().and_then(|e| e.hint(text));
        for text in [
            "docker ps --format '{{.Names}}'",
            "{{ .Values.x }}",
            "{{ include \"a\" . | nindent 4 }}",
            "{{ $x := 1 }}",
            "{{/* a comment */}}",
        ] {
            assert!(hint(text).is_some_and(|hint| hint.contains("{% raw %}") && hint.contains("Go")), "{text}");
        }
        assert!(hint("n=${#list[@]}").is_some_and(|hint| hint.contains("for the shell")));
        assert_eq!((hint("{{ a b }}"), hint("{{ a }}")), (None, None));
    }
}
