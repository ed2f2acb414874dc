//! One host: sends requests to shells of its own, repeats what may be repeated, ends what is cancelled.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::frame::Frame;
use super::loan::ShellLoan;
use super::pool::{Idle, Pool};
use super::request::{Purpose, Request};
use super::shared::Shared;
use super::shell::{ExchangeError, Mode, OnDone, Pace, Shell};
use super::sudo::NotOpened;
use super::terminate::terminate_lost;
use super::text;
use super::types::CommandOutput;
use crate::connect::{CallContext, ConnectError};
use crate::inventory::Host;
use crate::sync::lock;

/// A shell that was used this long ago is asked whether it still answers before anything is entrusted to it.
pub const TRUSTED_IDLE_TIME: Duration = Duration::from_secs(2);
/// How long it has for that answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before a host is asked again for a session that it refused.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// How long the end of cancelled commands is waited for when all is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A host.
pub struct Remote {
    pool: Arc<Pool>,
}

impl Remote {
    /// Nothing is connected yet.
    pub fn new(host: Arc<Host>, shared: Arc<Shared>) -> Self {
        Self { pool: Arc::new(Pool::new(host, shared)) }
    }

    /// Begins to connect, for those who ask later.
    pub fn warm(&self) {
        self.pool.connector.warm();
    }

    /// Has the calls from now on connect anew; those under way keep the connection that they have.
    pub fn renew(&self) {
        self.pool.connector.renew();
        self.pool.clear();
    }

    /// Ends the connection and all shells that are not in use.
    pub async fn close(&self) {
        let mut ending = self.pool.ending.subscribe();
        let _ = timeout(CLOSE_TIMEOUT, ending.wait_for(|count| *count == 0)).await;
        self.pool.clear();
        self.pool.connector.close();
    }

    /// Sends a request to a shell of its own for as long as it takes; one answer for each script, as far as they were not
    /// left unanswered.
    pub async fn call(
        &self,
        as_root: bool,
        request: Request,
        purpose: Purpose,
        call: &CallContext,
    ) -> Result<Vec<CommandOutput>, ConnectError> {
        self.call_each(as_root, request, purpose, call, None).await
    }

    /// The same; `each` is told the number and the answer of a script as soon as it is known, if it must be answered.
    pub async fn call_each(
        &self,
        as_root: bool,
        request: Request,
        purpose: Purpose,
        call: &CallContext,
        each: Option<OnDone<'_>>,
    ) -> Result<Vec<CommandOutput>, ConnectError> {
        let mode = if request.payload.is_some() { Mode::Lines } else { Mode::Program };
        let show = |line: String| {
            if request.live {
                (call.progress)(line);
            }
        };
        let mut repeated = false;
        loop {
            let mut frame = Frame::new();
            request.parts.iter().for_each(|part| frame.part(part.clone()));
            request.behind.iter().for_each(|(part, when)| frame.part_behind(part.clone(), *when));
            let first = (purpose == Purpose::Look).then_some(&frame);
            let mut loan = self.lend(as_root, mode, first, call.deadline).await?;
            let payload = request.payload.as_ref();
            let pace = Pace { deadline: call.deadline, within: &request.within, line: &show, each };
            let broken = match loan.exchange(&frame, payload, pace).await {
                Ok(done) => {
                    if done.len() == frame.count() {
                        loan.give_back();
                    }
                    return Ok(done);
                }
                Err(broken) => broken,
            };
            let connected = broken.deadline || loan.link.1.alive().await;
            if !connected {
                self.pool.forget(loan.link.0);
            }
            drop(loan);
            if purpose == Purpose::Look && !broken.deadline && broken.excess.is_none() && !repeated {
                repeated = true;
                continue;
            }
            return Err(self.broken(&broken, connected, purpose));
        }
    }

