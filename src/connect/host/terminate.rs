//! Ends everything that runs in a shell, over a second session on the same host.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::connector::Connector;
use super::link::Link;
use super::shell::{Identity, Shell};
use super::sudo::NotOpened;

/// How long a process group may take to end after SIGTERM before it gets SIGKILL, in tenths of a second.
const GRACE_TENTHS: &str = "20";
/// Timeout for ending a process group.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before the next attempt after the host refused a session.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Ends the process group of a shell: SIGTERM, then SIGKILL. Returns when the group is gone or nothing more can be
/// done.
pub async fn terminate(connector: &Connector, link: &Link, shell: Shell, as_root: bool) {
    let group = shell.identity.group;
    let mut shell = Some(shell);
    let script = script(group);
    let ended = async {
        while !run(connector, link, as_root, &script).await {
            // The server allows no second session. Dropping the shell closes its session: the shell notices that, and
            // the session becomes free.
            shell.take();
            sleep(RETRY_DELAY).await;
        }
    };
    if timeout(TIMEOUT, ended).await.is_err() {
        tracing::warn!(group, "could not see a cancelled process group end");
    }
}

/// Ends the process group of a shell of an earlier connection, but only while that very process is still running.
pub async fn terminate_lost(connector: &Connector, link: &Link, shell: Identity, as_root: bool) {
    let Identity { group, pid, start: Some(start) } = shell else { return };
    let same = format!("read -r s </proc/{pid}/stat && s=${{s##*\\) }} && set -- $s && [ \"${{20}}\" = {start} ]");
    run(connector, link, as_root, &format!("{same} && {{ {}; }}", script(group))).await;
}

/// Runs a script to its end; returns whether there was a session for it.
async fn run(connector: &Connector, link: &Link, as_root: bool, script: &str) -> bool {
    let deadline = Instant::now() + TIMEOUT;
    match connector.start(link, as_root, &format!("-c '{script}'"), deadline).await {
        Ok(mut streams) => {
            let mut output = Vec::new();
            let _ = timeout_at(deadline, streams.stdout.read_to_end(&mut output)).await;
            true
        }
        Err(NotOpened::Full) => false,
        Err(error) => {
            tracing::warn!(?error, "could not begin to end what runs on {}", connector.name());
            true
        }
    }
}

fn script(group: u32) -> String {
    format!(
        "n=0; kill -s TERM -- -{group}; while kill -s 0 -- -{group} && [ $n -lt {GRACE_TENTHS} ]; \
         do n=$((n+1)); sleep 0.1; done; kill -s KILL -- -{group}"
    )
}
