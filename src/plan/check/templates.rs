//! Checks the names in templates: in strings and in `when`.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::checker::{CheckedStep, Checker, View, find_word};
use super::outputs::{Owner, StepOrder, TemplateProblem};
use crate::finding::{Finding, Source, Span, did_you_mean, listed};
use crate::template::{Context, Names, TemplateError, VariableError, is_template};

/// Place of a template: a file and a span in it.
pub(super) struct Location {
    pub(super) source: Arc<Source>,
    pub(super) span: Span,
}

/// What the names in a template are checked against.
#[derive(Clone, Copy)]
pub(super) struct TemplateScope<'a> {
    pub(super) owner: Owner,
    /// The values that the template sees, on each host and for each item.
    pub(super) views: &'a [View],
    /// All steps of the plan.
    pub(super) steps: &'a [CheckedStep<'a>],
    pub(super) order: &'a StepOrder,
}

impl Checker<'_> {
    pub(super) fn templates(&mut self, steps: &[CheckedStep<'_>]) {
        let order = StepOrder::new(self.plan, steps);
        let plan = self.plan;
        for (n, phase) in plan.phases.iter().enumerate() {
            if let Some(when) = &phase.when {
                let views = [View { host: None, item: None, context: self.scope.controller().clone() }];
                let scope = TemplateScope { owner: Owner::Phase(n), views: &views, steps, order: &order };
                self.expression(&when.value, &when.span, scope);
            }
        }
        for (n, checked) in steps.iter().enumerate() {
            let views = self.views(checked);
            let scope = TemplateScope { owner: Owner::Step(n), views: &views, steps, order: &order };
            if let Some(when) = &checked.step.when {
                self.expression(&when.value, &when.span, scope);
            }
            let mut strings = Vec::new();
            for (key, value) in &checked.step.params {
                collect_strings(value, format!("/{key}"), &mut strings);
            }
            for (pointer, text) in strings {
                self.text(text, &checked.step.place(&pointer), scope);
            }
            self.files(checked, scope);
        }
    }

    /// Checks a string that may be a template.
    pub(super) fn text(&mut self, text: &str, span: &Span, scope: TemplateScope<'_>) {
        if !is_template(text) {
            return;
        }
        let place = Location { source: Arc::clone(&self.plan.source), span: span.clone() };
        self.filters(text, &place);
        match self.templates.names("", text) {
            Ok(names) => self.names(&names, &place, scope),
            Err(error) => self.parse_error(&error, &place),
        }
    }

    fn expression(&mut self, text: &str, span: &Span, scope: TemplateScope<'_>) {
        let place = Location { source: Arc::clone(&self.plan.source), span: span.clone() };
        self.filters(&format!("{{{{ {text} }}}}"), &place);
        match self.templates.names_in_expression(text) {
            Ok(names) => self.names(&names, &place, scope),
            Err(error) => self.parse_error(&error, &place),
        }
    }

    /// Reports all problems with the names of one template.
    pub(super) fn names(&mut self, names: &Names, place: &Location, scope: TemplateScope<'_>) {
        self.used.extend(names.iter().filter_map(|n| n.split('.').next()).map(str::to_owned));
        self.used_secrets.extend(self.references.secrets_of(names));
        if names.iter().any(|n| n == "secrets") {
            let message = "`secrets` is used without a name, so it is unknown which secret to read".to_owned();
            let help = Some("write secrets.NAME".to_owned());
            self.report(
                place,
                TemplateProblem { is_warning: false, code: "bad-secret", name: "secrets".into(), message, help },
            );
        }
        for problem in self.output_problems(names, scope.owner, scope.steps, scope.order) {
            self.report(place, problem);
        }
        for name in names.unguarded().filter(|n| !["steps", "secrets"].contains(n) && !n.starts_with("steps.")) {
            if let Some(problem) = self.name_problem(name, scope.views) {
                self.report(place, problem);
            }
        }
    }

    fn report(&mut self, place: &Location, problem: TemplateProblem) {
        let whole = place.source.text.get(place.span.clone()).unwrap_or_default();
        let span = find_word(whole, &problem.name)
            .map_or_else(|| place.span.clone(), |at| place.span.start + at.start..place.span.start + at.end);
        let finding = if problem.is_warning { Finding::warning } else { Finding::error };
        let finding = finding(problem.code, problem.message).at(&place.source, span, "").maybe_help(problem.help);
        self.findings.push(finding);
    }

    /// The problem with a name that must be defined, if there is one.
    fn name_problem(&self, name: &str, views: &[View]) -> Option<TemplateProblem> {
        let failing: Vec<&View> = views.iter().filter(|view| !is_defined(&view.context, name)).collect();
        let View { host, item, context } = failing.first()?;
        let root = name.split('.').next().unwrap_or_default();
        let problem = |message: String, help: Option<String>| {
            Some(TemplateProblem { is_warning: false, code: "undefined", name: name.to_owned(), message, help })
        };
        if host.is_none() && root == "host" {
            let help = "give the step `hosts`, or name one host: hosts['NAME']".to_owned();
            return problem("`host` is defined in steps with `hosts` only".to_owned(), Some(help));
        }
        if item.is_none() && root == "item" {
            let help = "give the step `for_each = [\"…\"]`, or name a variable otherwise".to_owned();
            return problem("`item` is defined in steps with `for_each` only".to_owned(), Some(help));
        }
        if host.is_none() && self.scope.is_per_host(root) {
            let message = format!("variable `{root}` uses `host`, which a step without `hosts` does not have");
            return problem(message, None);
        }
        if let Some(secret) = name.strip_prefix("secrets.") {
            let message = format!("no secret is named `{secret}`");
            let help = secret_help(secret, &context.names_at("secrets"));
            return Some(TemplateProblem {
                is_warning: false,
                code: "unknown-secret",
                name: name.to_owned(),
                message,
                help: Some(help),
            });
        }
        let mut message = format!("`{name}` is not defined");
        if root == "item" {
            message += &affected(&failing, views, " for ", |view| view.item.as_deref());
        } else {
            message += &affected(&failing, views, " on ", |view| view.host.as_ref().map(|h| h.name.as_str()));
        }
        if !context.has(root) && self.plan.vars.iter().any(|(key, _)| key.value == root) {
            // The variable itself fails, which is reported at its definition.
            return None;
        }
        let on_hosts = || self.inventory.hosts.iter().any(|h| h.vars.contains_key(root));
        let help = similar_name(name, context).or_else(|| {
            let help = "it is a variable of hosts, and this step has no `hosts`";
            (host.is_none() && on_hosts()).then(|| help.to_owned())
        });
        problem(message, help.or_else(|| Some("add it to [vars], or give it with --var".to_owned())))
    }

    /// Reports a template that does not parse.
    pub(super) fn parse_error(&mut self, error: &TemplateError, place: &Location) {
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

    pub(super) fn filters(&mut self, code: &str, place: &Location) {
        for filter in self.templates.unknown_filters(code) {
            let message = format!("there is no filter `{filter}`");
            self.report(
                place,
                TemplateProblem { is_warning: false, code: "unknown-filter", name: filter, message, help: None },
            );
        }
    }
}

/// Names the hosts or items for which a name is undefined. Empty if it is undefined for all.
fn affected<'v>(
    failing: &[&'v View],
    all: &'v [View],
    word: &str,
    name: impl Fn(&'v View) -> Option<&'v str>,
) -> String {
    let names: BTreeSet<&str> = failing.iter().filter_map(|view| name(view)).collect();
    let all: BTreeSet<&str> = all.iter().filter_map(&name).collect();
    if names == all { String::new() } else { format!("{word}{}", listed(names)) }
}

/// Whether rendering itself failed. Undefined names, syntax errors and unknown filters are reported without rendering.
pub(super) fn is_render_failure(error: &TemplateError) -> bool {
    let is_unknown_filter = error.message.contains("filter") && error.message.ends_with("is unknown");
    error.undefined.is_none() && !error.message.starts_with("template does not parse") && !is_unknown_filter
}

/// Collects all strings of a value with their JSON pointers.
pub(super) fn collect_strings<'v>(value: &'v Value, pointer: String, out: &mut Vec<(String, &'v str)>) {
    match value {
        Value::String(text) => out.push((pointer, text)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, v)| collect_strings(v, format!("{pointer}/{n}"), out));
        }
        Value::Object(map) => map.iter().for_each(|(k, v)| collect_strings(v, format!("{pointer}/{k}"), out)),
        _ => {}
    }
}

/// Whether a name is defined. Fields of values that are not tables count as defined: only rendering can tell.
fn is_defined(context: &Context, name: &str) -> bool {
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

/// "Did you mean" for the first part of a name that does not exist.
fn similar_name(name: &str, context: &Context) -> Option<String> {
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

/// The help text for a variable that cannot be resolved.
pub(super) fn variable_help(error: &VariableError, known: impl Fn(&str) -> Vec<String>) -> Option<String> {
    match error {
        VariableError::Cycle(_) => {
            Some("an arrow means \"refers to\"; give one of these variables a value of its own".into())
        }
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
    let suggestion = did_you_mean(name, known.iter().map(String::as_str));
    suggestion.unwrap_or_else(|| {
        format!("add [secrets.{name}] to the plan or the inventory, with where its value comes from")
    })
}
