//! Checks texts that other tools parse, such as manifests, and maps errors back to the template or the plan.

use std::sync::Arc;

use super::checker::Checker;
use super::templates::TemplateScope;
use crate::document::below;
use crate::finding::{Finding, Source, Span};
use crate::plan::ActionInfo;
use crate::template::is_template;

impl Checker<'_> {
    /// Checks the text of a file that a parameter names, if the text is known before the run.
    pub(super) fn check_text_file(&mut self, action: &ActionInfo, param: &str, path: &str, scope: TemplateScope<'_>) {
        let Some(check_text) = action.check_text else { return };
        let Ok(text) = self.templates.read(path) else { return };
        let found = if is_template(&text) {
            if !self.is_known(path, scope) {
                return;
            }
            let rendered = scope.views.iter().filter_map(|view| self.templates.render(path, &text, &view.context).ok());
            rendered.filter_map(|rendered| Some((check_text(param, &rendered)?, rendered))).next()
        } else {
            check_text(param, &text).map(|error| (error, text.clone()))
        };
        let Some((error, rendered)) = found else { return };
        let place =
            source_line(&text, &rendered, error.line).map(|at| from_column(&text[at.clone()], at.start, error.column));
        let message = match &place {
            Some(_) if rendered == text => error.message,
            Some(_) => format!("{} (in line {} of the rendered text)", error.message, error.line),
            None => format!("in line {} of the rendered text: {}", error.line, error.message),
        };
        let source = Arc::new(Source { path: below(self.templates.root(), path), text });
        self.findings.push(Finding::error("misread", message).at(&source, place.unwrap_or(0..0), ""));
    }

    /// The place in the plan of an error in a text that is written in the plan itself. Only for multi-line strings.
    pub(super) fn text_error_span(
        &self,
        action: &ActionInfo,
        param: &str,
        rendered: &str,
        span: &Span,
    ) -> Option<Span> {
        let error = (action.check_text?)(param, rendered)?;
        let raw = self.plan.source.text.get(span.clone())?;
        // TOML drops a line break right after the opening quotes.
        let start = raw.strip_prefix("\"\"\"").or_else(|| raw.strip_prefix("'''"))?;
        let start = start.strip_prefix("\r\n").or_else(|| start.strip_prefix('\n')).unwrap_or(start);
        let skipped = raw.len() - start.len();
        let line_span = source_line(start, rendered, error.line)?;
        let place = from_column(&start[line_span.clone()], line_span.start, error.column);
        let from = span.start + skipped;
        Some(from + place.start..from + place.end)
    }
}

/// The line of the template from which line `number` (from 1) of the rendered text came. `None` if that is ambiguous.
fn source_line(template: &str, rendered: &str, number: usize) -> Option<Span> {
    let line_text = rendered.lines().nth(number.checked_sub(1)?).unwrap_or_default().trim_end();
    let mut candidates = Vec::new();
    let mut start = 0;
    for (n, line) in template.split_inclusive('\n').enumerate() {
        let end = start + line.trim_end().len();
        if line.trim_end() == line_text {
            if n + 1 == number {
                return Some(start..end);
            }
            candidates.push(start..end);
        }
        start += line.len();
    }
    match &candidates[..] {
        [one] if !line_text.is_empty() => Some(one.clone()),
        _ => None,
    }
}

/// The span from a column (from 1) to the end of a line that starts at byte `start`.
fn from_column(line: &str, start: usize, column: usize) -> Span {
    let at = line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
    let at = if at == line.len() { 0 } else { at };
    start + at..start + line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_in_the_template_that_it_came_from() {
        let template = "{% for x in y %}\na: {{ x }}\n{% endfor %}\nb: 1\nc: 2\nc: 2\n";
        let rendered = "\na: 1\n\na: 2\n\nb: 1\nc: 2\nc: 2\n";
        let of = |number: usize| source_line(template, rendered, number).map(|at| &template[at]);
        assert_eq!((of(6), of(7), of(2)), (Some("b: 1"), None, None));
        assert_eq!(source_line("a: 1\nb: 2\nb: 2\n", "a: 1\nb: 2\nb: 2\n", 3), Some(10..14));
    }
}
