//! Folders and files of the user alone: journals and what lies beside them tell what is on the hosts.
//!
//! Whoever else could write there could make a run believe what did not happen; so such a folder is refused. One that
//! others could only read, as earlier versions left it, is closed.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Why a folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum NotPrivate {
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The folder, or a file in it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is somebody else's, or open to others.
    #[error("{what}")]
    Open {
        /// Which folder, and who gets at it.
        what: String,
        /// What to do about it.
        hint: String,
    },
}

/// How to open or make a file that only its owner gets at.
pub fn file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Makes sure that a folder is there and nobody else's. Says whether others could read it until now.
///
/// # Errors
/// When it cannot be made, or others can write there.
pub fn folder(path: &Path) -> Result<bool, NotPrivate> {
    let io = |source| NotPrivate::Io { path: path.to_owned(), source };
    let open = |what: &str, hint: String| {
        let what = format!("{} {what}: nothing is kept there, nor read from there", path.display());
        Err(NotPrivate::Open { what, hint })
    };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
    let (link, seen) = (std::fs::symlink_metadata(path).map_err(io)?, std::fs::metadata(path).map_err(io)?);
    let us = rustix::process::geteuid().as_raw();
    let owner = [link.uid(), seen.uid()].into_iter().find(|owner| *owner != us);
    if let Some(owner) = owner {
        let hint = "name a folder of your own in ROLLOUT_STATE_DIR, or run this as the user that it belongs to";
        return open(&format!("belongs to another user (number {owner}), not to you (number {us})"), hint.to_owned());
    }
    if seen.mode() & 0o022 != 0 {
        let hint = format!("look whether all that is in it is yours, then `chmod -R go= {}`", path.display());
        return open("can be written by others", hint);
    }
    close(path, seen.mode()).map_err(io)
}

/// Closes the files in a folder that others could read, and with `deeply` those in the folders in it. Links are left as
/// they are.
///
/// # Errors
/// When the system refuses.
pub fn files_in(folder: &Path, deeply: bool) -> Result<(), NotPrivate> {
    let io = |source| NotPrivate::Io { path: folder.to_owned(), source };
    let us = rustix::process::geteuid().as_raw();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let seen = match entry.metadata() {
            Ok(seen) => seen,
            // Another run may be at work.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(io(error)),
        };
        if seen.uid() != us || !(seen.is_file() || deeply && seen.is_dir()) {
            continue;
        }
        let path = entry.path();
        close(&path, seen.mode()).or_else(|e| if e.kind() == ErrorKind::NotFound { Ok(false) } else { Err(io(e)) })?;
        if seen.is_dir() {
            files_in(&path, deeply)?;
        }
    }
    Ok(())
}

fn close(path: &Path, mode: u32) -> io::Result<bool> {
    let is_open = mode & 0o077 != 0;
    if is_open {
        std::fs::set_permissions(path, Permissions::from_mode(mode & 0o700))?;
    }
    Ok(is_open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o777
    }

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn refusal(path: &Path) -> (String, String) {
        match folder(path) {
            Err(NotPrivate::Open { what, hint }) => (what, hint),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_folder_is_made_closed_and_one_that_others_could_read_is_closed() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        assert!(!folder(&path).unwrap());
        assert_eq!((mode(&path), mode(&parent.path().join("a"))), (0o700, 0o700));
        set(&path, 0o755);
        assert!(folder(&path).unwrap() && mode(&path) == 0o700);
    }

    #[test]
    fn one_that_others_can_write_in_is_refused_also_behind_a_link() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a");
        folder(&path).unwrap();
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        folder(&link).unwrap();
        for open in [0o770, 0o702, 0o1777] {
            set(&path, open);
            for path in [&path, &link] {
                let (what, hint) = refusal(path);
                assert!(what.contains("can be written by others") && hint.contains("chmod"), "{what} {hint}");
            }
        }
    }

    #[test]
    fn one_of_somebody_else_is_refused_also_behind_a_link() {
        if !crate::needs::root("give folders away") {
            return;
        }
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a");
        folder(&path).unwrap();
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
        let mine = parent.path().join("mine");
        std::os::unix::fs::symlink(&path, &mine).unwrap();
        let theirs = parent.path().join("theirs");
        std::os::unix::fs::symlink(parent.path(), &theirs).unwrap();
        std::os::unix::fs::lchown(&theirs, Some(65534), None).unwrap();
        for path in [&path, &mine, &theirs] {
            let (what, hint) = refusal(path);
            assert!(what.contains("another user (number 65534)") && hint.contains("ROLLOUT_STATE_DIR"), "{what}");
        }
    }

    #[test]
    fn files_of_earlier_versions_are_closed_and_those_behind_links_are_left() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        std::fs::create_dir_all(at("state/plan")).unwrap();
        for file in ["state/plan/run.jsonl", "state/log", "other"] {
            std::fs::write(at(file), "").unwrap();
            set(&at(file), 0o644);
        }
        set(&at("state/plan"), 0o755);
        std::os::unix::fs::symlink(at("other"), at("state/link")).unwrap();
        files_in(&at("state"), false).unwrap();
        assert_eq!((mode(&at("state/log")), mode(&at("state/plan/run.jsonl"))), (0o600, 0o644));
        files_in(&at("state"), true).unwrap();
        assert_eq!((mode(&at("state/plan")), mode(&at("state/plan/run.jsonl"))), (0o700, 0o600));
        assert_eq!(mode(&at("other")), 0o644);
    }
}
