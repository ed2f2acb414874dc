//! A saved plan: what a preview found, to be applied exactly so later.
//!
//! It holds what each step would change and hashes of definitions, no secret: everything in it has passed the redactor.
//! A hash of the content stands beside it, made with the plan's key: a file that was cut or edited is noticed, also where
//! who edited it made a new hash.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::DefinitionKey;
use crate::diff::{Delta, Diff};
use crate::digest;
use crate::document::read_text;
use crate::event::{Event, EventKind, Outcome, Source, UnitRef, name};

/// The version of the file's format.
const FORMAT: u32 = 1;

/// The largest file, bytes.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// A preview on file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedPlan {
    /// Version of the format.
    pub format: u32,
    /// The plan's name.
    pub plan: String,
    /// When the preview was made.
    pub at: jiff::Timestamp,
    /// What the preview was asked for.
    pub source: Source,
    /// SHA-256 of the plan's and the inventory's file.
    pub files: BTreeMap<PathBuf, String>,
    /// What each unit would do, in the order in which the preview came to it.
    pub units: Vec<SavedUnit>,
}

/// What a unit would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedUnit {
    /// The unit.
    pub unit: UnitRef,
    /// Hash of its definition; absent where it was not known yet, or the unit is skipped.
    pub definition: Option<String>,
    /// How it ended in the preview.
    pub outcome: Outcome,
    /// What it would change.
    pub diff: Diff,
}

/// Why a saved plan cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// The disk or its rights.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no saved plan, or not the one that was saved.
    #[error("{} is not a saved plan as `rollout plan -o` wrote it: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// What the first line of the file begins with; the content's hash follows, then a line of JSON.
const HEAD: &str = "rollout-plan hmac-sha256:";

/// The same as earlier versions wrote it, without a key.
const EARLIER_HEAD: &str = "rollout-plan sha256:";

impl SavedPlan {
    /// From a preview's events.
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
        let files = files.map(|path| (path.clone(), hash_of(path))).collect();
        Self { format: FORMAT, plan, at, units: units.collect(), files, source }
    }

    /// Writes it, with a name that appears only when it is whole. Readable by its owner alone: it shows what is where.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn save(&self, path: &Path, key: &DefinitionKey) -> Result<String, SavedError> {
        let io = |source| SavedError::Io { path: path.to_owned(), source };
        let content = serde_json::to_string(self).map_err(|e| io(e.into()))?;
        let seal = key.seal(&content);
        let text = format!("{HEAD}{seal}\n{content}\n");
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        std::io::Write::write_all(&mut file, text.as_bytes()).map_err(io)?;
        file.as_file().sync_all().map_err(io)?;
        file.persist(path).map_err(|e| io(e.error))?;
        Ok(seal)
    }

    /// Reads it; gives its hash too. `key_of` finds the key of the plan that the file names.
    ///
    /// # Errors
    /// When it cannot be read, or is not what was saved.
    pub fn load(
        path: &Path,
        key_of: impl FnOnce(&Self) -> Option<DefinitionKey>,
    ) -> Result<(Self, String), SavedError> {
        let text =
            read_text(path, MAX_FILE_BYTES).map_err(|source| SavedError::Io { path: path.to_owned(), source })?;
        let damaged = |why: String| SavedError::Damaged { path: path.to_owned(), why };
        let (head, content) = text.split_once('\n').ok_or_else(|| damaged("it has no content".to_owned()))?;
        if head.starts_with(EARLIER_HEAD) {
            return Err(damaged("an earlier version saved it, without the plan's key; save it anew".to_owned()));
        }
        let seal = head.strip_prefix(HEAD).ok_or_else(|| damaged(format!("it does not begin with {HEAD}")))?;
        let content = content.trim_end_matches('\n');
        let plan: Self = serde_json::from_str(content).map_err(|e| damaged(e.to_string()))?;
        let why = match key_of(&plan) {
            None => {
                "its plan has no key here; it was edited, or saved by another user, on another machine or with another \
                     ROLLOUT_STATE_DIR"
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

    /// What moved between this preview and a later one, a line each; empty when nothing did.
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
            let changed = self.files.iter().filter(|(path, hash)| hash_of(path) != **hash);
            lines.extend(changed.map(|(path, _)| format!("{} was edited since", path.display())));
        }
        lines
    }
}

impl SavedUnit {
    /// Whether the preview could not tell what the unit would do, so that whatever it turns out to be was agreed to.
    pub fn is_undecided(&self) -> bool {
        matches!(self.outcome, Outcome::Pending { .. } | Outcome::Waits { .. })
    }

