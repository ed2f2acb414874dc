//! The folders of journals: `<state>/<plan>-<hash of plan and inventory path>/<run>.jsonl`.
//!
//! `<state>` is `$ROLLOUT_STATE_DIR`, else `$XDG_STATE_HOME/rollout`, else `~/.local/state/rollout`.

use std::path::{Path, PathBuf};

use super::{DefinitionKey, Journal, JournalError, Lock, read};
use crate::digest;
use crate::event::{Event, EventKind, Source, Summary};
use crate::private;

/// The journals of one plan with one inventory.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// A recorded run.
#[derive(Debug, Clone)]
pub struct RunInfo {
    pub id: String,
    /// Path of the journal.
    pub path: PathBuf,
    /// Name of the plan.
    pub plan: String,
    /// The arguments of the run. Not contained in journals of format 1.
    pub source: Option<Source>,
    pub started: Option<jiff::Timestamp>,
    /// Duration in seconds.
    pub elapsed: Option<f64>,
    pub state: RunState,
    /// The counts, if the run has ended.
    pub summary: Summary,
}

/// The state of a recorded run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// All units succeeded.
    Succeeded,
    /// Some unit did not succeed.
    Failed,
    /// A signal interrupted the run.
    Interrupted,
    /// No end is recorded: the run is still running, or was killed.
    Unfinished,
    /// The journal is damaged or of a newer version, so it is unknown what the run did.
    Unreadable,
}

impl RunInfo {
    /// Whether the run is still running on this machine.
    pub fn is_running(&self) -> bool {
        self.path.parent().is_some_and(|folder| Lock::is_held(folder, &self.id))
    }
}

impl Store {
    /// Opens the store of a plan with an inventory, and creates its folder if needed.
    ///
    /// # Errors
    /// When the folder cannot be created, or other users have access to it.
    pub fn open(plan: &Path, name: &str, inventory: Option<&Path>) -> Result<Self, JournalError> {
        protect_state_folder()?;
        let folder = state_dir().join(folder_name(plan, name, inventory));
        private::ensure_folder(&folder)?;
        private::close_files_in(&folder, false)?;
        Ok(Self { folder })
    }

    /// The key of a plan, if it has one. The arguments may come from an untrusted file, so nothing is created or opened
    /// at their paths.
    pub fn existing_key(plan: &Path, name: &str, inventory: Option<&Path>) -> Option<DefinitionKey> {
        let wanted_name = folder_name(plan, name, inventory);
        let store =
            Self::all().into_iter().find(|store| store.folder.file_name().is_some_and(|n| *n == *wanted_name))?;
        store.folder.join("key").is_file().then(|| store.key().ok()).flatten()
    }

    fn all() -> Vec<Self> {
        let entries = std::fs::read_dir(state_dir()).into_iter().flatten().flatten();
        entries.map(|e| e.path()).filter(|p| p.is_dir()).map(|folder| Self { folder }).collect()
    }

    /// The runs of all plans, oldest first.
    pub fn all_runs() -> Vec<RunInfo> {
        let mut runs: Vec<RunInfo> = Self::all().iter().flat_map(Self::runs).collect();
        runs.sort_by(|a, b| a.id.cmp(&b.id));
        runs
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A new run id, which sorts after all existing ones even if the clock was set back.
    pub fn new_run_id(&self) -> String {
        let newest = self.newest_id().and_then(|id| time_of(&id));
        let after = newest.and_then(|time| time.checked_add(jiff::SignedDuration::from_millis(1)).ok());
        id_at(jiff::Timestamp::now().max(after.unwrap_or(jiff::Timestamp::MIN)))
    }

    /// The newest run id in the folder, including runs that never started.
    pub fn newest_id(&self) -> Option<String> {
        self.journals().last().map(|path| id_of(path))
    }

    /// The newest started run whose id sorts after `id`. Journals up to `id` are not read.
    pub fn started_after(&self, id: Option<&str>) -> Option<RunInfo> {
        let newer_paths = self.journals().into_iter().rev().take_while(|path| Some(id_of(path).as_str()) > id);
        let runs = newer_paths.filter_map(|path| read(&path).ok().map(|events| run_info(&path, &events)));
        runs.into_iter().find(|run| run.started.is_some())
    }

    /// The key for the hashes in journals and saved plans.
    ///
    /// # Errors
    /// When the key file cannot be created or read.
    pub fn key(&self) -> Result<DefinitionKey, JournalError> {
        DefinitionKey::load_or_create(&self.folder)
    }

    /// Creates the journal of run `id`.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(&self, id: &str) -> Result<Journal, JournalError> {
        Journal::create(&self.folder.join(format!("{id}.jsonl")))
    }

    /// All runs, oldest first, including those with unreadable journals, since one of them may be the newest.
    pub fn runs(&self) -> Vec<RunInfo> {
        let journals = self.journals();
        let runs =
            journals.iter().map(|path| read(path).map_or_else(|_| self.unreadable(path), |e| run_info(path, &e)));
        runs.filter(|run| run.started.is_some() || run.state == RunState::Unreadable).collect()
    }

    /// Describes a run with an unreadable journal by the names of its file and folder.
    fn unreadable(&self, path: &Path) -> RunInfo {
        let folder = self.folder.file_name().unwrap_or_default().to_string_lossy();
        let plan = folder.rsplit_once('-').map(|(plan, _)| plan.to_owned()).unwrap_or_default();
        let id = id_of(path);
        RunInfo { plan, started: time_of(&id), state: RunState::Unreadable, ..run_info(path, &[]) }
    }

