//! The stretches in which a phase goes over its hosts: all at once, or, with `serial`, batch by batch.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::GraphError;
use crate::inventory::Host;
use crate::plan::{Phase, StepKind};

/// Some steps of a phase on some of its hosts.
#[derive(Clone)]
pub(super) struct Segment {
    /// Its steps, in file order.
    pub steps: Vec<usize>,
    /// Whether the handlers that are called run at its end.
    pub handlers: bool,
    /// Its number, where it is a batch.
    batch: Option<usize>,
    /// Each host's batch.
    batches: Arc<HashMap<String, usize>>,
}

impl Segment {
    /// Whether it waits for the stretch before it, whatever its steps need.
    pub fn waits(&self) -> bool {
        self.batch.is_some_and(|number| number > 0)
    }

    /// Whether a host is one that it is about.
    pub fn has(&self, host: &Host) -> bool {
        self.batch.is_none_or(|number| self.batches.get(&host.name) == Some(&number))
    }

    /// Whether it is one batch of several.
    pub fn is_batch(&self) -> bool {
        self.batch.is_some()
    }

    /// Whether a host is in no batch at all.
    pub fn leaves_out(&self, host: &Host) -> bool {
        !self.batches.contains_key(&host.name)
    }
}

/// The stretches of a phase, where `hosts` are those of each step and `reach` says what comes before it.
///
/// With `serial`, steps without hosts that a step on hosts comes after are the first stretch, the others the last one: a
/// batch never waits for one that comes after it.
///
/// # Errors
/// When a step without hosts stands between steps that have some.
pub(super) fn segments(
    phase: &Phase,
    hosts: &[Option<Vec<Arc<Host>>>],
    reach: &[BTreeSet<usize>],
    in_order: impl FnOnce() -> Vec<Arc<Host>>,
) -> Result<Vec<Segment>, GraphError> {
    let steps: Vec<usize> = phase.steps_of(StepKind::Step).map(|(n, _)| n).collect();
    if phase.pace.serial.is_none() {
        return Ok(vec![Segment { steps, handlers: true, batch: None, batches: Arc::default() }]);
    }
    let (on_hosts, alone): (Vec<usize>, Vec<usize>) = steps.into_iter().partition(|n| hosts[*n].is_some());
    let (first, last): (Vec<usize>, Vec<usize>) =
        alone.into_iter().partition(|n| on_hosts.iter().any(|after| reach[*after].contains(n)));
    if let Some(between) = first.iter().find(|n| on_hosts.iter().any(|before| reach[**n].contains(before))) {
        return Err(GraphError::BetweenBatches { step: phase.steps[*between].id.value.clone() });
    }
    let names = batch_order(on_hosts.iter().filter_map(|n| hosts[*n].as_ref()), &in_order());
    let sizes = phase.pace.batches(names.len());
    let numbers = sizes.iter().enumerate().flat_map(|(number, size)| std::iter::repeat_n(number, *size));
    let batches: Arc<HashMap<String, usize>> = Arc::new(names.into_iter().zip(numbers).collect());
    let whole = |steps, handlers| Segment { steps, handlers, batch: None, batches: Arc::clone(&batches) };
    let batch = |number| Segment { batch: Some(number), ..whole(on_hosts.clone(), true) };
    let ends_alone = !last.is_empty();
    let mut stretches = vec![whole(first, false)];
    // Where no host is in sight, an empty batch keeps the order.
    stretches.extend((0..sizes.len().max(1)).map(batch));
    stretches.push(whole(last, ends_alone));
    Ok(stretches)
}

/// All hosts of some steps, in the order of the inventory.
fn batch_order<'h>(hosts: impl Iterator<Item = &'h Vec<Arc<Host>>>, in_order: &[Arc<Host>]) -> Vec<String> {
    let places: HashMap<&str, usize> = in_order.iter().enumerate().map(|(n, host)| (host.name.as_str(), n)).collect();
    let mut names: Vec<String> = Vec::new();
    let mut seen = BTreeSet::new();
    names.extend(hosts.flatten().filter(|host| seen.insert(&host.name)).map(|host| host.name.clone()));
    names.sort_by_key(|name| places.get(name.as_str()).copied().unwrap_or(usize::MAX));
    names
}
