//! Which step comes before which, by the rules of plans, without the engine's graph.
//!
//! A step comes after the steps of its `needs`, by default the step above it, and after all steps before those. The
//! steps of a phase come after the phases that it needs, and after those that these need. If both steps run on a host,
//! a unit waits only for that host, unless the step reads outputs of other hosts; otherwise it waits for all hosts of
//! the earlier step. In a phase with `serial`, no unit waits for a host of a later batch.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Act, HOSTS, Model, Reads, SERIALS, Step};
use crate::plan::StepKind;

/// A step on a host.
pub type Key = (String, Option<String>);

pub struct Order {
    /// For each step the steps before it in its own phase.
    inside: BTreeMap<String, BTreeSet<String>>,
    /// For each step everything in the phases before its own.
    outside: BTreeMap<String, BTreeSet<String>>,
    /// For each step its hosts.
    places: BTreeMap<String, Vec<Option<String>>>,
    /// For each step and handler of a phase with `serial` the number of each host's batch.
    batches: BTreeMap<String, BTreeMap<String, usize>>,
    /// For each step the step whose outputs it reads on named hosts.
    across: BTreeMap<String, String>,
    all: BTreeMap<String, BTreeSet<String>>,
    /// For each step all that may come before it.
    most: BTreeMap<String, BTreeSet<String>>,
}

impl Order {
    pub fn of(model: &Model) -> Self {
        Self::limited(model, None)
    }

    /// With only some of the hosts.
    pub fn limited(model: &Model, limit: Option<&[&str]>) -> Self {
        let (mut inside, mut outside) = (BTreeMap::new(), BTreeMap::new());
        let mut places: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
        let mut across = BTreeMap::new();
        let mut batches = BTreeMap::new();
        for phase in &model.phases {
            let mut phases = BTreeSet::new();
            let mut todo = phase.needs.clone();
            while let Some(name) = todo.pop() {
                if phases.insert(name.clone()) {
                    todo.extend(model.phases.iter().filter(|p| p.name == name).flat_map(|p| p.needs.clone()));
                }
            }
            let before = model.steps().filter(|(p, s)| phases.contains(&p.name) && s.part != StepKind::OnFailure);
            let before: BTreeSet<String> = before.map(|(_, s)| s.id.clone()).collect();
            let mut above: Option<String> = None;
            let mut reached: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for step in &phase.steps {
                let hosts =
                    step.places().into_iter().filter(|h| h.is_none_or(|h| limit.is_none_or(|l| l.contains(&h))));
                places.insert(step.id.clone(), hosts.map(|h| h.map(str::to_owned)).collect());
                outside.insert(step.id.clone(), before.clone());
                if let Act::Set { reads: Some(Reads { step: of, host: Some(_) }), .. } = &step.act {
                    across.insert(step.id.clone(), of.clone());
                }
                if step.part != StepKind::Step {
                    continue;
                }
                let direct: Vec<String> = step.needs.clone().unwrap_or_else(|| above.iter().cloned().collect());
                let mut mine: BTreeSet<String> = direct.iter().cloned().collect();
                direct.iter().for_each(|d| mine.extend(reached.get(d).into_iter().flatten().cloned()));
                reached.insert(step.id.clone(), mine);
                above = Some(step.id.clone());
            }
            let steps = || phase.steps.iter().filter(|s| s.part == StepKind::Step && s.hosts.is_some());
            if let Some(serial) = phase.serial {
                let runs = |host: &&str| steps().any(|s| places[&s.id].iter().flatten().any(|h| h == host));
                let hosts: Vec<&str> = HOSTS.into_iter().filter(runs).collect();
                let sizes = if hosts.is_empty() { &[][..] } else { SERIALS[serial].1[hosts.len() - 1] };
                let numbers = sizes.iter().enumerate().flat_map(|(n, size)| vec![n; *size]);
                let numbers: BTreeMap<String, usize> = hosts.iter().map(|h| (*h).to_owned()).zip(numbers).collect();
                batches.extend(phase.steps.iter().map(|step| (step.id.clone(), numbers.clone())));
            }
            for step in &phase.steps {
                let mine = match step.part {
                    StepKind::Step => reached.remove(&step.id).unwrap_or_default(),
                    _ => BTreeSet::new(),
                };
                inside.insert(step.id.clone(), mine);
            }
        }
        let all: BTreeMap<String, BTreeSet<String>> = inside
            .iter()
            .map(|(id, ids): (&String, &BTreeSet<String>)| (id.clone(), ids.union(&outside[id]).cloned().collect()))
            .collect();
        let mut most = all.clone();
        for phase in model.phases.iter().filter(|p| p.serial.is_some()) {
            let steps = || phase.steps.iter().filter(|s| s.part == StepKind::Step);
            let ids = |steps: &mut dyn Iterator<Item = &Step>| steps.map(|s| s.id.clone()).collect::<BTreeSet<_>>();
            let (here, flush) = (ids(&mut steps()), ids(&mut steps().filter(|s| s.flush)));
            for id in here.iter().filter(|id| flush.contains(*id) || !all[*id].is_disjoint(&flush)) {
                let others = here.iter().filter(|other| *other != id).cloned();
                most.entry(id.clone()).or_default().extend(others);
            }
        }
        Self { inside, outside, places, batches, across, all, most }
    }

