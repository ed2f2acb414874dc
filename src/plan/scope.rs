//! What the templates of a plan see: its own variables, the inventory's, and each host's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Plan, secret_entries};
use crate::inventory::{Host, Inventory};
use crate::template::{Context, Templates, VariableError, Variables};

/// The values of a plan's templates, all but `steps`, which the run adds.
///
/// Precedence, highest first: `--var`, host's, groups', inventory's `[vars]`, plan's `[vars]`.
pub struct Scope {
    controller: Context,
    hosts: BTreeMap<String, Context>,
    per_host: BTreeSet<String>,
    differing: BTreeSet<String>,
}

/// A variable that cannot be resolved, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeError {
    /// The host whose variables these are; `None` when it is so without a host.
    pub host: Option<String>,
    /// What is wrong.
    pub error: VariableError,
}

impl Scope {
    /// Resolves all variables, without a look at any secret: something else stands in the place of their values. What can
    /// be resolved is in the scope, whatever else is wrong.
    pub fn new(
        plan: &Plan,
        inventory: &Inventory,
        overrides: &Map<String, Value>,
        templates: &Templates,
    ) -> (Self, Vec<ScopeError>) {
        Self::with_secrets(plan, inventory, overrides, templates, &secret_entries::stand_ins(plan, inventory))
    }

    /// The same with the values of some secrets; what uses others is not defined.
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
        let mut take = |host: Option<&Host>, new: &[VariableError]| {
            let host = host.map(|h| h.name.clone());
            for error in new {
                // What is wrong everywhere is said once.
                if !errors.iter().any(|o| o.error == *error) {
                    errors.push(ScopeError { host: host.clone(), error: error.clone() });
                }
            }
            new.iter().any(|error| matches!(error, VariableError::Full(_)))
        };

        let mut variables = Variables::new(templates, &[&vars, &inventory.vars, overrides], &base);
        let mut full = take(None, &variables.shared.errors);
        let shared = base.with_all(&variables.shared.values);
        let mut facts = Map::new();
        let mut differing = variables.shared.per_host.clone();
        let mut own = Vec::new();
        for host in &inventory.hosts {
            if full {
                break;
            }
            let plain = json!({ "name": host.name, "address": host.address });
            let vars = host.vars.iter().filter(|(name, _)| !overrides.contains_key(*name));
            let vars = vars.map(|(name, value)| (name.clone(), value.clone())).collect();
            let resolved = variables.of_host(&vars, &shared.with("host", &plain));
            full = take(Some(host), &resolved.errors);
            // Also what refers to a variable of the host, and so is another value than elsewhere.
            let all = &variables.shared.values;
            let other = resolved.values.iter().filter(|(name, value)| all.get(*name) != Some(value));
            differing.extend(other.map(|(name, _)| name.clone()));
            let of = |name: &String| {
                resolved.values.get(name).or_else(|| all.get(name).filter(|_| !vars.contains_key(name)))
            };
            facts.insert(host.name.clone(), about(host, of));
            own.push((host.name.clone(), shared.with_all(&resolved.values)));
        }
        let facts = Context::default().with("hosts", &Value::Object(facts));
        let of_host = |(name, context): (String, Context)| {
            let context = context.below(&facts).with_entry_as("host", "hosts", &name);
            (name, context)
        };
        let (hosts, controller) = (own.into_iter().map(of_host).collect(), shared.below(&facts));
        (Self { controller, hosts, per_host: variables.shared.per_host, differing }, errors)
    }

    /// For a step without hosts.
    pub fn controller(&self) -> &Context {
        &self.controller
    }

    /// For a step on that host; of one that the inventory does not have, the controller's.
    pub fn host(&self, name: &str) -> &Context {
        self.hosts.get(name).unwrap_or(&self.controller)
    }

    /// The controller's and all hosts'.
    pub fn all(&self) -> impl Iterator<Item = &Context> {
        std::iter::once(&self.controller).chain(self.hosts.values())
    }

    /// Whether a variable may differ between hosts.
    pub fn differs(&self, variable: &str) -> bool {
        self.differing.contains(variable)
    }

    /// Whether a variable exists in the steps of hosts only, since it uses `host`.
    pub fn is_per_host(&self, variable: &str) -> bool {
        self.per_host.contains(variable)
    }
}

/// `host`: name, address, and its own variables, rendered.
fn about<'v>(host: &Host, resolved: impl Fn(&String) -> Option<&'v Value>) -> Value {
    let mut about: Map<String, Value> =
        host.vars.keys().filter_map(|k| Some((k.clone(), resolved(k)?.clone()))).collect();
    about.insert("name".into(), host.name.clone().into());
    about.insert("address".into(), host.address.clone().into());
    Value::Object(about)
}
