//! What a unit will do behind the effects of other units, as far as that is known before those effects are sent.

use crate::actions::{ActionRef, Verdict};
use crate::connect::{Effect, EffectResult, Fact, Probe, host, is_comparable};
use crate::diff::Diff;
use crate::engine::executor::fact_cache::Query;
use crate::engine::executor::job::Job;

pub struct Forecast {
    /// The answers on which the verdict rests.
    pub facts: Vec<Fact>,
    pub diff: Diff,
    /// All effects of the change; only the first one if the others depend on its result.
    pub effects: Vec<Effect>,
    /// Whether nothing may be sent behind these effects: a command may run long and its result must be judged first, or the unit
    /// verifies its change.
    pub ends_pipeline: bool,
    /// Answers that units before this one may change. The host compares them when the unit's turn comes.
    pub preconditions: Vec<(Probe, Fact)>,
}

/// The most effects of one unit in a pipeline.
const MAX_EFFECTS_PER_UNIT: usize = 8;

/// What a job will do behind the effects `before`, if its verdict is a change, its effects are known, and its host can check
/// whether the verdict still holds when the job's turn comes.
pub fn forecast(job: &Job, before: &[Effect]) -> Option<Forecast> {
    // A pipeline ends at a failure; the units behind an ignored failure must still run, and a retry comes before them.
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
            // A unit that verifies its change is probed before anything else is sent.
            let ends_pipeline = job.action.is_verified();
            return stays.then_some(Forecast { facts, diff, effects, ends_pipeline, preconditions });
        };
        let answer = answer_of(&job.action, &effect);
        let takes_time = matches!(&effect, Effect::Host(host::Effect::Run(run)) if !host::needs_own_channel(run));
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

/// Whether a unit with a command may join a pipeline: it can be checked after an interruption, and the host can compare all its
/// probes.
pub fn joins(action: &ActionRef) -> bool {
    let comparable = |probe: &Probe| matches!(probe, Probe::Host(host::Probe::Run(_) | host::Probe::File { .. }));
    action.on_interrupt().is_none() && !action.is_read_only() && action.probes().iter().all(comparable)
}

/// A unit's answers behind the effects of other units.
struct Expected {
    /// All answers as they will most likely be.
    facts: Vec<Fact>,
    /// Those of them that the host must compare when the unit's turn comes.
    compared: Vec<(Probe, Fact)>,
}

/// `None` if some answer is not predictable and the host cannot compare it.
fn expected(before: &[Effect], probes: &[Probe], facts: &[Fact]) -> Option<Expected> {
    let mut expected = Expected { facts: Vec::new(), compared: Vec::new() };
    for (probe, fact) in probes.iter().zip(facts) {
        let (mut fact, mut is_sure) = (fact.clone(), true);
        for effect in before.iter().filter(|effect| effect.may_change(probe)) {
            match effect.result(probe, &fact) {
                Some(known) => fact = known,
                None if is_uncertain(effect, probe) => is_sure = false,
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

/// Whether only the host can tell if the effect has changed the answer.
fn is_uncertain(effect: &Effect, probe: &Probe) -> bool {
    matches!(effect, Effect::Host(host::Effect::Run(_))) || matches!(probe, Probe::Host(host::Probe::Run(_)))
}

/// The result of an effect that works and ends at once; `None` if it is not predictable.
fn answer_of(action: &ActionRef, effect: &Effect) -> Option<EffectResult> {
    match effect {
        Effect::Host(host::Effect::Run(run)) if action.completes_at_once() && !host::needs_own_channel(run) => {
            Some(EffectResult::Host(host::CommandOutput::new(0, "", "")))
        }
        Effect::Host(effect) if effect.is_instant() => Some(EffectResult::Host(host::CommandOutput::new(0, "", ""))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::executor::fact_cache::FactCache;
    use crate::engine::state::testing::{job, run};
    use crate::engine::testing::{fact, write, written};

    /// A job of one step on host `a`, whose probes have this answer.
    fn planned(action: &str, seen: Option<&str>) -> Box<Job> {
        let run = run(&format!("[[phase.p.step]]\nid = \"s\"\nhosts = \"a\"\n{action}\n"));
        let cache = FactCache::default();
        let job = job(&run, &cache, "p/s@a");
        let probes = job.action.probes();
        let facts = probes.iter().map(|_| fact(seen)).collect();
        cache.begin_read("a").store(&[(job.unit.clone(), probes)], facts);
        job
    }

    fn line(seen: &str) -> Box<Job> {
        planned("action = \"node.line\"\npath = \"/etc/x\"\nline = \"mine\"", Some(seen))
    }

    fn command() -> Effect {
        Effect::Host(host::Effect::Run(host::Run::shell("true")))
    }

    #[test]
    fn behind_effects_that_cannot_change_its_answers_a_unit_is_sent_as_it_is() {
        let job = line("theirs\n");
        for before in [vec![], vec![write("", "etc/y", "1")]] {
            let forecast = forecast(&job, &before).unwrap();
            assert!(forecast.preconditions.is_empty() && !forecast.ends_pipeline);
            assert_eq!(written(&forecast.effects[0]).unwrap()[1], "etc/x");
        }
        assert!(forecast(&line("mine\n"), &[]).is_none(), "nothing is to be changed");
    }

    #[test]
    fn behind_a_command_the_host_compares_the_answers() {
        let forecast = forecast(&line("theirs\n"), &[command()]).unwrap();
        assert_eq!(forecast.preconditions.len(), 1);
        assert!(!forecast.ends_pipeline);
    }

    #[test]
    fn behind_an_effect_whose_result_is_certain_the_verdict_rests_on_that_result() {
        let job = line("theirs\n");
        let forecast = forecast(&job, &[write("", "etc/x", "new\n")]).unwrap();
        let Effect::Host(host::Effect::WriteFile(file)) = &forecast.effects[0] else { panic!() };
        assert_eq!(file.content.as_slice(), b"new\nmine\n");
        assert!(forecast.preconditions.is_empty());
    }

    #[test]
    fn behind_an_effect_whose_result_only_the_host_knows_a_unit_is_not_sent() {
        let remove = Effect::Host(host::Effect::Remove { path: "/etc/x".into() });
        assert!(forecast(&line("theirs\n"), &[remove]).is_none());
    }

    #[test]
    fn nothing_is_sent_behind_a_command_that_may_run_long() {
        let job = planned("action = \"node.command\"\ncommand = \"make\"\ncreates = \"/x\"", None);
        let forecast = forecast(&job, &[]).unwrap();
        assert!(forecast.ends_pipeline && forecast.effects.len() == 1);
    }

    #[test]
    fn units_that_may_run_twice_or_whose_failure_is_ignored_are_sent_alone() {
        for key in ["retry = 1", "ignore_errors = true"] {
            let action = format!("{key}\naction = \"node.line\"\npath = \"/etc/x\"\nline = \"mine\"");
            assert!(forecast(&planned(&action, Some("")), &[]).is_none(), "{key}");
        }
    }
}
