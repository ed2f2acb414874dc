//! One host's connection and its shells: connects once, lends shells out, ends what is cancelled.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared as SharedFuture};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::end::end_lost;
use super::frame::Frame;
use super::lease::{Idle, Lease};
use super::link::Link;
use super::places::Places;
use super::request::{Purpose, Request};
use super::shared::Shared;
use super::shell::{Broken, Identity, Mode, OnDone, Pace, Shell, Streams};
use super::sudo::{NotOpened, Sudo};
use super::text;
use super::types::Done;
use crate::connect::{Call, ConnectError};
use crate::inventory::{Connection, Host};
use crate::sync::lock;

/// Shells of one connection: sshd allows ten sessions, some are left for ending what is cancelled.
const SHELLS: u32 = 6;
/// A shell that was used this long ago is asked whether it still answers before anything is entrusted to it.
pub const FRESH: Duration = Duration::from_secs(2);
/// How long it has for that answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Pause before a host is asked again for a session that it refused.
const AGAIN: Duration = Duration::from_millis(100);
/// A connection that failed this long ago may be made now.
const OUTDATED: Duration = Duration::from_secs(10);
/// How long the end of cancelled commands is waited for when all is closed.
const CLOSING: Duration = Duration::from_secs(10);

/// A host.
pub struct Remote {
    host: Arc<Host>,
    shared: Arc<Shared>,
    attempt: Mutex<Option<Attempt>>,
    attempts: AtomicU64,
    /// Whether a connection that was kept is not to be used: it turned out to be dead, or a fresh one is asked for.
    distrusts: AtomicBool,
    pub(super) idle: Mutex<Vec<Idle>>,
    places: Places,
    sudo: Sudo,
    /// Shells that were busy when their connection was lost, and whether as root: they may still run.
    pub(super) lost: Mutex<Vec<(Identity, bool)>>,
    /// How many cancelled shells are being ended.
    pub(super) ending: watch::Sender<usize>,
}

/// A connection that is being made, or was.
#[derive(Clone)]
struct Attempt {
    number: u64,
    began: Instant,
    task: AbortHandle,
    link: SharedFuture<BoxFuture<'static, Result<Link, ConnectError>>>,
}

impl Remote {
    /// Nothing is connected yet.
    pub fn new(host: Arc<Host>, shared: Arc<Shared>) -> Self {
        let shells = host.access.max_sessions.unwrap_or(SHELLS);
        Self {
            host,
            shared,
            attempt: Mutex::default(),
            attempts: AtomicU64::new(0),
            distrusts: AtomicBool::new(false),
            idle: Mutex::default(),
            places: Places::new(shells as usize),
            sudo: Sudo::default(),
            lost: Mutex::default(),
            ending: watch::Sender::new(0),
        }
    }