    /// The steps before a step.
    pub fn before(&self, id: &str) -> &BTreeSet<String> {
        &self.all[id]
    }

    /// The steps that may come before a step. Flushed handlers run once all earlier batches are done, so that in a
    /// phase with `serial` a step that flushes may come after any other step.
    pub fn at_most_before(&self, id: &str) -> &BTreeSet<String> {
        &self.most[id]
    }

    /// The hosts of a step.
    pub fn places(&self, id: &str) -> &[Option<String>] {
        self.places.get(id).map_or(&[], Vec::as_slice)
    }

    /// The units of the same phase that come before a unit.
    pub fn units_inside(&self, unit: &Key) -> Vec<Key> {
        let ids = self.inside.get(&unit.0).into_iter().flatten();
        ids.flat_map(|id| self.part(id, unit)).collect()
    }

    /// The units of other phases that a unit must not start before.
    pub fn units_outside(&self, unit: &Key) -> Vec<Key> {
        let ids = self.outside.get(&unit.0).into_iter().flatten();
        ids.flat_map(|id| self.places(id).iter().map(|h| (id.clone(), h.clone()))).collect()
    }

    /// The units of an earlier step that come before a unit.
    fn part(&self, id: &str, unit: &Key) -> Vec<Key> {
        let whole = self.across.get(&unit.0).is_some_and(|of| of == id);
        let places = self.places(id);
        if !whole && unit.1.is_some() && places.contains(&unit.1) {
            return vec![(id.to_owned(), unit.1.clone())];
        }
        let units = places.iter().map(|h| (id.to_owned(), h.clone()));
        units.filter(|other| !self.is_later(other, unit)).collect()
    }

    /// Whether the unit's host is in a later batch than that of `than`.
    pub fn is_later(&self, unit: &Key, than: &Key) -> bool {
        let batch = |(id, host): &Key| self.batches.get(id)?.get(host.as_ref()?).copied();
        matches!((batch(unit), batch(than)), (Some(theirs), Some(mine)) if theirs > mine)
    }
}

/// The units of a handler or undo that serve a step on a host: that of the same host, else all.
pub fn answered(called: &Step, caller: Option<&str>) -> Vec<Key> {
    let places = called.places();
    let own = caller.filter(|c| places.contains(&Some(c)));
    let chosen = own.map_or(places, |own| vec![Some(own)]);
    chosen.into_iter().map(|h| (called.id.clone(), h.map(str::to_owned))).collect()
}
