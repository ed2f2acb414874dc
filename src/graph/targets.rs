//! Which units of a handler, or of an `on_failure` step, belong to a unit that names it.

use super::{Graph, Instance, Instances, Unit};
use crate::event::UnitRef;
use crate::plan::{Plan, Step, StepKind};

impl Graph {
    /// The units of the handlers that a unit's step notifies.
    pub fn handlers_of(&self, plan: &Plan, unit: &Unit) -> Vec<UnitRef> {
        let step = unit.step(plan);
        self.named(plan, unit, StepKind::Handler, |handler| step.notifies(handler))
    }

    /// The units that undo a unit's work when its phase fails.
    pub fn undoers_of(&self, plan: &Plan, unit: &Unit) -> Vec<UnitRef> {
        let step = unit.step(plan);
        self.named(plan, unit, StepKind::OnFailure, |undo| step.is_undone_by(undo))
    }

    fn named(&self, plan: &Plan, unit: &Unit, part: StepKind, names: impl Fn(&Step) -> bool) -> Vec<UnitRef> {
        let phase = &plan.phases[unit.phase];
        let caller = Instance::of_unit(&unit.reference(plan));
        let named = phase.steps_of(part).filter(|(_, step)| names(step)).flat_map(|(number, step)| {
            let places = nearest_instances(self.instances(unit.phase, number), &caller).into_iter();
            places.map(|Instance { host, item }| {
                let (phase, step) = (phase.name.value.clone(), step.id.value.clone());
                UnitRef { phase, step, item, host }
            })
        });
        named.collect()
    }
}

/// The places where a caller's request is served: the caller's own place where the named step runs there, else the places on
/// the caller's host, else those for the caller's item, else all places.
pub fn nearest_instances(places: &Instances, caller: &Instance) -> Vec<Instance> {
    if places.contains(caller) {
        return vec![caller.clone()];
    }
    let on_host = own(places.iter().collect(), |place| place.host.is_some() && place.host == caller.host);
    let for_item = own(on_host, |place| place.item.is_some() && place.item == caller.item);
    for_item.into_iter().cloned().collect()
}

/// The places that are the caller's own, or all places if none is.
fn own(places: Vec<&Instance>, is_own: impl Fn(&Instance) -> bool) -> Vec<&Instance> {
    let own: Vec<&Instance> = places.iter().copied().filter(|place| is_own(place)).collect();
    if own.is_empty() { places } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: Option<&str>, item: Option<&str>) -> Instance {
        Instance { host: host.map(str::to_owned), item: item.map(str::to_owned) }
    }

    /// A request is served as near to its caller as the named step runs.
    #[test]
    fn the_nearest_place_serves_a_request() {
        let (a, b) = (Some("a"), Some("b"));
        let hosts = [place(a, None), place(b, None)];
        let items = [place(None, Some("x")), place(None, Some("y"))];
        let both = [place(a, Some("x")), place(a, Some("y")), place(b, Some("x"))];
        let once = [place(None, None)];
        for (places, caller, served) in [
            (&hosts[..], place(a, None), vec![place(a, None)]),
            (&hosts, place(a, Some("x")), vec![place(a, None)]),
            (&hosts, place(None, None), hosts.to_vec()),
            (&hosts, place(Some("c"), None), hosts.to_vec()),
            (&items, place(a, Some("y")), vec![place(None, Some("y"))]),
            (&both, place(a, None), vec![place(a, Some("x")), place(a, Some("y"))]),
            (&both, place(b, Some("y")), vec![place(b, Some("x"))]),
            (&once, place(a, Some("x")), once.to_vec()),
        ] {
            assert_eq!(
                nearest_instances(&places.iter().cloned().collect(), &caller),
                served,
                "{caller:?} of {places:?}"
            );
        }
    }
}
