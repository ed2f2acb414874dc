//! Random plans.

use rand::RngExt as _;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};

use super::model::{Act, MOSTS, Model, PATTERNS, Phase, Reads, SERIALS, Step};
use super::order::Order;
use crate::plan::StepKind;

pub fn chance(rng: &mut SmallRng, percent: u32) -> bool {
    rng.random_range(0..100) < percent
}

pub fn plan(rng: &mut SmallRng) -> Model {
    let mut model = Model { phases: Vec::new(), next: 0 };
    for n in 0..rng.random_range(1..=4) {
        let earlier: Vec<String> = model.phases.iter().map(|p| p.name.clone()).collect();
        let needs = earlier.into_iter().filter(|_| chance(rng, 55)).collect();
        let when = chance(rng, 8).then(|| chance(rng, 50));
        let (serial, most) = pace(rng, 35);
        model.phases.push(Phase { name: format!("p{n}"), needs, when, serial, most, steps: Vec::new() });
        for part in [StepKind::Handler, StepKind::OnFailure] {
            for _ in 0..[0, 0, 1, 2].choose(rng).copied().unwrap_or(0) {
                let step = step(rng, &mut model, part);
                model.phases[n].steps.push(step);
            }
        }
        for _ in 0..rng.random_range(1..=5) {
            let step = new_step(rng, &mut model, n);
            model.phases[n].steps.push(step);
        }
        if chance(rng, 35) {
            pipeline(rng, &mut model, n);
        }
    }
    normalise(&mut model);
    model
}

/// Random values of `serial` and `max_failures`.
pub fn pace(rng: &mut SmallRng, percent: u32) -> (Option<usize>, Option<usize>) {
    let serial = chance(rng, percent).then(|| rng.random_range(0..SERIALS.len()));
    (serial, chance(rng, percent).then(|| rng.random_range(0..MOSTS.len())))
}

/// Adds steps of one host that may be sent as a pipeline: each needs only the one before it.
fn pipeline(rng: &mut SmallRng, model: &mut Model, phase: usize) {
    let (hosts, as_root) = (Some(rng.random_range(0..PATTERNS.len())), chance(rng, 20));
    for _ in 0..rng.random_range(3..=6) {
        let step = new_step(rng, model, phase);
        let value = format!("v{}", rng.random_range(0..3));
        let act = Act::Set { value, reads: None, parts: rng.random_range(1..=2), commands: chance(rng, 10) };
        let (needs, when, retry, flush) = (None, None, 0, false);
        model.phases[phase].steps.push(Step { hosts, needs, when, retry, flush, as_root, act, ..step });
    }
}

/// A random step for a phase. [`normalise`] mends references that are not possible.
pub fn new_step(rng: &mut SmallRng, model: &mut Model, phase: usize) -> Step {
    let mut step = step(rng, model, StepKind::Step);
    let ids = |part: StepKind| -> Vec<String> {
        model.phases[phase].steps.iter().filter(|s| s.part == part).map(|s| s.id.clone()).collect()
    };
    if chance(rng, 30) {
        step.needs = Some(ids(StepKind::Step).into_iter().filter(|_| chance(rng, 35)).collect());
    }
    step.notify = ids(StepKind::Handler).into_iter().filter(|_| chance(rng, 50)).collect();
    step.on_failure = ids(StepKind::OnFailure).into_iter().filter(|_| chance(rng, 50)).collect();
    step.flush = chance(rng, 20);
    (step.serial, step.most) = pace(rng, 10);
    let others: Vec<(String, Option<usize>)> = model
        .steps()
        .filter(|(_, s)| s.part == StepKind::Step && matches!(s.act, Act::Set { .. }))
        .map(|(_, s)| (s.id.clone(), s.hosts))
        .collect();
    if let Some((of, hosts)) = others.choose(rng).cloned() {
        let across = hosts.filter(|_| chance(rng, 35)).and_then(|n| PATTERNS[n].1.choose(rng));
        match rng.random_range(0..10) {
            0..=3 => {
                if across.is_none() {
                    step.hosts = hosts;
                }
                if let Act::Set { reads, .. } = &mut step.act {
                    *reads = Some(Reads { step: of, host: across.map(|h| (*h).to_owned()) });
                }
            }
            4..=5 => (step.hosts, step.act) = (hosts, Act::Copy { of }),
            6 => (step.hosts, step.act) = (hosts, Act::Check { of }),
            7 => (step.hosts, step.act) = (hosts, Act::Wait { of }),
            _ => {}
        }
    }
    step
}

fn step(rng: &mut SmallRng, model: &mut Model, part: StepKind) -> Step {
    let number = model.next;
    model.next += 1;
    let letter = match part {
        StepKind::Step => 's',
        StepKind::Handler => 'n',
        StepKind::OnFailure => 'u',
    };
    let value = format!("v{}", rng.random_range(0..3));
    let act = match rng.random_range(0..10) {
        0..=2 => Act::Do { value, rerun: chance(rng, 50) },
        3 if part == StepKind::Step => Act::Dawn,
        _ => {
            let value = if part == StepKind::OnFailure { "undone".into() } else { value };
            let parts = [1, 1, 2, 3].choose(rng).copied().unwrap_or(1);
            Act::Set { value, reads: None, parts, commands: chance(rng, 40) }
        }
    };
    Step {
        id: format!("{letter}{number}"),
        part,
        hosts: chance(rng, 65).then(|| if chance(rng, 40) { 0 } else { rng.random_range(0..PATTERNS.len()) }),
        needs: None,
        when: chance(rng, if part == StepKind::OnFailure { 0 } else { 8 }).then(|| chance(rng, 60)),
        items: if chance(rng, 15) { items(rng) } else { Vec::new() },
        as_root: chance(rng, 20),
        retry: if chance(rng, 25) { rng.random_range(1..=2) } else { 0 },
        timeout: rng.random_range(10..=60),
        serial: None,
        most: None,
        ignores: part != StepKind::OnFailure && chance(rng, 12),
        notify: Vec::new(),
        flush: false,
        on_failure: Vec::new(),
        sensitive: chance(rng, 8),
        tags: ["quick", "slow"].iter().filter(|_| chance(rng, 30)).map(|t| (*t).to_owned()).collect(),
        act,
    }
}

