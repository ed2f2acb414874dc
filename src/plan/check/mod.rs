//! Everything that can be known of a plan without a connection, all findings at once.
//!
//! Split by concern: [`structure`] (ids, needs, circles), [`hosts`] (patterns), [`pace`] (batches, limits), [`loops`]
//! (`for_each` and its relatives), [`guard`] (changes that may cut the connection), [`params`] (actions and what they take),
//! [`repeats`] (what would be done over and over), [`templates`] (names in strings and files), [`outputs`] (what steps hand
//! to later ones), [`units`] (how many there are).

mod foreign;
mod guard;
mod hosts;
mod loops;
mod outputs;
mod pace;
mod params;
mod repeats;
mod structure;
mod templates;
#[cfg(test)]
mod tests;
mod units;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Catalog, Kind, Param, Phase, Plan, References, Scope, ScopeError, Step};
use crate::finding::{Finding, Findings, Span};
use crate::inventory::{Host, Inventory};
use crate::template::{Context, Templates, VariableError};

/// What is wrong with a plan that is read, against an inventory and the actions that there are.
pub fn check(plan: &Plan, inventory: &Inventory, catalog: &dyn Catalog, overrides: &Map<String, Value>) -> Findings {
    let templates = Templates::new(plan.project(inventory));
    let (scope, scope_errors) = Scope::new(plan, inventory, overrides, &templates);
    let mut checker = Checker {
        plan,
        inventory,
        catalog,
        overrides,
        references: References::new(plan, inventory, overrides, &templates),
        templates,
        scope,
        params: HashMap::new(),
        used: BTreeSet::new(),
        used_secrets: BTreeSet::new(),
        findings: Findings::new(),
        rendering: RENDERING,
    };
    if scope_errors.iter().any(|error| matches!(error.error, VariableError::Full(_))) {
        // Nothing else can be told: variables are missing.
        checker.variables(&scope_errors);
        return checker.findings.sorted();
    }
    checker.structure();
    checker.paces();
    let steps = checker.steps();
    if !checker.units(&steps) {
        return checker.findings.sorted();
    }
    checker.guards(&steps);
    checker.params(&steps);
    checker.repeats(&steps);
    checker.variables(&scope_errors);
    checker.loops(&steps);
    checker.templates(&steps);
    // An unknown action may use anything.
    if steps.iter().all(|known| known.kind.is_some()) {
        checker.unused();
    }
    checker.findings.sorted()
}

/// What the templates of a step see.
struct View {
    /// Without one, on the controller.
    host: Option<Arc<Host>>,
    /// The item's name, in a loop.
    item: Option<String>,
    context: Context,
}

struct Checker<'a> {
    plan: &'a Plan,
    inventory: &'a Inventory,
    catalog: &'a dyn Catalog,
    overrides: &'a Map<String, Value>,
    templates: Templates,
    scope: Scope,
    references: References,
    /// The actions' parameters, by action.
    params: HashMap<&'static str, Arc<Vec<Param>>>,
    /// First parts of all names that templates use.
    used: BTreeSet<String>,
    /// The secrets that templates use, also through variables.
    used_secrets: BTreeSet<String>,
    findings: Findings,
    /// What is left of the time for trying templates on one host after the other.
    rendering: Duration,
}

/// How long template files are tried on one host after the other, all together.
const RENDERING: Duration = Duration::from_secs(2);

/// A step with what the checks found out about it.
struct Known<'a> {
    phase: usize,
    number: usize,
    step: &'a Step,
    kind: Option<Kind>,
    /// The hosts that it runs on; `None` when it runs on none or its pattern is wrong.
    hosts: Option<Vec<Arc<Host>>>,
}

impl<'a> Checker<'a> {
    fn error(&mut self, code: &'static str, span: &Span, message: impl Into<String>, help: Option<String>) {
        let finding = Finding::error(code, message).at(&self.plan.source, span.clone(), "").maybe_help(help);
        self.findings.push(finding);
    }

    fn warn(&mut self, code: &'static str, span: &Span, message: impl Into<String>, help: Option<String>) {
        let finding = Finding::warning(code, message).at(&self.plan.source, span.clone(), "").maybe_help(help);
        self.findings.push(finding);
    }

