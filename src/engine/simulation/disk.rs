//! A disk that loses what was not synced: all of it, or from any byte on.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use serde::Deserialize;

use super::life::Life;
use super::oracle::key;
use super::order::Key;
use crate::event::{Event, EventKind, UnitRef};
use crate::journal::Disk;

/// A fault of the disk in a run, and the operation at which it occurs, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The disk is full in the middle of what is appended.
    Full(usize),
    /// The sync fails; a part may be durable.
    Sync(usize),
    /// The program dies in the operation.
    Crash(usize),
    /// The program dies in the write that would exceed this number of records.
    Keep(usize),
}

/// The parts of an event by which the disk tells what is running.
#[derive(Deserialize)]
struct Record {
    seq: u64,
    kind: Happened,
}

#[derive(Deserialize)]
struct Happened {
    event: String,
    unit: Option<UnitRef>,
}

/// The disk of one journal.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

struct State {
    durable: Vec<u8>,
    pending: Vec<u8>,
    operations: usize,
    trouble: Option<Trouble>,
    /// How much of what is not synced survives, in thousandths of its records.
    survives: usize,
    life: Life,
    /// The durable events.
    events: Vec<Record>,
    /// How many of the events were published.
    published: usize,
}

impl SimDisk {
    pub fn new(life: Life, trouble: Option<Trouble>, survives: usize) -> Self {
        let (durable, pending, events) = (Vec::new(), Vec::new(), Vec::new());
        Self(Arc::new(Mutex::new(State {
            durable,
            pending,
            operations: 0,
            trouble,
            survives,
            life,
            events,
            published: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// What the disk holds once the program is gone. The system may have written a part of what was not synced.
    pub fn left(&self) -> Vec<u8> {
        let mut state = self.state();
        state.settle();
        state.durable.clone()
    }

    /// How many events are durable.
    pub fn count(&self) -> usize {
        self.state().events.len()
    }

    /// Whether a unit's start is durable and its end is not.
    pub fn shows_running(&self, unit: &Key) -> bool {
        let is = |of: &UnitRef| key(of) == *unit;
        let state = self.state();
        let of_it = |record: &&Record| {
            matches!(record.kind.event.as_str(), "unit_started" | "unit_finished")
                && record.kind.unit.as_ref().is_some_and(is)
        };
        state.events.iter().rfind(of_it).is_some_and(|record| record.kind.event == "unit_started")
    }

    /// Notes that an event was published, which must be durable. Only its number is compared here.
    pub fn published(&self, event: &Event) -> Result<(), String> {
        if matches!(event.kind, EventKind::Progress { .. }) {
            return Ok(());
        }
        let mut state = self.state();
        let from = state.published;
        match state.events[from..].iter().position(|e| e.seq == event.seq) {
            Some(at) => {
                state.published = from + at + 1;
                Ok(())
            }
            None => Err(format!("an event was published that is not durable: {:?}", event.kind)),
        }
    }
}

impl State {
    fn sync(&mut self) {
        let bytes = std::mem::take(&mut self.pending);
        self.durable.extend_from_slice(&bytes);
        // Whether the events may follow each other is checked when the whole journal is parsed.
        let json = |line: &str| serde_json::from_str::<Record>(line.get(9..)?).ok();
        self.events.extend(String::from_utf8_lossy(&bytes).lines().filter_map(json));
    }

    /// Makes a part of what is not synced durable: some whole records, and a piece of the next one.
    fn settle(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let lines = lines(&pending);
        let records = lines.len() * self.survives / 1000;
        let whole: usize = lines[..records].iter().map(|l| l.len()).sum();
        let piece = lines.get(records).map_or(0, |l| l.len() * (self.survives % 97) / 97);
        self.durable.extend_from_slice(&pending[..whole + piece]);
    }
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|b| *b == b'\n').collect()
}

impl Disk for SimDisk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if state.life.is_over() {
            return Err(io::Error::other("the program is dead"));
        }
        state.operations += 1;
        match state.trouble {
            Some(Trouble::Full(at)) if state.operations >= at => {
                state.pending.extend_from_slice(bytes);
                state.settle();
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            Some(Trouble::Crash(at)) if state.operations >= at => {
                state.pending.extend_from_slice(bytes);
                state.life.end("in a write to the journal");
                Err(io::Error::other("the program is dead"))
            }
            Some(Trouble::Keep(records)) if state.events.len() + lines(bytes).len() > records => {
                let lines = lines(bytes);
                let whole: usize = lines[..records - state.events.len()].iter().map(|l| l.len()).sum();
                let next = lines[records - state.events.len()].len();
                let piece = next * state.survives / 1001;
                state.durable.extend_from_slice(&bytes[..whole + piece]);
                state.life.end(format!("after {records} records of the journal"));
                Err(io::Error::other("the program is dead"))
            }
            _ => {
                state.pending.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.state();
        if state.life.is_over() {
            return Err(io::Error::other("the program is dead"));
        }
        match state.trouble {
            Some(Trouble::Sync(at)) if state.operations >= at => {
                state.settle();
                Err(io::Error::other("the disk lost a write"))
            }
            Some(Trouble::Crash(at)) if state.operations >= at => {
                state.life.end("in a sync of the journal");
                Err(io::Error::other("the program is dead"))
            }
            _ => {
                state.sync();
                Ok(())
            }
        }
    }
}
