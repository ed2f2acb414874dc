//! Saved plans: the result of a preview, to be applied later exactly as it was shown.
//!
//! A saved plan contains the changes of each step and hashes of definitions, but no secrets: everything has passed the
//! redactor. An HMAC of the content, made with the plan's key, detects files that were cut off or edited; nobody
//! without the key can make a new one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::DefinitionKey;
use crate::diff::{Delta, Diff};
use crate::digest;
use crate::document::read_text;
use crate::event::{Event, EventKind, Outcome, Source, UnitRef, outcome_name};

/// Version of the file format.
const FORMAT: u32 = 1;

/// Maximum size of a file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// A saved preview.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedPlan {
    /// Version of the file format.
    pub format: u32,
    /// Name of the plan.
    pub plan: String,
    /// Time of the preview.
    pub at: jiff::Timestamp,
    /// The arguments of the preview.
    pub source: Source,
    /// SHA-256 of the plan file and the inventory file.
    pub files: BTreeMap<PathBuf, String>,
    /// The result for each unit, in the order of the preview.
    pub units: Vec<SavedUnit>,
}

/// The result of the preview for one unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedUnit {
    pub unit: UnitRef,
    /// Hash of the unit's definition. `None` if it was not known yet, or if the unit is skipped.
    pub definition: Option<String>,
    /// The outcome in the preview.
    pub outcome: Outcome,
    /// The changes that the unit would make.
    pub diff: Diff,
}

/// Why a saved plan cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// An I/O error.
    #[error("{}: {source}", path.display())]
    Io {
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The file is not a saved plan, or was changed since it was saved.
    #[error("{} is not a saved plan as `rollout plan -o` wrote it: {why}", path.display())]
    Damaged { path: PathBuf, why: String },
}

/// Beginning of the first line of the file. The hash of the content follows, then a line of JSON.
const HEAD: &str = "rollout-plan hmac-sha256:";

/// Beginning of files of earlier versions, which used a hash without a key.
const EARLIER_HEAD: &str = "rollout-plan sha256:";

impl SavedPlan {
    /// Collects the results from the events of a preview.
    pub fn from_events(events: &[Event], plan: String, source: Source) -> Self {
        let at = events.first().map_or(jiff::Timestamp::UNIX_EPOCH, |e| e.at);
        let units = events.iter().filter_map(|event| match &event.kind {
            EventKind::UnitFinished { unit, outcome, definition, diff, .. } => Some(SavedUnit {
                unit: unit.clone(),
                definition: definition.clone(),
                outcome: outcome.clone(),
                diff: diff.clone(),
            }),
            _ => None,
        });
        let files = [Some(&source.plan), source.inventory.as_ref()].into_iter().flatten();
        let files = files.map(|path| (path.clone(), file_hash(path))).collect();
        Self { format: FORMAT, plan, at, units: units.collect(), files, source }
    }

