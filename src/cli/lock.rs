//! The locks of a run: a file lock on this machine, and a Lease in the cluster if the plan uses the cluster.

use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::exit::Exit;
use super::failure::Failure;
use super::load::Loaded;
use super::terminal::{Terminal, YELLOW};
use crate::actions::Registry;
use crate::connect::kube::lease::{self, Attempt, Candidate, Lease, LeaseError};
use crate::event::Problem;
use crate::holder::Held;
use crate::journal::{Lock, LockError, Store};

/// Pause between two attempts to take the file lock.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Pause between two attempts to take the Lease.
const CLUSTER_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Options for when another run of the plan holds the lock.
#[derive(Debug, clap::Args)]
pub struct LockArgs {
    /// Wait up to this long for another run of the plan to end, such as `90s` or `5m` [default: do not wait, except to
    /// find out whether the other run is still alive]
    #[arg(long, value_name = "DURATION", value_parser = crate::document::parse_duration)]
    pub wait_lock: Option<Duration>,
}

/// The locks of a run, released on drop, the Lease first. Must not be dropped inside an async runtime.
pub struct Locks {
    lost: watch::Receiver<Option<String>>,
    _lease: Option<LeaseKeeper>,
    flock: Lock,
}

impl Locks {
    /// Takes both locks for a new run, waiting up to `wait` in total.
    ///
    /// # Errors
    /// With [`Exit::Locked`] when another run holds one of the locks.
    pub fn take(loaded: &Loaded, store: &Store, wait: Option<Duration>, terminal: &Terminal) -> Result<Self, Failure> {
        let mut wait = LockWait { began: Instant::now(), limit: wait, terminal, is_announced: false };
        let flock = loop {
            match Lock::take(store.folder(), || store.new_run_id()) {
                Ok(lock) => break lock,
                Err(LockError::Held(held)) => std::thread::sleep(wait.pause(&held, None, true, POLL_INTERVAL)?),
                Err(LockError::Journal(error)) => return Err(error.into()),
            }
        };
        let (report_loss, lost) = watch::channel(None);
        let lease = if loaded.plan.touches_cluster(&Registry::standard()) {
            // A killed run of this machine held both locks. Its file lock is ours now, so its Lease is free to take.
            let killed = flock.stale_holder().cloned();
            let candidate = Candidate::new(&loaded.inventory, &loaded.plan.name.value, flock.run(), killed);
            LeaseKeeper::take(candidate, &mut wait, report_loss)?
        } else {
            None
        };
        Ok(Self { lost, _lease: lease, flock })
    }

    pub fn run(&self) -> &str {
        self.flock.run()
    }

    /// Receives the reason if a lock is lost during the run.
    pub fn lost(&self) -> watch::Receiver<Option<String>> {
        self.lost.clone()
    }

    /// The failure to report if the run was stopped because a lock was lost.
    pub fn loss_failure(&self) -> Option<Failure> {
        let why = self.lost.borrow().clone()?;
        let problem = Problem::new(format!("the run stopped early, because it has lost its lock: {why}"))
            .hint("run the plan again once nobody else runs it; it continues from here");
        Some(Failure::Problem(problem, Exit::Locked))
    }
}

/// Waits for a lock, up to a deadline, and tells the user once.
struct LockWait<'a> {
    began: Instant,
    limit: Option<Duration>,
    terminal: &'a Terminal,
    is_announced: bool,
}

impl LockWait<'_> {
    /// How long to sleep before the next attempt; fails when the wait is over. The first call tells the user who holds
    /// the lock. `poll_error` is why the last attempt got no answer.
    ///
    /// A holder that is not known to be alive is watched beyond the deadline, until it renews the lock or its Lease
    /// expires. Without that, a dead holder would lock out every run that does not wait.
    fn pause(
        &mut self,
        held: &Held,
        poll_error: Option<&str>,
        alive: bool,
        pause: Duration,
    ) -> Result<Duration, Failure> {
        let limit = self.limit.unwrap_or_default();
        let left = limit.saturating_sub(self.began.elapsed());
        if left.is_zero() && alive {
            return Err(locked(held, poll_error, self.limit));
        }
        if !self.is_announced {
            self.is_announced = true;
            let time = if alive || !left.is_zero() {
                format!("for {limit:?} at most")
            } else {
                format!("up to {:?}, to see whether that run is still alive", lease::LEASE_DURATION)
            };
            self.terminal.note(&format!("{YELLOW}waiting:{YELLOW:#} {held}; {time}\n"));
        }
        Ok(if left.is_zero() { pause } else { pause.min(left) })
    }
}

fn locked(held: &Held, poll_error: Option<&str>, waited: Option<Duration>) -> Failure {
    let waited = waited.map(|time| format!(", after {time:?} of waiting")).unwrap_or_default();
    let poll_error = poll_error.map(|why| format!("; the lock cannot be read right now: {why}")).unwrap_or_default();
    let show_hint =
        held.local_run().map(|run| format!("see what it does with `rollout show {run}`, ")).unwrap_or_default();
    let hint = format!(
        "{show_hint}wait for it with `--wait-lock 5m`; if its process dies, the lock becomes free by itself: at once on \
         this machine, within {:?} in the cluster",
        lease::LEASE_DURATION
    );
    Failure::Problem(
        Problem::new(format!("another run of the plan is under way{waited}: {held}{poll_error}")).hint(hint),
        Exit::Locked,
    )
}

/// Renews a Lease on a thread of its own, so that a busy run does not delay it.
struct LeaseKeeper {
    runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl LeaseKeeper {
    /// Takes the Lease; `None` if the cluster cannot be reached, because the plan may be what brings the cluster up.
    fn take(
        mut candidate: Candidate,
        wait: &mut LockWait,
        lost: watch::Sender<Option<String>>,
    ) -> Result<Option<Self>, Failure> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("lease").enable_all().build()?;
        let Some(lease) = runtime.block_on(take_lease(&mut candidate, wait))? else { return Ok(None) };
        let (stop, stopped) = oneshot::channel();
        let task = runtime.spawn(lease.keep(stopped, lost));
        Ok(Some(Self { runtime, stop: Some(stop), task: Some(task) }))
    }
}

impl Drop for LeaseKeeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            // The release has a timeout of its own.
            let _released = self.runtime.block_on(task);
        }
    }
}

async fn take_lease(candidate: &mut Candidate, wait: &mut LockWait<'_>) -> Result<Option<Box<Lease>>, Failure> {
    let mut last_held: Option<Held> = None;
    loop {
        let (held, alive, poll_error) = match (candidate.attempt().await, last_held.take()) {
            (Ok(Attempt::Taken(lease)), _) => return Ok(Some(lease)),
            (Ok(Attempt::Held { held, alive }), _) => (held, alive, None),
            // The holder that was seen before may still be running.
            (Err(LeaseError::Unreachable(problem)), Some(held)) => (held, true, Some(problem.message)),
            (Err(LeaseError::Unreachable(problem)), None) => {
                wait.terminal.note(&format!(
                    "{YELLOW}warning:{YELLOW:#} no lock in the cluster, so a run on another machine would not be \
                     noticed: {}\n",
                    problem.message
                ));
                return Ok(None);
            }
            (Err(LeaseError::Refused(problem)), _) => {
                let exit = if problem.unreachable { Exit::Unreachable } else { Exit::Failed };
                return Err(Failure::Problem(problem, exit));
            }
        };
        let pause = wait.pause(&held, poll_error.as_deref(), alive, CLUSTER_POLL_INTERVAL)?;
        last_held = Some(held);
        tokio::time::sleep(pause).await;
    }
}
