//! The calls of the engine: probes, effects, guards and preconditions, with what befalls them.

use std::time::Duration;

use async_trait::async_trait;
use rand::RngExt as _;
use tokio::time::Instant;

use super::fate::{Fate, Lost};
use super::{Sent, SimWorld, State, ValuePath};
use crate::connect::host::{self, Command, Run};
use crate::connect::{
    CallContext, ConnectError, Effect, EffectResult, Fact, Pipeline, PipelineResult, Probe, Target, World,
    perform_sequentially,
};
use crate::engine::simulation::generate::chance;
use crate::engine::simulation::order::Key;
use crate::engine::testing::{fact, read_path, value, written};

async fn forever<T>() -> T {
    std::future::pending().await
}

#[async_trait]
impl World for SimWorld {
    async fn probe(&self, target: &Target, probes: &[Probe], _: &CallContext) -> Result<Vec<Fact>, ConnectError> {
        let host = target.host.as_ref().map(|h| h.name.clone());
        let (dead, pause, away) = {
            let mut state = self.state();
            let over = state.session().life.is_over();
            if !over && state.dies() {
                state.session().life.end(format!("asking {host:?}"));
            }
            (state.session().life.is_over(), state.pause(), state.is_away(host.as_ref()))
        };
        if dead {
            return forever().await;
        }
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        if away {
            return Err(ConnectError::unreachable("nobody answers"));
        }
        let mut state = self.state();
        state.pass();
        let facts = probes.iter().map(|probe| {
            if matches!(probe, Probe::Host(host::Probe::Guard)) {
                return Fact::Host(host::Fact::Guard(state.guards.state(&host)));
            }
            let Some(path) = read_path(probe) else { panic!("this world knows no {probe:?}") };
            let place = (host.clone(), path.to_owned());
            if path.starts_with("dawn.") {
                let in_a_while = Duration::from_millis(state.session().rng.random_range(0..5000));
                let now = Instant::now();
                if *state.dawns.entry(place.clone()).or_insert(now + in_a_while) <= now {
                    state.values.insert(place.clone(), "1".to_owned());
                }
            }
            fact(state.values.get(&place).map(String::as_str))
        });
        Ok(facts.collect())
    }

    async fn perform_pipeline(&self, target: &Target, pipeline: Pipeline<'_>, call: &CallContext) -> PipelineResult {
        if pipeline.has_several() {
            self.count("pipelines");
        }
        if !pipeline.on_success.is_empty() {
            self.count("probes behind a change");
        }
        perform_sequentially(self, target, pipeline, call).await
    }

    async fn perform(
        &self,
        target: &Target,
        effect: &Effect,
        call: &CallContext,
    ) -> Result<EffectResult, ConnectError> {
        let effect = &match effect {
            Effect::Host(host::Effect::Guard(host::GuardCommand::Within { effect, .. })) => {
                Effect::Host((**effect).clone())
            }
            Effect::Host(host::Effect::Guard(guard)) => return self.guard(target, guard).await,
            Effect::Expect(answers) => return self.expect(target, answers, call).await,
            other => other.clone(),
        };
        let [unit, path, value] = parts(effect);
        let command = matches!(effect, Effect::Host(host::Effect::Run(_)));
        let host = target.host.as_ref().map(|h| h.name.clone());
        let unit: Key = (unit, host.clone());
        let place = (host.clone(), path.clone());
        if self.state().session().life.is_over() {
            return forever().await;
        }
        let (fate, pauses, sent) = {
            let mut state = self.state();
            state.judge(&unit, target);
            if state.is_away(host.as_ref()) {
                return Err(ConnectError::unreachable("nobody answers"));
            }
            let fate = state.fate(&unit, command);
            let (run, seen) = (state.session().run, state.session().disk.count());
            state.note(|| format!("effect of {}@{host:?} on {path:?}: {fate:?}", unit.0));
            let (unit, at) = (unit.clone(), (run, seen));
            let sent = Sent { unit, at, value, took: false, changed: false, late: false, out_of_sight: false };
            (fate, [state.pause(), state.pause()], sent)
        };
        let [before, after] = pauses;
        tokio::time::sleep(before.unwrap_or_default()).await;
        let Some(result) = self.carry_out(fate, command, place, sent) else { return forever().await };
        // The answer takes its time too, and the caller may be gone by then.
        tokio::time::sleep(after.unwrap_or_default()).await;
        result
    }
}

fn name_of(guard: &host::GuardCommand) -> &'static str {
    match guard {
        host::GuardCommand::Arm { .. } => "armed",
        host::GuardCommand::Disarm { .. } => "confirmed",
        host::GuardCommand::Restore { .. } => "restored",
        host::GuardCommand::Forget { .. } => "forgotten",
        host::GuardCommand::Within { .. } | host::GuardCommand::Apply { .. } => "guarded",
    }
}