    /// Writes the file atomically, readable only by its owner since it shows the state of systems. Returns the hash of
    /// the content.
    ///
    /// # Errors
    /// On I/O errors.
    pub fn save(&self, path: &Path, key: &DefinitionKey) -> Result<String, SavedError> {
        let io_error = |source| SavedError::Io { path: path.to_owned(), source };
        let content = serde_json::to_string(self).map_err(|e| io_error(e.into()))?;
        let seal = key.seal(&content);
        let text = format!("{HEAD}{seal}\n{content}\n");
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io_error)?;
        std::io::Write::write_all(&mut file, text.as_bytes()).map_err(io_error)?;
        file.as_file().sync_all().map_err(io_error)?;
        file.persist(path).map_err(|e| io_error(e.error))?;
        Ok(seal)
    }

    /// Reads a file and verifies its hash, which is returned too. `key_of` finds the key of the plan that the file
    /// names.
    ///
    /// # Errors
    /// When the file cannot be read, or was changed since it was saved.
    pub fn load(
        path: &Path,
        key_of: impl FnOnce(&Self) -> Option<DefinitionKey>,
    ) -> Result<(Self, String), SavedError> {
        let text =
            read_text(path, MAX_FILE_BYTES).map_err(|source| SavedError::Io { path: path.to_owned(), source })?;
        let damaged = |why: String| SavedError::Damaged { path: path.to_owned(), why };
        let (head, content) = text.split_once('\n').ok_or_else(|| damaged("it has no content".to_owned()))?;
        if head.starts_with(EARLIER_HEAD) {
            return Err(damaged("an earlier version saved it, without the plan's key; save it again".to_owned()));
        }
        let seal = head.strip_prefix(HEAD).ok_or_else(|| damaged(format!("it does not begin with {HEAD}")))?;
        let content = content.trim_end_matches('\n');
        let plan: Self = serde_json::from_str(content).map_err(|e| damaged(e.to_string()))?;
        let why = match key_of(&plan) {
            None => {
                "there is no key of its plan here; the file was edited, or saved by another user, on another machine or \
                 with another ROLLOUT_STATE_DIR"
            }
            Some(key) if key.seal(content) != seal => "its content does not match its hash; it was cut off or edited",
            Some(_) => "",
        };
        if !why.is_empty() {
            return Err(damaged(why.to_owned()));
        }
        if plan.format != FORMAT {
            return Err(damaged(format!("its format is {}, this version knows {FORMAT}", plan.format)));
        }
        Ok((plan, seal.to_owned()))
    }

    /// The differences between this preview and a later one, one line each. Empty if there are none.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let later: BTreeMap<&UnitRef, &SavedUnit> = now.units.iter().map(|u| (&u.unit, u)).collect();
        let earlier: BTreeMap<&UnitRef, &SavedUnit> = self.units.iter().map(|u| (&u.unit, u)).collect();
        for unit in &self.units {
            match later.get(&unit.unit) {
                Some(now) => lines.extend(unit.differences(now)),
                None => lines.push(format!("{}: is not in the plan any more", unit.unit)),
            }
        }
        let new = now.units.iter().filter(|u| !earlier.contains_key(&u.unit));
        lines.extend(new.map(|u| format!("{}: was not in the plan", u.unit)));
        if !lines.is_empty() {
            let changed = self.files.iter().filter(|(path, hash)| file_hash(path) != **hash);
            lines.extend(changed.map(|(path, _)| format!("{} was edited since", path.display())));
        }
        lines
    }
}

impl SavedUnit {
    /// Whether the preview could not tell what the unit would do, so that the user has agreed to any change.
    pub fn is_undecided(&self) -> bool {
        matches!(self.outcome, Outcome::Pending { .. } | Outcome::Waits { .. })
    }

    /// The differences between this result and a later one.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let line = |text: String| vec![format!("{}: {text}", self.unit)];
        if let (Some(before), Some(after)) = (&self.definition, &now.definition)
            && before != after
        {
            return line(
                "its definition is another one now (its parameters, templates or variables were edited)".into(),
            );
        }
        let (was, is) = (outcome_name(&self.outcome), outcome_name(&now.outcome));
        if self.is_undecided() && now.is_undecided() {
            return Vec::new();
        }
        if self.diff == now.diff {
            return if was == is {
                Vec::new()
            } else {
                line(format!("was {was}, is {is}{}", outcome_detail(&now.outcome)))
            };
        }
        changed_deltas(&self.diff, &now.diff).into_iter().map(|text| format!("{}: {text}", self.unit)).collect()
    }
}

fn outcome_detail(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(problem) | Outcome::Warned(problem) | Outcome::Unknown(problem) => {
            format!(" ({})", problem.message)
        }
        Outcome::Skipped { why } => format!(" ({why})"),
        _ => String::new(),
    }
}

/// Compares two diffs: the state when the plan was saved, and the state now.
fn changed_deltas(before: &Diff, now: &Diff) -> Vec<String> {
    let mut lines = Vec::new();
    for delta in &before.0 {
        match now.0.iter().find(|d| same_subject(delta, d)) {
            Some(later) if later == delta => {}
            Some(later) => lines.push(describe_change(delta, later)),
            None => lines.push(format!("{}; there is nothing to change there any more", describe_planned(delta))),
        }
    }
    for delta in now.0.iter().filter(|d| !before.0.iter().any(|b| same_subject(b, d))) {
        lines.push(format!("needed no change before, and would change now: {}", delta.lines().join("\n    ")));
    }
    lines
}

fn same_subject(a: &Delta, b: &Delta) -> bool {
    match (a, b) {
        (Delta::Field { path: a, .. }, Delta::Field { path: b, .. }) => a == b,
        (Delta::Text { label: a, .. }, Delta::Text { label: b, .. }) => a == b,
        (Delta::Act { what: a }, Delta::Act { what: b }) => a == b,
        _ => false,
    }
}