    /// What moved between this and what is found now.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let line = |text: String| vec![format!("{}: {text}", self.unit)];
        if let (Some(before), Some(after)) = (&self.definition, &now.definition)
            && before != after
        {
            return line(
                "its definition is another one now (its parameters, templates or variables were edited)".into(),
            );
        }
        let (was, is) = (name(&self.outcome), name(&now.outcome));
        if self.is_undecided() && now.is_undecided() {
            return Vec::new();
        }
        if self.diff == now.diff {
            return if was == is { Vec::new() } else { line(format!("was {was}, is {is}{}", why(&now.outcome))) };
        }
        moved_deltas(&self.diff, &now.diff).into_iter().map(|text| format!("{}: {text}", self.unit)).collect()
    }
}

fn why(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(problem) | Outcome::Warned(problem) | Outcome::Unknown(problem) => {
            format!(" ({})", problem.message)
        }
        Outcome::Skipped { why } => format!(" ({why})"),
        _ => String::new(),
    }
}

/// Which facts moved: what was there when the plan was saved, and what is there now.
fn moved_deltas(before: &Diff, now: &Diff) -> Vec<String> {
    let mut lines = Vec::new();
    for delta in &before.0 {
        match now.0.iter().find(|d| same_subject(delta, d)) {
            Some(there) if there == delta => {}
            Some(there) => lines.push(both(delta, there)),
            None => lines.push(format!("{}; there is nothing to change there any more", was(delta))),
        }
    }
    for delta in now.0.iter().filter(|d| !before.0.iter().any(|b| same_subject(b, d))) {
        lines.push(format!("was as wanted, and would change now: {}", delta.lines().join("\n    ")));
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

fn both(then: &Delta, now: &Delta) -> String {
    match (then, now) {
        (
            Delta::Field { path, before: then, after: wanted, owner: was_owned },
            Delta::Field { before: now, after: wanted_now, owner, .. },
        ) => {
            let mut facts = Vec::new();
            let mut fact = |name: &str, a: &Option<String>, b: &Option<String>| {
                if a != b {
                    facts.push(format!("{name} {} → {}", shown(a), shown(b)));
                }
            };
            fact("was", then, now);
            fact("was to be", wanted, wanted_now);
            fact("owned by", was_owned, owner);
            format!("{path}: {}", facts.join(", "))
        }
        (Delta::Text { label, before: then, .. }, Delta::Text { before: now, .. }) if then != now => {
            let moved = Delta::Text { label: format!("{label} was edited"), before: then.clone(), after: now.clone() };
            moved.lines().join("\n    ")
        }
        (Delta::Text { label, .. }, _) => format!("{label}: other content is wanted"),
        _ => was(then),
    }
}

fn shown(value: &Option<String>) -> String {
    value.clone().unwrap_or_else(|| "absent".to_owned())
}

fn was(delta: &Delta) -> String {
    match delta {
        Delta::Field { path, before, after, .. } => {
            format!("{path} was {} and was to be {}", shown(before), shown(after))
        }
        Delta::Text { label, .. } => format!("{label} was other than wanted"),
        Delta::Act { what } => format!("it was to {what}"),
    }
}

fn hash_of(path: &Path) -> String {
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
    fn a_file_is_read_as_it_was_saved_and_no_other() {
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
        // Who edits it can make no hash for it, as he could before there was a key.
        let content = text.lines().nth(1).unwrap().replace("0600", "0666");
        std::fs::write(&path, format!("{EARLIER_HEAD}{}\n{content}\n", digest::sha256(content.as_bytes()))).unwrap();
        assert!(load().unwrap_err().to_string().contains("save it anew"));
    }

    #[test]
    fn nothing_moved_when_the_same_is_found() {
        let plan = || saved(vec![changing("a", "0644", "0600"), same("b")]);
        assert_eq!(plan().differences(&plan()), [""; 0]);
    }

    #[test]
    fn what_moved_is_said_with_both_values() {
        let plan = saved(vec![changing("a", "0644", "0600"), same("b"), same("c")]);
        let failed = finished("c", Outcome::Failed(Problem::new("it is gone")));
        let now = saved(vec![changing("a", "0640", "0600"), changing("b", "0700", "0600"), failed, same("d")]);
        assert_eq!(
            plan.differences(&now),
            [
                "p/a: mode: was 0644 → 0640",
                "p/b: was as wanted, and would change now: ~ mode: 0700 → 0600",
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
