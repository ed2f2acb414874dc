//! Truncated or damaged journals of an interrupted run: after every record, at every byte of the last one, and in the
//! middle.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{Cut, report};
use crate::world::{Listing, World};

/// The state that a run left when it was killed late.
struct Interrupted {
    world: World,
    saved: tempfile::TempDir,
    journal: PathBuf,
    bytes: Vec<u8>,
    /// The state after an uninterrupted run.
    wanted: Listing,
}

impl Interrupted {
    fn new() -> Self {
        let world = World::new();
        world.ready(1);
        assert!(matches!(world.cut(1, "answers", "after-intent"), Cut::Killed));
        let journal = world.journals().pop().unwrap();
        let (saved, bytes) = (tempfile::tempdir().unwrap(), fs::read(&journal).unwrap());
        world.save(saved.path());
        world.go_on(1, 0);
        let wanted = world.listing();
        Self { world, saved, journal, bytes, wanted }
    }

    /// Restores the state, with this journal.
    fn with(&self, bytes: &[u8]) {
        self.world.restore(self.saved.path());
        fs::write(&self.journal, bytes).unwrap();
    }

    /// Byte positions of the ends of records.
    fn ends(&self) -> Vec<usize> {
        self.bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(n, _)| n + 1).collect()
    }

    /// Continues from the truncated journal; the end must be the same.
    fn goes_on(&self, cut: usize) {
        self.with(&self.bytes[..cut]);
        self.world.go_on(1, 0);
        assert_eq!(self.world.listing(), self.wanted, "cut at byte {cut}");
        for (command, times) in self.world.executions() {
            // Steps whose records are lost were done nevertheless, so only commands without a condition run again.
            let each_time = ["token 1", "unguarded 1", "reload 1"].contains(&command.as_str());
            assert!(times == 1 || each_time && times <= 4, "cut at byte {cut}: {command} ran {times} times");
        }
    }
}

/// Every n-th position, so that the test takes a few seconds; all with `ROLLOUT_LONG`.
fn every(n: usize) -> usize {
    if crate::needs::time() { 1 } else { n }
}

#[test]
fn a_journal_cut_after_any_record_leads_to_the_same_end() {
    let run = Interrupted::new();
    let cuts: Vec<usize> = [0].into_iter().chain(run.ends()).step_by(every(9)).collect();
    cuts.iter().for_each(|cut| run.goes_on(*cut));
    report(&format!("truncation suite: {} cuts after a record", cuts.len()));
}

#[test]
fn a_journal_cut_at_any_byte_of_its_last_record_leads_to_the_same_end() {
    let run = Interrupted::new();
    let ends = run.ends();
    let (start, end) = (ends[ends.len() - 2] + 1, ends[ends.len() - 1]);
    let cuts: Vec<usize> = (start..end).step_by(every(40)).collect();
    cuts.iter().for_each(|cut| run.goes_on(*cut));
    report(&format!("truncation suite: {} cuts in the last record", cuts.len()));
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder).unwrap().flatten().map(|e| e.path()).collect();
    all.sort();
    all
}

#[test]
fn a_journal_damaged_before_its_end_is_named_and_nothing_is_done() {
    let run = Interrupted::new();
    let ends = run.ends();
    // The middle of a record, and the line break after it. Only the last line break may be missing: that is a truncated
    // write.
    let breaks = &ends[..ends.len() - 1];
    let places = ends.iter().map(|end| end - 30).chain(breaks.iter().map(|end| end - 1)).step_by(every(10));
    let mut count = 0;
    for place in places {
        let mut bytes = run.bytes.clone();
        bytes[place] ^= 1;
        run.with(&bytes);
        let (before, journals) = (run.world.listing(), names(run.journal.parent().unwrap()));
        let ran = run.world.run(1, &[]);
        let line = ends.iter().filter(|end| **end <= place).count() + 1;
        assert_eq!(ran.code, 1, "{}", ran.failures());
        for word in [run.journal.to_str().unwrap(), &format!("line {line}"), "--fresh"] {
            assert!(ran.said.contains(word), "byte {place}, no {word}: {}", ran.said);
        }
        assert_eq!(run.world.listing(), before, "byte {place}");
        assert_eq!(names(run.journal.parent().unwrap()), journals, "byte {place}");
        count += 1;
    }
    let ran = run.world.run(1, &["--fresh"]);
    assert_eq!(ran.code, 0, "{}", ran.failures());
    assert_eq!(run.world.listing(), run.wanted);
    report(&format!("truncation suite: {count} damaged journals"));
}
