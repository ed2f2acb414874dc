//! The journal file of one run. Each line is a record: `<crc32 of the JSON, 8 hex digits> <JSON of an Event>`.
//!
//! A last line without a line break was cut off by a crash and is ignored. Any other invalid line means that the file
//! is damaged, and the file is refused. Every released version of the format can be read.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::disk::{self, Disk};
use super::event_order::EventOrder;
use crate::event::{Event, VERSION};
use crate::private::NotPrivate;

/// Why a journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// An I/O error.
    #[error("journal {}: {source}", path.display())]
    Io {
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Other users have access to the folder of the journals.
    #[error("{what}")]
    Open {
        /// The folder, and who has access.
        what: String,
        hint: String,
    },
    /// A complete line does not match its checksum or is not an event.
    #[error("journal {} is damaged at line {line}: {why}", path.display())]
    Damaged {
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        why: String,
    },
    /// An event that cannot follow the events before it.
    #[error("journal {} has an impossible event at line {line}: {why}", path.display())]
    Illegal {
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// Why the event cannot follow.
        why: String,
    },
    /// A newer version of this program has written the journal.
    #[error("journal {} has format {found}; this version reads up to {VERSION}", path.display())]
    TooNew {
        path: PathBuf,
        /// Version of its format.
        found: u32,
    },
}

/// The open journal of the current run.
///
/// After a failed write, all further writes fail too: records after a lost one must not be trusted.
pub struct Journal {
    path: PathBuf,
    disk: Box<dyn Disk>,
    order: EventOrder,
    lines: usize,
    pending: Vec<u8>,
    failed: bool,
}

impl Journal {
    /// Creates a new file, which must not exist.
    ///
    /// # Errors
    /// When the file exists or cannot be created.
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        let file = disk::create(path).map_err(|e| io(path, e))?;
        Ok(Self::on(Box::new(file), path))
    }

    /// A journal on an empty disk; `path` is used in messages.
    pub fn on(disk: Box<dyn Disk>, path: &Path) -> Self {
        Self { path: path.to_owned(), disk, order: EventOrder::default(), lines: 0, pending: Vec::new(), failed: false }
    }

    /// Adds a record to the buffer. [`Journal::sync`] writes the buffer to the disk.
    ///
    /// # Errors
    /// [`JournalError::Illegal`] if the event cannot follow the events so far, which is a defect of the program.
    pub fn append(&mut self, event: &Event) -> Result<(), JournalError> {
        self.lines += 1;
        let illegal = |why| JournalError::Illegal { path: self.path.clone(), line: self.lines, why };
        self.order.step(&event.kind).map_err(illegal)?;
        let json = serde_json::to_vec(event).map_err(|e| io(&self.path, e.into()))?;
        let crc = crc32fast::hash(&json);
        // Writing to a `Vec` does not fail.
        let _ = write!(self.pending, "{crc:08x} ");
        self.pending.extend_from_slice(&json);
        self.pending.push(b'\n');
        Ok(())
    }

    /// Makes all records so far durable, by one write and one `fsync` for any number of records.
    ///
    /// # Errors
    /// When this or an earlier write failed. The run must stop then, and no record since the last successful sync
    /// counts.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        if self.failed {
            return Err(io(&self.path, io::Error::other("an earlier write failed")));
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.disk.append(&pending).and_then(|()| self.disk.sync()).map_err(|e| {
            self.failed = true;
            io(&self.path, e)
        })
    }
}

/// Reads all complete records of a file, in order.
///
/// # Errors
/// When the file cannot be read, is damaged other than by a write that was cut off, or contains events in an impossible
/// order.
pub fn read(path: &Path) -> Result<Vec<Event>, JournalError> {
    parse(path, &std::fs::read(path).map_err(|e| io(path, e))?)
}

