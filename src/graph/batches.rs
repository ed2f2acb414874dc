//! Splits the steps of a phase into segments: one segment for all hosts, or, with `serial`, one for each batch of
//! hosts.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::GraphError;
use crate::inventory::Host;
use crate::plan::{Phase, StepKind};

/// Steps of a phase, restricted to one batch of hosts if `batch` is set.
#[derive(Clone)]
pub(super) struct Segment {
    /// Indices of the steps, in file order.
    pub steps: Vec<usize>,
    /// Whether the phase's handlers run at the end of this segment.
    pub handlers: bool,
    /// Number of the batch, from 0. `None`: the segment is not limited to a batch.
    batch: Option<usize>,
    /// Batch number of each host, by host name.
    batches: Arc<HashMap<String, usize>>,
}

impl Segment {
    /// Whether this segment starts only after the previous segment has ended, whatever its steps need.
    pub fn waits_for_previous(&self) -> bool {
        self.batch.is_some_and(|number| number > 0)
    }

    /// Whether the units on `host` belong to this segment.
    pub fn contains(&self, host: &Host) -> bool {
        self.batch.is_none_or(|number| self.batches.get(&host.name) == Some(&number))
    }

    pub fn is_batch(&self) -> bool {
        self.batch.is_some()
    }

    pub fn is_in_no_batch(&self, host: &Host) -> bool {
        !self.batches.contains_key(&host.name)
    }
}

/// Splits a phase into segments. `hosts` are the hosts of each step; `transitive_needs` are all steps that each step
/// comes after.
///
/// With `serial`, a step without hosts goes into the first segment if a step on hosts comes after it, and into the last
/// segment otherwise. So no batch waits for a later batch.
///
/// # Errors
/// When a step without hosts stands between two steps that run on hosts.
pub(super) fn segments(
    phase: &Phase,
    hosts: &[Option<Vec<Arc<Host>>>],
    transitive_needs: &[BTreeSet<usize>],
    inventory_order: impl FnOnce() -> Vec<Arc<Host>>,
) -> Result<Vec<Segment>, GraphError> {
    let steps: Vec<usize> = phase.steps_of(StepKind::Step).map(|(n, _)| n).collect();
    if phase.pace.serial.is_none() {
        return Ok(vec![Segment { steps, handlers: true, batch: None, batches: Arc::default() }]);
    }
    let (on_hosts, without_hosts): (Vec<usize>, Vec<usize>) = steps.into_iter().partition(|n| hosts[*n].is_some());
    let (first, last): (Vec<usize>, Vec<usize>) =
        without_hosts.into_iter().partition(|n| on_hosts.iter().any(|after| transitive_needs[*after].contains(n)));
    if let Some(between) = first.iter().find(|n| on_hosts.iter().any(|before| transitive_needs[**n].contains(before))) {
        return Err(GraphError::BetweenBatches { step: phase.steps[*between].id.value.clone() });
    }
    let names = batch_order(on_hosts.iter().filter_map(|n| hosts[*n].as_ref()), &inventory_order());
    let sizes = phase.pace.batches(names.len());
    let numbers = sizes.iter().enumerate().flat_map(|(number, size)| std::iter::repeat_n(number, *size));
    let batches: Arc<HashMap<String, usize>> = Arc::new(names.into_iter().zip(numbers).collect());
    let unbatched = |steps, handlers| Segment { steps, handlers, batch: None, batches: Arc::clone(&batches) };
    let batch = |number| Segment { batch: Some(number), ..unbatched(on_hosts.clone(), true) };
    let has_last_segment = !last.is_empty();
    let mut segments = vec![unbatched(first, false)];
    // Without any host, one empty batch still keeps the first and the last segment in order.
    segments.extend((0..sizes.len().max(1)).map(batch));
    segments.push(unbatched(last, has_last_segment));
    Ok(segments)
}

/// Names of all hosts of some steps, in the order of the inventory.
fn batch_order<'h>(hosts: impl Iterator<Item = &'h Vec<Arc<Host>>>, inventory_order: &[Arc<Host>]) -> Vec<String> {
    let positions: HashMap<&str, usize> =
        inventory_order.iter().enumerate().map(|(n, host)| (host.name.as_str(), n)).collect();
    let mut names: Vec<String> = Vec::new();
    let mut seen = BTreeSet::new();
    names.extend(hosts.flatten().filter(|host| seen.insert(&host.name)).map(|host| host.name.clone()));
    names.sort_by_key(|name| positions.get(name.as_str()).copied().unwrap_or(usize::MAX));
    names
}
