//! Names in templates: strings, `when` and template files.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::checker::{CheckedStep, Checker, View, word};
use super::outputs::{Before, Owner, Wrong};
use crate::document::below;
use crate::finding::{Finding, Source, Span, did_you_mean, listed};
use crate::plan::{FileKind, folder};
use crate::template::{Context, Names, TemplateError, VariableError, is_template};

/// Where a template stands: a file and the part of it.
struct Location {
    source: Arc<Source>,
    span: Span,
}

impl Checker<'_> {
    pub(super) fn templates(&mut self, steps: &[CheckedStep<'_>]) {
        let before = Before::new(self.plan, steps);
        let plan = self.plan;
        for (n, phase) in plan.phases.iter().enumerate() {
            if let Some(when) = &phase.when {
                let views = [View { host: None, item: None, context: self.scope.controller().clone() }];
                self.expression(&when.value, &when.span, Owner::Phase(n), &views, steps, &before);
            }
        }
        for (n, known) in steps.iter().enumerate() {
            let views = self.views(known);
            if let Some(when) = &known.step.when {
                self.expression(&when.value, &when.span, Owner::Step(n), &views, steps, &before);
            }
            let mut strings = Vec::new();
            for (key, value) in &known.step.params {
                collect(value, format!("/{key}"), &mut strings);
            }
            for (pointer, text) in strings {
                self.text(text, &known.step.place(&pointer), Owner::Step(n), &views, steps, &before);
            }
            self.files(known, n, &views, steps, &before);
        }
    }

    /// A string that may be a template.
    pub(super) fn text(
        &mut self,
        text: &str,
        span: &Span,
        owner: Owner,
        views: &[View],
        steps: &[CheckedStep<'_>],
        before: &Before,
    ) {
        if !is_template(text) {
            return;
        }
        let place = Location { source: Arc::clone(&self.plan.source), span: span.clone() };
        self.filters(text, &place);
        match self.templates.names("", text) {
            Ok(names) => self.names(&names, &place, owner, views, steps, before),
            Err(error) => self.broken(&error, &place),
        }
    }

    fn expression(
        &mut self,
        text: &str,
        span: &Span,
        owner: Owner,
        views: &[View],
        steps: &[CheckedStep<'_>],
        before: &Before,
    ) {
        let place = Location { source: Arc::clone(&self.plan.source), span: span.clone() };
        self.filters(&format!("{{{{ {text} }}}}"), &place);
        match self.templates.names_in_expression(text) {
            Ok(names) => self.names(&names, &place, owner, views, steps, before),
            Err(error) => self.broken(&error, &place),
        }
    }

    /// Everything wrong with the names of one template.
    fn names(
        &mut self,
        names: &Names,
        place: &Location,
        owner: Owner,
        views: &[View],
        steps: &[CheckedStep<'_>],
        before: &Before,
    ) {
        self.used.extend(names.iter().filter_map(|n| n.split('.').next()).map(str::to_owned));
        self.used_secrets.extend(self.references.secrets_of(names));
        if names.iter().any(|n| n == "secrets") {
            let message = "`secrets` is not used with a name, so nobody can tell which one must be read".to_owned();
            let help = Some("write secrets.NAME".to_owned());
            self.push(place, Wrong { warns: false, code: "bad-secret", name: "secrets".into(), message, help });
        }
        for wrong in self.wrong_outputs(names, owner, steps, before) {
            self.push(place, wrong);
        }
        for name in names.unguarded().filter(|n| !["steps", "secrets"].contains(n) && !n.starts_with("steps.")) {
            if let Some(wrong) = self.wrong_name(name, views) {
                self.push(place, wrong);
            }
        }
    }

    fn push(&mut self, place: &Location, wrong: Wrong) {
        let whole = place.source.text.get(place.span.clone()).unwrap_or_default();
        let span = word(whole, &wrong.name)
            .map_or_else(|| place.span.clone(), |at| place.span.start + at.start..place.span.start + at.end);
        let finding = if wrong.warns { Finding::warning } else { Finding::error };
        let finding = finding(wrong.code, wrong.message).at(&place.source, span, "").maybe_help(wrong.help);
        self.findings.push(finding);
    }

    /// What is wrong with a name that must be defined.
    fn wrong_name(&self, name: &str, views: &[View]) -> Option<Wrong> {
        let lacking: Vec<&View> = views.iter().filter(|view| !defined(&view.context, name)).collect();
        let View { host, item, context } = lacking.first()?;
        let root = name.split('.').next().unwrap_or_default();
        let wrong = |message: String, help: Option<String>| {
            Some(Wrong { warns: false, code: "undefined", name: name.to_owned(), message, help })
        };
        if host.is_none() && root == "host" {
            let help = "give the step `hosts`, or name one host: hosts['NAME']".to_owned();
            return wrong("`host` is defined in steps with `hosts` only".to_owned(), Some(help));
        }
        if item.is_none() && root == "item" {
            let help = "give the step `for_each = [\"…\"]`, or name a variable otherwise".to_owned();
            return wrong("`item` is defined in steps with `for_each` only".to_owned(), Some(help));
        }
        if host.is_none() && self.scope.is_per_host(root) {
            let message = format!("variable `{root}` uses `host`, which a step without `hosts` does not have");
            return wrong(message, None);
        }
        if let Some(secret) = name.strip_prefix("secrets.") {
            let message = format!("no secret is named `{secret}`");
            let help = secret_help(secret, &context.names_at("secrets"));
            return Some(Wrong {
                warns: false,
                code: "unknown-secret",
                name: name.to_owned(),
                message,
                help: Some(help),
            });
        }
        let mut message = format!("`{name}` is not defined");
        if root == "item" {
            message += &only(&lacking, views, " for ", |view| view.item.as_deref());
        } else {
            message += &only(&lacking, views, " on ", |view| view.host.as_ref().map(|h| h.name.as_str()));
        }
        if !context.has(root) && self.plan.vars.iter().any(|(key, _)| key.value == root) {
            // The variable itself is wrong, and that is said where it stands.
            return None;
        }
        let on_hosts = || self.inventory.hosts.iter().any(|h| h.vars.contains_key(root));
        let help = near(name, context).or_else(|| {
            let help = "it is a variable of hosts, and this step has none";
            (host.is_none() && on_hosts()).then(|| help.to_owned())
        });
        wrong(message, help.or_else(|| Some("add it to [vars], or give it with --var".to_owned())))
    }

    /// A template that does not parse.
    fn broken(&mut self, error: &TemplateError, place: &Location) {
        let finding = Finding::error("bad-template", error.message.clone());
        let text = place.source.text.get(place.span.clone()).unwrap_or_default();
        let narrow = error.range.clone().filter(|_| place.span.start == 0 && place.span.end == place.source.text.len());
        let by_line = || {
            let line = error.line.filter(|_| place.span.start == 0)?;
            let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
            Some(start..start + text[start..].lines().next().map_or(0, str::len))
        };
        let span = narrow.or_else(by_line).unwrap_or_else(|| place.span.clone());
        self.findings.push(finding.at(&place.source, span, "").maybe_help(error.hint(text).map(str::to_owned)));
    }

    /// The files that a step's parameters name.
    fn files(&mut self, known: &CheckedStep<'_>, n: usize, views: &[View], steps: &[CheckedStep<'_>], before: &Before) {
        let Some(kind) = &known.kind else { return };
        let params = self.params_of(kind);
        for param in params.iter() {
            let (Some(file), Some(value)) = (param.file, known.step.params.get(&param.name)) else { continue };
            let mut strings = Vec::new();
            collect(value, format!("/{}", param.name), &mut strings);
            for (pointer, raw) in strings {
                let span = known.step.place(&pointer);
                let mut paths = BTreeSet::new();
                // Without known hosts, a plain path is known all the same.
                if !is_template(raw) {
                    paths.insert(raw.to_owned());
                }
                for View { context, .. } in views {
                    let path = self.templates.render_value(&Value::String(raw.to_owned()), context);
                    paths.extend(path.ok().and_then(|p| p.as_str().map(str::to_owned)));
                }
                for path in paths.iter().filter(|p| !p.is_empty()) {
                    self.file(path, file, &span, Owner::Step(n), views, steps, before);
                    self.foreign(kind, &param.name, path, Owner::Step(n), views, steps);
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the last three are the same everywhere in this file")]
    fn file(
        &mut self,
        path: &str,
        kind: FileKind,
        named_at: &Span,
        owner: Owner,
        views: &[View],
        steps: &[CheckedStep<'_>],
        before: &Before,
    ) {
        let project = self.templates.project();
        let whole = match kind {
            FileKind::Folder => Some(folder::read(project, path).map(drop)),
            FileKind::Source => Some(project.open(path).map(drop).map_err(|e| e.to_string())),
            // What is wrong with the path itself is said by the action.
            FileKind::Written => match project.path_for_writing(path) {
                Err(error) if error.kind() != ErrorKind::InvalidInput => Some(Err(error.to_string())),
                _ => return,
            },
            FileKind::Plain | FileKind::Template => None,
        };
        if let Some(found) = whole {
            if let Err(message) = found {
                self.error("no-file", named_at, message, Some(self.paths_hint()));
            }
            return;
        }
        let mut todo = vec![(path.to_owned(), String::new())];
        let mut seen = BTreeSet::new();
        while let Some((path, around)) = todo.pop() {
            if !seen.insert(path.clone()) {
                continue;
            }
            let text = match self.templates.read(&path) {
                Ok(text) => text,
                Err(error) => {
                    let help = (!around.is_empty()).then(|| "a template that this one includes".to_owned());
                    self.error("no-file", named_at, error.message, help.or_else(|| Some(self.paths_hint())));
                    continue;
                }
            };
            self.interpreter(&path, text.split('\n').next().unwrap_or_default(), named_at);
            if kind == FileKind::Plain {
                continue;
            }
            let source = Arc::new(Source { path: below(self.templates.root(), &path), text: text.clone() });
            let place = Location { source, span: 0..text.len() };
            self.filters(&text, &place);
            match self.templates.names(&path, &text) {
                Ok(names) => {
                    let around = format!("{around}{text}");
                    todo.extend(names.files.iter().map(|f| (f.clone(), around.clone())));
                    // What a template sets, the templates that it includes see too.
                    let names = names.without(|name| assigns(&around, name.split('.').next().unwrap_or_default()));
                    self.names(&names, &place, owner, views, steps, before);
                    if seen.len() == 1 && self.is_known(&path, owner, steps) {
                        self.renders(&path, &place, named_at, views);
                    }
                }
                Err(error) => self.broken(&error, &place),
            }
        }
    }

    /// Renders a template file as the run will, on all hosts and for all items between which it may differ, as long as
    /// there is time for that.
    fn renders(&mut self, path: &str, place: &Location, named_at: &Span, views: &[View]) {
        let names = self.templates.names_in_file(path).unwrap_or_default();
        let mut roots = names.iter().filter_map(|name| name.split('.').next());
        let differs = roots.any(|root| ["host", "item"].contains(&root) || self.scope.differs(root));
        let views = if differs { views } else { views.get(..1).unwrap_or(views) };
        for (done, View { context, .. }) in views.iter().enumerate() {
            if done > 0 && self.rendering.is_zero() {
                let all = views.len();
                let message =
                    format!("`{path}` was tried on {done} of {all} hosts and items, then there was no more time");
                self.warn("not-all-tried", named_at, message, Some("`rollout plan` renders all of them".to_owned()));
                return;
            }
            let begun = Instant::now();
            let rendered = self.templates.render(path, &place.source.text, context);
            self.rendering = self.rendering.saturating_sub(begun.elapsed());
            if let Err(error) = rendered
                && error.name == path
                && fails(&error)
            {
                self.broken(&error, place);
                return;
            }
        }
    }

    /// A line that names an interpreter, which no system finds when the line ends as on Windows.
    fn interpreter(&mut self, path: &str, first_line: &str, named_at: &Span) {
        if let (true, Some(line)) = (first_line.starts_with("#!"), first_line.strip_suffix('\r')) {
            let message =
                format!("the lines of `{path}` end as on Windows (CRLF): no system finds the program of `{line}`");
            let help = format!("sed -i 's/\\r$//' {path}");
            self.warn("windows-line-ends", named_at, message, Some(help));
        }
    }

    /// Whether all that a template file and those that it includes use is known before the run.
    pub(super) fn is_known(&self, path: &str, owner: Owner, steps: &[CheckedStep<'_>]) -> bool {
        let items = if let Owner::Step(n) = owner { steps[n].step.for_each.as_ref() } else { None };
        self.templates.names_in_file(path).is_ok_and(|mut names| {
            items.iter().for_each(|items| names.extend(self.templates.names_in_value(&items.value)));
            !names.iter().any(|n| n.starts_with("steps")) && self.references.secrets_of(&names).is_empty()
        })
    }

    fn filters(&mut self, code: &str, place: &Location) {
        for filter in self.templates.unknown_filters(code) {
            let message = format!("there is no filter `{filter}`");
            self.push(place, Wrong { warns: false, code: "unknown-filter", name: filter, message, help: None });
        }
    }

    fn paths_hint(&self) -> String {
        format!("paths start from {}", self.templates.root().display())
    }
}

/// The views that lack something, where others do not.
fn only<'v>(lacking: &[&'v View], all: &'v [View], word: &str, name: impl Fn(&'v View) -> Option<&'v str>) -> String {
    let names: BTreeSet<&str> = lacking.iter().filter_map(|view| name(view)).collect();
    let all: BTreeSet<&str> = all.iter().filter_map(&name).collect();
    if names == all { String::new() } else { format!("{word}{}", listed(names)) }
}

/// Whether rendering itself went wrong. What is not defined, does not parse or names an unknown filter is found without
/// rendering.
pub(super) fn fails(error: &TemplateError) -> bool {
    let found = error.message.contains("filter") && error.message.ends_with("is unknown");
    error.undefined.is_none() && !error.message.starts_with("template does not parse") && !found
}

/// All strings of a value, with their JSON pointers.
pub(super) fn collect<'v>(value: &'v Value, pointer: String, out: &mut Vec<(String, &'v str)>) {
    match value {
        Value::String(text) => out.push((pointer, text)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, v)| collect(v, format!("{pointer}/{n}"), out));
        }
        Value::Object(map) => map.iter().for_each(|(k, v)| collect(v, format!("{pointer}/{k}"), out)),
        _ => {}
    }
}

/// Whether a name leads to something; below a value that is no table, only rendering can tell.
fn defined(context: &Context, name: &str) -> bool {
    if context.has(name) {
        return true;
    }
    let mut path = name;
    while let Some((parent, _)) = path.rsplit_once('.') {
        if context.has(parent) {
            return !context.is_table(parent);
        }
        path = parent;
    }
    false
}

/// "Did you mean", at the level where the name goes wrong.
fn near(name: &str, context: &Context) -> Option<String> {
    let mut parent = String::new();
    for part in name.split('.') {
        let here = if parent.is_empty() { part.to_owned() } else { format!("{parent}.{part}") };
        if !context.has(&here) {
            let known = context.names_at(&parent);
            let found = did_you_mean(part, known.iter().map(String::as_str));
            return found.or_else(|| {
                (!parent.is_empty() && !known.is_empty())
                    .then(|| format!("`{parent}` has {}", listed(known.iter().map(String::as_str))))
            });
        }
        parent = here;
    }
    None
}

/// Whether a template gives a name a value of its own: `{% set x = … %}`, `{% for x in … %}`.
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

/// What to do about a variable that cannot be resolved.
pub(super) fn variable_help(error: &VariableError, known: impl Fn(&str) -> Vec<String>) -> Option<String> {
    match error {
        VariableError::Cycle(_) => Some("an arrow reads \"refers to\"; give one of them a value of its own".into()),
        VariableError::Full(_) => Some(
            "what uses `host`, or variables of hosts and groups, is there for each host: put large texts into files"
                .into(),
        ),
        VariableError::Template { error, .. } => {
            let undefined = error.undefined.as_ref()?;
            if undefined.split('.').next() == Some("steps") {
                return Some("variables are resolved before any step runs; use the output in the step itself".into());
            }
            if let Some(secret) = undefined.strip_prefix("secrets.") {
                return Some(secret_help(secret, &known("secrets")));
            }
            did_you_mean(undefined, known("").iter().map(String::as_str))
        }
    }
}

fn secret_help(name: &str, known: &[String]) -> String {
    let near = did_you_mean(name, known.iter().map(String::as_str));
    near.unwrap_or_else(|| {
        format!("add [secrets.{name}] to the plan or the inventory, with where its value comes from")
    })
}
