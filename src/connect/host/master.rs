//! Starts an ssh master process: the connection that all shells of a host share.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use openssh::Session;
use tempfile::{Builder, NamedTempFile, TempDir};
use tokio::process::Command;
use tokio::time::timeout;

use super::refusal::explain;
use crate::connect::ConnectError;
use crate::inventory::{Host, Ssh};

/// Default of `[ssh] connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of the login, in addition to the connect timeout.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);
/// Interval of keep-alive messages on a silent connection, seconds; after three without an answer the connection is
/// lost.
const ALIVE_INTERVAL_SECONDS: u32 = 10;
/// How long the master outlives this process if that is killed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest path of a folder for control sockets, bytes: a socket's path may have only 104 bytes on some systems.
pub const MAX_FOLDER_BYTES: usize = 60;
/// Longest path of a parent in which such a folder is created, bytes.
const MAX_PARENT_BYTES: usize = 32;

/// Creates a private folder for control sockets; removed when dropped.
pub fn control_folder() -> std::io::Result<TempDir> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let candidates = [runtime, Some(std::env::temp_dir())];
    let fits = |p: &PathBuf| p.is_dir() && p.as_os_str().len() <= MAX_PARENT_BYTES;
    let parent = candidates.into_iter().flatten().find(fits).unwrap_or_else(|| "/tmp".into());
    Builder::new().prefix("rollout-").permissions(std::fs::Permissions::from_mode(0o700)).tempdir_in(parent)
}

/// Connects; the host's key must be known. The master ends when the session is dropped, or after `idle` without use.
pub async fn connect(host: &Host, ssh: &Ssh, folder: &Path, idle: Option<Duration>) -> Result<Session, ConnectError> {
    let no_file = |e: std::io::Error| {
        ConnectError::unreachable(format!("no file for the ssh connection in {}: {e}", folder.display()))
    };
    let private = std::fs::Permissions::from_mode(0o700);
    let own = Builder::new().prefix("").rand_bytes(8).permissions(private).tempdir_in(folder).map_err(no_file)?;
    let log = NamedTempFile::new_in(&own).map_err(no_file)?;
    // Once this exists, dropping it ends the master, however far that has come.
    let session = Session::new_native_mux(own);
    let mut command = Command::new("ssh");
    command.args(["-M", "-N", "-f", "-S"]).arg(session.control_socket());
    command.arg("-o").arg(format!("ControlPersist={}", idle.unwrap_or(IDLE_TIMEOUT).as_secs()));
    // ssh's messages go to a file: a pipe would stay open after the master has gone to the background.
    let stderr = log.reopen().map_err(no_file)?;
    command.args(arguments(host, ssh)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    command.kill_on_drop(true);
    // ssh exits successfully when the login is done and the master has gone to the background.
    let status = timeout(connect_timeout(ssh) + LOGIN_TIMEOUT, command.status()).await;
    let log_text = || String::from_utf8_lossy(&std::fs::read(log.path()).unwrap_or_default()).into_owned();
    match status {
        Ok(Ok(status)) if status.success() => Ok(session),
        Ok(Ok(_)) => Err(explain(host, &log_text())),
        Ok(Err(error)) => Err(explain(host, &format!("cannot run ssh: {error}"))),
        Err(_) => Err(explain(host, &format!("the login timed out {}", log_text()))),
    }
}

/// The arguments that make ssh connect to the host. rollout's own options come first, since ssh takes the first value
/// of each option.
pub fn arguments(host: &Host, ssh: &Ssh) -> Vec<OsString> {
    let ours = [
        "BatchMode=yes".to_owned(),
        "StrictHostKeyChecking=yes".to_owned(),
        format!("ConnectTimeout={}", connect_timeout(ssh).as_secs().max(1)),
        format!("ServerAliveInterval={ALIVE_INTERVAL_SECONDS}"),
    ];
    let given = host.access.options.iter().map(|(name, value)| format!("{name}={value}"));
    let mut all: Vec<OsString> =
        ours.into_iter().chain(given).flat_map(|option| ["-o".into(), option.into()]).collect();
    let mut add = |name: &str, value: Option<OsString>| all.extend(value.into_iter().flat_map(|v| [name.into(), v]));
    add("-p", host.port.map(|port| port.to_string().into()));
    add("-l", host.user.as_ref().map(Into::into));
    add("-F", ssh.config.as_ref().map(Into::into));
    all.extend(["--".into(), host.address.clone().into()]);
    all
}

fn connect_timeout(ssh: &Ssh) -> Duration {
    ssh.connect_timeout.unwrap_or(CONNECT_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sockets_lie_in_a_private_folder_that_goes_away() {
        let folder = control_folder().unwrap();
        let path = folder.path().to_owned();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_promised_comes_before_what_is_asked_for() {
        let mut host = Host { address: "pi".into(), port: Some(2222), user: Some("me".into()), ..Host::default() };
        host.access.options.insert("KexAlgorithms".into(), "curve25519-sha256".into());
        let all = arguments(&host, &Ssh { config: Some("/c".into()), ..Ssh::default() });
        let all: Vec<_> = all.iter().map(|a| a.to_str().unwrap()).filter(|a| *a != "-o").collect();
        assert_eq!(
            all.join(" "),
            "BatchMode=yes StrictHostKeyChecking=yes ConnectTimeout=10 ServerAliveInterval=10 \
             KexAlgorithms=curve25519-sha256 -p 2222 -l me -F /c -- pi"
        );
    }
}
