//! One host's connection, made on first use and shared by all callers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared as SharedFuture};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::link::Link;
use super::shared::Shared;
use super::shell::Streams;
use super::sudo::{NotOpened, Sudo};
use crate::connect::ConnectError;
use crate::inventory::{Connection, Host};
use crate::sync::lock;

/// Pause after a failed attempt, before the next caller may connect again.
const RECONNECT_AFTER: Duration = Duration::from_secs(10);

/// Makes and caches the connection to one host.
pub struct Connector {
    host: Arc<Host>,
    shared: Arc<Shared>,
    attempt: Mutex<Option<Attempt>>,
    attempts: AtomicU64,
    /// Whether persistent connections of earlier runs must not be taken over: one turned out to be dead, or a new
    /// connection was requested.
    reuse_forbidden: AtomicBool,
    sudo: Sudo,
}

/// A connection, or the attempt to make one.
#[derive(Clone)]
struct Attempt {
    number: u64,
    started: Instant,
    task: AbortHandle,
    link: SharedFuture<BoxFuture<'static, Result<Link, ConnectError>>>,
}

impl Connector {
    /// Does not connect yet.
    pub fn new(host: Arc<Host>, shared: Arc<Shared>) -> Self {
        Self {
            host,
            shared,
            attempt: Mutex::default(),
            attempts: AtomicU64::new(0),
            reuse_forbidden: AtomicBool::new(false),
            sudo: Sudo::default(),
        }
    }

    /// Starts connecting in the background.
    pub fn preconnect(&self) {
        if self.host.connection == Connection::Ssh {
            lock(&self.attempt).get_or_insert_with(|| self.connect());
        }
    }

    /// Makes later callers use a new connection.
    pub fn reconnect(&self) {
        self.forbid_reuse();
        lock(&self.attempt).take();
    }

    /// From now on takes over no connection of an earlier run.
    pub fn forbid_reuse(&self) {
        self.reuse_forbidden.store(true, Ordering::Relaxed);
    }

    pub fn close(&self) {
        if let Some(attempt) = lock(&self.attempt).take() {
            attempt.task.abort();
        }
    }

    /// Starts `sh ARGUMENTS`, as root if requested.
    pub async fn start(
        &self,
        link: &Link,
        as_root: bool,
        arguments: &str,
        deadline: Instant,
    ) -> Result<Streams, NotOpened> {
        let password = self.host.access.password.as_ref();
        let password = password.and_then(|secret| self.shared.password(secret));
        self.sudo.start(link, arguments, (as_root, password), self.name(), deadline).await
    }

    /// The connection and its number; connects if there is none. Concurrent callers share one attempt and its result,
    /// also when it fails.
    pub async fn link(&self) -> Result<(u64, Link), ConnectError> {
        if self.host.connection == Connection::Local {
            return Ok((0, Link::Local));
        }
        let attempt = {
            let mut attempt = lock(&self.attempt);
            let failed =
                |a: &mut Attempt| a.started.elapsed() > RECONNECT_AFTER && matches!(a.link.peek(), Some(Err(_)));
            attempt.take_if(failed);
            attempt.get_or_insert_with(|| self.connect()).clone()
        };
        let link = attempt.link.await;
        if link.is_err() {
            self.forget(attempt.number);
        }
        link.map(|link| (attempt.number, link))
    }

    /// Connects in a task of its own, which goes on for later callers when the first caller gives up.
    fn connect(&self) -> Attempt {
        let (shared, host, reuse) =
            (self.shared.clone(), self.host.clone(), !self.reuse_forbidden.load(Ordering::Relaxed));
        let task = tokio::spawn(async move { shared.connect(&host, reuse).await.map(Link::ssh) });
        let number = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        let (began, abort) = (Instant::now(), task.abort_handle());
        let link =
            async { task.await.unwrap_or_else(|e| Err(ConnectError::unreachable(format!("no connection: {e}")))) };
        Attempt { number, started: began, task: abort, link: link.boxed().shared() }
    }

    /// Whether the connection of that number is the one that new calls use.
    pub fn is_current(&self, number: u64) -> bool {
        lock(&self.attempt).as_ref().map_or(0, |attempt| attempt.number) == number
    }

    /// Drops the connection of that number.
    pub fn forget(&self, number: u64) {
        lock(&self.attempt).take_if(|attempt| attempt.number == number);
    }

    pub fn name(&self) -> &str {
        if self.host.name.is_empty() { "this machine" } else { &self.host.name }
    }
}
