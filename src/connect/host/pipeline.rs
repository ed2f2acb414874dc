//! Effects that are sent together, and what is asked behind them.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::frame::When;
use super::probes::Batch;
use super::request::{Purpose, Request};
use super::types::{CommandOutput, Effect, Fact, Probe};
use super::{Backend, effects, exposed};
use crate::connect::{CallContext, ConnectError, FOLLOW_UP_TIMEOUT, Target};
use crate::defect::caught_in;
use crate::sync::lock;

/// See [`super::Row`]; of one host.
pub struct Pipeline<'a> {
    /// The effects.
    pub effects: Vec<Effect>,
    /// How long each may take.
    pub timeouts: &'a [Duration],
    /// What is asked behind them.
    pub on_success: Vec<Probe>,
    /// What is asked in its place when not all of them worked.
    pub on_failure: Vec<Probe>,
    /// Takes what was done.
    pub on_result: &'a (dyn Fn(CommandOutput) + Send + Sync),
}

impl Pipeline<'_> {
    fn is_long(&self) -> bool {
        self.effects.len() > 1
    }

    /// The effects up to the first one that would show a secret, which is not sent, nor what follows it; and why.
    fn harmless(&self) -> (&[Effect], Option<ConnectError>) {
        let check = |(at, effect)| exposed::check_effect(effect).err().map(|error| (at, error));
        match self.effects.iter().enumerate().find_map(check) {
            Some((at, error)) => (&self.effects[..at], Some(error)),
            None => (&self.effects, None),
        }
    }
}

/// What has come of the effects so far.
#[derive(Default)]
struct Progress {
    done: usize,
    /// Whether the row ended before its end.
    is_over: bool,
    /// Why.
    refused: Option<ConnectError>,
}

/// What is asked behind effects, and how many parts of the request that takes; none when it is not asked.
struct Asked<'a> {
    batch: Batch<'a>,
    parts: usize,
}

impl<'a> Asked<'a> {
    fn add(probes: &'a [Probe], when: When, request: &mut Request) -> Self {
        let batch = Batch::new(probes);
        // What follows a large payload would not be read.
        let asks = request.payload.is_none() && exposed::check_probes(probes).is_ok();
        let parts = if asks { batch.request().parts } else { Vec::new() };
        let count = parts.len();
        request.behind.extend(parts.into_iter().map(|part| (part, when)));
        Self { batch, parts: count }
    }
}

impl Backend {
    /// Carries out effects in one round trip, each only when all before it have worked, and then asks; gives what ended
    /// it early, and the answers to `behind` and to `otherwise`. Of several effects each is
    /// [plain](Effect::is_plain), a command or an expectation.
    pub async fn perform_pipeline(
        &self,
        target: &Target,
        row: Pipeline<'_>,
        call: &CallContext,
    ) -> (Option<ConnectError>, [Option<Vec<Fact>>; 2]) {
        // A guard's answer is of several parts, and what its host may put back is not to be asked behind it.
        if let [effect @ Effect::Guard(_)] = &row.effects[..] {
            let done = self.perform(target, effect, call).await.map(row.on_result);
            return (done.err(), [None, None]);
        }
        let (effects, exposed) = row.harmless();
        let mut request = match effects {
            [] => return (exposed, [None, None]),
            [effect] if !row.is_long() => effects::request(effect),
            effects => effects::row(effects),
        };
        request.within = row.timeouts[..effects.len()].to_vec();
        let (worked, failed) = if row.is_long() { (When::Worked, When::Failed) } else { (When::Always, When::Always) };
        let no_more: &[Probe] = &[];
        let [behind, otherwise] =
            if exposed.is_none() { [&row.on_success[..], &row.on_failure[..]] } else { [no_more, no_more] };
        let behind = Asked::add(behind, worked, &mut request);
        let otherwise = Asked::add(otherwise, failed, &mut request);

        let progress = Mutex::new(Progress::default());
        let each = |at: usize, done: CommandOutput| {
            let mut progress = lock(&progress);
            let Some(effect) = effects.get(at).filter(|_| !progress.is_over) else { return };
            match effects::judge(effect, done) {
                Ok(done) => {
                    progress.done += 1;
                    progress.is_over = row.is_long() && done.exit != 0;
                    (row.on_result)(done);
                }
                Err(error) => (progress.is_over, progress.refused) = (true, Some(error)),
            }
        };
        let remote = self.remote(target);
        let answers = remote.call_each(target.as_root, request, Purpose::Change, call, Some(&each)).await;
        let Progress { done, is_over, refused } = std::mem::take(&mut *lock(&progress));
        let mut answers = match answers {
            Ok(answers) => answers.into_iter().skip(effects.len()),
            // What was refused before the connection broke stays so.
            Err(lost) => return (Some(refused.unwrap_or(lost)), [None, None]),
        };
        let call = CallContext { deadline: Instant::now() + FOLLOW_UP_TIMEOUT, ..call.clone() };
        let of_behind: Vec<CommandOutput> = answers.by_ref().take(behind.parts).collect();
        let facts = if !is_over && done == effects.len() {
            [self.answers(target, &behind, &of_behind, &call).await, None]
        } else {
            let of_otherwise: Vec<CommandOutput> = answers.collect();
            [None, self.answers(target, &otherwise, &of_otherwise, &call).await]
        };
        (refused.or(exposed), facts)
    }

    async fn answers(
        &self,
        target: &Target,
        asked: &Asked<'_>,
        done: &[CommandOutput],
        call: &CallContext,
    ) -> Option<Vec<Fact>> {
        if asked.parts == 0 {
            return None;
        }
        // The effect is not to be blamed for an answer that is not its own.
        caught_in(self.facts(target, &asked.batch, done, call)).await.ok()?.ok()
    }
}
