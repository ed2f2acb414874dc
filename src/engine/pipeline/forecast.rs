//! What a unit will do behind the effects of others, as far as that is known before they are done. Pure.

use crate::actions::{ActionRef, Verdict};
use crate::connect::{Effect, EffectResult, Fact, Probe, host, is_comparable};
use crate::diff::Diff;
use crate::engine::executor::fact_cache::Query;
use crate::engine::executor::job::Job;

/// What a job will do, as far as that is known ahead of time.
pub struct Forecast {
    /// What its verdict rests on.
    pub facts: Vec<Fact>,
    /// What would change.
    pub diff: Diff,
    /// All that it takes, or only the first of it.
    pub effects: Vec<Effect>,
    /// Whether that may take its time, and is to be judged, before anything else is done.
    pub ends_pipeline: bool,
    /// What must still be so when its turn comes, if those before it may have changed that.
    pub preconditions: Vec<(Probe, Fact)>,
}

/// Most effects of a unit that is sent together with others.
const MAX_EFFECTS_PER_UNIT: usize = 8;

/// What a job will do behind the effects `before`, if its verdict is a change, its effects are known, and its host can check
/// whether the verdict still holds when the job's turn comes.
pub fn forecast(job: &Job, before: &[Effect]) -> Option<Forecast> {
    // What follows a failure that is ignored must still be done.
    if job.guard.is_some()
        || job.retry.times > 0
        || job.ignores_errors
        || job.action.on_interrupt().is_some()
        || job.faults.meddles(&job.unit)
    {
        return None;
    }
    let probes = job.action.probes();
    let Expected { facts, compared: preconditions } =
        job.cache.peek(job.host()?, &job.unit, &probes, |facts| expected(before, &probes, facts))?;
    let Verdict::Change(diff) = job.action.verdict(&facts) else { return None };
    let (mut effects, mut done) = (Vec::new(), Vec::new());
    while effects.len() < MAX_EFFECTS_PER_UNIT {
        let Some(effect) = job.action.next_effect(&facts, &done).ok()? else {
            let stays = !effects.is_empty() && job.action.after_disconnect(&facts).is_none();
            // What looks once more is looked at before anything else is done.
            let ends_pipeline = job.action.is_verified();
            return stays.then_some(Forecast { facts, diff, effects, ends_pipeline, preconditions });
        };
        let answer = answer_of(&job.action, &effect);
        let takes_time = matches!(&effect, Effect::Host(host::Effect::Run(run)) if !host::is_fed_apart(run));
        effects.push(effect);
        match answer {
            Some(answer) => done.push(answer),
            None if takes_time && effects.len() == 1 && job.action.after_disconnect(&facts).is_none() => {
                return Some(Forecast { facts, diff, effects, ends_pipeline: true, preconditions });
            }
            None => return None,
        }
    }
    None
}

/// Takes the job's answer out of the cache, since the forecast has used it.
pub fn take_answer(job: &Job) {
    job.host().and_then(|host| job.cache.take(host, &job.unit, &job.action.probes()));
}

/// The probes to send behind the effects of the last unit of a round trip, if that unit verifies its change.
pub fn query_after(job: &Job, forecast: &Forecast) -> Option<Query> {
    let worked = |_: &Effect| EffectResult::Host(host::CommandOutput::new(0, "", ""));
    let done: Vec<EffectResult> = forecast.effects.iter().map(worked).collect();
    let is_all = || matches!(job.action.next_effect(&forecast.facts, &done), Ok(None));
    (job.action.is_verified() && is_all()).then(|| (job.unit.clone(), job.action.probes()))
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
        for effect in before.iter().filter(|effect| effect.may_change(probe)) {
            match effect.result(probe, &fact) {
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

/// What an effect answers when it has worked, soon; `None` when that is not known before.
fn answer_of(action: &ActionRef, effect: &Effect) -> Option<EffectResult> {
    match effect {
        Effect::Host(host::Effect::Run(run)) if action.completes_at_once() && !host::is_fed_apart(run) => {
            Some(EffectResult::Host(host::CommandOutput::new(0, "", "")))
        }
        Effect::Host(effect) if effect.is_plain() => Some(EffectResult::Host(host::CommandOutput::new(0, "", ""))),
        _ => None,
    }
}
