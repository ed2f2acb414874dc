//! Talks to the guard of a host: reads its state, commands it, and waits until the host has restored itself.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::attempt::Attempt;
use super::backoff::Backoff;
use super::job::DEADLINE_GRACE;
use crate::connect::host::{self, GuardPhase, GuardState};
use crate::connect::{CallContext, ConnectError, Effect, Fact, Probe, Target, deadline_after};
use crate::document::format_duration;

/// How long one call may take: longer than a connection that nobody answers.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a host may take to restore itself.
pub const RESTORE_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest pause between two calls.
pub const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

/// How a wait for a host to restore itself ended.
pub enum Restoration {
    Finished(GuardState),
    /// The guard is not there any more.
    Gone,
    /// The host did not finish in time; the text says what was seen last.
    TimedOut(String),
}

/// The guard of an attempt's host, as its token names it.
pub struct GuardLink<'a> {
    attempt: &'a Attempt<'a>,
}

impl<'a> GuardLink<'a> {
    pub fn new(attempt: &'a Attempt<'a>) -> Self {
        Self { attempt }
    }

    pub fn progress(&self, text: String) {
        (self.attempt.call.progress)(text);
    }

    /// The state of the host's guard; `None` if it has none. With `reconnect`, asked over a new connection.
    pub async fn state(&self, reconnect: bool, deadline: Instant) -> Result<Option<GuardState>, ConnectError> {
        match self.probe(Probe::Host(host::Probe::Guard), reconnect, deadline).await? {
            Fact::Host(host::Fact::Guard(state)) => Ok(state),
            _ => Err(ConnectError::failed("the host does not tell how its guard stands")),
        }
    }

    pub async fn probe(&self, probe: Probe, reconnect: bool, deadline: Instant) -> Result<Fact, ConnectError> {
        let (target, call) = self.address(reconnect, deadline);
        let probes = [probe];
        let answer = self.attempt.job.world.probe(&target, &probes, &call);
        let answer = timeout_at(deadline + DEADLINE_GRACE, answer).await;
        let facts = answer.unwrap_or_else(|_| Err(ConnectError::failed("no answer in time")))?;
        facts.into_iter().next().ok_or_else(|| ConnectError::failed("no answer"))
    }

    pub async fn send(
        &self,
        command: host::GuardCommand,
        reconnect: bool,
        deadline: Instant,
    ) -> Result<(), ConnectError> {
        let (target, call) = self.address(reconnect, deadline);
        let effect = Effect::Host(host::Effect::Guard(command));
        let answer = self.attempt.job.world.perform(&target, &effect, &call);
        let answer = timeout_at(deadline + DEADLINE_GRACE, answer).await;
        answer.unwrap_or_else(|_| Err(ConnectError::lost("no answer in time"))).map(drop)
    }

    /// Removes a guard that has restored the host.
    pub async fn forget(&self, token: &str) -> Result<(), ConnectError> {
        let forget = host::GuardCommand::Forget { token: token.to_owned() };
        self.send(forget, false, Instant::now() + CALL_TIMEOUT).await
    }

    /// Waits until the host has restored itself. A guard of this run, or one whose timer a reboot has ended, is commanded to.
    pub async fn wait_restored(&self, token: &str, timeout: Duration, is_own: bool) -> Restoration {
        let deadline = deadline_after(timeout);
        let mut backoff = Backoff::new(MAX_RETRY_DELAY);
        loop {
            let by = deadline.min(Instant::now() + CALL_TIMEOUT);
            let seen = match self.state(is_own, by).await {
                Ok(Some(state)) if state.token == token => match state.phase {
                    GuardPhase::Restored | GuardPhase::RestoredInPart => return Restoration::Finished(state),
                    GuardPhase::Armed if state.alive && !is_own => {
                        format!("it does so in {}", format_duration(state.remaining))
                    }
                    _ => {
                        let restore = host::GuardCommand::Restore { token: token.to_owned() };
                        let sent = self.send(restore, false, deadline.min(Instant::now() + CALL_TIMEOUT)).await;
                        sent.err().map_or_else(|| "it is at it".to_owned(), |error| error.to_string())
                    }
                },
                Ok(_) => return Restoration::Gone,
                Err(error) => error.to_string(),
            };
            if Instant::now() + backoff.delay() >= deadline {
                return Restoration::TimedOut(seen);
            }
            self.progress(seen);
            backoff.wait().await;
        }
    }

    fn address(&self, reconnect: bool, deadline: Instant) -> (Target, CallContext) {
        let Attempt { job, call, .. } = self.attempt;
        (Target { reconnect, ..job.target.clone() }, CallContext { deadline, ..call.clone() })
    }
}

/// The last lines of what a host says, as one line.
pub fn joined_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("; ")
}
