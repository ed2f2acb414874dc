//! Connections that outlive a run and are used by the next one.
//!
//! A persistent master has a folder of its own, like any other, and beside that folder a symbolic link to its socket,
//! named by the digest of its configuration. Links are replaced without locking: two runs that connect at once both get
//! a connection, and the later one's is kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use openssh::Session;
use tokio::time::timeout;

use super::master::{self, MAX_FOLDER_BYTES};
use crate::connect::ConnectError;
use crate::inventory::{Host, Ssh};
use crate::private::{self, NotPrivate};

/// How long a master has to answer; it runs on this machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Number of digits of the configuration's digest in a link's name.
const KEY_DIGITS: usize = 20;

/// The folder for persistent connections: in the user's runtime folder, else beside the journals.
///
/// # Errors
/// When there is no such folder that only this user can access.
pub fn folder() -> Result<PathBuf, ConnectError> {
    let of = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::home_dir().map(|home| home.join(".local/state"));
    let candidates = [
        of("XDG_RUNTIME_DIR").filter(|path| path.is_dir()).map(|runtime| runtime.join("rollout")),
        of("ROLLOUT_STATE_DIR").map(|state| state.join("ssh")),
        of("XDG_STATE_HOME").or_else(home).map(|state| state.join("rollout/ssh")),
    ];
    let fits = |path: &PathBuf| path.as_os_str().len() <= MAX_FOLDER_BYTES;
    let found = candidates.into_iter().flatten().find(fits).ok_or_else(|| {
        refused("all candidates have paths that are too long for sockets").hint("set XDG_RUNTIME_DIR to a short path")
    })?;
    make_private(&found)?;
    Ok(found)
}

/// Creates the folder if it is missing, and makes sure that only this user can access it.
fn make_private(path: &Path) -> Result<(), ConnectError> {
    match private::ensure_folder(path) {
        Ok(_) => Ok(()),
        Err(NotPrivate::Open { what, hint }) => {
            Err(refused(&what).hint(format!("whoever can access it can access your hosts: {hint}")))
        }
        Err(error @ NotPrivate::Io { .. }) => Err(refused(&error.to_string())),
    }
}

fn refused(why: &str) -> ConnectError {
    ConnectError::unreachable(format!("no folder to keep ssh connections in: {why}"))
}

/// An ssh connection, new or taken over from an earlier run.
pub struct PersistentMaster {
    pub session: Session,
    /// Whether an earlier run made the connection: the network behind it may be gone by now.
    pub reused: bool,
}

/// Takes over the persistent connection for this configuration if it is running and `reuse` allows it. Otherwise
/// connects anew, once `permit` resolves.
pub async fn connect(
    host: &Host,
    ssh: &Ssh,
    folder: &Path,
    (idle, digest): (Duration, &str),
    reuse: bool,
    permit: impl Future,
) -> Result<PersistentMaster, ConnectError> {
    let link = folder.join(digest.get(..KEY_DIGITS).unwrap_or(digest));
    if let Some(session) = running_master(&link).await {
        if reuse {
            return Ok(PersistentMaster { session, reused: true });
        }
        // The old master ends once no other run uses it.
        let _ = timeout(ANSWER_TIMEOUT, session.close()).await;
    }
    remove(&link);
    let _turn = permit.await;
    let session = master::connect(host, ssh, folder, Some(idle)).await?;
    replace_link(&link, session.control_socket()).map_err(|e| refused(&format!("{}: {e}", link.display())))?;
    // The first session would end the master when dropped; detached and resumed, the master outlives this run.
    let (socket, log) = session.detach();
    Ok(PersistentMaster { session: Session::resume_mux(socket, log), reused: false })
}

/// The master behind a link, if it answers.
async fn running_master(link: &Path) -> Option<Session> {
    let socket = std::fs::read_link(link).ok()?;
    let session = Session::resume_mux(link.with_file_name(socket).into(), None);
    let answers = timeout(ANSWER_TIMEOUT, session.check()).await;
    matches!(answers, Ok(Ok(()))).then_some(session)
}

/// Removes a link and the folder of the socket that it points to.
fn remove(link: &Path) {
    let Ok(socket) = std::fs::read_link(link) else { return };
    let _ = std::fs::remove_file(link);
    if let Some(own) = socket.parent().and_then(Path::file_name) {
        let _ = std::fs::remove_dir_all(link.with_file_name(own));
    }
}

/// Points a link to a socket in a folder beside it, atomically.
fn replace_link(link: &Path, socket: &Path) -> std::io::Result<()> {
    let beside = socket.strip_prefix(link.parent().unwrap_or(link)).unwrap_or(socket);
    let new = socket.with_file_name("new");
    std::os::unix::fs::symlink(beside, &new)?;
    std::fs::rename(&new, link)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    #[test]
    fn the_folder_is_nobody_elses() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        make_private(&folder).unwrap();
        assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        make_private(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o770)).unwrap();
        let ConnectError::Unreachable { message, hint } = make_private(&folder).unwrap_err() else { panic!() };
        assert!(message.contains("can be written by others") && hint.unwrap().contains("chmod"), "{message}");
    }
}