fn describe_change(before: &Delta, now: &Delta) -> String {
    match (before, now) {
        (
            Delta::Field { path, before, after: wanted, owner: was_owned },
            Delta::Field { before: now, after: wanted_now, owner, .. },
        ) => {
            let mut changes = Vec::new();
            let mut compare = |name: &str, a: &Option<String>, b: &Option<String>| {
                if a != b {
                    changes.push(format!("{name} {} → {}", shown(a), shown(b)));
                }
            };
            compare("was", before, now);
            compare("was to be", wanted, wanted_now);
            compare("owned by", was_owned, owner);
            format!("{path}: {}", changes.join(", "))
        }
        (Delta::Text { label, before, .. }, Delta::Text { before: now, .. }) if before != now => {
            let moved =
                Delta::Text { label: format!("{label} was edited"), before: before.clone(), after: now.clone() };
            moved.lines().join("\n    ")
        }
        (Delta::Text { label, .. }, _) => format!("{label}: the wanted content has changed"),
        _ => describe_planned(before),
    }
}

fn shown(value: &Option<String>) -> String {
    value.clone().unwrap_or_else(|| "absent".to_owned())
}

fn describe_planned(delta: &Delta) -> String {
    match delta {
        Delta::Field { path, before, after, .. } => {
            format!("{path} was {} and was to be {}", shown(before), shown(after))
        }
        Delta::Text { label, .. } => format!("{label} was to change"),
        Delta::Act { what } => format!("it was to {what}"),
    }
}

fn file_hash(path: &Path) -> String {
    std::fs::read(path).map(|bytes| digest::sha256(&bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{events, finished, run_started};
    use super::*;
    use crate::event::Problem;

    fn saved(kinds: Vec<EventKind>) -> SavedPlan {
        let all = std::iter::once(run_started()).chain(kinds);
        SavedPlan::from_events(&events(all), "p".into(), Source::default())
    }

    fn changing(step: &str, before: &str, after: &str) -> EventKind {
        let diff = Diff::field("mode", Some(before.to_owned()), Some(after.to_owned()));
        match finished(step, Outcome::Changed) {
            EventKind::UnitFinished { unit, outcome, definition, outputs, output, elapsed, acted, .. } => {
                EventKind::UnitFinished { unit, outcome, definition, diff, outputs, output, elapsed, acted }
            }
            other => other,
        }
    }

    fn same(step: &str) -> EventKind {
        finished(step, Outcome::Same { seen: "seen at some time".into() })
    }

    #[test]
    fn only_unchanged_files_are_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.rollout");
        let plan = saved(vec![changing("a", "0644", "0600")]);
        let key = DefinitionKey::default();
        let load = || SavedPlan::load(&path, |_| Some(key.clone()));
        let hash = plan.save(&path, &key).unwrap();
        assert_eq!(load().unwrap(), (plan, hash));
        assert!(matches!(SavedPlan::load(&path, |_| None), Err(SavedError::Damaged { .. })));
        assert!(matches!(SavedPlan::load(&path, |_| Some(DefinitionKey::default())), Err(SavedError::Damaged { .. })));
        let text = std::fs::read_to_string(&path).unwrap();
        for wrong in [text.replace("0600", "0666"), text[..text.len() / 2].to_owned(), "x".into(), String::new()] {
            std::fs::write(&path, wrong).unwrap();
            assert!(matches!(load(), Err(SavedError::Damaged { .. })));
        }
        // A hash without a key, as earlier versions used, is refused: anybody could make it.
        let content = text.lines().nth(1).unwrap().replace("0600", "0666");
        std::fs::write(&path, format!("{EARLIER_HEAD}{}\n{content}\n", digest::sha256(content.as_bytes()))).unwrap();
        assert!(load().unwrap_err().to_string().contains("save it again"));
    }

    #[test]
    fn equal_previews_have_no_differences() {
        let plan = || saved(vec![changing("a", "0644", "0600"), same("b")]);
        assert_eq!(plan().differences(&plan()), [""; 0]);
    }

    #[test]
    fn differences_show_both_values() {
        let plan = saved(vec![changing("a", "0644", "0600"), same("b"), same("c")]);
        let failed = finished("c", Outcome::Failed(Problem::new("it is gone")));
        let now = saved(vec![changing("a", "0640", "0600"), changing("b", "0700", "0600"), failed, same("d")]);
        assert_eq!(
            plan.differences(&now),
            [
                "p/a: mode: was 0644 → 0640",
                "p/b: needed no change before, and would change now: ~ mode: 0700 → 0600",
                "p/c: was same, is failed (it is gone)",
                "p/d: was not in the plan",
            ]
        );
        let done = saved(vec![same("a"), same("b")]);
        assert_eq!(
            plan.differences(&done),
            [
                "p/a: mode was 0644 and was to be 0600; there is nothing to change there any more",
                "p/c: is not in the plan any more",
            ]
        );
    }
}