    /// A shell for a request; a new one is sent `first` along when it starts.
    async fn lend(
        &self,
        as_root: bool,
        mode: Mode,
        first: Option<&Frame>,
        deadline: Instant,
    ) -> Result<ShellLoan, ConnectError> {
        let mut refused = 0;
        loop {
            let mut ending = self.pool.ending.subscribe();
            let free = async {
                let _ = ending.wait_for(|count| *count == 0).await;
                self.pool.places.take().await
            };
            let Ok(Some(place)) = timeout_at(deadline, free).await else {
                let busy = format!(
                    "all {} shells on {} stayed busy until the deadline",
                    self.pool.places.all(),
                    self.pool.connector.name()
                );
                return Err(ConnectError::failed(busy));
            };
            if mode == Mode::Program {
                while let Some(mut idle) = self.pool.take(as_root) {
                    let answer_by = deadline.min(Instant::now() + ANSWER_TIMEOUT);
                    let fresh = idle.shell.last_used.elapsed() < TRUSTED_IDLE_TIME;
                    if !idle.shell.has_ended() && (fresh || idle.shell.answers(answer_by).await) {
                        return Ok(ShellLoan::new(&self.pool, idle, place));
                    }
                    if !idle.link.1.alive().await {
                        self.pool.forget(idle.link.0);
                    }
                }
            }
            self.pool.make_room();
            if let Some(idle) = self.open(as_root, mode, first, deadline).await? {
                return Ok(ShellLoan::new(&self.pool, idle, place));
            }
            // The server allows fewer sessions than we thought, or has not yet seen the end of one.
            refused += 1;
            let ended = self.pool.drop_one();
            if refused > 1 && !ended && !self.pool.places.give_up(place) && RETRY_DELAY * refused > ANSWER_TIMEOUT {
                return Err(text::no_session(self.pool.connector.name()));
            }
            let _ = timeout_at(deadline, sleep(RETRY_DELAY)).await;
        }
    }

    /// A new shell; `None` when the host allows no more of them on the connection.
    async fn open(
        &self,
        as_root: bool,
        mode: Mode,
        first: Option<&Frame>,
        deadline: Instant,
    ) -> Result<Option<Idle>, ConnectError> {
        let connector = &self.pool.connector;
        let mut repeated = false;
        loop {
            let connect = timeout_at(deadline, connector.link());
            let link = connect.await.unwrap_or_else(|_| {
                let message = format!("no connection to {} before the deadline", self.pool.connector.name());
                Err(ConnectError::unreachable(message).hint("is it powered on, on the network, and ssh let through?"))
            })?;
            let unproven = link.1.is_unproven();
            let by = if unproven { deadline.min(Instant::now() + ANSWER_TIMEOUT) } else { deadline };
            let lost = std::mem::take(&mut *lock(&self.pool.lost));
            for (shell, as_root) in lost {
                // What it began must not go on beside what comes next.
                let _ = timeout_at(by, terminate_lost(connector, &link.1, shell, as_root)).await;
            }
            let opened = match connector.start(&link.1, as_root, mode.arguments(), by).await {
                Ok(streams) => Shell::start(streams, mode, first, by).await.map_err(NotOpened::Silent),
                Err(error) => Err(error),
            };
            let error = match opened {
                Ok(shell) => {
                    link.1.prove();
                    return Ok(Some(Idle { as_root, link, shell }));
                }
                Err(NotOpened::Full) => {
                    link.1.prove();
                    return Ok(None);
                }
                Err(NotOpened::Refused(error)) => return Err(error),
                Err(NotOpened::Lost(error)) => error,
                Err(NotOpened::Silent(broken)) if !(unproven && broken.deadline) && link.1.alive().await => {
                    return Err(text::no_shell(self.pool.connector.name(), as_root, &broken));
                }
                Err(NotOpened::Silent(broken)) => ConnectError::unreachable(format!(
                    "the connection to {} was lost before anything was sent{}",
                    self.pool.connector.name(),
                    text::seen(&broken)
                )),
            };
            // The connection may have gone since it was last used: it is made again, once.
            if unproven {
                connector.distrust();
            }
            self.pool.forget(link.0);
            if repeated {
                return Err(error);
            }
            repeated = true;
        }
    }

    fn broken(&self, broken: &ExchangeError, connected: bool, purpose: Purpose) -> ConnectError {
        text::broken(self.pool.connector.name(), broken, connected, purpose == Purpose::Change)
    }
}
