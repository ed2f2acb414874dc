//! What the templates of a plan see: its own variables, the inventory's, and each host's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Plan, secrets};
use crate::inventory::{Host, Inventory};
use crate::template::{Context, Resolution, Templates, VariableError, resolve};

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
        Self::with_secrets(plan, inventory, overrides, templates, &secrets::stand_ins(plan, inventory))
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
        let mut errors = Vec::new();
        let mut take = |host: Option<&Host>, resolution: &Resolution| {
            let host = host.map(|h| h.name.clone());
            let new = resolution.errors.iter().map(|e| ScopeError { host: host.clone(), error: e.clone() });
            // What is wrong everywhere is said once.
            let new: Vec<_> = new.filter(|n| !errors.iter().any(|o: &ScopeError| o.error == n.error)).collect();
            errors.extend(new);
        };

        let shared = resolve(templates, &[&vars, &inventory.vars, overrides], &base);
        take(None, &shared);
        let mut facts = Map::new();
        let mut differing = shared.per_host.clone();
        let mut own = Vec::new();
        for host in &inventory.hosts {
            let plain = json!({ "name": host.name, "address": host.address });
            let here = base.with("host", &plain);
            let resolved = resolve(templates, &[&vars, &inventory.vars, &host.vars, overrides], &here);
            take(Some(host), &resolved);
            // Also what refers to a variable of the host, and so is another value than elsewhere.
            let other = resolved.values.iter().filter(|(name, value)| shared.values.get(*name) != Some(value));
            differing.extend(other.map(|(name, _)| name.clone()));
            let about = about(host, &resolved.values);
            facts.insert(host.name.clone(), about.clone());
            own.push((host.name.clone(), about, resolved.values));
        }
        let base = base.with("hosts", &Value::Object(facts));
        let hosts = own.into_iter().map(|(name, about, vars)| (name, base.with_all(&vars).with("host", &about)));
        let (hosts, controller) = (hosts.collect(), base.with_all(&shared.values));
        (Self { controller, hosts, per_host: shared.per_host, differing }, errors)
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
fn about(host: &Host, resolved: &Map<String, Value>) -> Value {
    let mut about: Map<String, Value> =
        host.vars.keys().filter_map(|k| Some((k.clone(), resolved.get(k)?.clone()))).collect();
    about.insert("name".into(), host.name.clone().into());
    about.insert("address".into(), host.address.clone().into());
    Value::Object(about)
}