/// The unit, path and value of a write or a command.
fn parts(effect: &Effect) -> [String; 3] {
    match effect {
        Effect::Host(host::Effect::Run(Run { command: Command::Argv(argv), .. })) => argv.clone().try_into().unwrap(),
        other => written(other).expect("an effect of this world"),
    }
}

impl SimWorld {
    /// Compares the answers with those that a pipeline rests on. At random the pipeline ends as one that takes too long
    /// does.
    async fn expect(
        &self,
        target: &Target,
        answers: &[(Probe, Fact)],
        call: &CallContext,
    ) -> Result<EffectResult, ConnectError> {
        let probes: Vec<Probe> = answers.iter().map(|(probe, _)| probe.clone()).collect();
        // In the middle of a pipeline, a host that does not answer has lost its connection.
        let facts = self.probe(target, &probes, call).await.map_err(|_| ConnectError::lost("the connection broke"))?;
        let late = { chance(&mut self.state().session().rng, 5) };
        let same = facts.iter().zip(answers).all(|(now, (_, was))| value(now) == value(was));
        self.count(if late {
            "pipelines too long"
        } else if same {
            "as expected"
        } else {
            "not as expected"
        });
        Ok(EffectResult::Host(host::CommandOutput::new(i32::from(late || !same), "", "")))
    }

    /// Carries out a command to a guard.
    async fn guard(&self, target: &Target, guard: &host::GuardCommand) -> Result<EffectResult, ConnectError> {
        let host = target.host.as_ref().map(|h| h.name.clone());
        let (fate, pause) = {
            let mut state = self.state();
            if state.session().life.is_over() {
                (Fate::Hangs(Lost::Before), None)
            } else if state.is_away(host.as_ref()) {
                return Err(ConnectError::unreachable("nobody answers"));
            } else {
                (state.fate(&(String::new(), host.clone()), true), state.pause())
            }
        };
        tokio::time::sleep(pause.unwrap_or_default()).await;
        let result = {
            let mut state = self.state();
            if state.session().life.is_over() {
                None
            } else {
                state.pass();
                let State { guards, values, .. } = &mut *state;
                let lost =
                    matches!(fate, Fate::Lost(Lost::Before) | Fate::Hangs(Lost::Before) | Fate::Dies(Lost::Before));
                let done =
                    if lost { Ok(host::CommandOutput::new(0, "", "")) } else { guards.perform(&host, guard, values) };
                state.note(|| format!("{} on {host:?}: {fate:?}", name_of(guard)));
                match fate {
                    Fate::Dies(_) => {
                        state.session().life.end("at a guard");
                        None
                    }
                    Fate::Hangs(_) => None,
                    Fate::Lost(_) => Some(Err(ConnectError::lost("the connection broke"))),
                    Fate::Works | Fate::Refused => {
                        state.stats.count(name_of(guard));
                        Some(done.map(EffectResult::Host))
                    }
                }
            }
        };
        match result {
            Some(result) => result,
            None => forever().await,
        }
    }

    /// Lets an effect take place as its fate says. Returns `None` if no answer ever comes.
    fn carry_out(
        &self,
        fate: Fate,
        command: bool,
        place: ValuePath,
        sent: Sent,
    ) -> Option<Result<EffectResult, ConnectError>> {
        let mut state = self.state();
        if state.session().life.is_over() {
            return None;
        }
        state.pass();
        if !state.guards.lets(&sent.unit) {
            state.stats.count("too late");
            return Some(Err(ConnectError::failed("the guard's time was over")));
        }
        match fate {
            Fate::Works => {
                let changed = state.take(&place, &sent);
                state.sent.push(Sent { took: true, changed, ..sent });
                Some(Ok(EffectResult::Host(host::CommandOutput::new(0, "", ""))))
            }
            Fate::Refused => {
                state.stats.count("refused");
                Some(Err(ConnectError::failed("refused")))
            }
            Fate::Lost(lost) => {
                state.stats.count("lost");
                state.lose(lost, command, place, sent);
                Some(Err(ConnectError::lost("the connection broke")))
            }
            Fate::Hangs(lost) => {
                state.stats.count("hung");
                state.lose(lost, command, place, sent);
                None
            }
            Fate::Dies(lost) => {
                let whereabouts = format!("in an effect of {:?} ({lost:?})", sent.unit);
                state.lose(lost, command, place, sent);
                state.session().life.end(whereabouts);
                None
            }
        }
    }
}
