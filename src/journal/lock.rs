//! The run lock of this machine: `flock` on a file beside the journals. The kernel frees it when the holder dies.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::JournalError;
use crate::holder::{Held, Holder};
use crate::private;

/// Held while a run lasts.
pub struct Lock {
    file: File,
    run: String,
    killed: Option<Holder>,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else runs this plan.
    #[error("{0}")]
    Held(Held),
    /// The disk or its rights.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Lock {
    /// Takes the lock in `folder` for a run. It is named only then: the run that held the lock until now may have begun
    /// after any earlier look at the journals.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process has it.
    pub fn take(folder: &Path, name: impl FnOnce() -> String) -> Result<Self, LockError> {
        let path = folder.join("lock");
        let io = |source| LockError::Journal(JournalError::Io { path: path.clone(), source });
        let mut file = private::file().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        let taken = file.try_lock();
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io)?;
        match taken {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held(Held::new(path.display().to_string(), &text, jiff::Timestamp::now())));
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let run = name();
        let holder = Holder::here(&run);
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{holder}")).map_err(io)?;
        Ok(Self { file, run, killed: text.parse().ok() })
    }

    /// Whether the run of that id holds the lock in `folder`.
    pub fn is_held(folder: &Path, run: &str) -> bool {
        let Ok(mut file) = File::open(folder.join("lock")) else { return false };
        let mut text = String::new();
        let named =
            file.read_to_string(&mut text).is_ok() && text.parse().is_ok_and(|holder: Holder| holder.run == run);
        // The name of a run that was killed stays; only then is the lock tried, so as to be in nobody's way.
        named && matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// The id of the run that holds it.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The run that held it before, when that did not live to give it back.
    pub fn stale_holder(&self) -> Option<&Holder> {
        self.killed.as_ref()
    }
}

impl Drop for Lock {
    /// Takes the name away first, so that nobody reads it as the next holder's.
    fn drop(&mut self) {
        let _left_there = self.file.set_len(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_hears_who_holds_it_and_gets_it_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path(), || "one".to_owned()).unwrap();
        let Err(LockError::Held(held)) = Lock::take(dir.path(), || "two".to_owned()) else {
            panic!("two locks at once")
        };
        let holder = held.holder().expect("the holder is on record");
        assert_eq!((holder.run.as_str(), holder.process), ("one", std::process::id()));
        assert_eq!(held.lock, dir.path().join("lock").display().to_string());
        assert!(Lock::is_held(dir.path(), "one") && !Lock::is_held(dir.path(), "two"));
        drop(first);
        assert!(!Lock::is_held(dir.path(), "one"));
        let second = Lock::take(dir.path(), || "two".to_owned()).unwrap();
        assert_eq!((second.run(), second.stale_holder()), ("two", None));
    }

    #[test]
    fn a_holder_that_did_not_give_it_back_was_killed() {
        let dir = tempfile::tempdir().unwrap();
        let left = Holder::here("one");
        std::fs::write(dir.path().join("lock"), format!("{left}\n")).unwrap();
        assert!(!Lock::is_held(dir.path(), "one"));
        let second = Lock::take(dir.path(), || "two".to_owned()).unwrap();
        assert_eq!(second.stale_holder(), Some(&left));
    }
}
