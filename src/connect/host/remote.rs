//! One host's connection and its shells: connects once, lends shells out, ends what is cancelled.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared as SharedFuture};
use tempfile::TempDir;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{timeout, timeout_at};

use super::frame::Frame;
use super::link::Link;
use super::shell::{Broken, Identity, Mode, OnLine, Shell};
use super::types::{Bytes, Done};
use super::{ssh, text};
use crate::connect::{Call, ConnectError};
use crate::inventory::{Connection, Host, Ssh};

/// Shells of one connection: sshd allows ten sessions, some are left for ending what is cancelled.
const SHELLS: usize = 6;
/// Connections that are being made at a time; each costs both sides a key exchange.
const HANDSHAKES: usize = 32;
/// A shell that was used this long ago is asked whether it still answers before anything is entrusted to it.
pub const FRESH: Duration = Duration::from_secs(2);
/// How long it has for that answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How long the end of cancelled commands is waited for when all is closed.
const CLOSING: Duration = Duration::from_secs(10);

/// What all hosts share.
pub struct Shared {
    ssh: Ssh,
    handshakes: Semaphore,
    folder: Mutex<Option<Arc<TempDir>>>,
}

impl Shared {
    /// Nothing is made before it is needed.
    pub fn new(ssh: Ssh) -> Self {
        Self { ssh, handshakes: Semaphore::new(HANDSHAKES), folder: Mutex::default() }
    }

    fn folder(&self) -> Result<Arc<TempDir>, ConnectError> {
        let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = &*folder {
            return Ok(folder.clone());
        }
        let made = ssh::control_folder()
            .map_err(|e| ConnectError::unreachable(format!("no folder for the ssh control socket: {e}")))?;
        Ok(folder.insert(Arc::new(made)).clone())
    }
}

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It changes nothing, and may be repeated.
    Look,
    /// It may have taken effect when it is cut off.
    Change,
}

/// Scripts, and the standard input of the only one when it is large.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The scripts.
    pub parts: Vec<String>,
    /// Scripts that only look, behind the others; they may go unanswered.
    pub behind: Vec<String>,
    /// Sent as it is after the scripts.
    pub payload: Option<Bytes>,
    /// Whether what is printed is worth showing while it runs.
    pub live: bool,
}

/// A host.
pub struct Remote {
    host: Arc<Host>,
    shared: Arc<Shared>,
    attempt: Mutex<Option<Attempt>>,
    attempts: std::sync::atomic::AtomicU64,
    idle: Mutex<Vec<Idle>>,
    permits: Arc<Semaphore>,
    /// Shells that were busy when their connection was lost, and whether as root: they may still run.
    lost: Mutex<Vec<(Identity, bool)>>,
    /// How many cancelled shells are being ended.
    ending: watch::Sender<usize>,
}

/// A connection that is being made, or was.
#[derive(Clone)]
struct Attempt {
    number: u64,
    link: SharedFuture<BoxFuture<'static, Result<Link, ConnectError>>>,
}

struct Idle {
    r#become: bool,
    link: (u64, Link),
    shell: Shell,
}