/// Parses all complete records of a file's content, in order; `path` is used in messages.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Event>, JournalError> {
    let mut events = Vec::new();
    let mut legal = EventOrder::default();
    for (index, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let (path, line_number) = (path.to_owned(), index + 1);
        match record(line) {
            Ok(event) if event.v > VERSION => return Err(JournalError::TooNew { path, found: event.v }),
            Ok(event) => {
                let illegal = |why| JournalError::Illegal { path, line: line_number, why };
                legal.step(&event.kind).map_err(illegal)?;
                events.push(event);
            }
            // Only the last line can lack a line break.
            Err(_) if !line.ends_with(b"\n") => {}
            Err(why) => return Err(JournalError::Damaged { path, line: line_number, why }),
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

impl From<NotPrivate> for JournalError {
    fn from(error: NotPrivate) -> Self {
        match error {
            NotPrivate::Io { path, source } => Self::Io { path, source },
            NotPrivate::Open { what, hint } => Self::Open { what, hint },
        }
    }
}

fn io(path: &Path, source: io::Error) -> JournalError {
    JournalError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::testing::{events, finished, run_started, started};
    use super::*;
    use crate::event::Outcome;

    fn sample() -> Vec<Event> {
        events([run_started(), started("a"), finished("a", Outcome::Changed)])
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
        let (_dir, path) = written(&sample());
        assert_eq!(read(&path).unwrap(), sample());
    }

    #[test]
    fn a_cut_at_any_byte_loses_only_one_record() {
        let (_dir, path) = written(&sample());
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            let ends = whole[..cut].iter().filter(|b| **b == b'\n').count();
            assert_eq!(parse(&path, &whole[..cut]).unwrap(), sample()[..ends], "cut at byte {cut}");
        }
    }

    #[test]
    fn no_damage_of_one_byte_goes_unnoticed() {
        let (_dir, path) = written(&sample());
        let whole = std::fs::read(&path).unwrap();
        let but_last = &sample()[..sample().len() - 1];
        for (at, was) in whole.iter().enumerate() {
            // Replaces the byte by any other byte, or deletes it.
            for now in (0..=u8::MAX).filter(|now| now != was).map(Some).chain([None]) {
                let bytes = [&whole[..at], now.as_slice(), &whole[at + 1..]].concat();
                match parse(&path, &bytes) {
                    Err(JournalError::Damaged { line, .. }) => {
                        let of = whole[..at].iter().filter(|b| **b == b'\n').count() + 1;
                        assert_eq!(line, of, "byte {at} is {now:?}");
                    }
                    Ok(events) => {
                        assert!(!bytes.ends_with(b"\n"), "byte {at} is {now:?}");
                        assert_eq!(events, but_last, "byte {at} is {now:?}");
                    }
                    Err(error) => panic!("byte {at} is {now:?}: {error}"),
                }
            }
        }
    }

    #[test]
    fn impossible_events_are_refused_in_writing_and_in_reading() {
        let (_dir, path) = written(&sample()[..1]);
        let line = |event: &Event| {
            let json = serde_json::to_string(event).unwrap();
            format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
        };
        let text = line(&sample()[0]) + &line(&sample()[2]);
        assert!(matches!(parse(&path, text.as_bytes()), Err(JournalError::Illegal { line: 2, .. })));
        let mut journal = Journal::on(Box::new(Flaky::default()), &path);
        journal.append(&sample()[0]).unwrap();
        assert!(matches!(journal.append(&sample()[2]), Err(JournalError::Illegal { line: 2, .. })));
    }

    #[test]
    fn a_newer_format_is_named() {
        let mut newer = sample();
        newer[0].v = VERSION + 1;
        let (_dir, path) = written(&newer);
        let error = read(&path).unwrap_err();
        assert!(matches!(error, JournalError::TooNew { .. }), "{error}");
    }

    /// A disk on which only the n-th operation fails.
    #[derive(Default, Clone)]
    struct Flaky(Arc<Mutex<(usize, Option<usize>)>>);

    impl Flaky {
        fn operation(&self) -> io::Result<()> {
            let mut state = self.0.lock().unwrap();
            state.0 += 1;
            if state.1 == Some(state.0) { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
        }
    }

    impl Disk for Flaky {
        fn append(&mut self, _: &[u8]) -> io::Result<()> {
            self.operation()
        }
        fn sync(&mut self) -> io::Result<()> {
            self.operation()
        }
    }

    #[test]
    fn after_a_failed_write_or_sync_all_further_writes_fail() {
        for fails_at in 1..=2 {
            let disk = Flaky::default();
            disk.0.lock().unwrap().1 = Some(fails_at);
            let mut journal = Journal::on(Box::new(disk), Path::new("j"));
            journal.append(&sample()[0]).unwrap();
            assert!(journal.sync().is_err());
            journal.append(&sample()[1]).unwrap();
            assert!(journal.sync().is_err(), "the disk would take this one, but the one before it is lost");
        }
    }
}
