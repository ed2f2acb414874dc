//! Folders and files that only the user may access: journals and the files beside them tell what is on the hosts.
//!
//! A folder that others can write to is refused, because they could forge a journal. A folder that others can only
//! read, as earlier versions left it, is closed.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Why a folder is refused.
#[derive(Debug, thiserror::Error)]
pub enum NotPrivate {
    /// The system refuses access.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// The folder belongs to another user, or others can write to it.
    #[error("{what}")]
    Open {
        /// The folder, and who has access.
        what: String,
        hint: String,
    },
}

/// Options that create a file with mode 0600.
pub fn open_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Creates the folder if needed, and makes sure that only the user has access. Returns whether others could read it
/// before.
///
/// # Errors
/// When the folder cannot be created, belongs to another user, or others can write to it.
pub fn ensure_folder(path: &Path) -> Result<bool, NotPrivate> {
    let io = |source| NotPrivate::Io { path: path.to_owned(), source };
    let open = |what: &str, hint: String| {
        let what = format!("{} {what}, so rollout does not use it", path.display());
        Err(NotPrivate::Open { what, hint })
    };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
    let (link, metadata) = (std::fs::symlink_metadata(path).map_err(io)?, std::fs::metadata(path).map_err(io)?);
    let user = rustix::process::geteuid().as_raw();
    let owner = [link.uid(), metadata.uid()].into_iter().find(|owner| *owner != user);
    if let Some(owner) = owner {
        let hint = "set ROLLOUT_STATE_DIR to a folder of your own, or run rollout as the owner of this one";
        return open(&format!("belongs to another user (number {owner}), not to you (number {user})"), hint.to_owned());
    }
    if metadata.mode() & 0o022 != 0 {
        let hint = format!("check that everything in it is yours, then run `chmod -R go= {}`", path.display());
        return open("can be written by others", hint);
    }
    close_to_others(path, metadata.mode()).map_err(io)
}

/// Removes the access of others to the files in a folder, and with `deeply` also to its subfolders and their files.
/// Links are left alone.
///
/// # Errors
/// When the folder cannot be read, or a mode cannot be changed.
pub fn close_files_in(folder: &Path, deeply: bool) -> Result<(), NotPrivate> {
    let io = |source| NotPrivate::Io { path: folder.to_owned(), source };
    let user = rustix::process::geteuid().as_raw();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // Another run may have removed the file.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(io(error)),
        };
        if metadata.uid() != user || !(metadata.is_file() || deeply && metadata.is_dir()) {
            continue;
        }
        let path = entry.path();
        close_to_others(&path, metadata.mode())
            .or_else(|e| if e.kind() == ErrorKind::NotFound { Ok(false) } else { Err(io(e)) })?;
        if metadata.is_dir() {
            close_files_in(&path, deeply)?;
        }
    }
    Ok(())
}

fn close_to_others(path: &Path, mode: u32) -> io::Result<bool> {
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
        match ensure_folder(path) {
            Err(NotPrivate::Open { what, hint }) => (what, hint),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_folder_is_made_closed_and_one_that_others_could_read_is_closed() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        assert!(!ensure_folder(&path).unwrap());
        assert_eq!((mode(&path), mode(&parent.path().join("a"))), (0o700, 0o700));
        set(&path, 0o755);
        assert!(ensure_folder(&path).unwrap() && mode(&path) == 0o700);
    }

    #[test]
    fn one_that_others_can_write_in_is_refused_also_behind_a_link() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a");
        ensure_folder(&path).unwrap();
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        ensure_folder(&link).unwrap();
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
        ensure_folder(&path).unwrap();
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
        close_files_in(&at("state"), false).unwrap();
        assert_eq!((mode(&at("state/log")), mode(&at("state/plan/run.jsonl"))), (0o600, 0o644));
        close_files_in(&at("state"), true).unwrap();
        assert_eq!((mode(&at("state/plan")), mode(&at("state/plan/run.jsonl"))), (0o700, 0o600));
        assert_eq!(mode(&at("other")), 0o644);
    }
}
