//! The locks of a run: one on this machine, and one in the cluster where the plan touches it.

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

/// Pause between two looks at the lock of this machine.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Pause between two looks at the lock in the cluster.
const CLUSTER_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// What to do while somebody else runs the plan.
#[derive(Debug, clap::Args)]
pub struct Waiting {
    /// Wait this long for another run of the plan to end, such as `90s` or `5m` [default: only until it is known to be alive]
    #[arg(long, value_name = "DURATION", value_parser = crate::document::parse_duration)]
    pub wait_lock: Option<Duration>,
}

/// Held while a run lasts; given back when dropped, the cluster's first. Not to be dropped inside a runtime.
pub struct Locks {
    lost: watch::Receiver<Option<String>>,
    _lease: Option<Keeper>,
    flock: Lock,
}

impl Locks {
    /// Takes the locks for a new run; waits for both up to `wait`.
    ///
    /// # Errors
    /// With [`Exit::Locked`] when somebody else has one of them.
    pub fn take(loaded: &Loaded, store: &Store, wait: Option<Duration>, terminal: &Terminal) -> Result<Self, Failure> {
        let mut wait = Wait { began: Instant::now(), limit: wait, terminal, said: false };
        let flock = loop {
            match Lock::take(store.folder(), || store.new_run_id()) {
                Ok(lock) => break lock,
                Err(LockError::Held(held)) => std::thread::sleep(wait.pause(&held, None, true, POLL_INTERVAL)?),
                Err(LockError::Journal(error)) => return Err(error.into()),
            }
        };
        let (say, lost) = watch::channel(None);
        let lease = if loaded.plan.touches_cluster(&Registry::standard()) {
            // A run on this machine that was killed had the same two: we have one, so it does not have the other.
            let killed = flock.stale_holder().cloned();
            let candidate = Candidate::new(&loaded.inventory, &loaded.plan.name.value, flock.run(), killed);
            Keeper::take(candidate, &mut wait, say)?
        } else {
            None
        };
        Ok(Self { lost, _lease: lease, flock })
    }

    /// The new run's id.
    pub fn run(&self) -> &str {
        self.flock.run()
    }

    /// Tells why a lock was lost, if it comes to that.
    pub fn lost(&self) -> watch::Receiver<Option<String>> {
        self.lost.clone()
    }

    /// Why the run that held them was stopped, if the loss of a lock is it.
    pub fn why_stopped(&self) -> Option<Failure> {
        let why = self.lost.borrow().clone()?;
        let problem = Problem::new(format!("the run stopped early, since its lock is lost: {why}"))
            .hint("run the plan again to go on from here, once nobody else runs it");
        Some(Failure::Problem(problem, Exit::Locked))
    }
}

/// Waits for locks.
struct Wait<'a> {
    began: Instant,
    limit: Option<Duration>,
    terminal: &'a Terminal,
    said: bool,
}

impl Wait<'_> {
    /// How long to wait until the next look; says once who is waited for. `silence` is why the last look saw nothing. One
    /// that is not known to be alive is watched until it is, or its lease has run out, whatever the limit: else who never
    /// waits would be kept out by the dead for good.
    fn pause(&mut self, held: &Held, silence: Option<&str>, alive: bool, pause: Duration) -> Result<Duration, Failure> {
        let limit = self.limit.unwrap_or_default();
        let left = limit.saturating_sub(self.began.elapsed());
        if left.is_zero() && alive {
            return Err(locked(held, silence, self.limit));
        }
        if !self.said {
            self.said = true;
            let time = if alive || !left.is_zero() {
                format!("for {limit:?} at most")
            } else {
                format!("to see within {:?} whether that is still at work", lease::LEASE_DURATION)
            };
            self.terminal.note(&format!("{YELLOW}waiting:{YELLOW:#} {held}; {time}\n"));
        }
        Ok(if left.is_zero() { pause } else { pause.min(left) })
    }
}

fn locked(held: &Held, silence: Option<&str>, waited: Option<Duration>) -> Failure {
    let waited = waited.map(|time| format!(", after {time:?} of waiting")).unwrap_or_default();
    let silence = silence.map(|why| format!("; seen last, for now {why}")).unwrap_or_default();
    let look = held.run_here().map(|run| format!("look at it with `rollout show {run}`, ")).unwrap_or_default();
    let hint = format!(
        "{look}wait for it with `--wait-lock 5m`; when its holder dies, a lock on this machine frees itself at once, a \
         lease within {:?}",
        lease::LEASE_DURATION
    );
    Failure::Problem(
        Problem::new(format!("another run of the plan is under way{waited}: {held}{silence}")).hint(hint),
        Exit::Locked,
    )
}

/// Keeps a lease on a thread of its own, whatever the run is busy with.
struct Keeper {
    runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Without a cluster there is nothing to keep: the plan may be what brings it up.
    fn take(
        mut candidate: Candidate,
        wait: &mut Wait,
        lost: watch::Sender<Option<String>>,
    ) -> Result<Option<Self>, Failure> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("lease").enable_all().build()?;
        let Some(lease) = runtime.block_on(take(&mut candidate, wait))? else { return Ok(None) };
        let (stop, stopped) = oneshot::channel();
        let task = runtime.spawn(lease.keep(stopped, lost));
        Ok(Some(Self { runtime, stop: Some(stop), task: Some(task) }))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            // It bounds its own time.
            let _released = self.runtime.block_on(task);
        }
    }
}

async fn take(candidate: &mut Candidate, wait: &mut Wait<'_>) -> Result<Option<Box<Lease>>, Failure> {
    let mut seen: Option<Held> = None;
    loop {
        let (held, alive, silence) = match (candidate.attempt().await, seen.take()) {
            (Ok(Attempt::Taken(lease)), _) => return Ok(Some(lease)),
            (Ok(Attempt::Held { held, alive }), _) => (held, alive, None),
            // Whoever was seen there may still be at it.
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
        let pause = wait.pause(&held, silence.as_deref(), alive, CLUSTER_POLL_INTERVAL)?;
        seen = Some(held);
        tokio::time::sleep(pause).await;
    }
}
