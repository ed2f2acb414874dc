//! Files that are encrypted with SOPS. Its program decrypts them, with the keys that the user has set up for it; what it
//! prints comes through a pipe.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use super::refusal::Refusal;
use crate::secret::{environment, redact};

/// What is in a file.
pub async fn decrypt(program: &str, file: &Path, timeout: Duration) -> Result<Value, Refusal> {
    let mut command = Command::new(program);
    command.args(["decrypt", "--output-type", "json"]).arg(file).stdin(Stdio::null()).kill_on_drop(true);
    // Its keys may be in any of them.
    command.envs(environment::handed_over());
    let name = file.display();
    let hint = format!("`sops decrypt {name}` should show it");
    let output = match tokio::time::timeout(timeout, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            let hint = "install sops (getsops.io) and make sure that it is in PATH";
            return Err(Refusal::new(format!("there is no program `sops` to decrypt {name} with"), hint));
        }
        Ok(Err(error)) => return Err(Refusal::new(format!("sops cannot be run: {error}"), hint)),
        Err(_) => {
            return Err(Refusal::new(format!("sops was still at work on {name} after {} s", timeout.as_secs()), hint));
        }
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let said = redact(&said.join("; ")).into_owned();
        return Err(Refusal::new(format!("sops cannot decrypt {name}: {said}"), hint));
    }
    // The text of the parser's error would quote what it read.
    serde_json::from_slice(&output.stdout).map_err(|_| Refusal::new(format!("sops printed no JSON for {name}"), hint))
}
