//! The run lock of this machine: `flock` on a file beside the journals. The kernel frees it when the holder dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::JournalError;

/// Held while a run lasts.
pub struct Lock {
    _file: File,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else runs this plan.
    #[error("another run holds the lock: {holder}")]
    Held {
        /// Process, machine, run and since when, as the holder wrote it.
        holder: String,
    },
    /// The disk or its rights.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Lock {
    /// Takes the lock in `folder` for a run.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process has it.
    pub fn take(folder: &Path, run: &str) -> Result<Self, LockError> {
        let path = folder.join("lock");
        let io = |source| LockError::Journal(JournalError::Io { path: path.clone(), source });
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).map_err(io)?;
                return Err(LockError::Held { holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let holder = format!(
            "run {run}, process {}, since {}",
            std::process::id(),
            jiff::Timestamp::now().strftime("%F %T UTC")
        );
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{holder}")).map_err(io)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_hears_who_holds_it_and_gets_it_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path(), "one").unwrap();
        let Err(LockError::Held { holder }) = Lock::take(dir.path(), "two") else { panic!("two locks at once") };
        assert!(holder.contains("run one") && holder.contains(&std::process::id().to_string()), "{holder}");
        drop(first);
        Lock::take(dir.path(), "two").unwrap();
    }
}
