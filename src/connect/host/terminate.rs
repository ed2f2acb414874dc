//! Ending what runs in a shell on a host, through a second one beside it.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::connector::Connector;
use super::link::Link;
use super::shell::{Identity, Shell};
use super::sudo::NotOpened;

/// How long a process group gets to end by itself before it is killed, in tenths of a second.
const GRACE_TENTHS: &str = "20";
/// How long that is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before a host is asked again for a session that it refused.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Ends all that runs in a shell's process group: asks first, then kills; returns when it is gone or nothing more can be
/// done.
pub async fn terminate(connector: &Connector, link: &Link, shell: Shell, as_root: bool) {
    let group = shell.identity.group;
    let mut shell = Some(shell);
    let script = script(group);
    let ended = async {
        while !run(connector, link, as_root, &script).await {
            // There is no place for a second session beside it: it notices that it was left, and makes place.
            shell.take();
            sleep(RETRY_DELAY).await;
        }
    };
    if timeout(TIMEOUT, ended).await.is_err() {
        tracing::warn!(group, "could not see a cancelled process group end");
    }
}

/// The same for a shell of an earlier connection: only while that very shell is there.
pub async fn terminate_lost(connector: &Connector, link: &Link, shell: Identity, as_root: bool) {
    let Identity { group, pid, start: Some(start) } = shell else { return };
    let same = format!("read -r s </proc/{pid}/stat && s=${{s##*\\) }} && set -- $s && [ \"${{20}}\" = {start} ]");
    run(connector, link, as_root, &format!("{same} && {{ {}; }}", script(group))).await;
}

/// Runs a script to its end; whether there was a session for it.
async fn run(connector: &Connector, link: &Link, as_root: bool, script: &str) -> bool {
    let by = Instant::now() + TIMEOUT;
    match connector.start(link, as_root, &format!("-c '{script}'"), by).await {
        Ok(mut streams) => {
            let mut output = Vec::new();
            let _ = timeout_at(by, streams.stdout.read_to_end(&mut output)).await;
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