    /// The newest run, with its events. Runs that were killed before their start was recorded are ignored.
    ///
    /// # Errors
    /// When the journal is damaged.
    pub fn latest(&self) -> Result<Option<(RunInfo, Vec<Event>)>, JournalError> {
        for path in self.journals().iter().rev() {
            let events = read(path)?;
            if events.iter().any(|e| matches!(e.kind, EventKind::RunStarted { .. })) {
                return Ok(Some((run_info(path, &events), events)));
            }
        }
        Ok(None)
    }

    /// Deletes the journals of old runs: all but the newest `keep` of each plan, and of those only the ones older than
    /// `age`. The newest run of each plan is never deleted, since the next run may resume it. Returns the deleted ids.
    ///
    /// # Errors
    /// When a file cannot be deleted.
    pub fn prune(keep: usize, age: Option<std::time::Duration>) -> Result<Vec<String>, JournalError> {
        protect_state_folder()?;
        let now = jiff::Timestamp::now();
        let is_expired = |id: &str| {
            age.is_none_or(|age| time_of(id).is_some_and(|then| now.duration_since(then).unsigned_abs() > age))
        };
        let mut deleted = Vec::new();
        for store in Self::all() {
            let Some((newest, _)) = store.latest().ok().flatten() else { continue };
            let journals = store.journals();
            for path in &journals[..journals.len().saturating_sub(keep.max(1))] {
                let id = id_of(path);
                if id >= newest.id || !is_expired(&id) {
                    continue;
                }
                std::fs::remove_file(path).map_err(|source| JournalError::Io { path: path.clone(), source })?;
                deleted.push(id);
            }
            store.prune_logs(&newest.id);
        }
        Ok(deleted)
    }

    /// Deletes the logs of detached runs whose journals were deleted.
    fn prune_logs(&self, newest: &str) {
        let kept: Vec<PathBuf> = self.journals();
        let oldest = kept.first().map_or_else(|| newest.to_owned(), |path| id_of(path));
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_log = path.extension().is_some_and(|e| e == "log");
            if is_log && id_of(&path) < oldest {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// Paths of the journals, oldest first.
    fn journals(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> =
            entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "jsonl")).collect();
        paths.sort();
        paths
    }
}

/// Creates a run id: `<UTC date>-<time>-<milliseconds><random>`, so that ids sort by age.
pub fn new_run_id() -> String {
    id_at(jiff::Timestamp::now())
}

fn folder_name(plan: &Path, name: &str, inventory: Option<&Path>) -> String {
    let canonical = |p: &Path| p.canonicalize().unwrap_or_else(|_| p.to_owned());
    let inventory = inventory.map(canonical).unwrap_or_default();
    let paths = [canonical(plan).as_os_str().as_encoded_bytes(), inventory.as_os_str().as_encoded_bytes()].join(&0);
    format!("{name}-{}", &digest::sha256(&paths)[..8])
}

fn id_at(time: jiff::Timestamp) -> String {
    format!("{}-{:03}{:02x}", time.strftime(ID_TIME), time.subsec_millisecond(), rand::random::<u8>())
}

const ID_TIME: &str = "%Y%m%d-%H%M%S";

/// The start time that is encoded in a run id, to the millisecond.
fn time_of(id: &str) -> Option<jiff::Timestamp> {
    let (seconds, rest) = id.split_at_checked(15)?;
    let time = jiff::civil::DateTime::strptime(ID_TIME, seconds).ok()?;
    let time = jiff::tz::TimeZone::UTC.to_timestamp(time).ok()?;
    let milliseconds: i64 = rest.get(1..4)?.parse().ok()?;
    time.checked_add(jiff::SignedDuration::from_millis(milliseconds)).ok()
}

/// The run id in the name of a journal or log.
fn id_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn run_info(path: &Path, events: &[Event]) -> RunInfo {
    let mut info = RunInfo {
        id: id_of(path),
        path: path.to_owned(),
        plan: String::new(),
        source: None,
        started: None,
        elapsed: None,
        state: RunState::Unfinished,
        summary: Summary::default(),
    };
    for event in events {
        match &event.kind {
            EventKind::RunStarted { plan, source, .. } => {
                info.plan.clone_from(plan);
                info.started = Some(event.at);
                info.source.clone_from(source);
            }
            EventKind::RunFinished { summary, ok, interrupted, elapsed, .. } => {
                info.state = match (ok, interrupted) {
                    (_, true) => RunState::Interrupted,
                    (true, _) => RunState::Succeeded,
                    (false, _) => RunState::Failed,
                };
                info.summary = summary.clone();
                info.elapsed = Some(*elapsed);
            }
            _ => {}
        }
    }
    info
}

/// Creates the folder of all journals, or restricts it to the user: earlier versions left it readable for others.
fn protect_state_folder() -> Result<(), JournalError> {
    let folder = state_dir();
    if private::ensure_folder(&folder)? {
        private::close_files_in(&folder, true)?;
    }
    Ok(())
}

fn state_dir() -> PathBuf {
    let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    var("ROLLOUT_STATE_DIR")
        .or_else(|| var("XDG_STATE_HOME").map(|d| d.join("rollout")))
        .or_else(|| var("HOME").map(|d| d.join(".local/state/rollout")))
        .unwrap_or_else(|| PathBuf::from(".rollout"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_run_has_a_later_id_even_when_the_clock_was_set_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store { folder: dir.path().to_owned() };
        let tomorrow = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
        for id in [new_run_id(), id_at(tomorrow)] {
            std::fs::write(dir.path().join(format!("{id}.jsonl")), "").unwrap();
            let next = store.new_run_id();
            assert!(next > id, "{next} {id}");
        }
    }
}
