//! Runs a command in a container of a pod, over the API's WebSocket.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Error;
use kube::api::{Api, AttachParams, AttachedProcess};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::backend::Backend;
use super::client::{chain, error};
use super::types::{Exec, ExecOutcome, KindRef, Object, Query};
use super::{manifest, pods};
use crate::connect::{CallContext, ConnectError};

/// Outputs are cut after this many bytes.
const MAX_OUTPUT_BYTES: usize = 256 * 1024;

/// Shortest timeout of the first attempt of a read-only command.
const MIN_ASK_TIMEOUT: Duration = Duration::from_secs(20);

impl Backend {
    /// Runs a read-only command. About once in 1,500 times, the message that ends the input is not sent, and the
    /// command waits for more; so a command with input is retried after a timeout.
    pub(super) async fn exec_read_only(&self, exec: &Exec, call: &CallContext) -> Result<ExecOutcome, ConnectError> {
        match (&exec.stdin, exec.command.first()) {
            (Some(_), Some(program)) => ask_twice(program, call, |call| self.exec(exec, call)).await,
            _ => self.exec(exec, call).await,
        }
    }

    pub(super) async fn exec(&self, exec: &Exec, call: &CallContext) -> Result<ExecOutcome, ConnectError> {
        let pod = match self.choose_pod(exec, call).await? {
            Ok(pod) => pod,
            Err(why) => return Ok(ExecOutcome::NoPod(why)),
        };
        let what = format!("run {} in pod {}/{pod}", exec.command.first().map_or("", String::as_str), exec.namespace);
        let params = AttachParams {
            container: exec.container.clone(),
            stdin: exec.stdin.is_some(),
            stdout: true,
            stderr: true,
            ..AttachParams::default()
        };
        let api: Api<Pod> = Api::namespaced(self.client().await?, &exec.namespace);
        let attached = match self.send_raw(&what, false, call, api.exec(&pod, exec.command.clone(), &params)).await? {
            Ok(attached) => attached,
            // The upgrade is refused with a bare status code; the reason was in the body, which is gone.
            Err(Error::UpgradeConnection(e)) => return Ok(ExecOutcome::NotRun(format!("{what}: {}", chain(&e)))),
            Err(e @ Error::Api(_)) => return Ok(ExecOutcome::NotRun(chain(&e))),
            Err(e) => return Err(error(&what, self.server(), &e, false)),
        };
        let run = run_attached(attached, exec.stdin.as_ref());
        match tokio::time::timeout(call.remaining(), run).await {
            Ok(Ok((exit, stdout, stderr))) => Ok(ExecOutcome::Ended { pod, exit, stdout, stderr }),
            Ok(Err(why)) => Ok(ExecOutcome::NotRun(format!("{what}: {why}"))),
            Err(_) => Err(ConnectError::lost(format!("{what}: it was still running at the deadline"))),
        }
    }

    async fn choose_pod(&self, exec: &Exec, call: &CallContext) -> Result<Result<String, String>, ConnectError> {
        if let Some(pod) = &exec.pod {
            return Ok(Ok(pod.clone()));
        }
        let query = Query::all(KindRef::new("v1", "Pod"), Some(&exec.namespace));
        let found = self.objects(&Query { selector: exec.selector.clone(), ..query }, call).await?;
        let ready = found.iter().find(|p| pods::ready(p)).map(|p| manifest::text(p, "/metadata/name").to_owned());
        Ok(ready.ok_or_else(|| {
            let selector = exec.selector.as_deref().unwrap_or_default();
            match pods::unready_reasons(&found, &[]) {
                none if none.is_empty() => format!("no pod in {} matches {selector}", exec.namespace),
                trouble => format!("no pod of {selector} is ready: {trouble}"),
            }
        }))
    }
}

/// Retries once if there is no answer within a quarter of the remaining time. The retry gets all of the rest, in case
/// the command is just slow.
async fn ask_twice<'a, T, F>(
    what: &str,
    call: &'a CallContext,
    ask: impl Fn(&'a CallContext) -> F,
) -> Result<T, ConnectError>
where
    F: Future<Output = Result<T, ConnectError>>,
{
    let limit = MIN_ASK_TIMEOUT.max(call.remaining() / 4);
    if limit < call.remaining() {
        if let Ok(answer) = tokio::time::timeout(limit, ask(call)).await {
            return answer;
        }
        (call.progress)(format!("{what} has not ended within {:.0} s: trying again", limit.as_secs_f64()));
    }
    ask(call).await
}

