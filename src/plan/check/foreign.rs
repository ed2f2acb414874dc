//! Texts that others read, such as manifests: what their readers would refuse, where it stands in the file or in the plan.

use std::sync::Arc;

use super::checker::{CheckedStep, Checker, View};
use super::outputs::Owner;
use crate::document::below;
use crate::finding::{Finding, Source, Span};
use crate::plan::ActionInfo;
use crate::template::is_template;

impl Checker<'_> {
    /// Looks into a file that a parameter names, as far as its text is known before the run.
    pub(super) fn foreign(
        &mut self,
        kind: &ActionInfo,
        param: &str,
        path: &str,
        owner: Owner,
        views: &[View],
        steps: &[CheckedStep<'_>],
    ) {
        let Some(misread) = kind.check_text else { return };
        let Ok(text) = self.templates.read(path) else { return };
        let wrong = if is_template(&text) {
            if !self.is_known(path, owner, steps) {
                return;
            }
            let rendered = views.iter().filter_map(|view| self.templates.render(path, &text, &view.context).ok());
            rendered.filter_map(|rendered| Some((misread(param, &rendered)?, rendered))).next()
        } else {
            misread(param, &text).map(|error| (error, text.clone()))
        };
        let Some((error, rendered)) = wrong else { return };
        let place = line(&text, &rendered, error.line).map(|at| within(&text[at.clone()], at.start, error.column));
        let message = match &place {
            Some(_) if rendered == text => error.message,
            Some(_) => format!("{} (once it is rendered, where this is line {})", error.message, error.line),
            None => format!("in line {} of what it is rendered to: {}", error.line, error.message),
        };
        let source = Arc::new(Source { path: below(self.templates.root(), path), text });
        self.findings.push(Finding::error("misread", message).at(&source, place.unwrap_or(0..0), ""));
    }

    /// The place in the plan of what is wrong with a text that stands there itself.
    pub(super) fn in_the_plan(&self, kind: &ActionInfo, param: &str, rendered: &str, span: &Span) -> Option<Span> {
        let error = (kind.check_text?)(param, rendered)?;
        let raw = self.plan.source.text.get(span.clone())?;
        // The first line break behind the quotes is none of the text's.
        let start = raw.strip_prefix("\"\"\"").or_else(|| raw.strip_prefix("'''"))?;
        let start = start.strip_prefix("\r\n").or_else(|| start.strip_prefix('\n')).unwrap_or(start);
        let skipped = raw.len() - start.len();
        let at = line(start, rendered, error.line)?;
        let place = within(&start[at.clone()], at.start, error.column);
        let from = span.start + skipped;
        Some(from + place.start..from + place.end)
    }
}

/// The line of a template that became that line, from 1, of what it was rendered to; `None` where that cannot be told.
fn line(template: &str, rendered: &str, number: usize) -> Option<Span> {
    let wanted = rendered.lines().nth(number.checked_sub(1)?).unwrap_or_default().trim_end();
    let mut same = Vec::new();
    let mut start = 0;
    for (n, line) in template.split_inclusive('\n').enumerate() {
        let end = start + line.trim_end().len();
        if line.trim_end() == wanted {
            if n + 1 == number {
                return Some(start..end);
            }
            same.push(start..end);
        }
        start += line.len();
    }
    match &same[..] {
        [one] if !wanted.is_empty() => Some(one.clone()),
        _ => None,
    }
}

/// From a column, from 1, of a line that starts at `start` to the line's end.
fn within(line: &str, start: usize, column: usize) -> Span {
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
        let of = |number: usize| line(template, rendered, number).map(|at| &template[at]);
        assert_eq!((of(6), of(7), of(2)), (Some("b: 1"), None, None));
        assert_eq!(line("a: 1\nb: 2\nb: 2\n", "a: 1\nb: 2\nb: 2\n", 3), Some(10..14));
    }
}
