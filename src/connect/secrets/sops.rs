//! Decrypts files with the `sops` program and the keys that the user has set up for it. The plain text comes through a
//! pipe, never through a file.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use super::refusal::Refusal;
use crate::secret::{environment, redact};

/// Decrypts `file`; the result is its content as JSON.
pub async fn decrypt(program: &str, file: &Path, timeout: Duration) -> Result<Value, Refusal> {
    let mut command = Command::new(program);
    command.args(["decrypt", "--output-type", "json"]).arg(file).stdin(Stdio::null()).kill_on_drop(true);
    // sops may find its keys through any environment variable.
    command.envs(environment::handed_over());
    let name = file.display();
    let hint = format!("check with `sops decrypt {name}`");
    let output = match tokio::time::timeout(timeout, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            let hint = "install sops (getsops.io) and make sure that it is in PATH";
            return Err(Refusal::new(format!("there is no program `sops` to decrypt {name} with"), hint));
        }
        Ok(Err(error)) => return Err(Refusal::new(format!("sops cannot be run: {error}"), hint)),
        Err(_) => {
            return Err(Refusal::new(format!("sops did not decrypt {name} within {} s", timeout.as_secs()), hint));
        }
    };
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let stderr: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let stderr = redact(&stderr.join("; ")).into_owned();
        return Err(Refusal::new(format!("sops cannot decrypt {name}: {stderr}"), hint));
    }
    // The parser's error is dropped: it would quote the decrypted text.
    serde_json::from_slice(&output.stdout).map_err(|_| Refusal::new(format!("sops printed no JSON for {name}"), hint))
}
