//! Running the helm program: its own process group, values by stdin, ended at the deadline.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::connect::{CallContext, ConnectError};
use crate::inventory::Inventory;
use crate::secret::{is_in, redact, redact_open};

/// How long helm may take to note down that it was interrupted.
const KILL_DELAY: Duration = Duration::from_secs(5);

/// Bytes at the end of what helm says in which its last line is looked for.
const MAX_LINE_BYTES: usize = 4096;

/// Lines of helm's complaints that are quoted.
const MAX_OUTPUT_LINES: usize = 12;

/// The program and the flags that name the cluster.
pub struct Program {
    path: PathBuf,
    flags: Vec<String>,
}

impl Program {
    /// For an inventory.
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

    /// Runs helm; the result is what it printed.
    ///
    /// # Errors
    /// [`ConnectError::Failed`] with helm's own complaint, [`ConnectError::Lost`] when it was ended at the deadline.
    pub async fn run(&self, arguments: &[String], stdin: &str, call: &CallContext) -> Result<String, ConnectError> {
        let verb = arguments.first().map_or("", String::as_str);
        if let Some(shown) = arguments.iter().find(|word| is_in(word)) {
            return Err(ConnectError::failed(format!("helm {verb} would get a secret as an argument: {shown}"))
                .hint("everybody on this machine could see it there; values are handed over in another way"));
        }
        let mut command = Command::new(&self.path);
        command.args(arguments).args(&self.flags).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|e| {
            ConnectError::failed(format!("{} can not be run: {e}", self.path.display()))
                .hint("install helm 3 or 4, or say where it is with `binary` under [helm] in the inventory")
        })?;
        let mut group = Group(Some(child));
        let talk = group.talk(stdin, call);
        let (status, stdout, stderr) = match tokio::time::timeout(call.remaining(), talk).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(e)) => return Err(ConnectError::lost(format!("helm {verb}: {e}"))),
            Err(_) => {
                group.end().await;
                return Err(ConnectError::lost(format!("helm {verb} was still at work at the deadline and was ended")));
            }
        };
        if status.success() {
            return Ok(stdout);
        }
        Err(ConnectError::failed(format!("helm {verb}: {}", complaint(&stderr, status.code()))))
    }
}

/// The end of what helm complained of, without its warnings about the kubeconfig's mode.
fn complaint(stderr: &str, code: Option<i32>) -> String {
    // Before it is cut: a part of a secret would not be known for one.
    let stderr = redact(stderr);
    let lines: Vec<&str> = stderr.lines().filter(|l| !l.trim().is_empty() && !l.starts_with("WARNING:")).collect();
    if lines.is_empty() {
        return code.map_or_else(|| "it was killed".to_owned(), |c| format!("exit status {c}, without a word"));
    }
    let last = &lines[lines.len().saturating_sub(MAX_OUTPUT_LINES)..];
    last.join("\n").trim_start_matches("Error: ").to_owned()
}

/// A running helm with all that it started; ended when dropped.
struct Group(Option<Child>);

impl Group {
    async fn talk(
        &mut self,
        stdin: &str,
        call: &CallContext,
    ) -> std::io::Result<(std::process::ExitStatus, String, String)> {
        let Some(child) = &mut self.0 else { return Err(std::io::Error::other("it is not running")) };
        let (pipe, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async {
            if let Some(mut pipe) = pipe {
                // Helm may end without reading: its exit status tells more than a broken pipe.
                drop(pipe.write_all(stdin.as_bytes()).await);
                drop(pipe.shutdown().await);
            }
        };
        let ((), stdout, stderr) = tokio::join!(write, whole(stdout), lines(stderr, &call.progress));
        let status = child.wait().await?;
        self.0 = None;
        Ok((status, stdout?, stderr?))
    }

    /// Asks helm to stop, which makes it record the release as failed; kills what does not.
    async fn end(&mut self) {
        let Some(mut child) = self.0.take() else { return };
        signal(&child, Signal::TERM);
        if tokio::time::timeout(KILL_DELAY, child.wait()).await.is_err() {
            signal(&child, Signal::KILL);
            drop(child.wait().await);
        }
    }
}

impl Drop for Group {
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
    // No id: it has been waited for, so there is nothing left to end.
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // An error means that the group has ended by itself.
        let _ = kill_process_group(pid, signal);
    }
}

async fn whole(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

async fn lines(
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
            progress(redact_open(all.as_bytes(), MAX_LINE_BYTES).lines().next_back().unwrap_or_default().to_owned());
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// A shell in the place of helm: a script that was just written can not always be run at once.
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
