//! A unit as the executor takes it, and the result. Running jobs share `world`, `cache`, `guard`, `faults` and `notes` with the
//! dispatcher and with each other; the dispatcher reads `acted` when a job is cancelled.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::fact_cache::{FactCache, Query};
use super::guard_locks::Guard;
use crate::actions::{ActionRef, Resource};
use crate::connect::{ConnectError, Target, World};
use crate::diff::Diff;
use crate::engine::faults::Faults;
use crate::event::{Mode, Outputs, Problem, UnitRef};
use crate::journal::SavedUnit;
use crate::plan::Retry;

pub struct Job {
    pub action: ActionRef,
    /// Whether the action continues an attempt of an earlier run.
    pub resumed: bool,
    pub unit: UnitRef,
    pub target: Target,
    pub mode: Mode,
    pub timeout: Duration,
    pub retry: Retry,
    /// Whether the units that need this one go on when it fails.
    pub ignores_errors: bool,
    pub world: Arc<dyn World>,
    /// How the host restores itself if the change cuts the connection.
    pub guard: Option<Guard>,
    pub notes: Arc<dyn Fn(Note) + Send + Sync>,
    /// Set once an effect was sent: if the job is cancelled then, its result is unknown.
    pub acted: Arc<AtomicBool>,
    pub faults: Arc<dyn Faults>,
    /// The unit as the saved plan has it.
    pub approved: Option<SavedUnit>,
    pub cache: FactCache,
    /// Probes of the units behind this one. They go along with the unit's own probes, or behind its last effect.
    pub queries: Vec<Query>,
    /// Whether these probes have gone along with the unit's own.
    pub prefetched: bool,
    /// Why the host could not be reached then.
    pub unreachable: Mutex<Option<ConnectError>>,
}

impl Job {
    pub fn host(&self) -> Option<&str> {
        self.target.host.as_ref().map(|host| host.name.as_str())
    }
}

pub type NoteSink = Arc<dyn Fn(&UnitRef, Note) + Send + Sync>;

/// News from a running job.
pub enum Note {
    /// The text says what is seen or done right now.
    Progress(String),
    /// An attempt failed; the next one follows after the delay.
    Retried { attempt: u32, message: String, delay: Duration },
}

pub struct Execution {
    pub result: ExecutionResult,
    pub diff: Diff,
    pub outputs: Outputs,
    pub printed: String,
    /// Resources that would exist after the unit has run (previews).
    pub provides: Vec<Resource>,
    /// Set once all texts have been redacted.
    pub redacted: Option<Box<Redacted>>,
}

#[derive(Debug)]
pub enum ExecutionResult {
    Same {
        seen: String,
    },
    Changed,
    /// Preview: the unit would wait.
    NotReady {
        seen: String,
    },
    /// Preview: the resource must exist first.
    Missing(Resource),
    Failed(Problem),
    /// The unit would make another change than the saved plan has.
    Diverged(Problem),
    Unknown(Problem),
    /// A unit before this one in its pipeline did not end well.
    NotStarted {
        needs: String,
    },
}

impl ExecutionResult {
    /// The result, or unknown if the action or a backend panicked.
    pub fn unless(self, defect: Option<Problem>) -> Self {
        match (self, defect) {
            (Self::Failed(problem), _) if problem.defect => Self::Unknown(problem),
            (ending @ (Self::Unknown(_) | Self::NotStarted { .. }), _) | (ending, None) => ending,
            (_, Some(defect)) => Self::Unknown(defect),
        }
    }
}

/// The redacted outputs of an execution.
pub struct Redacted {
    /// The outputs to report; those for later steps keep their secrets.
    pub outputs: Outputs,
    /// The number of secrets that were registered when the texts were redacted.
    pub secrets: usize,
}

/// How much longer the engine waits for a backend that enforces the deadline itself and reports what it last saw. After that
/// the engine gives up without the backend's message.
pub const DEADLINE_GRACE: Duration = Duration::from_secs(2);
