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

/// Everything that one unit needs to run.
pub struct Job {
    pub action: ActionRef,
    /// Whether the action goes on from an attempt of an earlier run.
    pub resumed: bool,
    pub unit: UnitRef,
    pub target: Target,
    pub mode: Mode,
    pub timeout: Duration,
    pub retry: Retry,
    /// Whether what needs it goes on when it fails.
    pub ignores_errors: bool,
    pub world: Arc<dyn World>,
    /// How its change is taken back should it cut the connection.
    pub guard: Option<Guard>,
    /// Takes notes for people.
    pub notes: Arc<dyn Fn(Note) + Send + Sync>,
    /// True once an effect was sent out, so that who cancels the job knows what is known.
    pub acted: Arc<AtomicBool>,
    pub faults: Arc<dyn Faults>,
    /// What a saved plan says of it.
    pub approved: Option<SavedUnit>,
    /// What is known of its host ahead of time.
    pub cache: FactCache,
    /// What the units behind it will ask of the host: asked along with its own queries, or behind its last effect.
    pub queries: Vec<Query>,
    /// Whether it has asked for all of them along with its own.
    pub prefetched: bool,
    /// Why its host could not be reached then.
    pub unreachable: Mutex<Option<ConnectError>>,
}

impl Job {
    /// Its host's name.
    pub fn host(&self) -> Option<&str> {
        self.target.host.as_ref().map(|host| host.name.as_str())
    }
}

/// Takes the notes of running units.
pub type NoteSink = Arc<dyn Fn(&UnitRef, Note) + Send + Sync>;

/// What a running job tells meanwhile.
pub enum Note {
    /// What is seen or done right now.
    Progress(String),
    /// An attempt failed; the next follows after the pause.
    Retried { attempt: u32, message: String, delay: Duration },
}

/// How a job ended.
pub struct Execution {
    pub result: ExecutionResult,
    pub diff: Diff,
    pub outputs: Outputs,
    pub printed: String,
    /// What would exist after it (preview).
    pub provides: Vec<Resource>,
    /// Set once all of it may be told as it is.
    pub cleaned: Option<Box<Cleaned>>,
}

/// The kinds of end.
#[derive(Debug)]
pub enum ExecutionResult {
    Same {
        seen: String,
    },
    Changed,
    /// Preview: not so yet.
    NotReady {
        seen: String,
    },
    /// Preview: this must exist first.
    Missing(Resource),
    Failed(Problem),
    /// It would change something else than the saved plan says.
    Diverged(Problem),
    Unknown(Problem),
    /// It was to be sent behind one that did not end well.
    NotStarted {
        needs: String,
    },
}

impl ExecutionResult {
    /// What it is when the action, or what brought its answers, panicked: not known.
    pub fn unless(self, defect: Option<Problem>) -> Self {
        match (self, defect) {
            (Self::Failed(problem), _) if problem.defect => Self::Unknown(problem),
            (ending @ (Self::Unknown(_) | Self::NotStarted { .. }), _) | (ending, None) => ending,
            (_, Some(defect)) => Self::Unknown(defect),
        }
    }
}

/// That all texts of an end are cleaned.
pub struct Cleaned {
    /// The outputs as they may be told; those for later steps have their secrets.
    pub outputs: Outputs,
    /// How many secrets were registered then.
    pub secrets: usize,
}

/// How much longer the engine waits for a backend that enforces the deadline itself and reports what it last saw. After that
/// the engine gives up without the backend's message.
pub const DEADLINE_GRACE: Duration = Duration::from_secs(2);