    /// Sends a request to a shell of its own for as long as it takes; one answer for each script, as far as they were not
    /// left unanswered.
    pub async fn call(
        self: &Arc<Self>,
        r#become: bool,
        request: Request,
        purpose: Purpose,
        call: &Call,
    ) -> Result<Vec<Done>, ConnectError> {
        self.call_each(r#become, request, purpose, call, None).await
    }

    /// The same; `each` is told the number and the answer of a script as soon as it is known, if it must be answered.
    pub async fn call_each(
        self: &Arc<Self>,
        r#become: bool,
        request: Request,
        purpose: Purpose,
        call: &Call,
        each: Option<OnDone<'_>>,
    ) -> Result<Vec<Done>, ConnectError> {
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
            let mut lease = self.lease(r#become, mode, first, call.deadline).await?;
            let payload = request.payload.as_ref();
            let pace = Pace { deadline: call.deadline, within: &request.within, line: &show, each };
            let broken = match lease.exchange(&frame, payload, pace).await {
                Ok(done) => {
                    if done.len() == frame.count() {
                        lease.give_back();
                    }
                    return Ok(done);
                }
                Err(broken) => broken,
            };
            let connected = broken.deadline || lease.link.1.alive().await;
            if !connected {
                self.forget(lease.link.0);
            }
            drop(lease);
            if purpose == Purpose::Look && !broken.deadline && broken.excess.is_none() && !repeated {
                repeated = true;
                continue;
            }
            return Err(self.broken(&broken, connected, purpose));
        }
    }

    /// Begins to connect, for those who ask later.
    pub fn warm(&self) {
        if self.host.connection == Connection::Ssh {
            lock(&self.attempt).get_or_insert_with(|| self.connect());
        }
    }

    /// Has the calls from now on connect anew; those under way keep the connection that they have.
    pub fn renew(&self) {
        self.distrusts.store(true, Ordering::Relaxed);
        lock(&self.attempt).take();
        lock(&self.idle).clear();
    }

    /// Ends the connection and all shells that are not in use.
    pub async fn close(&self) {
        let mut ending = self.ending.subscribe();
        let _ = timeout(CLOSING, ending.wait_for(|count| *count == 0)).await;
        lock(&self.idle).clear();
        if let Some(attempt) = lock(&self.attempt).take() {
            attempt.task.abort();
        }
    }

    /// A shell for a request; a new one is sent `first` along when it starts.
    async fn lease(
        self: &Arc<Self>,
        r#become: bool,
        mode: Mode,
        first: Option<&Frame>,
        deadline: Instant,
    ) -> Result<Lease, ConnectError> {
        let mut refused = 0;
        loop {
            let mut ending = self.ending.subscribe();
            let free = async {
                let _ = ending.wait_for(|count| *count == 0).await;
                self.places.take().await
            };
            let Ok(Some(place)) = timeout_at(deadline, free).await else {
                let busy =
                    format!("all {} shells on {} stayed busy until the deadline", self.places.all(), self.name());
                return Err(ConnectError::failed(busy));
            };
            if mode == Mode::Program {
                while let Some(mut idle) = self.take_idle(r#become) {
                    let answer_by = deadline.min(Instant::now() + ANSWER);
                    let fresh = idle.shell.last_used.elapsed() < FRESH;
                    if !idle.shell.has_ended() && (fresh || idle.shell.answers(answer_by).await) {
                        return Ok(Lease::new(self, idle, place));
                    }
                    if !idle.link.1.alive().await {
                        self.forget(idle.link.0);
                    }
                }
            }
            self.make_room();
            if let Some(idle) = self.open(r#become, mode, first, deadline).await? {
                return Ok(Lease::new(self, idle, place));
            }
            // The server allows fewer sessions than we thought, or has not yet seen the end of one.
            refused += 1;
            let ended = lock(&self.idle).pop().is_some();
            if refused > 1 && !ended && !self.places.give_up(place) && AGAIN * refused > ANSWER {
                return Err(text::no_session(self.name()));
            }
            let _ = timeout_at(deadline, sleep(AGAIN)).await;
        }
    }

    /// A new shell; `None` when the host allows no more of them on the connection.
    async fn open(
        self: &Arc<Self>,
        r#become: bool,
        mode: Mode,
        first: Option<&Frame>,
        deadline: Instant,
    ) -> Result<Option<Idle>, ConnectError> {
        let mut repeated = false;
        loop {
            let connect = timeout_at(deadline, self.link());
            let link = connect.await.unwrap_or_else(|_| {
                let message = format!("no connection to {} before the deadline", self.name());
                Err(ConnectError::unreachable(message).hint("is it powered on, on the network, and ssh let through?"))
            })?;
            let unproven = link.1.is_unproven();
            let by = if unproven { deadline.min(Instant::now() + ANSWER) } else { deadline };
            let lost = std::mem::take(&mut *lock(&self.lost));
            for (shell, r#become) in lost {
                // What it began must not go on beside what comes next.
                let _ = timeout_at(by, end_lost(self, &link.1, shell, r#become)).await;
            }
            let opened = match self.start(&link.1, r#become, mode.arguments(), by).await {
                Ok(streams) => Shell::start(streams, mode, first, by).await.map_err(NotOpened::Silent),
                Err(error) => Err(error),
            };
            let error = match opened {
                Ok(shell) => {
                    link.1.prove();
                    return Ok(Some(Idle { r#become, link, shell }));
                }
                Err(NotOpened::Full) => {
                    link.1.prove();
                    return Ok(None);
                }
                Err(NotOpened::Refused(error)) => return Err(error),
                Err(NotOpened::Lost(error)) => error,
                Err(NotOpened::Silent(broken)) if !(unproven && broken.deadline) && link.1.alive().await => {
                    return Err(text::no_shell(self.name(), r#become, &broken));
                }
                Err(NotOpened::Silent(broken)) => ConnectError::unreachable(format!(
                    "the connection to {} was lost before anything was sent{}",
                    self.name(),
                    text::seen(&broken)
                )),
            };
            // The connection may have gone since it was last used: it is made again, once.
            self.distrusts.fetch_or(unproven, Ordering::Relaxed);
            self.forget(link.0);
            if repeated {
                return Err(error);
            }
            repeated = true;
        }
    }

    /// Starts `sh ARGUMENTS`, as root when asked for.
    pub async fn start(&self, link: &Link, r#become: bool, arguments: &str, by: Instant) -> Result<Streams, NotOpened> {
        let password = self.host.access.password.as_ref();
        let password = password.and_then(|secret| self.shared.password(secret));
        self.sudo.start(link, arguments, (r#become, password), self.name(), by).await
    }

    /// The connection, made when there is none. All who ask at once get the same; so they do when it fails.
    async fn link(self: &Arc<Self>) -> Result<(u64, Link), ConnectError> {
        if self.host.connection == Connection::Local {
            return Ok((0, Link::Local));
        }
        let attempt = {
            let mut attempt = lock(&self.attempt);
            let failed = |a: &mut Attempt| a.began.elapsed() > OUTDATED && matches!(a.link.peek(), Some(Err(_)));
            attempt.take_if(failed);
            attempt.get_or_insert_with(|| self.connect()).clone()
        };
        let link = attempt.link.await;
        if link.is_err() {
            self.forget(attempt.number);
        }
        link.map(|link| (attempt.number, link))
    }

    /// Connects in a task of its own: it goes on when the caller gives up, for the next one.
    fn connect(&self) -> Attempt {
        let (shared, host, trust) = (self.shared.clone(), self.host.clone(), !self.distrusts.load(Ordering::Relaxed));
        let task = tokio::spawn(async move { shared.connect(&host, trust).await.map(Link::ssh) });
        let number = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        let (began, abort) = (Instant::now(), task.abort_handle());
        let link =
            async { task.await.unwrap_or_else(|e| Err(ConnectError::unreachable(format!("no connection: {e}")))) };
        Attempt { number, began, task: abort, link: link.boxed().shared() }
    }

    /// Whether new calls go over the connection of that number.
    pub fn is_current(&self, number: u64) -> bool {
        lock(&self.attempt).as_ref().map_or(0, |attempt| attempt.number) == number
    }

    /// Drops a connection that is of no use any more.
    fn forget(&self, number: u64) {
        lock(&self.attempt).take_if(|attempt| attempt.number == number);
        lock(&self.idle).retain(|idle| idle.link.0 != number || number == 0);
    }

    fn take_idle(&self, r#become: bool) -> Option<Idle> {
        let mut idle = lock(&self.idle);
        let at = idle.iter().rposition(|i| i.r#become == r#become)?;
        Some(idle.remove(at))
    }

    /// Ends idle shells (of the other user) so that one more is not too many.
    fn make_room(&self) {
        let mut idle = lock(&self.idle);
        let keep = self.places.free();
        let excess = idle.len().saturating_sub(keep);
        idle.drain(..excess);
    }

    pub fn name(&self) -> &str {
        if self.host.name.is_empty() { "this machine" } else { &self.host.name }
    }

    fn broken(&self, broken: &Broken, connected: bool, purpose: Purpose) -> ConnectError {
        text::broken(self.name(), broken, connected, purpose == Purpose::Change)
    }
}