/// Some items of a loop, in random order.
pub fn items(rng: &mut SmallRng) -> Vec<String> {
    let mut items: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
    items.shuffle(rng);
    items.truncate(rng.random_range(1..=3));
    items
}

/// Removes what no valid plan has: names that lead nowhere, cycles, handlers that no step notifies, outputs that are
/// read before they are known.
pub fn normalise(model: &mut Model) {
    model.phases.retain(|p| p.steps.iter().any(|s| s.part == StepKind::Step));
    for n in 0..model.phases.len() {
        let earlier: Vec<String> = model.phases[..n].iter().map(|p| p.name.clone()).collect();
        let phase = &mut model.phases[n];
        phase.needs.retain(|need| earlier.contains(need));
        let ids: Vec<(String, StepKind)> = phase.steps.iter().map(|s| (s.id.clone(), s.part)).collect();
        let there = |name: &String, part: StepKind| ids.iter().any(|(id, p)| id == name && *p == part);
        for number in 0..phase.steps.len() {
            let before: Vec<String> = phase.steps[..number].iter().map(|s| s.id.clone()).collect();
            let step = &mut phase.steps[number];
            if let Some(needs) = &mut step.needs {
                needs.retain(|need| before.contains(need) && there(need, StepKind::Step));
            }
            if step.part == StepKind::OnFailure || !step.act.can_loop() {
                step.items.clear();
            }
            step.notify.retain(|name| there(name, StepKind::Handler));
            step.on_failure.retain(|name| there(name, StepKind::OnFailure));
        }
        let called: Vec<String> = phase.steps.iter().flat_map(|s| [&s.notify[..], &s.on_failure].concat()).collect();
        phase.steps.retain(|s| s.part == StepKind::Step || called.contains(&s.id));
    }
    references(model);
    paces(model);
}

/// Removes batches and limits without hosts, and batches that steps outside of them would hold up.
fn paces(model: &mut Model) {
    let order = Order::of(model);
    for phase in &mut model.phases {
        for step in phase.steps.iter_mut().filter(|s| s.part != StepKind::Step || s.hosts.is_none()) {
            (step.serial, step.most) = (None, None);
        }
        let steps = || phase.steps.iter().filter(|s| s.part == StepKind::Step);
        let on_hosts = || steps().filter(|s| s.hosts.is_some());
        let alone = |step: &Step| {
            let after = on_hosts().any(|s| order.before(&step.id).contains(&s.id));
            step.hosts.is_none() && after && on_hosts().any(|s| order.before(&s.id).contains(&step.id))
        };
        let across = |step: &Step| {
            let reads = matches!(&step.act, Act::Set { reads: Some(Reads { host: Some(_), .. }), .. });
            step.hosts.is_some() && reads && on_hosts().any(|s| step.act.of() == Some(s.id.as_str()))
        };
        let (none, stands_between) = (on_hosts().next().is_none(), steps().any(|s| alone(s) || across(s)));
        if none || stands_between {
            phase.serial = None;
        }
        if none {
            phase.most = None;
        }
    }
}

/// Replaces acts that read another step's value before it is known.
fn references(model: &mut Model) {
    let order = Order::of(model);
    let ids: Vec<String> = model.steps().map(|(_, s)| s.id.clone()).collect();
    for id in ids {
        let Some(step) = model.step(&id).cloned() else { continue };
        let Some(of) = step.act.of() else { continue };
        let sound = model.steps().find(|(_, s)| s.id == of).is_some_and(|(phase, other)| {
            let before = order.before(&id).contains(of);
            let runs = other.when != Some(false) && phase.when != Some(false) && other.part == StepKind::Step;
            let runs = runs && other.items.is_empty();
            let Act::Set { reads, .. } = &other.act else { return false };
            let same_hosts = other.hosts == step.hosts;
            runs && match &step.act {
                Act::Set { reads: Some(Reads { host: Some(host), .. }), .. } => {
                    before && other.places().contains(&Some(host.as_str()))
                }
                Act::Wait { .. } => {
                    let waits = |id: &String| model.step(id).is_some_and(|s| matches!(s.act, Act::Wait { .. }));
                    let earlier = order.at_most_before(of);
                    let free = reads.is_none() && !earlier.contains(&id) && !earlier.iter().any(waits);
                    same_hosts && (before || free)
                }
                _ => before && same_hosts,
            }
        });
        if !sound {
            let step = model.phases.iter_mut().flat_map(|p| &mut p.steps).find(|s| s.id == id);
            if let Some(step) = step {
                step.act = Act::Set { value: "v9".into(), reads: None, parts: 1, commands: false };
            }
        }
    }
}
