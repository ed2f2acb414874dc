//! Runs the helm program: in its own process group, values on stdin, ended at the deadline.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::connect::{CallContext, ConnectError};
use crate::inventory::Inventory;
use crate::secret::{has_secret, redact, redact_unfinished};

/// Time between SIGTERM and SIGKILL, in which helm can record the interruption.
const KILL_DELAY: Duration = Duration::from_secs(5);

/// The last line of helm's output is looked for within this many bytes of its end.
const MAX_LINE_BYTES: usize = 4096;

/// Number of lines of helm's errors in a message.
const MAX_OUTPUT_LINES: usize = 12;

/// The helm program and the flags that name the cluster.
pub struct Program {
    path: PathBuf,
    flags: Vec<String>,
}

impl Program {
    pub fn new(inventory: &Inventory) -> Self {
        let mut flags = Vec::new();
        if let Some(file) = &inventory.kube.kubeconfig {
            flags.extend(["--kubeconfig".to_owned(), file.display().to_string()]);
        }
        if let Some(context) = &inventory.kube.context {
            flags.extend(["--kube-context".to_owned(), context.clone()]);
        }
        Self { path: inventory.helm.clone().unwrap_or_else(|| "helm".into()), flags }
    }

    /// Runs helm and returns its standard output.
    ///
    /// # Errors
    /// [`ConnectError::Failed`] with helm's own error, [`ConnectError::Lost`] when helm was ended at the deadline.
    pub async fn run(&self, arguments: &[String], stdin: &str, call: &CallContext) -> Result<String, ConnectError> {
        let verb = arguments.first().map_or("", String::as_str);
        if let Some(shown) = arguments.iter().find(|word| has_secret(word)) {
            return Err(ConnectError::failed(format!("helm {verb} would receive a secret as an argument: {shown}"))
                .hint("every user of this machine can see arguments; pass secrets in the values, which helm reads from stdin"));
        }
        let mut command = Command::new(&self.path);
        command.args(arguments).args(&self.flags).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|e| {
            ConnectError::failed(format!("{} can not be run: {e}", self.path.display()))
                .hint("install helm 3 or 4, or say where it is with `binary` under [helm] in the inventory")
        })?;
        let mut group = ProcessGroup(Some(child));
        let talk = group.communicate(stdin, call);
        let (status, stdout, stderr) = match tokio::time::timeout(call.remaining(), talk).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(e)) => return Err(ConnectError::lost(format!("helm {verb}: {e}"))),
            Err(_) => {
                group.end().await;
                return Err(ConnectError::lost(format!("helm {verb} was still running at the deadline and was ended")));
            }
        };
        if status.success() {
            return Ok(stdout);
        }
        Err(ConnectError::failed(format!("helm {verb}: {}", error_text(&stderr, status.code()))))
    }
}

/// The last lines of helm's errors, without its warnings about the kubeconfig's mode.
fn error_text(stderr: &str, code: Option<i32>) -> String {
    // Masked before the text is cut: a part of a secret would not be recognised.
    let stderr = redact(stderr);
    let lines: Vec<&str> = stderr.lines().filter(|l| !l.trim().is_empty() && !l.starts_with("WARNING:")).collect();
    if lines.is_empty() {
        return code.map_or_else(|| "it was killed".to_owned(), |c| format!("exit status {c} without any output"));
    }
    let last = &lines[lines.len().saturating_sub(MAX_OUTPUT_LINES)..];
    last.join("\n").trim_start_matches("Error: ").to_owned()
}

/// A running helm and its child processes; ended when dropped.
struct ProcessGroup(Option<Child>);

