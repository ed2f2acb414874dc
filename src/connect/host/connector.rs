//! One host's connection: made when it is first needed, once for all who ask.

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

/// A connection that failed this long ago may be made now.
const RECONNECT_AFTER: Duration = Duration::from_secs(10);

/// Connects to one host.
pub struct Connector {
    host: Arc<Host>,
    shared: Arc<Shared>,
    attempt: Mutex<Option<Attempt>>,
    attempts: AtomicU64,
    /// Whether a connection that was kept is not to be used: it turned out to be dead, or a fresh one is asked for.
    distrusts: AtomicBool,
    sudo: Sudo,
}

/// A connection that is being made, or was.
#[derive(Clone)]
struct Attempt {
    number: u64,
    began: Instant,
    task: AbortHandle,
    link: SharedFuture<BoxFuture<'static, Result<Link, ConnectError>>>,
}

impl Connector {
    /// Nothing is connected yet.
    pub fn new(host: Arc<Host>, shared: Arc<Shared>) -> Self {
        Self {
            host,
            shared,
            attempt: Mutex::default(),
            attempts: AtomicU64::new(0),
            distrusts: AtomicBool::new(false),
            sudo: Sudo::default(),
        }
    }

    /// Begins to connect, for those who ask later.
    pub fn warm(&self) {
        if self.host.connection == Connection::Ssh {
            lock(&self.attempt).get_or_insert_with(|| self.connect());
        }
    }

    /// Has those who ask from now on connect anew.
    pub fn renew(&self) {
        self.distrust();
        lock(&self.attempt).take();
    }

    /// Uses no connection any more that an earlier run kept.
    pub fn distrust(&self) {
        self.distrusts.store(true, Ordering::Relaxed);
    }

    /// Ends the connection.
    pub fn close(&self) {
        if let Some(attempt) = lock(&self.attempt).take() {
            attempt.task.abort();
        }
    }

    /// Starts `sh ARGUMENTS`, as root when asked for.
    pub async fn start(&self, link: &Link, as_root: bool, arguments: &str, by: Instant) -> Result<Streams, NotOpened> {
        let password = self.host.access.password.as_ref();
        let password = password.and_then(|secret| self.shared.password(secret));
        self.sudo.start(link, arguments, (as_root, password), self.name(), by).await
    }

    /// The connection, made when there is none. All who ask at once get the same; so they do when it fails.
    pub async fn link(&self) -> Result<(u64, Link), ConnectError> {
        if self.host.connection == Connection::Local {
            return Ok((0, Link::Local));
        }
        let attempt = {
            let mut attempt = lock(&self.attempt);
            let failed = |a: &mut Attempt| a.began.elapsed() > RECONNECT_AFTER && matches!(a.link.peek(), Some(Err(_)));
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
    pub fn forget(&self, number: u64) {
        lock(&self.attempt).take_if(|attempt| attempt.number == number);
    }

    /// The host's name, for messages.
    pub fn name(&self) -> &str {
        if self.host.name.is_empty() { "this machine" } else { &self.host.name }
    }
}
