//! What is wrong with a template.

use std::ops::Range;

/// A template that does not parse or cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", place(.name, *.line))]
pub struct TemplateError {
    /// The template file's path below the root; empty for a string in the plan.
    pub name: String,
    /// Line in the template, from 1.
    pub line: Option<usize>,
    /// Bytes in the template's source that it is about.
    pub range: Option<Range<usize>>,
    /// What is wrong, with the name of what is not defined.
    pub message: String,
    /// The expression that is not defined, such as `steps.a.ip`.
    pub undefined: Option<String>,
}

/// Words that begin an action of Go's templates, and no expression of ours that parses.
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

    /// What may be meant by a text that does not parse: the templates of other tools, and the shell, have braces too.
    pub fn hint(&self, source: &str) -> Option<&'static str> {
        if !self.message.starts_with("template does not parse") {
            return None;
        }
        let go = source.split("{{").skip(1).any(|inner| {
            let inner = inner.trim_start_matches('-').trim_start();
            let word = inner.split([' ', '}', '(', '"']).next().unwrap_or_default();
            inner.starts_with(['.', '$', '/', '`']) || GO_FUNCTIONS.contains(&word)
        });
        if go {
            return Some(
                "is it a template of Go, as docker, kubectl and helm take it? put {% raw %}…{% endraw %} around it",
            );
        }
        let shell = source.contains("${#") || source.contains("{#") && !source.contains("#}");
        shell.then_some("`{#` begins a comment; put {% raw %}…{% endraw %} around what is meant for the shell")
    }

    pub(super) fn undefined(name: &str, what: &str) -> Self {
        Self { undefined: Some(what.to_owned()), ..Self::new(name, format!("`{what}` is not defined")) }
    }

    /// From the engine's error; `source` is the text of the template called `name`.
    pub(super) fn from_engine(error: &minijinja::Error, name: &str, source: &str) -> Self {
        use minijinja::ErrorKind;
        // "error in x": what is wrong is said by the template that is included.
        let inner = |error: &minijinja::Error| error.kind() == ErrorKind::BadInclude;
        let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<minijinja::Error>());
        if let Some(cause) = cause.filter(|_| inner(error)) {
            return Self::from_engine(cause, name, source);
        }
        // An included template reports under its own name, and then the range is not one of ours.
        let of = error.name().and_then(|of| of.split(VERBATIM).next());
        let foreign = of.is_some_and(|n| n != name && n != ANONYMOUS && n != EXPRESSION);
        let at = if foreign { of.unwrap_or(name) } else { name };
        let range = if foreign { None } else { error.range() };
        let text = range.clone().and_then(|r| source.get(r)).map(|t| t.trim().to_owned());
        let mut out = match (error.kind(), text) {
            (ErrorKind::UndefinedError, Some(text)) => Self::undefined(at, &text),
            (kind, _) => Self::new(at, message(kind, error.detail())),
        };
        (out.line, out.range) = (error.line(), range);
        out
    }
}

/// Stands between a template's name and its text, where that is given and not loaded.
pub(super) const VERBATIM: char = '\0';

pub(super) const ANONYMOUS: &str = "<string>";
const EXPRESSION: &str = "<expression>";

fn message(kind: minijinja::ErrorKind, detail: Option<&str>) -> String {
    match detail {
        Some(detail) if kind == minijinja::ErrorKind::SyntaxError => format!("template does not parse: {detail}"),
        Some("recursion limit exceeded") => "template includes or calls itself without an end".to_owned(),
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
    fn the_braces_of_others_are_recognised() {
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
