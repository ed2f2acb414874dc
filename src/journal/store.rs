//! Where journals lie: `<state>/<plan>-<hash of plan and inventory path>/<run>.jsonl`.
//!
//! `<state>` is `$ROLLOUT_STATE_DIR`, else `$XDG_STATE_HOME/rollout`, else `~/.local/state/rollout`.

use std::path::{Path, PathBuf};

use super::{Journal, JournalError, read};
use crate::digest;
use crate::event::{Event, Kind, Summary};

/// The journals of one plan with one inventory.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// A run on record.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// Its id.
    pub id: String,
    /// Its file.
    pub path: PathBuf,
    /// The plan's name.
    pub plan: String,
    /// When it began.
    pub started: Option<jiff::Timestamp>,
    /// Seconds it took.
    pub elapsed: Option<f64>,
    /// How it stands.
    pub state: RunState,
    /// The counts, once it ended.
    pub summary: Summary,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Every unit ended well.
    Succeeded,
    /// Some unit did not.
    Failed,
    /// A signal ended it.
    Interrupted,
    /// It has no end on record: it still runs, or was killed.
    Unfinished,
}

impl Store {
    /// The store of a plan with an inventory, made if need be.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(plan: &Path, name: &str, inventory: Option<&Path>) -> Result<Self, JournalError> {
        let canonical = |p: &Path| p.canonicalize().unwrap_or_else(|_| p.to_owned());
        let inventory = inventory.map(canonical).unwrap_or_default();
        let paths = [canonical(plan).as_os_str().as_encoded_bytes(), inventory.as_os_str().as_encoded_bytes()].join(&0);
        let hash = &digest::sha256(&paths)[..8];
        let folder = state_dir().join(format!("{name}-{hash}"));
        std::fs::create_dir_all(&folder).map_err(|source| JournalError::Io { path: folder.clone(), source })?;
        Ok(Self { folder })
    }

    /// The stores of all plans.
    fn all() -> Vec<Self> {
        let entries = std::fs::read_dir(state_dir()).into_iter().flatten().flatten();
        entries.map(|e| e.path()).filter(|p| p.is_dir()).map(|folder| Self { folder }).collect()
    }

    /// The runs of all plans, oldest first; damaged ones are left out.
    pub fn all_runs() -> Vec<RunInfo> {
        let mut runs: Vec<RunInfo> = Self::all().iter().flat_map(Self::runs).collect();
        runs.sort_by(|a, b| a.id.cmp(&b.id));
        runs
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A new journal for the run of that id.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(&self, id: &str) -> Result<Journal, JournalError> {
        Journal::create(&self.folder.join(format!("{id}.jsonl")))
    }

    /// The runs, oldest first; damaged ones are left out.
    pub fn runs(&self) -> Vec<RunInfo> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> =
            entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "jsonl")).collect();
        paths.sort();
        paths.iter().filter_map(|p| read(p).ok().map(|events| info(p, &events))).collect()
    }

    /// The newest run, with its events.
    ///
    /// # Errors
    /// When its journal is damaged.
    pub fn latest(&self) -> Result<Option<(RunInfo, Vec<Event>)>, JournalError> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let newest = entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "jsonl")).max();
        newest
            .map(|path| {
                let events = read(&path)?;
                Ok((info(&path, &events), events))
            })
            .transpose()
    }
}

/// A new run's id: `<UTC date>-<time>-<milliseconds><random>`, so that ids sort by age.
pub fn new_run_id() -> String {
    let now = jiff::Timestamp::now();
    let random = (now.subsec_nanosecond().unsigned_abs() ^ std::process::id()) & 0xff;
    format!("{}-{:03}{random:02x}", now.strftime("%Y%m%d-%H%M%S"), now.subsec_millisecond())
}

fn info(path: &Path, events: &[Event]) -> RunInfo {
    let mut info = RunInfo {
        id: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        path: path.to_owned(),
        plan: String::new(),
        started: events.first().map(|e| e.at),
        elapsed: None,
        state: RunState::Unfinished,
        summary: Summary::default(),
    };
    for event in events {
        match &event.kind {
            Kind::RunStarted { plan, .. } => info.plan.clone_from(plan),
            Kind::RunFinished { summary, ok, interrupted, elapsed } => {
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
    fn a_later_run_has_a_later_id() {
        let first = new_run_id();
        let began = jiff::Timestamp::now();
        while jiff::Timestamp::now().duration_since(began).as_millis() < 2 {}
        assert!(new_run_id() > first);
    }
}
