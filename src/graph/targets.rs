//! Finds the units of a handler, or of an `on_failure` step, that belong to a unit that names it.

use super::{Graph, Instance, Instances, Unit};
use crate::event::UnitRef;
use crate::plan::{Plan, Step, StepKind};

impl Graph {
    /// The units of the handlers that a unit's step notifies.
    pub fn handlers_of(&self, plan: &Plan, unit: &Unit) -> Vec<UnitRef> {
        let step = unit.step(plan);
        self.named_units(plan, unit, StepKind::Handler, |handler| step.notifies(handler))
    }

    /// The units that undo a unit if its phase fails.
    pub fn undoers_of(&self, plan: &Plan, unit: &Unit) -> Vec<UnitRef> {
        let step = unit.step(plan);
        self.named_units(plan, unit, StepKind::OnFailure, |undo| step.is_undone_by(undo))
    }

    fn named_units(&self, plan: &Plan, unit: &Unit, kind: StepKind, names: impl Fn(&Step) -> bool) -> Vec<UnitRef> {
        let phase = &plan.phases[unit.phase];
        let caller = Instance::of_unit(&unit.reference(plan));
        let named = phase.steps_of(kind).filter(|(_, step)| names(step)).flat_map(|(number, step)| {
            let instances = nearest_instances(self.instances(unit.phase, number), &caller).into_iter();
            instances.map(|Instance { host, item }| {
                let (phase, step) = (phase.name.value.clone(), step.id.value.clone());
                UnitRef { phase, step, item, host }
            })
        });
        named.collect()
    }
}

/// The instances of a handler or rollback step that run for the caller: the instance with the caller's host and item if
/// there is one, else all on the caller's host, else all for the caller's item, else all.
pub fn nearest_instances(instances: &Instances, caller: &Instance) -> Vec<Instance> {
    if instances.contains(caller) {
        return vec![caller.clone()];
    }
    let on_host =
        matching_or_all(instances.iter().collect(), |instance| instance.host.is_some() && instance.host == caller.host);
    let for_item = matching_or_all(on_host, |instance| instance.item.is_some() && instance.item == caller.item);
    for_item.into_iter().cloned().collect()
}

/// The instances that match, or all of them if none matches.
fn matching_or_all(instances: Vec<&Instance>, matches: impl Fn(&Instance) -> bool) -> Vec<&Instance> {
    let matching: Vec<&Instance> = instances.iter().copied().filter(|instance| matches(instance)).collect();
    if matching.is_empty() { instances } else { matching }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(host: Option<&str>, item: Option<&str>) -> Instance {
        Instance { host: host.map(str::to_owned), item: item.map(str::to_owned) }
    }

    #[test]
    fn the_nearest_instances_are_chosen() {
        let (a, b) = (Some("a"), Some("b"));
        let hosts = [instance(a, None), instance(b, None)];
        let items = [instance(None, Some("x")), instance(None, Some("y"))];
        let both = [instance(a, Some("x")), instance(a, Some("y")), instance(b, Some("x"))];
        let once = [instance(None, None)];
        for (instances, caller, served) in [
            (&hosts[..], instance(a, None), vec![instance(a, None)]),
            (&hosts, instance(a, Some("x")), vec![instance(a, None)]),
            (&hosts, instance(None, None), hosts.to_vec()),
            (&hosts, instance(Some("c"), None), hosts.to_vec()),
            (&items, instance(a, Some("y")), vec![instance(None, Some("y"))]),
            (&both, instance(a, None), vec![instance(a, Some("x")), instance(a, Some("y"))]),
            (&both, instance(b, Some("y")), vec![instance(b, Some("x"))]),
            (&once, instance(a, Some("x")), once.to_vec()),
        ] {
            assert_eq!(
                nearest_instances(&instances.iter().cloned().collect(), &caller),
                served,
                "{caller:?} of {instances:?}"
            );
        }
    }
}
