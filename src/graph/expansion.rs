//! What a step comes to before the run: on which hosts, for which items, on which machines.

use std::collections::HashMap;
use std::sync::Arc;

use super::{GraphError, Instance, Instances};
use crate::inventory::Host;
use crate::plan::{Scope, Step};
use crate::template::{Context, Templates};

/// What is known before the first step runs.
#[derive(Clone, Copy)]
pub struct RenderContext<'a> {
    /// The engine of the plan's templates.
    pub templates: &'a Templates,
    /// What they see; secrets may have something else in their place.
    pub scope: &'a Scope,
}

/// All units of a step.
#[derive(Clone)]
pub struct Expansion {
    /// One for each host in sight, or one alone; none is empty.
    pub by_host: Vec<HostUnits>,
    pub instances: Arc<Instances>,
}

/// The units of a step on one host, in their order.
#[derive(Clone)]
pub struct HostUnits {
    /// The host; `None`: the step does not fan out.
    pub host: Option<Arc<Host>>,
    pub vars_host: Option<Arc<Host>>,
    pub seeds: Vec<UnitSeed>,
}

/// A unit of a chain.
#[derive(Clone)]
pub struct UnitSeed {
    pub item: Option<Arc<str>>,
    pub runs_on: Option<Arc<Host>>,
}

impl Expansion {
    /// The hosts that it has units for; none when it does not fan out.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<Host>> {
        self.by_host.iter().filter_map(|chain| chain.host.as_ref())
    }
}

/// Spreads steps; asks for the hosts of each pattern once.
pub struct Expander<'a, H, S> {
    pub known: RenderContext<'a>,
    pub hosts_of: H,
    pub in_sight: S,
    patterns: HashMap<String, Pattern>,
    /// By the name that a step delegates to.
    machines: HashMap<String, Option<Arc<Host>>>,
}

#[derive(Clone)]
struct Pattern {
    hosts: Arc<[Arc<Host>]>,
    /// Of a step that runs for each of them, and for nothing else.
    places: Arc<Instances>,
}

impl<'a, H: FnMut(&str) -> Vec<Arc<Host>>, S: Fn(&Host) -> bool> Expander<'a, H, S> {
    pub fn new(known: RenderContext<'a>, hosts_of: H, in_sight: S) -> Self {
        Self { known, hosts_of, in_sight, patterns: HashMap::new(), machines: HashMap::new() }
    }

    pub fn expand(&mut self, step: &Step) -> Result<Expansion, GraphError> {
        let pattern = step.hosts.as_ref().map(|hosts| self.pattern(&hosts.value));
        let simple = step.for_each.is_none() && !step.run_once;
        let mut places = Instances::new();
        let mut chains = Vec::new();
        let hosts: Vec<Option<Arc<Host>>> = match &pattern {
            None => vec![None],
            Some(pattern) => pattern.hosts.iter().cloned().map(Some).collect(),
        };
        for sees in hosts {
            let seen = sees.as_ref().is_none_or(|host| (self.in_sight)(host));
            // All that a step that runs once is for on any of its hosts is known of it, whichever will be in sight.
            let host = sees.clone().filter(|_| !step.run_once);
            if !seen && simple {
                continue;
            }
            let links = self.links(step, sees.as_ref())?;
            let name = host.as_ref().map(|h| h.name.clone());
            let item = |link: &UnitSeed| link.item.as_deref().map(str::to_owned);
            places.extend(links.iter().map(|link| Instance { host: name.clone(), item: item(link) }));
            let first = !step.run_once || chains.is_empty();
            if seen && first && !links.is_empty() {
                chains.push(HostUnits { host, vars_host: sees, seeds: links });
            }
        }
        let places = match pattern {
            Some(pattern) if simple => pattern.places,
            _ => Arc::new(places),
        };
        Ok(Expansion { by_host: chains, instances: places })
    }

    /// Whether some host of a pattern is out of sight.
    pub fn is_limited(&self) -> bool {
        self.patterns.values().flat_map(|pattern| pattern.hosts.iter()).any(|host| !(self.in_sight)(host))
    }

    fn pattern(&mut self, pattern: &str) -> Pattern {
        if let Some(known) = self.patterns.get(pattern) {
            return known.clone();
        }
        let hosts: Arc<[Arc<Host>]> = (self.hosts_of)(pattern).into();
        let place = |h: &Arc<Host>| Instance { host: Some(h.name.clone()), item: None };
        let new = Pattern { places: Arc::new(hosts.iter().map(place).collect()), hosts };
        self.patterns.entry(pattern.to_owned()).or_insert(new).clone()
    }

    fn links(&mut self, step: &Step, sees: Option<&Arc<Host>>) -> Result<Vec<UnitSeed>, GraphError> {
        let known = self.known;
        let context = sees.map_or(known.scope.controller(), |host| known.scope.host(&host.name));
        let items = step.items(known.templates, context).map_err(|e| wrong(step, e.to_string()))?;
        let Some(items) = items else {
            return Ok(vec![UnitSeed { item: None, runs_on: self.machine(step, sees, context)? }]);
        };
        let link = |item: crate::plan::Item| {
            let context = context.with("item", &item.value);
            Ok(UnitSeed { item: Some(item.key.into()), runs_on: self.machine(step, sees, &context)? })
        };
        items.into_iter().map(link).collect()
    }

    fn machine(
        &mut self,
        step: &Step,
        host: Option<&Arc<Host>>,
        context: &Context,
    ) -> Result<Option<Arc<Host>>, GraphError> {
        let Some(name) = step.delegate(self.known.templates, context) else { return Ok(host.cloned()) };
        let name = name.map_err(|e| wrong(step, format!("delegate_to: {e}")))?;
        let hosts_of = &mut self.hosts_of;
        let found = self.machines.entry(name.clone()).or_insert_with(|| {
            let this = (name == Host::CONTROLLER).then(|| Arc::new(Host::localhost()));
            hosts_of(&name).into_iter().find(|h| h.name == name).or(this)
        });
        match found {
            Some(host) => Ok(Some(Arc::clone(host))),
            None => Err(wrong(step, format!("delegate_to: no host is named `{name}`"))),
        }
    }
}

fn wrong(step: &Step, message: String) -> GraphError {
    GraphError::Expansion { step: step.id.value.clone(), message }
}