    /// All steps, with their action and hosts.
    fn steps(&mut self) -> Vec<Known<'a>> {
        let plan = self.plan;
        let mut known = Vec::new();
        for (phase, Phase { steps, .. }) in plan.phases.iter().enumerate() {
            for (number, step) in steps.iter().enumerate() {
                let kind = self.kind(step);
                let hosts = self.hosts(step, kind.as_ref());
                known.push(Known { phase, number, step, kind, hosts });
            }
        }
        known
    }

    fn params_of(&mut self, kind: &Kind) -> Arc<Vec<Param>> {
        Arc::clone(self.params.entry(kind.name).or_insert_with(|| Arc::new(kind.params())))
    }

    /// What the templates of a step see: on each host, or on the controller, for each item. Empty when its hosts or items
    /// are not known.
    fn views(&self, known: &Known<'_>) -> Vec<View> {
        let outside = self.outside(known);
        if let (true, Some(View { context, .. })) = (self.same_items(known.step), outside.first()) {
            let items = known.step.items(&self.templates, context).ok().flatten().unwrap_or_default();
            let items = items.into_iter().map(|item| (item.key, Context::default().with("item", &item.value)));
            let items: Vec<(String, Context)> = items.collect();
            let views = outside.iter().flat_map(|View { host, context, .. }| {
                let view = |(key, item): &(String, Context)| (host.clone(), Some(key.clone()), context.below(item));
                items.iter().map(view)
            });
            return views.map(|(host, item, context)| View { host, item, context }).collect();
        }
        let items = |View { host, context, .. }: View| {
            let views = known.step.views(&self.templates, &context).into_iter();
            views.map(move |(item, context)| View { host: host.clone(), item, context }).collect::<Vec<_>>()
        };
        outside.into_iter().flat_map(items).collect()
    }

    /// Whether a step is a loop over the same items on all of its hosts.
    fn same_items(&self, step: &Step) -> bool {
        step.for_each.as_ref().is_some_and(|list| self.rendering(&list.value, step) == params::Rendering::Same)
    }

    /// What `for_each` itself sees.
    fn outside(&self, known: &Known<'_>) -> Vec<View> {
        let view = |host: Option<Arc<Host>>, context: &Context| View { host, item: None, context: context.clone() };
        match (&known.hosts, &known.step.hosts) {
            (Some(hosts), _) => hosts.iter().map(|h| view(Some(Arc::clone(h)), self.scope.host(&h.name))).collect(),
            (None, None) => vec![view(None, self.scope.controller())],
            (None, Some(_)) => Vec::new(),
        }
    }

    fn variables(&mut self, errors: &[ScopeError]) {
        for error in errors {
            let name = error.error.variable();
            if self.only_a_secret_can_tell(&error.error) {
                continue;
            }
            let known = |what: &str| self.scope.controller().names_at(what);
            let mut message = error.error.to_string();
            if let Some(host) = &error.host {
                message = format!("{message} (on {host})");
            }
            let help = templates::variable_help(&error.error, known);
            let finding = Finding::error("bad-variable", message).maybe_help(help);
            let place = if self.overrides.contains_key(name) {
                None
            } else {
                let in_plan = self.plan.vars.iter().find(|(key, _)| key.value == name);
                let in_plan = in_plan.map(|(_, value)| (&self.plan.source, &value.span));
                self.inventory.place(error.host.as_deref(), name).or(in_plan)
            };
            self.findings.push(match place {
                Some((source, span)) => finding.at(source, span.clone(), ""),
                None => finding,
            });
        }
    }

    /// Whether a variable fails on what stands in the place of a secret: a filter that takes the secret itself.
    fn only_a_secret_can_tell(&self, error: &VariableError) -> bool {
        let VariableError::Template { name, error } = error else { return false };
        let names = self.templates.names_in_value(&Value::String(format!("{{{{ {name} }}}}")));
        templates::fails(error) && !self.references.secrets_of(&names).is_empty()
    }

    /// Variables and secrets of the plan that nothing uses.
    fn unused(&mut self) {
        let plan = self.plan;
        for (_, value) in &plan.vars {
            self.use_names_of(&value.value);
        }
        let inventory = self.inventory;
        inventory.vars.values().chain(inventory.hosts.iter().flat_map(|h| h.vars.values())).for_each(|value| {
            self.use_names_of(value);
        });
        for (name, _) in &plan.vars {
            if !self.used.contains(&name.value) {
                let message = format!("variable `{}` is not used", name.value);
                self.warn("unused-variable", &name.span, message, None);
            }
        }
        for entry in &plan.secrets {
            if !self.used_secrets.contains(&entry.name.value) {
                let message = format!("secret `{}` is not used", entry.name.value);
                self.warn("unused-secret", &entry.name.span, message, None);
            }
        }
    }

    fn use_names_of(&mut self, value: &Value) {
        let names = self.templates.names_in_value(value);
        self.used_secrets.extend(self.references.secrets_of(&names));
        self.used.extend(names.iter().filter_map(|n| n.split('.').next()).map(str::to_owned));
    }
}

/// Where a name stands in a text as a word of its own, inside of a template's braces if it is there.
fn word(text: &str, name: &str) -> Option<Span> {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let whole = |at: &usize| {
        let (before, after) = (&text[..*at], &text[at + name.len()..]);
        !before.ends_with(part) && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    };
    let inside = |at: &usize| {
        let before = &text[..*at];
        let open = before.rfind("{{").max(before.rfind("{%"));
        let close = before.rfind("}}").max(before.rfind("%}"));
        open.is_some() && open > close
    };
    let all: Vec<usize> = text.match_indices(name).map(|(at, _)| at).filter(whole).collect();
    let at = all.iter().find(|at| inside(at)).or_else(|| all.first())?;
    Some(*at..at + name.len())
}
