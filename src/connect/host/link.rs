//! Starts shells on a host: over its ssh connection, or as processes of this machine.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::persistent::PersistentMaster;
use super::shell::Streams;
use crate::connect::ConnectError;

/// How long an ssh master has to answer that it is running.
const ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// An established connection to a host.
#[derive(Clone)]
pub enum Link {
    Ssh {
        /// Ends with its last user, unless the connection is persistent.
        session: Arc<openssh::Session>,
        /// Whether the connection was taken over from an earlier run and nothing has come through it since.
        unverified: Arc<AtomicBool>,
    },
    Local,
}

#[derive(Debug)]
pub enum NotStarted {
    Full,
    /// The connection is broken.
    Lost(ConnectError),
}

impl Link {
    pub fn ssh(PersistentMaster { session, reused }: PersistentMaster) -> Self {
        Self::Ssh { session: Arc::new(session), unverified: Arc::new(AtomicBool::new(reused)) }
    }

    /// Runs a command line in the login shell of the host.
    pub async fn start(&self, line: String) -> Result<Streams, NotStarted> {
        match self {
            Self::Ssh { session, .. } => {
                let mut command = session.clone().arc_raw_command(line);
                command.stdin(openssh::Stdio::piped()).stdout(openssh::Stdio::piped()).stderr(openssh::Stdio::piped());
                let mut child = command.spawn().await.map_err(not_started)?;
                let (Some(stdin), Some(stdout), Some(stderr)) =
                    (child.stdin().take(), child.stdout().take(), child.stderr().take())
                else {
                    return Err(NotStarted::Lost(ConnectError::unreachable("the ssh session has no streams")));
                };
                Ok(Streams::new(stdin, stdout, stderr, child))
            }
            Self::Local => {
                let mut command = tokio::process::Command::new("sh");
                command.arg("-c").arg(line);
                spawn(command).map_err(NotStarted::Lost)
            }
        }
    }

    /// Whether the connection still exists.
    pub async fn alive(&self) -> bool {
        match self {
            Self::Ssh { session, .. } => matches!(timeout(ALIVE_TIMEOUT, session.check()).await, Ok(Ok(()))),
            Self::Local => true,
        }
    }

    /// Whether the connection comes from an earlier run and may be dead.
    pub fn is_unverified(&self) -> bool {
        matches!(self, Self::Ssh { unverified, .. } if unverified.load(Ordering::Relaxed))
    }

    /// Notes that data came through the connection.
    pub fn mark_verified(&self) {
        if let Self::Ssh { unverified, .. } = self {
            unverified.store(false, Ordering::Relaxed);
        }
    }
}

/// Starts a shell on this machine, in a process group of its own.
pub fn spawn(mut command: tokio::process::Command) -> Result<Streams, ConnectError> {
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| ConnectError::unreachable(format!("no shell: sh: {e}")))?;
    let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(ConnectError::unreachable("the shell has no streams"));
    };
    Ok(Streams::new(stdin, stdout, stderr, child))
}

fn not_started(error: openssh::Error) -> NotStarted {
    let mut message = format!("the ssh connection opened no session: {error}");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    // The message of the ssh master when the server refuses one more session.
    if message.contains("Session open refused by peer") {
        return NotStarted::Full;
    }
    NotStarted::Lost(ConnectError::unreachable(message))
}