async fn run_attached(mut process: AttachedProcess, input: Option<&Object>) -> Result<(i32, String, String), String> {
    let status = process.take_status().ok_or("its status is not to be had")?;
    let (stdin, stdout, stderr) = (process.stdin(), process.stdout(), process.stderr());
    let write = async {
        if let (Some(mut pipe), Some(input)) = (stdin, input.and_then(|o| o.0.as_str())) {
            pipe.write_all(input.as_bytes()).await.map_err(|e| e.to_string())?;
            pipe.shutdown().await.map_err(|e| e.to_string())?;
        }
        Ok::<_, String>(())
    };
    let read = |pipe: Option<_>| async move {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            read_capped(&mut pipe, &mut bytes).await.map_err(|e| e.to_string())?;
        }
        Ok::<_, String>(String::from_utf8_lossy(&bytes).into_owned())
    };
    let (written, stdout, stderr, status) = tokio::join!(write, read(stdout), read(stderr), status);
    let status = status.ok_or("the connection broke while it ran")?;
    let exit = match (status.status.as_deref(), status.reason.as_deref()) {
        (Some("Success"), _) => 0,
        (_, Some("NonZeroExitCode")) => {
            let causes = status.details.and_then(|d| d.causes).unwrap_or_default();
            let code = causes.iter().find(|c| c.reason.as_deref() == Some("ExitCode"));
            code.and_then(|c| c.message.as_deref()?.parse().ok()).ok_or("it failed with an unreadable status")?
        }
        _ => return Err(status.message.unwrap_or_else(|| "it could not be started".to_owned())),
    };
    // A command may succeed without reading its input; then a write error does not matter.
    if exit != 0 {
        written?;
    }
    Ok((exit, stdout?, stderr?))
}

async fn read_capped(pipe: &mut (impl tokio::io::AsyncRead + Unpin), kept: &mut Vec<u8>) -> std::io::Result<()> {
    let mut buffer = vec![0; 8192];
    loop {
        let n = pipe.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        // Reads on even when nothing more is kept, or the command would block on a full pipe.
        kept.extend_from_slice(&buffer[..n.min(MAX_OUTPUT_BYTES.saturating_sub(kept.len()))]);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use tokio::time::{Instant, timeout};

    use super::*;

    /// Calls `ask_twice` with `seconds` left; attempt `n` answers after `tries[n]` seconds, if ever. Returns the
    /// answer, the elapsed seconds, the number of attempts and the progress notes.
    async fn ask_with_tries(seconds: u64, tries: &[Option<u64>]) -> (Result<usize, String>, u64, usize, Vec<String>) {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let progress = Arc::clone(&notes);
        let quiet = CallContext::silent(Duration::from_secs(seconds));
        let call = CallContext { progress: Arc::new(move |text| progress.lock().unwrap().push(text)), ..quiet };
        let (count, began) = (AtomicUsize::new(0), Instant::now());
        let ask = |call: &CallContext| {
            let (number, left) = (count.fetch_add(1, Ordering::SeqCst), call.remaining());
            async move {
                let answer = async {
                    match tries[number] {
                        Some(after) => tokio::time::sleep(Duration::from_secs(after)).await,
                        None => pending().await,
                    }
                };
                let late = |_| ConnectError::lost(format!("try {number} was still running"));
                timeout(left, answer).await.map(|()| number).map_err(late)
            }
        };
        let answer = ask_twice("cat", &call, ask).await.map_err(|error| error.to_string());
        let notes = notes.lock().unwrap().clone();
        (answer, began.elapsed().as_secs(), count.load(Ordering::SeqCst), notes)
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_answer_is_asked_anew_within_what_is_left() {
        let anew = |seconds: u64| vec![format!("cat has not ended within {seconds} s: trying again")];
        for (left, tries, answer) in [
            (300, &[Some(74)][..], (Ok(0), 74, 1, Vec::new())),
            (300, &[None, Some(1)], (Ok(1), 76, 2, anew(75))),
            (300, &[Some(100), Some(100)], (Ok(1), 175, 2, anew(75))),
            (300, &[None, None], (Err("try 1 was still running".to_owned()), 300, 2, anew(75))),
            (40, &[None, Some(19)], (Ok(1), 39, 2, anew(20))),
            (20, &[Some(19)], (Ok(0), 19, 1, Vec::new())),
            (20, &[None], (Err("try 0 was still running".to_owned()), 20, 1, Vec::new())),
        ] {
            assert_eq!(ask_with_tries(left, tries).await, answer, "{left} s, {tries:?}");
        }
    }
}
