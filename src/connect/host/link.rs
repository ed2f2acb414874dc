//! How shells are started on a host: through its ssh connection, or as processes of this machine.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::shell::{Identity, Streams};
use crate::connect::ConnectError;

/// How long a process group gets to end by itself before it is killed; and how long we wait for that, see [`Link::end`].
const GRACE: &str = "20";
const END_WAIT: Duration = Duration::from_secs(10);

/// One established way to a host.
#[derive(Clone)]
pub enum Link {
    /// The ssh connection.
    Ssh(Arc<openssh::Session>),
    /// This machine.
    Local,
}

impl Link {
    /// Starts `sh ARGUMENTS`, as root when asked for and not root already.
    ///
    /// The login shell only ever sees one line of words in single quotes, which every kind of shell understands.
    pub async fn open(&self, r#become: bool, arguments: &str) -> Result<Streams, ConnectError> {
        let line = shell_line(r#become, arguments);
        match self {
            Self::Ssh(session) => {
                let mut command = session.clone().arc_raw_command(line);
                command.stdin(openssh::Stdio::piped()).stdout(openssh::Stdio::piped()).stderr(openssh::Stdio::piped());
                let mut child = command.spawn().await.map_err(lost)?;
                let (Some(stdin), Some(stdout), Some(stderr)) =
                    (child.stdin().take(), child.stdout().take(), child.stderr().take())
                else {
                    return Err(ConnectError::unreachable("the ssh session has no streams"));
                };
                Ok(Streams::new(stdin, stdout, stderr, child))
            }
            Self::Local => {
                let mut command = tokio::process::Command::new("sh");
                command.arg("-c").arg(line);
                spawn(command)
            }
        }
    }

    /// Whether the way still exists.
    pub async fn alive(&self) -> bool {
        match self {
            Self::Ssh(session) => matches!(timeout(Duration::from_secs(5), session.check()).await, Ok(Ok(()))),
            Self::Local => true,
        }
    }

    /// Ends all that runs in a shell's process group: asks first, then kills; returns when it is gone or nothing more can
    /// be done.
    pub async fn end(&self, shell: Identity, r#become: bool) {
        let Identity { group, .. } = shell;
        self.run(group, r#become, &end_script(group)).await;
    }

    /// The same for a shell of an earlier connection: only while that very shell is there.
    pub async fn end_lost(&self, shell: Identity, r#become: bool) {
        let Identity { group, pid, start: Some(start) } = shell else { return };
        let same = format!("read -r s </proc/{pid}/stat && s=${{s##*\\) }} && set -- $s && [ \"${{20}}\" = {start} ]");
        self.run(group, r#become, &format!("{same} && {{ {}; }}", end_script(group))).await;
    }

    async fn run(&self, group: u32, r#become: bool, script: &str) {
        let line = shell_line(r#become, &format!("-c '{script}'"));
        let ended = async {
            match self {
                Self::Ssh(session) => drop(session.raw_command(line).output().await),
                Self::Local => drop(tokio::process::Command::new("sh").arg("-c").arg(line).output().await),
            }
        };
        if timeout(END_WAIT, ended).await.is_err() {
            tracing::warn!(group, "could not see a cancelled process group end");
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

fn end_script(group: u32) -> String {
    format!(
        "n=0; kill -s TERM -- -{group}; while kill -s 0 -- -{group} && [ $n -lt {GRACE} ]; \
         do n=$((n+1)); sleep 0.1; done; kill -s KILL -- -{group}"
    )
}

fn shell_line(r#become: bool, arguments: &str) -> String {
    if r#become {
        format!(
            "exec sh -c 'if [ \"$(id -u)\" = 0 ]; then exec sh \"$@\"; else exec sudo -H -n sh \"$@\"; fi' sh {arguments}"
        )
    } else {
        format!("exec sh {arguments}")
    }
}

fn lost(error: openssh::Error) -> ConnectError {
    let mut message = format!("the ssh connection opened no session: {error}");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    ConnectError::unreachable(message)
}
