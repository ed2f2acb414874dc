//! Batches go one after the other, nothing starts on a new host beyond the limit of failures, and a failure within the
//! limit stops only its own host.

use std::collections::{BTreeMap, BTreeSet};

use super::{Ran, well};
use crate::engine::simulation::model::{HOSTS, MOSTS, Phase, SERIALS, Step, loop_of};
use crate::engine::simulation::order::Key;
use crate::event::Outcome;
use crate::plan::StepKind;

pub type Ends<'a> = BTreeMap<Key, &'a Outcome>;

/// A limit of failures for which a unit counts.
struct Limit {
    most: usize,
    /// The steps whose units count.
    steps: Vec<String>,
    hosts: BTreeSet<String>,
}

impl Limit {
    fn is_exceeded(&self, ended: &Ends<'_>) -> bool {
        let failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed(_) | Outcome::Unknown(_));
        let mine = ended.iter().filter(|(unit, outcome)| self.steps.contains(&unit.0) && failed(outcome));
        let hosts: BTreeSet<&String> = mine.filter_map(|(unit, _)| unit.1.as_ref()).collect();
        let hosts = hosts.into_iter().filter(|host| self.hosts.contains(*host)).count();
        hosts > self.most || hosts == self.hosts.len()
    }
}

fn place<'r>(ran: &'r Ran, unit: &Key) -> Option<(&'r Phase, &'r Step)> {
    ran.model.steps().find(|(_, step)| step.id == unit.0)
}

/// The step, or all items of its loop.
fn whole<'r>(phase: &'r Phase, step: &Step) -> Vec<&'r Step> {
    let of = |id: &str| loop_of(id).unwrap_or(id).to_owned();
    phase.steps.iter().filter(|other| of(&other.id) == of(&step.id)).collect()
}

fn limits(ran: &Ran, unit: &Key) -> Vec<Limit> {
    let Some((phase, step)) = place(ran, unit).filter(|(_, step)| step.part != StepKind::OnFailure) else {
        return Vec::new();
    };
    let hosts = |ids: &[&Step]| -> BTreeSet<String> {
        ids.iter().flat_map(|s| ran.order.places(&s.id).iter().flatten().cloned()).collect()
    };
    let limit = |most: Option<usize>, counts: Vec<&Step>| {
        let most = MOSTS[most?].1;
        let hosts = hosts(&counts.iter().copied().filter(|s| s.part == StepKind::Step).collect::<Vec<_>>());
        let here = unit.1.as_ref().is_some_and(|host| hosts.contains(host));
        let steps = counts.iter().map(|s| s.id.clone()).collect();
        here.then(|| Limit { most: most[hosts.len() - 1], steps, hosts })
    };
    let all = phase.steps.iter().filter(|s| s.part != StepKind::OnFailure).collect();
    [limit(phase.most, all), limit(step.most, whole(phase, step))].into_iter().flatten().collect()
}

/// Whether the failure of a unit is within its limits.
pub fn allowed(ran: &Ran, unit: &Key, ended: &Ends<'_>) -> bool {
    let limits = limits(ran, unit);
    !limits.is_empty() && !limits.iter().any(|limit| limit.is_exceeded(ended))
}

/// Judges the start of a unit: beyond a limit, no further host begins.
pub fn may_begin(ran: &Ran, unit: &Key, ended: &Ends<'_>, begun: &BTreeSet<Key>) -> Result<(), String> {
    if !place(ran, unit).is_some_and(|(_, step)| step.part == StepKind::Step) {
        return Ok(());
    }
    for limit in limits(ran, unit) {
        let goes_on = begun.iter().any(|other| limit.steps.contains(&other.0) && other.1 == unit.1);
        if limit.is_exceeded(ended) && !goes_on {
            return Err(format!("{unit:?} begins, and more than {} hosts have failed", limit.most));
        }
    }
    Ok(())
}

/// The units of earlier batches that a unit waits for.
pub fn earlier_batches(ran: &Ran, unit: &Key) -> Vec<Key> {
    let (Some((phase, step)), Some(host)) = (place(ran, unit), unit.1.as_deref()) else { return Vec::new() };
    if step.part != StepKind::Step {
        return Vec::new();
    }
    let on_hosts: Vec<&Step> = phase.steps.iter().filter(|s| s.part == StepKind::Step && s.hosts.is_some()).collect();
    let runs = |step: &Step, host: &str| ran.order.places(&step.id).iter().flatten().any(|h| h == host);
    let of_phase: Vec<&str> = HOSTS.into_iter().filter(|host| on_hosts.iter().any(|step| runs(step, host))).collect();
    let (before, mine) = batch(phase.serial, &of_phase, host);
    let units = |steps: &[&Step], hosts: &[&str]| -> Vec<Key> {
        let pairs = steps.iter().flat_map(|s| hosts.iter().map(move |h| (s, h)));
        pairs.filter(|(s, h)| runs(s, h)).map(|(s, h)| (s.id.clone(), Some((*h).to_owned()))).collect()
    };
    let mut earlier = units(&on_hosts, &before);
    let of_step: Vec<&str> = mine.into_iter().filter(|host| runs(step, host)).collect();
    earlier.extend(units(&whole(phase, step), &batch(step.serial, &of_step, host).0));
    earlier
}

/// The hosts of the batches before that of `host`, and the hosts of its own batch.
fn batch<'h>(serial: Option<usize>, hosts: &[&'h str], host: &str) -> (Vec<&'h str>, Vec<&'h str>) {
    let Some(serial) = serial else { return (Vec::new(), hosts.to_vec()) };
    let mut done = 0;
    for size in SERIALS[serial].1[hosts.len() - 1] {
        let mine = &hosts[done..done + size];
        if mine.contains(&host) {
            return (hosts[..done].to_vec(), mine.to_vec());
        }
        done += size;
    }
    (hosts.to_vec(), Vec::new())
}

/// A unit is cancelled only if a unit that it needs, or one of its phase, went wrong beyond the limits.
pub fn has_reason(ran: &Ran, unit: &Key, ended: &Ends<'_>, allowed: &BTreeSet<Key>) -> Result<(), String> {
    let left = |host: &Option<String>| host.is_some() && allowed.iter().any(|failed| failed.1 == *host);
    let outside = ran.order.units_outside(unit);
    let phase = place(ran, unit).map(|(phase, _)| phase);
    let near = |other: &Key| {
        let with = place(ran, other).map(|(phase, _)| phase);
        let before = with.is_some_and(|with| outside.iter().any(|o| with.steps.iter().any(|s| s.id == o.0)));
        before || with.map(|p| &p.name) == phase.map(|p| &p.name)
    };
    let bad = |other: &Key, outcome: &Outcome| {
        let follows = matches!(outcome, Outcome::Cancelled { .. }) && (other == unit || left(&other.1));
        !well(outcome) && !allowed.contains(other) && !follows
    };
    match left(&unit.1) || ended.iter().any(|(other, outcome)| near(other) && bad(other, outcome)) {
        true => Ok(()),
        false => Err(format!("{unit:?} is not run, and nothing that it needs went wrong")),
    }
}
