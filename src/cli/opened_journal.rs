//! What is on record of a plan, and the right to add to it.

use super::failure::Failure;
use super::load::Loaded;
use super::lock::Locks;
use crate::journal::{DefinitionKey, Journal, JournalError, PreviousRun, Store, new_run_id};
use crate::plan::secrets;

/// A new run's id, and what it goes on from.
#[derive(Default)]
pub struct OpenedJournal {
    /// The new run's id.
    pub id: String,
    /// Held while the run lasts.
    pub locks: Option<Locks>,
    /// The new run's journal; none for previews.
    pub journal: Option<Journal>,
    /// What earlier runs have left to it.
    pub earlier: PreviousRun,
    /// The key of the hashes of definitions; none where the plan has no secrets.
    pub key: Option<DefinitionKey>,
}

impl OpenedJournal {
    /// Of a preview, which goes on from nothing; only one that is compared with another leaves something behind, the key.
    ///
    /// # Errors
    /// When the key cannot be read or written.
    pub fn of_preview(loaded: &Loaded, compared: bool) -> Result<Self, Failure> {
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

    /// Of a run that has its locks; it goes on from the newest one, see [`Earlier::of`].
    ///
    /// # Errors
    /// When the journals cannot be read or written.
    pub fn open(loaded: &Loaded, fresh: bool, locks: Locks) -> Result<Self, Failure> {
        let store = loaded.store()?;
        let key = store.key()?;
        key.use_for_marks();
        let key = has_secrets(loaded).then_some(key);
        let past = Self { id: locks.run().to_owned(), locks: Some(locks), key, ..Self::default() };
        Ok(past.read(&store, fresh)?)
    }

    fn read(mut self, store: &Store, fresh: bool) -> Result<Self, JournalError> {
        let latest = match store.latest() {
            Err(error) if fresh && !matches!(error, JournalError::Io { .. }) => None,
            latest => latest?,
        };
        self.earlier = latest.map(|(_, events)| PreviousRun::from_events(&events, fresh)).unwrap_or_default();
        self.journal = Some(store.create(&self.id)?);
        Ok(self)
    }
}

/// Whether the hash of a definition may tell something that is nobody's business.
fn has_secrets(loaded: &Loaded) -> bool {
    let mut steps = loaded.plan.phases.iter().flat_map(|phase| &phase.steps);
    !secrets(&loaded.plan, &loaded.inventory).is_empty() || steps.any(|step| step.sensitive)
}