impl Remote {
    /// Nothing is connected yet.
    pub fn new(host: Arc<Host>, shared: Arc<Shared>) -> Self {
        Self {
            host,
            shared,
            attempt: Mutex::default(),
            attempts: std::sync::atomic::AtomicU64::new(0),
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(SHELLS)),
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
            request.behind.iter().for_each(|part| frame.part_behind(part.clone()));
            let first = (purpose == Purpose::Look).then_some(&frame);
            let mut lease = self.lease(r#become, mode, first, call.deadline).await?;
            let payload = request.payload.as_ref().map(Bytes::as_slice);
            let broken = match lease.exchange(&frame, payload, call.deadline, &show).await {
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
            if purpose == Purpose::Look && !broken.deadline && !repeated {
                repeated = true;
                continue;
            }
            return Err(self.broken(&broken, connected, purpose));
        }
    }

    /// Ends the connection and all shells that are not in use.
    pub async fn close(&self) {
        let mut ending = self.ending.subscribe();
        let _ = timeout(CLOSING, ending.wait_for(|count| *count == 0)).await;
        lock(&self.idle).clear();
        lock(&self.attempt).take();
    }

    /// A shell for a request; a new one is sent `first` along when it starts.
    async fn lease(
        self: &Arc<Self>,
        r#become: bool,
        mode: Mode,
        first: Option<&Frame>,
        deadline: Instant,
    ) -> Result<Lease, ConnectError> {
        let mut ending = self.ending.subscribe();
        let free = async {
            let _ = ending.wait_for(|count| *count == 0).await;
            self.permits.clone().acquire_owned().await
        };
        let Ok(Ok(permit)) = timeout_at(deadline, free).await else {
            let busy = format!("all {SHELLS} shells on {} stayed busy until the deadline", self.name());
            return Err(ConnectError::failed(busy));
        };
        if mode == Mode::Program {
            while let Some(mut idle) = self.take_idle(r#become) {
                let answer_by = deadline.min(Instant::now() + ANSWER);
                let fresh = idle.shell.last_used.elapsed() < FRESH;
                if !idle.shell.has_ended() && (fresh || idle.shell.answers(answer_by).await) {
                    return Ok(Lease::new(self, idle, permit));
                }
                if !idle.link.1.alive().await {
                    self.forget(idle.link.0);
                }
            }
        }
        self.make_room();
        let mut repeated = false;
        loop {
            let connect = timeout_at(deadline, self.link());
            let link = connect.await.unwrap_or_else(|_| {
                let message = format!("no connection to {} before the deadline", self.name());
                Err(ConnectError::unreachable(message).hint("is it powered on, on the network, and ssh let through?"))
            })?;
            let lost = std::mem::take(&mut *lock(&self.lost));
            for (shell, r#become) in lost {
                // What it began must not go on beside what comes next.
                let _ = timeout_at(deadline, link.1.end_lost(shell, r#become)).await;
            }
            let opened = timeout_at(deadline, link.1.open(r#become, mode.arguments())).await;
            let error = match opened {
                Ok(Ok(streams)) => match Shell::start(streams, mode, first, deadline).await {
                    Ok(shell) => return Ok(Lease::new(self, Idle { r#become, link, shell }, permit)),
                    Err(broken) if link.1.alive().await => return Err(text::no_shell(self.name(), r#become, &broken)),
                    Err(broken) => ConnectError::unreachable(format!(
                        "the connection to {} was lost before anything was sent{}",
                        self.name(),
                        text::seen(&broken)
                    )),
                },
                Ok(Err(error)) => error,
                Err(_) => ConnectError::unreachable(format!("{} opened no session before the deadline", self.name())),
            };
            // The connection may have gone since it was last used: it is made again, once.
            self.forget(link.0);
            if repeated {
                return Err(error);
            }
            repeated = true;
        }
    }

    /// The connection, made when there is none. All who ask at once get the same; so they do when it fails.
    async fn link(self: &Arc<Self>) -> Result<(u64, Link), ConnectError> {
        if self.host.connection == Connection::Local {
            return Ok((0, Link::Local));
        }
        let attempt = lock(&self.attempt).get_or_insert_with(|| self.connect()).clone();
        let link = attempt.link.await;
        if link.is_err() {
            self.forget(attempt.number);
        }
        link.map(|link| (attempt.number, link))
    }

    /// Connects in a task of its own: it goes on when the caller gives up, for the next one.
    fn connect(&self) -> Attempt {
        let (shared, host) = (self.shared.clone(), self.host.clone());
        let task = tokio::spawn(async move {
            let folder = shared.folder()?;
            let _permit = shared.handshakes.acquire().await;
            let session = ssh::connect(&host, &shared.ssh, &folder).await?;
            Ok(Link::Ssh(Arc::new(session)))
        });
        let link =
            async { task.await.unwrap_or_else(|e| Err(ConnectError::unreachable(format!("no connection: {e}")))) };
        let number = self.attempts.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        Attempt { number, link: link.boxed().shared() }
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
        let in_use = SHELLS - self.permits.available_permits().min(SHELLS);
        let keep = SHELLS.saturating_sub(in_use);
        let excess = idle.len().saturating_sub(keep);
        idle.drain(..excess);
    }

    fn name(&self) -> &str {
        if self.host.name.is_empty() { "this machine" } else { &self.host.name }
    }

    fn broken(&self, broken: &Broken, connected: bool, purpose: Purpose) -> ConnectError {
        text::broken(self.name(), broken, connected, purpose == Purpose::Change)
    }
}

/// A shell that is in use. Dropped without being given back, it is ended with all that runs in it.
struct Lease {
    remote: Arc<Remote>,
    link: (u64, Link),
    /// `None` once given back.
    borrowed: Option<(Idle, OwnedSemaphorePermit)>,
}

impl Lease {
    fn new(remote: &Arc<Remote>, idle: Idle, permit: OwnedSemaphorePermit) -> Self {
        Self { remote: remote.clone(), link: idle.link.clone(), borrowed: Some((idle, permit)) }
    }

    async fn exchange(
        &mut self,
        frame: &Frame,
        payload: Option<&[u8]>,
        deadline: Instant,
        line: OnLine<'_>,
    ) -> Result<Vec<Done>, Broken> {
        match &mut self.borrowed {
            Some((idle, _)) => idle.shell.exchange(frame, payload, deadline, line).await,
            None => Err(Broken::default()),
        }
    }

    fn give_back(mut self) {
        if let Some((idle, _permit)) = self.borrowed.take()
            && idle.shell.takes_more()
        {
            lock(&self.remote.idle).push(idle);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some((idle, permit)) = self.borrowed.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let remote = self.remote.clone();
        remote.ending.send_modify(|count| *count += 1);
        runtime.spawn(async move {
            let (link, shell) = (&idle.link.1, idle.shell.identity);
            if link.alive().await {
                link.end(shell, idle.r#become).await;
            } else {
                lock(&remote.lost).push((shell, idle.r#become));
            }
            drop((idle, permit));
            remote.ending.send_modify(|count| *count -= 1);
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
