//! Expands a step into its units before the run: on which hosts, for which items, and on which machine each runs.

use std::collections::HashMap;
use std::sync::Arc;

use super::{GraphError, Instance, Instances};
use crate::inventory::Host;
use crate::plan::{Scope, Step};
use crate::template::{Context, Templates};

/// Everything that templates need before the first step runs.
#[derive(Clone, Copy)]
pub struct RenderContext<'a> {
    /// The template engine of the plan.
    pub templates: &'a Templates,
    /// The values that templates see. Secrets may be replaced by placeholders.
    pub scope: &'a Scope,
}

#[derive(Clone)]
pub struct Expansion {
    /// One entry for each visible host, or a single entry for a step that does not fan out. Entries without units are
    /// left out.
    pub by_host: Vec<HostUnits>,
    pub instances: Arc<Instances>,
}

/// The units of a step on one host, in the order in which they run.
#[derive(Clone)]
pub struct HostUnits {
    /// The host. `None` if the step does not fan out.
    pub host: Option<Arc<Host>>,
    pub vars_host: Option<Arc<Host>>,
    pub seeds: Vec<UnitSeed>,
}

/// One unit, before it becomes a node.
#[derive(Clone)]
pub struct UnitSeed {
    pub item: Option<Arc<str>>,
    pub runs_on: Option<Arc<Host>>,
}

impl Expansion {
    /// The hosts for which there are units. Empty if the step does not fan out.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<Host>> {
        self.by_host.iter().filter_map(|chain| chain.host.as_ref())
    }
}

/// Expands steps. Caches the hosts of each pattern and the machines of `delegate_to`.
pub struct Expander<'a, H, S> {
    pub render: RenderContext<'a>,
    pub hosts_of: H,
    pub in_sight: S,
    patterns: HashMap<String, Pattern>,
    /// Cached lookups, by the rendered name in `delegate_to`.
    machines: HashMap<String, Option<Arc<Host>>>,
}

#[derive(Clone)]
struct Pattern {
    hosts: Arc<[Arc<Host>]>,
    /// Instances of a step with this pattern that has neither a loop nor `run_once`.
    instances: Arc<Instances>,
}

impl<'a, H: FnMut(&str) -> Vec<Arc<Host>>, S: Fn(&Host) -> bool> Expander<'a, H, S> {
    pub fn new(render: RenderContext<'a>, hosts_of: H, in_sight: S) -> Self {
        Self { render, hosts_of, in_sight, patterns: HashMap::new(), machines: HashMap::new() }
    }

    pub fn expand(&mut self, step: &Step) -> Result<Expansion, GraphError> {
        let pattern = step.hosts.as_ref().map(|hosts| self.pattern(&hosts.value));
        let simple = step.for_each.is_none() && !step.run_once;
        let mut instances = Instances::new();
        let mut by_host = Vec::new();
        let hosts: Vec<Option<Arc<Host>>> = match &pattern {
            None => vec![None],
            Some(pattern) => pattern.hosts.iter().cloned().map(Some).collect(),
        };
        for vars_host in hosts {
            let visible = vars_host.as_ref().is_none_or(|host| (self.in_sight)(host));
            // With `run_once`, the instances of all hosts are collected: which of the hosts is visible may differ in
            // the next run.
            let host = vars_host.clone().filter(|_| !step.run_once);
            if !visible && simple {
                continue;
            }
            let seeds = self.seeds(step, vars_host.as_ref())?;
            let name = host.as_ref().map(|h| h.name.clone());
            let item = |seed: &UnitSeed| seed.item.as_deref().map(str::to_owned);
            instances.extend(seeds.iter().map(|seed| Instance { host: name.clone(), item: item(seed) }));
            let wanted = !step.run_once || by_host.is_empty();
            if visible && wanted && !seeds.is_empty() {
                by_host.push(HostUnits { host, vars_host, seeds });
            }
        }
        let instances = match pattern {
            Some(pattern) if simple => pattern.instances,
            _ => Arc::new(instances),
        };
        Ok(Expansion { by_host, instances })
    }

    /// Whether some host of the plan is not visible in this run.
    pub fn is_limited(&self) -> bool {
        self.patterns.values().flat_map(|pattern| pattern.hosts.iter()).any(|host| !(self.in_sight)(host))
    }

    fn pattern(&mut self, pattern: &str) -> Pattern {
        if let Some(cached) = self.patterns.get(pattern) {
            return cached.clone();
        }
        let hosts: Arc<[Arc<Host>]> = (self.hosts_of)(pattern).into();
        let instance = |h: &Arc<Host>| Instance { host: Some(h.name.clone()), item: None };
        let new = Pattern { instances: Arc::new(hosts.iter().map(instance).collect()), hosts };
        self.patterns.entry(pattern.to_owned()).or_insert(new).clone()
    }

    fn seeds(&mut self, step: &Step, vars_host: Option<&Arc<Host>>) -> Result<Vec<UnitSeed>, GraphError> {
        let render = self.render;
        let context = vars_host.map_or(render.scope.controller(), |host| render.scope.host(&host.name));
        let items = step.items(render.templates, context).map_err(|e| expansion_error(step, e.to_string()))?;
        let Some(items) = items else {
            return Ok(vec![UnitSeed { item: None, runs_on: self.delegate_host(step, vars_host, context)? }]);
        };
        let seed = |item: crate::plan::Item| {
            let context = context.with("item", &item.value);
            Ok(UnitSeed { item: Some(item.key.into()), runs_on: self.delegate_host(step, vars_host, &context)? })
        };
        items.into_iter().map(seed).collect()
    }

    fn delegate_host(
        &mut self,
        step: &Step,
        host: Option<&Arc<Host>>,
        context: &Context,
    ) -> Result<Option<Arc<Host>>, GraphError> {
        let Some(name) = step.delegate(self.render.templates, context) else { return Ok(host.cloned()) };
        let name = name.map_err(|e| expansion_error(step, format!("delegate_to: {e}")))?;
        let hosts_of = &mut self.hosts_of;
        let found = self.machines.entry(name.clone()).or_insert_with(|| {
            let localhost = (name == Host::CONTROLLER).then(|| Arc::new(Host::localhost()));
            hosts_of(&name).into_iter().find(|h| h.name == name).or(localhost)
        });
        match found {
            Some(host) => Ok(Some(Arc::clone(host))),
            None => Err(expansion_error(step, format!("delegate_to: no host is named `{name}`"))),
        }
    }
}

fn expansion_error(step: &Step, message: String) -> GraphError {
    GraphError::Expansion { step: step.id.value.clone(), message }
}
