//! What a person does to a plan between two runs.

use rand::RngExt as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;

use super::generate::{chance, items, new_step, normalise, pace};
use super::model::{Act, Model, PATTERNS};
use crate::plan::StepKind;

/// Makes a random edit. Returns its name.
pub fn edit(rng: &mut SmallRng, model: &mut Model, earlier: &[Model]) -> &'static str {
    let (p, s) = place(rng, model);
    let what = match rng.random_range(0..17) {
        0..=3 => {
            if let Act::Set { value, .. } | Act::Do { value, .. } = &mut model.phases[p].steps[s].act {
                *value = format!("v{}", rng.random_range(0..3));
            }
            "a value"
        }
        4 => {
            model.phases[p].steps.remove(s);
            "a step less"
        }
        5 => {
            let step = new_step(rng, model, p);
            let at = rng.random_range(0..=model.phases[p].steps.len());
            model.phases[p].steps.insert(at, step);
            "a step more"
        }
        6 => {
            let other = rng.random_range(0..model.phases[p].steps.len());
            model.phases[p].steps.swap(s, other);
            "steps in another order"
        }
        7 => {
            let step = model.phases[p].steps.remove(s);
            let to = rng.random_range(0..model.phases.len());
            let at = rng.random_range(0..=model.phases[to].steps.len());
            model.phases[to].steps.insert(at, step);
            "a step to another phase"
        }
        8 => {
            let old = model.phases[p].name.clone();
            let new = format!("q{}", model.next);
            model.next += 1;
            model.phases[p].name.clone_from(&new);
            model.phases.iter_mut().flat_map(|p| &mut p.needs).filter(|n| **n == old).for_each(|n| n.clone_from(&new));
            "a phase's name"
        }
        9 => {
            let step = &mut model.phases[p].steps[s];
            step.hosts = chance(rng, 70).then(|| rng.random_range(0..PATTERNS.len()));
            "a step's hosts"
        }
        10 => {
            let step = &mut model.phases[p].steps[s];
            if step.part == StepKind::Step {
                step.when = [None, None, Some(true), Some(false)].choose(rng).copied().flatten();
            }
            "a step's when"
        }
        11 => {
            let (phase, of) = (&mut model.phases[p], chance(rng, 60));
            let (serial, most) = pace(rng, 50);
            match of {
                true => (phase.serial, phase.most) = (serial, most),
                false => (phase.steps[s].serial, phase.steps[s].most) = (serial, most),
            }
            phase.steps[s].ignores ^= phase.steps[s].part != StepKind::OnFailure && chance(rng, 50);
            "batches and limits"
        }
        12 => {
            let step = &mut model.phases[p].steps[s];
            match rng.random_range(0..3) {
                // The guards of a host belong to the user of the step.
                0 => step.as_root ^= !step.id.ends_with(['0', '5']),
                1 => step.sensitive ^= true,
                _ => step.flush ^= true,
            }
            "a step's flag"
        }
        13 => {
            model.phases[p].steps[s].items = if chance(rng, 75) { items(rng) } else { Vec::new() };
            "a loop"
        }
        _ => {
            if let Some(old) = earlier.choose(rng) {
                let next = model.next;
                *model = old.clone();
                model.next = next;
            }
            "back to what it was"
        }
    };
    normalise(model);
    if model.phases.is_empty() {
        let next = model.next;
        *model = earlier[0].clone();
        model.next = next;
    }
    what
}

fn place(rng: &mut SmallRng, model: &Model) -> (usize, usize) {
    let p = rng.random_range(0..model.phases.len());
    (p, rng.random_range(0..model.phases[p].steps.len()))
}