impl ProcessGroup {
    async fn communicate(
        &mut self,
        stdin: &str,
        call: &CallContext,
    ) -> std::io::Result<(std::process::ExitStatus, String, String)> {
        let Some(child) = &mut self.0 else { return Err(std::io::Error::other("it is not running")) };
        let (pipe, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async {
            if let Some(mut pipe) = pipe {
                // Write errors are ignored: helm may end without reading, and its exit status tells more than a broken
                // pipe.
                drop(pipe.write_all(stdin.as_bytes()).await);
                drop(pipe.shutdown().await);
            }
        };
        let ((), stdout, stderr) = tokio::join!(write, read_all(stdout), read_lines(stderr, &call.progress));
        let status = child.wait().await?;
        self.0 = None;
        Ok((status, stdout?, stderr?))
    }

    /// Sends SIGTERM, on which helm records the release as failed; then SIGKILL after [`KILL_DELAY`].
    async fn end(&mut self) {
        let Some(mut child) = self.0.take() else { return };
        signal(&child, Signal::TERM);
        if tokio::time::timeout(KILL_DELAY, child.wait()).await.is_err() {
            signal(&child, Signal::KILL);
            drop(child.wait().await);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        let Some(child) = self.0.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move { Self(Some(child)).end().await });
            }
            Err(_) => signal(&child, Signal::KILL),
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    // Without an id, the process has already been reaped.
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // An error means that the process group has already ended.
        let _ = kill_process_group(pid, signal);
    }
}

async fn read_all(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

async fn read_lines(
    pipe: Option<impl AsyncRead + Unpin>,
    progress: &Arc<dyn Fn(String) + Send + Sync>,
) -> std::io::Result<String> {
    let mut all = String::new();
    let Some(pipe) = pipe else { return Ok(all) };
    let mut lines = BufReader::new(pipe).lines();
    while let Some(line) = lines.next_line().await? {
        all.push_str(&line);
        all.push('\n');
        if !line.starts_with("WARNING:") {
            progress(
                redact_unfinished(all.as_bytes(), MAX_LINE_BYTES).lines().next_back().unwrap_or_default().to_owned(),
            );
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// A shell instead of helm: a script that was just written cannot always be run at once.
    fn shell() -> Program {
        Program { path: "/bin/sh".into(), flags: vec!["--kube-context".into(), "x".into()] }
    }

    fn script(text: &str) -> Vec<String> {
        ["-c", text, "helm", "upgrade"].map(str::to_owned).to_vec()
    }

    fn call(ms: u64) -> CallContext {
        CallContext::silent(Duration::from_millis(ms))
    }

    #[tokio::test]
    async fn values_go_in_by_stdin_and_flags_follow() {
        let out = shell().run(&script("echo \"$@\"; cat"), "a: 1\n", &call(5000)).await.unwrap();
        assert_eq!(out, "upgrade --kube-context x\na: 1\n");
    }

    #[tokio::test]
    async fn a_failure_quotes_helm_without_its_warnings() {
        let failing = script("echo WARNING: mode >&2; echo 'Error: INSTALLATION FAILED: no chart' >&2; exit 1");
        let error = shell().run(&failing, "", &call(5000)).await.unwrap_err();
        assert!(error.to_string().ends_with(": INSTALLATION FAILED: no chart"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_program_says_what_to_do() {
        let helm = Program { path: "/no/such/helm".into(), flags: Vec::new() };
        let error = helm.run(&["version".into()], "", &call(5000)).await.unwrap_err();
        assert!(
            matches!(&error, ConnectError::Failed { hint: Some(hint), .. } if hint.contains("install helm")),
            "{error}"
        );
    }

    #[tokio::test]
    async fn at_the_deadline_helm_and_its_children_are_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("child");
        let slow = script(&format!("sleep 300 & echo $! > {}; trap 'exit 1' TERM; wait", mark.display()));
        let start = Instant::now();
        let error = shell().run(&slow, "", &call(1000)).await.unwrap_err();
        assert!(matches!(error, ConnectError::Lost { .. }), "{error}");
        assert!(start.elapsed() < KILL_DELAY);
        let child = std::fs::read_to_string(&mark).unwrap();
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        let ended = || state().is_empty() || state().contains(") Z");
        while !ended() && start.elapsed() < KILL_DELAY {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(ended(), "{}", state());
    }
}
