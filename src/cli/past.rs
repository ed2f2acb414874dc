//! What is on record of a plan, and the right to add to it.

use std::path::Path;

use super::exit::Exit;
use super::failure::Failure;
use super::load::Loaded;
use crate::event::Problem;
use crate::journal::{Journal, JournalError, Lock, LockError, Memory, RunState, Store, new_run_id};

/// A new run's id, and what it goes on from.
#[derive(Default)]
pub struct Past {
    /// The new run's id.
    pub id: String,
    /// Held while the run lasts.
    pub lock: Option<Lock>,
    /// The new run's journal; none for previews.
    pub journal: Option<Journal>,
    /// What earlier runs recorded.
    pub memory: Memory,
    /// The run that is gone on from.
    pub resumed_from: Option<String>,
}

impl Past {
    /// Of a preview, which goes on from nothing and leaves nothing behind.
    pub fn none() -> Self {
        Self { id: new_run_id(), ..Self::default() }
    }

    /// A run that ended well is over but for its open ends; any other is gone on from, unless a fresh start is asked for.
    ///
    /// # Errors
    /// When another run is under way, or the journals cannot be read or written.
    pub fn open(loaded: &Loaded, fresh: bool) -> Result<Self, Failure> {
        Self::taken(loaded, fresh).map_err(|e| locked(e, &loaded.plan.source.path))
    }

    fn taken(loaded: &Loaded, fresh: bool) -> Result<Self, LockError> {
        let store = Store::open(&loaded.plan.source.path, &loaded.plan.name.value, loaded.inventory.path.as_deref())?;
        let id = store.new_run_id();
        let lock = Lock::take(store.folder(), &id)?;
        let mut past = Self { lock: Some(lock), ..Self::default() };
        // Named only now: the run that held the lock until then may have begun after the first look.
        past.id = store.new_run_id();
        let latest = match store.latest() {
            Err(error) if fresh && !matches!(error, JournalError::Io { .. }) => None,
            latest => latest?,
        };
        if let Some((info, events)) = latest {
            let memory = Memory::of(&events);
            past.memory = match info.state {
                _ if fresh => memory.fresh(),
                RunState::Succeeded => memory.open_ends(),
                _ => memory,
            };
            let goes_on = !fresh && (info.state != RunState::Succeeded || !past.memory.is_empty());
            past.resumed_from = goes_on.then_some(info.id);
        }
        past.journal = Some(store.create(&past.id)?);
        Ok(past)
    }
}

fn locked(error: LockError, plan: &Path) -> Failure {
    match error {
        LockError::Held { holder } => Failure::Problem(
            Problem::new(format!("another run of {} is under way: {holder}", plan.display()))
                .hint("wait for it to end; the lock frees itself when its holder does"),
            Exit::Locked,
        ),
        LockError::Journal(error @ JournalError::Io { .. }) => Failure::Problem(
            Problem::new(error.to_string()).hint("ROLLOUT_STATE_DIR names another folder for journals"),
            Exit::Failed,
        ),
        LockError::Journal(error) => Failure::Problem(
            Problem::new(error.to_string())
                .hint("`--fresh` starts anew: the world is the state, so only the memory of that run is lost"),
            Exit::Failed,
        ),
    }
}
