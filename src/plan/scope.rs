//! Resolves the variables that a plan's templates see: the plan's, the inventory's, and each host's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Plan, secret_entries};
use crate::inventory::{Host, Inventory};
use crate::template::{Context, Templates, VariableError, Variables};

/// The values that templates see. Only `steps` is missing, which the engine adds during the run.
///
/// Precedence, highest first: `--var`, host, groups, `[vars]` of the inventory, `[vars]` of the plan.
pub struct Scope {
    controller: Context,
    hosts: BTreeMap<String, Context>,
    per_host: BTreeSet<String>,
    differing: BTreeSet<String>,
}

/// A variable that cannot be resolved, and the host on which it cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeError {
    /// The host. `None` if the variable cannot be resolved without a host either.
    pub host: Option<String>,
    pub error: VariableError,
}

impl Scope {
    /// Resolves all variables without reading secrets: placeholders stand for their values. The scope contains every
    /// variable that can be resolved, whatever the errors.
    pub fn new(
        plan: &Plan,
        inventory: &Inventory,
        overrides: &Map<String, Value>,
        templates: &Templates,
    ) -> (Self, Vec<ScopeError>) {
        Self::with_secrets(plan, inventory, overrides, templates, &secret_entries::stand_ins(plan, inventory))
    }

    /// Like [`Self::new`], with the values of some secrets. Variables that use other secrets are undefined.
    pub fn with_secrets(
        plan: &Plan,
        inventory: &Inventory,
        overrides: &Map<String, Value>,
        templates: &Templates,
        secrets: &Map<String, Value>,
    ) -> (Self, Vec<ScopeError>) {
        let vars: Map<String, Value> =
            plan.vars.iter().map(|(name, value)| (name.value.clone(), value.value.clone())).collect();
        let groups: Map<String, Value> =
            inventory.groups.iter().map(|(name, members)| (name.clone(), json!(members))).collect();
        let base = Context::default()
            .with("plan", &json!({ "name": plan.name.value }))
            .with("groups", &Value::Object(groups))
            .with("secrets", &Value::Object(secrets.clone()));
        let mut errors: Vec<ScopeError> = Vec::new();
        let mut record = |host: Option<&Host>, new: &[VariableError]| {
            let host = host.map(|h| h.name.clone());
            for error in new {
                // An error that occurs on all hosts is reported once.
                if !errors.iter().any(|o| o.error == *error) {
                    errors.push(ScopeError { host: host.clone(), error: error.clone() });
                }
            }
            new.iter().any(|error| matches!(error, VariableError::Full(_)))
        };

        let mut variables = Variables::new(templates, &[&vars, &inventory.vars, overrides], &base);
        let mut is_full = record(None, &variables.shared.errors);
        let shared = base.with_all(&variables.shared.values);
        let mut all_facts = Map::new();
        let mut differing = variables.shared.per_host.clone();
        let mut host_values = Vec::new();
        for host in &inventory.hosts {
            if is_full {
                break;
            }
            let identity = json!({ "name": host.name, "address": host.address });
            let vars = host.vars.iter().filter(|(name, _)| !overrides.contains_key(*name));
            let vars = vars.map(|(name, value)| (name.clone(), value.clone())).collect();
            let resolved = variables.of_host(&vars, &shared.with("host", &identity));
            is_full = record(Some(host), &resolved.errors);
            // Includes variables that only refer to a variable of the host.
            let shared_values = &variables.shared.values;
            let differing_here = resolved.values.iter().filter(|(name, value)| shared_values.get(*name) != Some(value));
            differing.extend(differing_here.map(|(name, _)| name.clone()));
            let lookup = |name: &String| {
                resolved.values.get(name).or_else(|| shared_values.get(name).filter(|_| !vars.contains_key(name)))
            };
            all_facts.insert(host.name.clone(), about(host, lookup));
            host_values.push((host.name.clone(), shared.with_all(&resolved.values)));
        }
        let all_facts = Context::default().with("hosts", &Value::Object(all_facts));
        let with_facts = |(name, context): (String, Context)| {
            let context = context.below(&all_facts).with_entry_as("host", "hosts", &name);
            (name, context)
        };
        let (hosts, controller) = (host_values.into_iter().map(with_facts).collect(), shared.below(&all_facts));
        (Self { controller, hosts, per_host: variables.shared.per_host, differing }, errors)
    }

    /// The values for a step without hosts.
    pub fn controller(&self) -> &Context {
        &self.controller
    }

    /// The values for a step on a host. For a host that is not in the inventory, those of the controller.
    pub fn host(&self, name: &str) -> &Context {
        self.hosts.get(name).unwrap_or(&self.controller)
    }

    /// The values on the controller and on each host.
    pub fn all(&self) -> impl Iterator<Item = &Context> {
        std::iter::once(&self.controller).chain(self.hosts.values())
    }

    /// Whether a variable may differ between hosts.
    pub fn differs(&self, variable: &str) -> bool {
        self.differing.contains(variable)
    }

    /// Whether a variable exists only in steps with hosts, because it uses `host`.
    pub fn is_per_host(&self, variable: &str) -> bool {
        self.per_host.contains(variable)
    }
}

/// The table `hosts.NAME`: name, address, and the host's own variables, rendered.
fn about<'v>(host: &Host, resolved: impl Fn(&String) -> Option<&'v Value>) -> Value {
    let mut about: Map<String, Value> =
        host.vars.keys().filter_map(|k| Some((k.clone(), resolved(k)?.clone()))).collect();
    about.insert("name".into(), host.name.clone().into());
    about.insert("address".into(), host.address.clone().into());
    Value::Object(about)
}
