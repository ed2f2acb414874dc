//! One host: sends requests to its shells, retries read-only ones, ends cancelled ones.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::frame::Frame;
use super::loan::ShellLoan;
use super::messages;
use super::pool::{Idle, Pool};
use super::reply::{ExchangeError, ExchangeOptions, OnPart};
use super::request::{Purpose, Request};
use super::shared::Shared;
use super::shell::{Mode, Shell};
use super::sudo::NotOpened;
use super::terminate::terminate_lost;
use super::types::CommandOutput;
use crate::connect::{CallContext, ConnectError};
use crate::inventory::Host;
use crate::sync::lock;

/// A shell idle for longer than this must answer an empty request before it is used.
pub const TRUSTED_IDLE_TIME: Duration = Duration::from_secs(2);
/// Timeout of that answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before the next attempt after the host refused a session.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// On close, how long to wait for the end of cancelled commands.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A host and its shells.
pub struct Remote {
    pool: Arc<Pool>,
}

impl Remote {
    /// Does not connect yet.
    pub fn new(host: Arc<Host>, shared: Arc<Shared>) -> Self {
        Self { pool: Arc::new(Pool::new(host, shared)) }
    }

    /// Starts connecting in the background.
    pub fn preconnect(&self) {
        self.pool.connector.preconnect();
    }

    /// Makes later calls use a new connection; running calls keep theirs.
    pub fn reconnect(&self) {
        self.pool.connector.reconnect();
        self.pool.clear();
    }

    /// Ends the connection and all idle shells.
    pub async fn close(&self) {
        let mut ending = self.pool.ending.subscribe();
        let _ = timeout(CLOSE_TIMEOUT, ending.wait_for(|count| *count == 0)).await;
        self.pool.clear();
        self.pool.connector.close();
    }

    /// Sends a request to a shell and returns one output for each script; follow-up scripts may be missing.
    pub async fn call(
        &self,
        as_root: bool,
        request: Request,
        purpose: Purpose,
        call: &CallContext,
    ) -> Result<Vec<CommandOutput>, ConnectError> {
        self.call_each(as_root, request, purpose, call, None).await
    }

    /// Like [`Self::call`]; `on_part` is called with the number and output of each required script as soon as that has
    /// ended.
    pub async fn call_each(
        &self,
        as_root: bool,
        request: Request,
        purpose: Purpose,
        call: &CallContext,
        on_part: Option<OnPart<'_>>,
    ) -> Result<Vec<CommandOutput>, ConnectError> {
        let mode = if request.payload.is_some() { Mode::Lines } else { Mode::Program };
        let show = |line: String| {
            if request.shows_output {
                (call.progress)(line);
            }
        };
        let mut repeated = false;
        loop {
            let mut frame = Frame::new();
            request.parts.iter().for_each(|part| frame.add_part(part.clone()));
            request.follow_ups.iter().for_each(|(part, when)| frame.add_follow_up(part.clone(), *when));
            let first = (purpose == Purpose::ReadOnly).then_some(&frame);
            let mut loan = self.borrow_shell(as_root, mode, first, call.deadline).await?;
            let payload = request.payload.as_ref();
            let options =
                ExchangeOptions { deadline: call.deadline, timeouts: &request.timeouts, on_line: &show, on_part };
            let error = match loan.exchange(&frame, payload, options).await {
                Ok(done) => {
                    if done.len() == frame.part_count() {
                        loan.give_back();
                    }
                    return Ok(done);
                }
                Err(error) => error,
            };
            let connected = error.timed_out || loan.link.1.alive().await;
            if !connected {
                self.pool.forget(loan.link.0);
            }
            drop(loan);
            if purpose == Purpose::ReadOnly && !error.timed_out && error.excess.is_none() && !repeated {
                repeated = true;
                continue;
            }
            return Err(self.exchange_failed(&error, connected, purpose));
        }
    }

