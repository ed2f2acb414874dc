//! What is on record of a plan, and the right to add to it.

use std::time::Duration;

use super::exit::Exit;
use super::failure::Failure;
use super::load::Loaded;
use super::lock::Locks;
use super::terminal::Terminal;
use crate::event::Problem;
use crate::journal::{DefinitionKey, Journal, JournalError, Memory, RunState, Store, new_run_id};
use crate::plan::secrets;

/// A new run's id, and what it goes on from.
#[derive(Default)]
pub struct Past {
    /// The new run's id.
    pub id: String,
    /// Held while the run lasts.
    pub locks: Option<Locks>,
    /// The new run's journal; none for previews.
    pub journal: Option<Journal>,
    /// What earlier runs recorded.
    pub memory: Memory,
    /// The run that is gone on from.
    pub resumed_from: Option<String>,
    /// The key of the hashes of definitions; none where the plan has no secrets.
    pub key: Option<DefinitionKey>,
}

impl Past {
    /// Of a preview, which goes on from nothing; only one that is compared with another leaves something behind, the key.
    ///
    /// # Errors
    /// When the key cannot be read or written.
    pub fn of_preview(loaded: &Loaded, compared: bool) -> Result<Self, Failure> {
        let key = match (has_secrets(loaded), compared) {
            (false, _) => None,
            (true, false) => Some(DefinitionKey::default()),
            (true, true) => Some(store(loaded).and_then(|store| store.key()).map_err(unusable)?),
        };
        Ok(Self { id: new_run_id(), key, ..Self::default() })
    }

    /// A run that ended well is over but for its open ends; any other is gone on from, unless a fresh start is asked for.
    ///
    /// # Errors
    /// When another run is under way, or the journals cannot be read or written.
    pub fn open(
        loaded: &Loaded,
        fresh: bool,
        wait_lock: Option<Duration>,
        terminal: &Terminal,
    ) -> Result<Self, Failure> {
        let store = store(loaded).map_err(unusable)?;
        let locks = Locks::take(loaded, &store, wait_lock, terminal)?;
        let key = has_secrets(loaded).then(|| store.key()).transpose().map_err(unusable)?;
        let past = Self { id: locks.run().to_owned(), locks: Some(locks), key, ..Self::default() };
        past.read(&store, fresh).map_err(unusable)
    }

    fn read(mut self, store: &Store, fresh: bool) -> Result<Self, JournalError> {
        let latest = match store.latest() {
            Err(error) if fresh && !matches!(error, JournalError::Io { .. }) => None,
            latest => latest?,
        };
        if let Some((info, events)) = latest {
            let memory = Memory::of(&events);
            self.memory = match info.state {
                _ if fresh => memory.fresh(),
                RunState::Succeeded => memory.open_ends(),
                _ => memory,
            };
            let goes_on = !fresh && (info.state != RunState::Succeeded || !self.memory.is_empty());
            self.resumed_from = goes_on.then_some(info.id);
        }
        self.journal = Some(store.create(&self.id)?);
        Ok(self)
    }
}

/// Whether the hash of a definition may tell something that is nobody's business.
fn has_secrets(loaded: &Loaded) -> bool {
    let mut steps = loaded.plan.phases.iter().flat_map(|phase| &phase.steps);
    !secrets(&loaded.plan, &loaded.inventory).is_empty() || steps.any(|step| step.sensitive)
}

fn store(loaded: &Loaded) -> Result<Store, JournalError> {
    Store::open(&loaded.plan.source.path, &loaded.plan.name.value, loaded.inventory.path.as_deref())
}

fn unusable(error: JournalError) -> Failure {
    let hint = match error {
        JournalError::Io { .. } => "ROLLOUT_STATE_DIR names another folder for journals",
        _ => "`--fresh` starts anew: the world is the state, so only the memory of that run is lost",
    };
    Failure::Problem(Problem::new(error.to_string()).hint(hint), Exit::Failed)
}
