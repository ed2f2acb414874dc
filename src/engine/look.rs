//! What a unit asks of its host on behalf of those behind it, and what comes of the answers.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::fact_cache::Query;
use super::job::{DEADLINE_GRACE, Execution, ExecutionResult, Job};
use crate::actions::Verdict;
use crate::connect::{CallContext, ConnectError, Effect, Fact, Probe, host};
use crate::diff::Diff;

/// How long an answer to many units' queries is waited for, before each asks its own alone.
const PREFETCH_TIMEOUT: Duration = Duration::from_secs(10);

impl Job {
    /// Whether it is to ask on behalf of those behind it. Not while its host may be away, or may yet put something back.
    pub fn asks_for_others(&self) -> bool {
        self.guard.is_none() && !self.resumed
    }

    /// Whether it has anything to ask of its host that is not known.
    pub fn is_to_look(&self) -> bool {
        let known = self.host().is_none_or(|host| self.cache.is_fresh(host, &self.unit));
        !self.prefetched && !known && !self.action.probes().is_empty()
    }

    /// Asks its host for itself and for those behind it. Whatever else than that the host cannot be reached keeps the
    /// answers from coming: with so many queries it is nobody's own matter, and each asks again in its turn.
    pub async fn look_for_all(&mut self) {
        self.prefetched = true;
        let Some(host) = self.host() else { return };
        let own = (self.unit.clone(), self.action.probes());
        let queries: Vec<Query> = std::iter::once(own).chain(self.queries.iter().cloned()).collect();
        let probes: Vec<Probe> = queries.iter().flat_map(|(_, probes)| probes).cloned().collect();
        let call = CallContext { deadline: Instant::now() + self.timeout.min(PREFETCH_TIMEOUT), ..self.call() };
        let look = self.cache.begin_read(host);
        let answer =
            tokio::time::timeout_at(call.deadline + DEADLINE_GRACE, self.world.probe(&self.target, &probes, &call));
        match answer.await {
            Ok(Ok(facts)) => look.store(&queries, facts),
            Ok(Err(error @ ConnectError::Unreachable { .. })) if Instant::now() < call.deadline => {
                *self.unreachable.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
            _ => {}
        }
        self.queries.clear();
    }

    /// The first change that it is likely to make, for those who ask what may be another thing after it. What is not known
    /// counts as a command.
    pub fn first_effect(&self) -> Effect {
        let judge = |facts: &[Fact]| self.action.next_effect(facts, &[]).ok().flatten();
        let known = self.host().and_then(|host| self.cache.peek(host, &self.unit, &self.action.probes(), judge));
        known.unwrap_or_else(|| Effect::Host(host::Effect::Run(host::Run::shell("true"))))
    }

    /// How it ends when what is known of its host ahead of time says that all is as asked: then nothing is sent.
    pub fn answered_by_cache(&self) -> Option<Execution> {
        if self.guard.is_some() {
            return None;
        }
        let judge = |facts: &[Fact]| match self.action.verdict(facts) {
            Verdict::Same { seen } => Some(seen),
            _ => None,
        };
        let (facts, seen) = self.cache.take_if(self.host()?, &self.unit, &self.action.probes(), judge)?;
        let (outputs, printed) = (self.action.outputs(&facts, &[]), self.action.printed(&[]));
        let result = ExecutionResult::Same { seen }.unless(self.action.defect());
        Some(self.unless_it_fails_on_purpose(Execution {
            result,
            diff: Diff::default(),
            outputs,
            printed,
            provides: Vec::new(),
            cleaned: None,
        }))
    }
}