    /// Takes an idle shell or starts one. `first` is sent along to a new shell.
    async fn borrow_shell(
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
                self.pool.slots.take().await
            };
            let Ok(Some(slot)) = timeout_at(deadline, free).await else {
                let busy = format!(
                    "all {} shells on {} stayed busy until the deadline",
                    self.pool.slots.total(),
                    self.pool.connector.name()
                );
                return Err(ConnectError::failed(busy));
            };
            if mode == Mode::Program {
                while let Some(mut idle) = self.pool.take(as_root) {
                    let answer_by = deadline.min(Instant::now() + ANSWER_TIMEOUT);
                    let fresh = idle.shell.last_used.elapsed() < TRUSTED_IDLE_TIME;
                    if !idle.shell.has_ended() && (fresh || idle.shell.answers(answer_by).await) {
                        return Ok(ShellLoan::new(&self.pool, idle, slot));
                    }
                    if !idle.link.1.alive().await {
                        self.pool.forget(idle.link.0);
                    }
                }
            }
            self.pool.make_room();
            if let Some(idle) = self.open_shell(as_root, mode, first, deadline).await? {
                return Ok(ShellLoan::new(&self.pool, idle, slot));
            }
            // The server allows fewer sessions than assumed, or has not yet noticed the end of one.
            refused += 1;
            let ended = self.pool.drop_one();
            if refused > 1 && !ended && !self.pool.slots.retire(slot) && RETRY_DELAY * refused > ANSWER_TIMEOUT {
                return Err(messages::no_session(self.pool.connector.name()));
            }
            let _ = timeout_at(deadline, sleep(RETRY_DELAY)).await;
        }
    }

    /// Starts a shell; `None` when the host allows no more sessions on the connection.
    async fn open_shell(
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
                Err(ConnectError::unreachable(message)
                    .hint("check that it is powered on and on the network, and that no firewall blocks ssh"))
            })?;
            let unverified = link.1.is_unverified();
            let shell_deadline = if unverified { deadline.min(Instant::now() + ANSWER_TIMEOUT) } else { deadline };
            let lost = std::mem::take(&mut *lock(&self.pool.lost));
            for (shell, as_root) in lost {
                // Commands of a lost shell must not go on beside those of the next one.
                let _ = timeout_at(shell_deadline, terminate_lost(connector, &link.1, shell, as_root)).await;
            }
            let opened = match connector.start(&link.1, as_root, mode.arguments(), shell_deadline).await {
                Ok(streams) => Shell::start(streams, mode, first, shell_deadline).await.map_err(NotOpened::NoAnswer),
                Err(error) => Err(error),
            };
            let error = match opened {
                Ok(shell) => {
                    link.1.mark_verified();
                    return Ok(Some(Idle { as_root, link, shell }));
                }
                Err(NotOpened::Full) => {
                    link.1.mark_verified();
                    return Ok(None);
                }
                Err(NotOpened::Refused(error)) => return Err(error),
                Err(NotOpened::Lost(error)) => error,
                Err(NotOpened::NoAnswer(error)) if !(unverified && error.timed_out) && link.1.alive().await => {
                    return Err(messages::no_shell(self.pool.connector.name(), as_root, &error));
                }
                Err(NotOpened::NoAnswer(error)) => ConnectError::unreachable(format!(
                    "the connection to {} was lost before anything was sent{}",
                    self.pool.connector.name(),
                    messages::last_output(&error)
                )),
            };
            // The connection may have broken since it was last used: connect anew, once.
            if unverified {
                connector.forbid_reuse();
            }
            self.pool.forget(link.0);
            if repeated {
                return Err(error);
            }
            repeated = true;
        }
    }

    fn exchange_failed(&self, error: &ExchangeError, connected: bool, purpose: Purpose) -> ConnectError {
        messages::exchange_failed(self.pool.connector.name(), error, connected, purpose == Purpose::Change)
    }
}
