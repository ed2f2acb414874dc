//! How shells are started on a host: through its ssh connection, or as processes of this machine.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::persistent::PersistentMaster;
use super::shell::Streams;
use crate::connect::ConnectError;

/// How long a master has to say that it is there.
const ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// One established way to a host.
#[derive(Clone)]
pub enum Link {
    /// The ssh connection.
    Ssh {
        /// It; ends when nobody has it any more, unless it is kept.
        session: Arc<openssh::Session>,
        /// Whether nothing came through it since it was taken over from an earlier run.
        unproven: Arc<AtomicBool>,
    },
    /// This machine.
    Local,
}

/// Why a program was not started.
#[derive(Debug)]
pub enum NotStarted {
    /// The host allows no more sessions on the connection.
    Full,
    /// The way is of no use any more.
    Lost(ConnectError),
}

impl Link {
    /// Through an ssh connection.
    pub fn ssh(PersistentMaster { session, reused }: PersistentMaster) -> Self {
        Self::Ssh { session: Arc::new(session), unproven: Arc::new(AtomicBool::new(reused)) }
    }

    /// Runs a line of the login shell there.
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

    /// Whether the way still exists.
    pub async fn alive(&self) -> bool {
        match self {
            Self::Ssh { session, .. } => matches!(timeout(ALIVE_TIMEOUT, session.check()).await, Ok(Ok(()))),
            Self::Local => true,
        }
    }

    /// Whether it is of an earlier run, and may lead nowhere by now.
    pub fn is_unproven(&self) -> bool {
        matches!(self, Self::Ssh { unproven, .. } if unproven.load(Ordering::Relaxed))
    }

    /// Notes that something came through it.
    pub fn prove(&self) {
        if let Self::Ssh { unproven, .. } = self {
            unproven.store(false, Ordering::Relaxed);
        }
    }
}

/// Starts a shell of this machine, in a process group of its own.
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
    // The master's words for a server that says no to one more session.
    if message.contains("Session open refused by peer") {
        return NotStarted::Full;
    }
    NotStarted::Lost(ConnectError::unreachable(message))
}
