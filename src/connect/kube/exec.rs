//! A command in a container of a pod, over the API's WebSocket.

use k8s_openapi::api::core::v1::Pod;
use kube::Error;
use kube::api::{Api, AttachParams, AttachedProcess};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::backend::Backend;
use super::client::{chain, error};
use super::{KindRef, Object, Query, manifest, pods};
use crate::connect::{Call, ConnectError};

/// At most this many bytes of each output are kept.
const KEPT: usize = 256 * 1024;

/// A command to run in a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Exec {
    /// Namespace.
    pub namespace: String,
    /// The pod; `None`: the first ready one that `selector` names.
    pub pod: Option<String>,
    /// Label selector, as `kubectl -l` takes it.
    pub selector: Option<String>,
    /// Container; `None`: the pod's default one.
    pub container: Option<String>,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// What it reads, as a JSON string.
    pub stdin: Option<Object>,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// It ended.
    Ended {
        /// Where it ran.
        pod: String,
        /// Exit status.
        exit: i32,
        /// What it printed.
        stdout: String,
        /// What it complained of.
        stderr: String,
    },
    /// No pod can run it now.
    NoPod(String),
    /// It could not be started, or was cut off: no such program, no such container, the pod went away.
    NotRun(String),
}

impl Backend {
    pub(super) async fn exec(&self, exec: &Exec, call: &Call) -> Result<Seen, ConnectError> {
        let pod = match self.pod(exec, call).await? {
            Ok(pod) => pod,
            Err(why) => return Ok(Seen::NoPod(why)),
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
        let attached = match self.ask_raw(&what, false, call, api.exec(&pod, exec.command.clone(), &params)).await? {
            Ok(attached) => attached,
            // The upgrade is refused with a bare status code; the reason is in the body, which is gone.
            Err(Error::UpgradeConnection(e)) => return Ok(Seen::NotRun(format!("{what}: {}", chain(&e)))),
            Err(e @ Error::Api(_)) => return Ok(Seen::NotRun(chain(&e))),
            Err(e) => return Err(error(&what, self.server(), &e, false)),
        };
        let run = converse(attached, exec.stdin.as_ref());
        match tokio::time::timeout(call.left(), run).await {
            Ok(Ok((exit, stdout, stderr))) => Ok(Seen::Ended { pod, exit, stdout, stderr }),
            Ok(Err(why)) => Ok(Seen::NotRun(format!("{what}: {why}"))),
            Err(_) => Err(ConnectError::lost(format!("{what}: it was still running at the deadline"))),
        }
    }

    async fn pod(&self, exec: &Exec, call: &Call) -> Result<Result<String, String>, ConnectError> {
        if let Some(pod) = &exec.pod {
            return Ok(Ok(pod.clone()));
        }
        let query = Query::all(KindRef::new("v1", "Pod"), Some(&exec.namespace));
        let found = self.objects(&Query { selector: exec.selector.clone(), ..query }, call).await?;
        let ready = found.iter().find(|p| pods::ready(p)).map(|p| manifest::text(p, "/metadata/name").to_owned());
        Ok(ready.ok_or_else(|| {
            let selector = exec.selector.as_deref().unwrap_or_default();
            match pods::trouble(&found, &[]) {
                none if none.is_empty() => format!("no pod in {} matches {selector}", exec.namespace),
                trouble => format!("no pod of {selector} is ready: {trouble}"),
            }
        }))
    }
}

async fn converse(mut process: AttachedProcess, input: Option<&Object>) -> Result<(i32, String, String), String> {
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
            copy(&mut pipe, &mut bytes).await.map_err(|e| e.to_string())?;
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
    // A command that ends without reading its input is not an error of ours when it says that it did well.
    if exit != 0 {
        written?;
    }
    Ok((exit, stdout?, stderr?))
}

async fn copy(pipe: &mut (impl tokio::io::AsyncRead + Unpin), kept: &mut Vec<u8>) -> std::io::Result<()> {
    let mut buffer = vec![0; 8192];
    loop {
        let n = pipe.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        // The rest is still read, or the command would block on a full pipe.
        kept.extend_from_slice(&buffer[..n.min(KEPT.saturating_sub(kept.len()))]);
    }
}
