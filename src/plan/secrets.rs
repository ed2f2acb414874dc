//! Finds out which secrets a plan's templates use, directly or through variables. Reads no secret.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Catalog, FileKind, Phase, Plan, Scope, Step};
use crate::inventory::Inventory;
use crate::template::{Names, Templates, is_template};

/// The names that each variable refers to.
pub struct References {
    variables: BTreeMap<String, Names>,
    host_variables: BTreeSet<String>,
}

impl References {
    /// Collects the references of all variables, leaving out those that are overridden.
    pub fn new(plan: &Plan, inventory: &Inventory, overrides: &Map<String, Value>, templates: &Templates) -> Self {
        let plan = plan.vars.iter().map(|(name, value)| (&name.value, &value.value));
        let shared: BTreeMap<&String, &Value> = plan.chain(&inventory.vars).collect();
        let host_vars = inventory.hosts.iter().flat_map(|h| &h.vars);
        let all = shared.into_iter().chain(host_vars.clone()).filter(|(name, _)| !overrides.contains_key(*name));
        let mut variables: BTreeMap<String, Names> = BTreeMap::new();
        for (name, value) in all.chain(overrides) {
            variables.entry(name.clone()).or_default().extend(templates.names_in_value(value));
        }
        Self { variables, host_variables: host_vars.map(|(name, _)| name.clone()).collect() }
    }

    /// The names of the secrets that a template with these names uses, directly or through variables.
    pub fn secrets_of(&self, names: &Names) -> BTreeSet<String> {
        let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut todo: Vec<&str> = names.iter().collect();
        while let Some(name) = todo.pop() {
            let (head, rest) = name.split_once('.').unwrap_or((name, ""));
            let next = rest.split('.').next().unwrap_or_default();
            match head {
                "secrets" => drop(found.insert(next.to_owned())),
                // `host.url` is a variable of the host. For `hosts['pi-1'].url` the parser reports only `hosts`, so any
                // host variable may be used.
                "host" if !next.is_empty() => todo.push(next),
                "host" | "hosts" if seen.insert("hosts") => todo.extend(self.host_variables.iter().map(String::as_str)),
                variable => {
                    if let Some(names) = self.variables.get(variable).filter(|_| seen.insert(variable)) {
                        todo.extend(names.iter());
                    }
                }
            }
        }
        found
    }
}

/// The names of the secrets that some phases and steps use: in expressions, parameters and template files. `scope` must
/// contain a value for every variable on which the path of a template file depends.
pub fn used_secrets<'p>(
    phases: impl IntoIterator<Item = &'p Phase>,
    steps: impl IntoIterator<Item = &'p Step>,
    references: &References,
    catalog: &dyn Catalog,
    scope: &Scope,
    templates: &Templates,
) -> BTreeSet<String> {
    let mut names = Names::default();
    let mut whens: Vec<_> = phases.into_iter().filter_map(|phase| phase.when.as_ref()).collect();
    for step in steps {
        whens.extend(&step.when);
        step.for_each.iter().for_each(|items| names.extend(templates.names_in_value(&items.value)));
        names.extend(templates.names_in_value(&Value::Object(step.params.clone())));
        let action = catalog.action(&step.action.value);
        let files = action.into_iter().flat_map(|k| k.params()).filter(|p| p.file == Some(FileKind::Template));
        for path in
            files.filter_map(|p| step.params.get(&p.name)).flat_map(|v| template_paths(v, step, scope, templates))
        {
            names.extend(templates.names_in_file(&path).unwrap_or_default());
        }
    }
    for when in whens {
        names.extend(templates.names_in_expression(&when.value).unwrap_or_default());
    }
    references.secrets_of(&names)
}

/// The file paths to which a parameter renders, over all hosts and items.
fn template_paths(value: &Value, step: &Step, scope: &Scope, templates: &Templates) -> BTreeSet<String> {
    match value {
        Value::String(text) if is_template(text) => {
            let views = scope.all().flat_map(|context| step.views(templates, context));
            let rendered = views.filter_map(|(_, context)| templates.render_value(value, &context).ok());
            rendered.filter_map(|path| path.as_str().map(str::to_owned)).collect()
        }
        Value::String(path) => BTreeSet::from([path.clone()]),
        Value::Array(items) => items.iter().flat_map(|item| template_paths(item, step, scope, templates)).collect(),
        Value::Object(map) => map.values().flat_map(|item| template_paths(item, step, scope, templates)).collect(),
        _ => BTreeSet::new(),
    }
}
