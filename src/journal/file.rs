//! One run's file: a line a record, `<crc32 of the JSON, 8 hex digits> <JSON of an Event>`.
//!
//! The last line may be torn by a crash and is then ignored; anything torn before it means that the file was damaged
//! otherwise, and is refused.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::event::{Event, Kind, UnitRef};

/// What is wrong with a journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk or its rights.
    #[error("journal {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A record before the last one does not match its checksum or is no event.
    #[error("journal {} is damaged at line {line}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong there.
        why: String,
    },
    /// An event that cannot follow what was recorded before it.
    #[error("journal {} is damaged at line {line}: {unit} {why}", path.display())]
    Illegal {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// Whose event.
        unit: UnitRef,
        /// Why it cannot be.
        why: &'static str,
    },
}

/// The open journal of the current run.
pub struct Journal {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Journal {
    /// Makes a new file; it must not exist.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|e| io(path, e))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// Adds a record; durable only after [`Journal::sync`].
    ///
    /// # Errors
    /// When the disk refuses it; the run must then stop.
    pub fn append(&mut self, event: &Event) -> Result<(), JournalError> {
        let json = serde_json::to_string(event).map_err(|e| io(&self.path, e.into()))?;
        let crc = crc32fast::hash(json.as_bytes());
        writeln!(self.file, "{crc:08x} {json}").map_err(|e| io(&self.path, e))
    }

    /// Makes all records so far durable: one `fsync` for however many there are.
    ///
    /// # Errors
    /// When the disk refuses; what was appended since the last sync must not be relied on.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.file.flush().and_then(|()| self.file.get_ref().sync_data()).map_err(|e| io(&self.path, e))
    }
}

/// All whole records of a file, in order.
///
/// # Errors
/// When it cannot be read, or is damaged before its last line.
pub fn read(path: &Path) -> Result<Vec<Event>, JournalError> {
    let bytes = std::fs::read(path).map_err(|e| io(path, e))?;
    let mut events = Vec::new();
    let mut open = std::collections::HashSet::new();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
    for (index, line) in lines.iter().enumerate() {
        match record(line) {
            Ok(event) => {
                check_order(&mut open, &event).map_err(|(unit, why)| JournalError::Illegal {
                    path: path.to_owned(),
                    line: index + 1,
                    unit,
                    why,
                })?;
                events.push(event);
            }
            Err(_) if index + 1 == lines.len() => {}
            Err(why) => return Err(JournalError::Damaged { path: path.to_owned(), line: index + 1, why }),
        }
    }
    Ok(events)
}

fn record(line: &[u8]) -> Result<Event, String> {
    let text = std::str::from_utf8(line).map_err(|e| e.to_string())?;
    let text = text.strip_suffix('\n').ok_or("the line has no end")?;
    let (crc, json) = text.split_once(' ').ok_or("no checksum")?;
    if crc != format!("{:08x}", crc32fast::hash(json.as_bytes())) {
        return Err("the checksum does not match".to_owned());
    }
    serde_json::from_str(json).map_err(|e| e.to_string())
}

/// Between its start and its end a unit is open; an attempt may start again only while it is.
fn check_order(open: &mut std::collections::HashSet<UnitRef>, event: &Event) -> Result<(), (UnitRef, &'static str)> {
    match &event.kind {
        Kind::UnitStarted { unit, .. } if !open.insert(unit.clone()) => {
            return Err((unit.clone(), "started while it was running"));
        }
        Kind::UnitFinished { unit, definition, .. } => {
            let was_open = open.remove(unit);
            let ran = definition.is_some()
                && !matches!(event.kind, Kind::UnitFinished { outcome: crate::event::Outcome::Kept, .. });
            if ran && !was_open {
                return Err((unit.clone(), "ended without having started"));
            }
        }
        _ => {}
    }
    Ok(())
}

fn io(path: &Path, source: std::io::Error) -> JournalError {
    JournalError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Outcome, Outputs, VERSION};

    fn unit() -> UnitRef {
        UnitRef { phase: "p".into(), step: "s".into(), host: None }
    }

    fn events() -> Vec<Event> {
        let kinds = [
            Kind::UnitStarted { unit: unit(), definition: "d".into(), attempt: 1 },
            Kind::UnitFinished {
                unit: unit(),
                outcome: Outcome::Changed,
                definition: Some("d".into()),
                diff: crate::diff::Diff::act("run it"),
                outputs: Outputs::new(),
                output: String::new(),
                elapsed: 0.5,
            },
        ];
        let at = jiff::Timestamp::UNIX_EPOCH;
        kinds.into_iter().enumerate().map(|(i, kind)| Event { v: VERSION, seq: i as u64, at, kind }).collect()
    }

    fn written(events: &[Event]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.jsonl");
        let mut journal = Journal::create(&path).unwrap();
        events.iter().for_each(|e| journal.append(e).unwrap());
        journal.sync().unwrap();
        (dir, path)
    }

    #[test]
    fn what_is_written_is_read() {
        let (_dir, path) = written(&events());
        assert_eq!(read(&path).unwrap(), events());
    }

    #[test]
    fn a_cut_at_any_byte_of_the_last_record_loses_only_that_record() {
        let (_dir, path) = written(&events());
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
        for cut in first..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(read(&path).unwrap(), events()[..1], "cut at byte {cut}");
        }
    }

    #[test]
    fn damage_before_the_last_record_is_refused() {
        let (_dir, path) = written(&events());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[20] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(read(&path), Err(JournalError::Damaged { line: 1, .. })));
    }

    #[test]
    fn an_end_without_a_start_is_refused() {
        let (_dir, path) = written(&events()[1..]);
        assert!(matches!(read(&path), Err(JournalError::Illegal { line: 1, .. })));
    }

    #[test]
    fn two_starts_are_refused() {
        let start = &events()[0];
        let (_dir, path) = written(&[start.clone(), start.clone()]);
        assert!(matches!(read(&path), Err(JournalError::Illegal { line: 2, .. })));
    }
}
