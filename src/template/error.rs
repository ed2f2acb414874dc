//! What is wrong with a template.

use std::ops::Range;

use super::render::GIVEN;

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
        let of = error.name().and_then(|of| of.split(GIVEN).next());
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
