//! Checks the files that parameters name: whether they exist, and the names in template files.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::checker::{CheckedStep, Checker, View};
use super::outputs::Owner;
use super::templates::{Location, TemplateScope, collect_strings, is_render_failure};
use crate::document::below;
use crate::finding::{Source, Span};
use crate::plan::{FileKind, folder};
use crate::template::is_template;

impl Checker<'_> {
    /// Checks the files that a step's parameters name.
    pub(super) fn files(&mut self, checked: &CheckedStep<'_>, scope: TemplateScope<'_>) {
        let Some(action) = &checked.action else { return };
        let params = self.params_of(action);
        for param in params.iter() {
            let (Some(file), Some(value)) = (param.file, checked.step.params.get(&param.name)) else { continue };
            let mut strings = Vec::new();
            collect_strings(value, format!("/{}", param.name), &mut strings);
            for (pointer, raw) in strings {
                let span = checked.step.place(&pointer);
                let mut paths = BTreeSet::new();
                // A plain path is known even if the hosts are not.
                if !is_template(raw) {
                    paths.insert(raw.to_owned());
                }
                for View { context, .. } in scope.views {
                    let path = self.templates.render_value(&Value::String(raw.to_owned()), context);
                    paths.extend(path.ok().and_then(|p| p.as_str().map(str::to_owned)));
                }
                for path in paths.iter().filter(|p| !p.is_empty()) {
                    self.file(path, file, &span, scope);
                    self.check_text_file(action, &param.name, path, scope);
                }
            }
        }
    }

    fn file(&mut self, path: &str, kind: FileKind, named_at: &Span, scope: TemplateScope<'_>) {
        let project = self.templates.project();
        let found = match kind {
            FileKind::Folder => folder::read(project, path).map(drop),
            FileKind::Source => project.open(path).map(drop).map_err(|e| e.to_string()),
            // The action itself reports errors in the path.
            FileKind::Written => match project.path_for_writing(path) {
                Err(error) if error.kind() != ErrorKind::InvalidInput => Err(error.to_string()),
                _ => Ok(()),
            },
            FileKind::Plain | FileKind::Template => return self.text_files(path, kind, named_at, scope),
        };
        if let Err(message) = found {
            self.error("no-file", named_at, message, Some(self.paths_hint()));
        }
    }

    /// Checks a text file; for a template also all files that it includes.
    fn text_files(&mut self, path: &str, kind: FileKind, named_at: &Span, scope: TemplateScope<'_>) {
        let mut todo = vec![(path.to_owned(), String::new())];
        let mut seen = BTreeSet::new();
        while let Some((path, including_text)) = todo.pop() {
            if !seen.insert(path.clone()) {
                continue;
            }
            let text = match self.templates.read(&path) {
                Ok(text) => text,
                Err(error) => {
                    let help = (!including_text.is_empty()).then(|| "a template that this one includes".to_owned());
                    self.error("no-file", named_at, error.message, help.or_else(|| Some(self.paths_hint())));
                    continue;
                }
            };
            self.windows_shebang(&path, text.split('\n').next().unwrap_or_default(), named_at);
            if kind == FileKind::Plain {
                continue;
            }
            let source = Arc::new(Source { path: below(self.templates.root(), &path), text: text.clone() });
            let place = Location { source, span: 0..text.len() };
            self.filters(&text, &place);
            match self.templates.names(&path, &text) {
                Ok(names) => {
                    let including_text = format!("{including_text}{text}");
                    todo.extend(names.files.iter().map(|f| (f.clone(), including_text.clone())));
                    // Included templates see the variables that the including template sets.
                    let names =
                        names.without(|name| assigns(&including_text, name.split('.').next().unwrap_or_default()));
                    self.names(&names, &place, scope);
                    if seen.len() == 1 && self.is_known(&path, scope) {
                        self.try_rendering(&path, &place, named_at, scope.views);
                    }
                }
                Err(error) => self.parse_error(&error, &place),
            }
        }
    }

    /// Renders a template file as the run will, for all hosts and items between which it may differ, until the time for
    /// that is used up.
    fn try_rendering(&mut self, path: &str, place: &Location, named_at: &Span, views: &[View]) {
        let names = self.templates.names_in_file(path).unwrap_or_default();
        let mut roots = names.iter().filter_map(|name| name.split('.').next());
        let differs = roots.any(|root| ["host", "item"].contains(&root) || self.scope.differs(root));
        let views = if differs { views } else { views.get(..1).unwrap_or(views) };
        for (done, View { context, .. }) in views.iter().enumerate() {
            if done > 0 && self.render_time_left.is_zero() {
                let all = views.len();
                let message = format!(
                    "`{path}` was checked for only {done} of {all} hosts and items, because rendering takes too long"
                );
                self.warn("not-all-tried", named_at, message, Some("`rollout plan` renders all of them".to_owned()));
                return;
            }
            let start = Instant::now();
            let rendered = self.templates.render(path, &place.source.text, context);
            self.render_time_left = self.render_time_left.saturating_sub(start.elapsed());
            if let Err(error) = rendered
                && error.name == path
                && is_render_failure(&error)
            {
                self.parse_error(&error, place);
                return;
            }
        }
    }

    /// Warns about a `#!` line that ends in CRLF: no system finds that interpreter.
    fn windows_shebang(&mut self, path: &str, first_line: &str, named_at: &Span) {
        if let (true, Some(line)) = (first_line.starts_with("#!"), first_line.strip_suffix('\r')) {
            let message =
                format!("the lines of `{path}` end as on Windows (CRLF): no system finds the program of `{line}`");
            let help = format!("sed -i 's/\\r$//' {path}");
            self.warn("windows-line-ends", named_at, message, Some(help));
        }
    }

    /// Whether all values that a template file and its includes use are known before the run.
    pub(super) fn is_known(&self, path: &str, scope: TemplateScope<'_>) -> bool {
        let items = if let Owner::Step(n) = scope.owner { scope.steps[n].step.for_each.as_ref() } else { None };
        self.templates.names_in_file(path).is_ok_and(|mut names| {
            items.iter().for_each(|items| names.extend(self.templates.names_in_value(&items.value)));
            !names.iter().any(|n| n.starts_with("steps")) && self.references.secrets_of(&names).is_empty()
        })
    }

    fn paths_hint(&self) -> String {
        format!("paths start from {}", self.templates.root().display())
    }
}

/// Whether a template assigns a name: `{% set x = … %}`, `{% for x in … %}`.
fn assigns(text: &str, name: &str) -> bool {
    text.split("{%").skip(1).any(|block| {
        let block = block.split("%}").next().unwrap_or_default().trim_start_matches('-').trim_start();
        let target = match block.split_once(char::is_whitespace) {
            Some(("set" | "with", rest)) => rest.split('=').next(),
            Some(("for", rest)) => rest.split(" in ").next(),
            Some(("import" | "from" | "macro", rest)) => Some(rest),
            _ => None,
        };
        target.is_some_and(|t| t.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name))
    })
}
