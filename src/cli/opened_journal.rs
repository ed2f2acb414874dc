//! The journal of a new run, and what earlier runs of the plan left.

use super::failure::Failure;
use super::load::Loaded;
use super::lock::Locks;
use crate::journal::{DefinitionKey, Journal, JournalError, PreviousRun, Store, new_run_id};
use crate::plan::secrets;

#[derive(Default)]
pub struct OpenedJournal {
    pub id: String,
    /// Held until the run ends; previews take none.
    pub locks: Option<Locks>,
    /// Records the new run; previews have none.
    pub journal: Option<Journal>,
    /// What earlier runs recorded.
    pub earlier: PreviousRun,
    /// Key for the hashes of step definitions; none if the plan has no secrets.
    pub key: Option<DefinitionKey>,
}

impl OpenedJournal {
    /// For a preview. It continues no earlier run and writes no journal. Only a preview that is compared with another
    /// one creates the plan's key on disk.
    ///
    /// # Errors
    /// When the key cannot be read or written.
    pub fn for_preview(loaded: &Loaded, compared: bool) -> Result<Self, Failure> {
        if compared {
            loaded.store()?.key()?.use_for_marks();
        }
        let key = match (has_secrets(loaded), compared) {
            (false, _) => None,
            (true, false) => Some(DefinitionKey::default()),
            (true, true) => Some(loaded.store()?.key()?),
        };
        Ok(Self { id: new_run_id(), key, ..Self::default() })
    }

    /// For a run that holds its locks. The run continues the latest one, see [`PreviousRun::of`].
    ///
    /// # Errors
    /// When the journals cannot be read or written.
    pub fn for_run(loaded: &Loaded, fresh: bool, locks: Locks) -> Result<Self, Failure> {
        let store = loaded.store()?;
        let key = store.key()?;
        key.use_for_marks();
        let key = has_secrets(loaded).then_some(key);
        let opened = Self { id: locks.run().to_owned(), locks: Some(locks), key, ..Self::default() };
        Ok(opened.continue_latest(&store, fresh)?)
    }

    fn continue_latest(mut self, store: &Store, fresh: bool) -> Result<Self, JournalError> {
        let latest = match store.latest() {
            Err(error) if fresh && !matches!(error, JournalError::Io { .. }) => None,
            latest => latest?,
        };
        self.earlier = latest.map(|(_, events)| PreviousRun::from_events(&events, fresh)).unwrap_or_default();
        self.journal = Some(store.create(&self.id)?);
        Ok(self)
    }
}

/// Whether a step's definition may contain a secret. Its hash is then keyed, so that nobody can guess the secret from
/// it.
fn has_secrets(loaded: &Loaded) -> bool {
    let mut steps = loaded.plan.phases.iter().flat_map(|phase| &phase.steps);
    !secrets(&loaded.plan, &loaded.inventory).is_empty() || steps.any(|step| step.sensitive)
}
