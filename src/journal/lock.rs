//! The lock of a run on this machine: `flock` on a file next to the journals. The kernel releases the lock when its
//! holder dies.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::JournalError;
use crate::holder::{Held, Holder};
use crate::private;

/// A lock that is held during a run, and released when dropped.
pub struct Lock {
    file: File,
    run: String,
    stale_holder: Option<Holder>,
}

/// Why the lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process runs this plan.
    #[error("{0}")]
    Held(Held),
    /// An I/O error.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Lock {
    /// Takes the lock in `folder` for a run. `name` is called only after the lock is taken, since another run may have
    /// started after any earlier look at the journals.
    ///
    /// # Errors
    /// [`LockError::Held`] if another process holds the lock.
    pub fn take(folder: &Path, name: impl FnOnce() -> String) -> Result<Self, LockError> {
        let path = folder.join("lock");
        let io_error = |source| LockError::Journal(JournalError::Io { path: path.clone(), source });
        let mut file = private::open_options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io_error)?;
        let locked = file.try_lock();
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io_error)?;
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held(Held::new(path.display().to_string(), &text, jiff::Timestamp::now())));
            }
            Err(TryLockError::Error(source)) => return Err(io_error(source)),
        }
        let run = name();
        let holder = Holder::here(&run);
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{holder}")).map_err(io_error)?;
        Ok(Self { file, run, stale_holder: text.parse().ok() })
    }

    /// Whether run `run` holds the lock in `folder`.
    pub fn is_held(folder: &Path, run: &str) -> bool {
        let Ok(mut file) = File::open(folder.join("lock")) else { return false };
        let mut text = String::new();
        let is_named =
            file.read_to_string(&mut text).is_ok() && text.parse().is_ok_and(|holder: Holder| holder.run == run);
        // The file still names a run that was killed, so the lock itself must be tried. It is tried only for the right
        // name, to disturb nobody.
        is_named && matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// The id of the run that holds this lock.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The run that held the lock before, if it was killed without releasing it.
    pub fn stale_holder(&self) -> Option<&Holder> {
        self.stale_holder.as_ref()
    }
}

impl Drop for Lock {
    /// Clears the name first, so that nobody takes it for the next holder.
    fn drop(&mut self) {
        let _left_there = self.file.set_len(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_told_the_holder_and_gets_the_lock_afterwards() {
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
    fn a_holder_that_did_not_release_the_lock_was_killed() {
        let dir = tempfile::tempdir().unwrap();
        let left = Holder::here("one");
        std::fs::write(dir.path().join("lock"), format!("{left}\n")).unwrap();
        assert!(!Lock::is_held(dir.path(), "one"));
        let second = Lock::take(dir.path(), || "two".to_owned()).unwrap();
        assert_eq!(second.stale_holder(), Some(&left));
    }
}
