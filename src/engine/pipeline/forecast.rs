//! What a unit will do behind the effects of others, as far as that is known before they are done. Pure.

use crate::actions::{ActionRef, Verdict};
use crate::connect::{Effect, EffectResult, Fact, Probe, host, vault};
use crate::engine::fact_cache::{may_change, result};
use crate::engine::job::{Forecast, Job};

/// Most effects of a unit that is sent together with others.
const MAX_EFFECTS_PER_UNIT: usize = 8;

/// A job whose changes are sent together with those of others.
impl Job {
    /// What it will do behind `before`, if its verdict is a change, its effects are known, and its host can see whether the
    /// verdict still stands then.
    pub fn planned(&self, before: &[Effect]) -> Option<Forecast> {
        // What follows a failure that is ignored must still be done.
        if self.guard.is_some()
            || self.retry.times > 0
            || self.ignores_errors
            || self.action.on_interrupt().is_some()
            || self.faults.meddles(&self.unit)
        {
            return None;
        }
        let probes = self.action.probes();
        let Expected { facts, compared: preconditions } =
            self.cache.peek(self.host()?, &self.unit, &probes, |facts| expected(before, &probes, facts))?;
        let Verdict::Change(diff) = self.action.verdict(&facts) else { return None };
        let (mut effects, mut done) = (Vec::new(), Vec::new());
        while effects.len() < MAX_EFFECTS_PER_UNIT {
            let Some(effect) = self.action.next_effect(&facts, &done).ok()? else {
                let stays = !effects.is_empty() && self.action.after_disconnect(&facts).is_none();
                // What looks once more is looked at before anything else is done.
                let ends_pipeline = self.action.is_verified();
                return stays.then_some(Forecast { facts, diff, effects, ends_pipeline, preconditions });
            };
            let answer = answer_of(&self.action, &effect);
            let takes_time = matches!(&effect, Effect::Host(host::Effect::Run(run)) if !host::is_fed_apart(run));
            effects.push(effect);
            match answer {
                Some(answer) => done.push(answer),
                None if takes_time && effects.len() == 1 && self.action.after_disconnect(&facts).is_none() => {
                    return Some(Forecast { facts, diff, effects, ends_pipeline: true, preconditions });
                }
                None => return None,
            }
        }
        None
    }

    /// Its answer is used.
    pub fn take_answer(&self) {
        self.host().and_then(|host| self.cache.take(host, &self.unit, &self.action.probes()));
    }
}

/// Whether a unit whose command is likely to run may be one of a pipeline, so that what comes behind it may too.
pub fn joins(action: &ActionRef) -> bool {
    let comparable = |probe: &Probe| matches!(probe, Probe::Host(host::Probe::Run(_) | host::Probe::File { .. }));
    action.on_interrupt().is_none() && !action.is_read_only() && action.probes().iter().all(comparable)
}

/// What is known of a unit's answers behind effects.
struct Expected {
    /// What they will be.
    facts: Vec<Fact>,
    /// Those that its host must compare then.
    compared: Vec<(Probe, Fact)>,
}

/// `None` when it is not known what the answers will be, or their host cannot compare them.
fn expected(before: &[Effect], probes: &[Probe], facts: &[Fact]) -> Option<Expected> {
    let mut expected = Expected { facts: Vec::new(), compared: Vec::new() };
    for (probe, fact) in probes.iter().zip(facts) {
        let (mut fact, mut is_sure) = (fact.clone(), true);
        for effect in before.iter().filter(|effect| may_change(effect, probe)) {
            match result(effect, probe, &fact) {
                Some(known) => fact = known,
                None if perhaps(effect, probe) => is_sure = false,
                None => return None,
            }
        }
        if !is_sure {
            if !is_comparable(probe, &fact) {
                return None;
            }
            expected.compared.push((probe.clone(), fact.clone()));
        }
        expected.facts.push(fact);
    }
    Some(expected)
}

/// Whether only running it can tell if an effect moves an answer.
fn perhaps(effect: &Effect, probe: &Probe) -> bool {
    matches!(effect, Effect::Host(host::Effect::Run(_))) || matches!(probe, Probe::Host(host::Probe::Run(_)))
}

fn is_comparable(probe: &Probe, fact: &Fact) -> bool {
    match (probe, fact) {
        (Probe::Host(probe), Fact::Host(fact)) => host::is_comparable(probe, fact),
        // Only simulated hosts hold such values.
        (Probe::Vault(vault::Probe::Read { .. }), Fact::Vault(_)) => true,
        _ => false,
    }
}

/// What an effect answers when it has worked, soon; `None` when that is not known before.
fn answer_of(action: &ActionRef, effect: &Effect) -> Option<EffectResult> {
    match effect {
        Effect::Host(host::Effect::Run(run)) if action.completes_at_once() && !host::is_fed_apart(run) => {
            Some(EffectResult::Host(host::CommandOutput::new(0, "", "")))
        }
        Effect::Host(effect) if effect.is_plain() => Some(EffectResult::Host(host::CommandOutput::new(0, "", ""))),
        Effect::Vault(vault::Effect::Write { .. }) => {
            Some(EffectResult::Vault(vault::EffectResult::Written(vault::Data::default())))
        }
        _ => None,
    }
}
