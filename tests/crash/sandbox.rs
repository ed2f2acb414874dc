//! A mount and host name namespace for a test, so that a run can set kernel parameters, load modules and fill disks
//! without affecting the machine. Needs root.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::needs;

/// The namespaces; they end when this is dropped.
pub struct Sandbox {
    holder: Child,
}

impl Sandbox {
    /// A sandbox in which /etc/sysctl.d, /etc/modules-load.d and the list of loaded modules are folders of `kernel`.
    /// `None` without the rights to create it.
    pub fn new(kernel: &Path) -> Option<Self> {
        for folder in ["sysctl.d", "modules-load.d", "loaded"] {
            std::fs::create_dir_all(kernel.join(folder)).unwrap();
        }
        let script = "set -e
            mkdir -p /etc/sysctl.d /etc/modules-load.d
            mount --bind sysctl.d /etc/sysctl.d
            mount --bind modules-load.d /etc/modules-load.d
            mount --bind loaded /sys/module
            echo ready
            read -r _";
        if !needs::namespaces(&["--mount", "--uts"]) || !needs::program("nsenter") {
            return None;
        }
        let mut holder = Command::new("unshare")
            .args(["--mount", "--uts", "sh", "-c", script])
            .current_dir(kernel)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = holder.stdout.take().unwrap();
        let mut sandbox = Self { holder };
        let (mut said, mut why) = (String::new(), String::new());
        BufReader::new(stdout).read_line(&mut said).unwrap();
        if said.trim() == "ready" {
            return Some(sandbox);
        }
        sandbox.holder.stderr.take().unwrap().read_to_string(&mut why).unwrap();
        needs::met(false, "the right to mount, for kernel parameters, modules and small disks", why.trim());
        None
    }

    /// A command that runs inside; the program keeps its process id.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--uts", "--target"]).arg(self.holder.id().to_string()).arg("--").arg(program);
        command
    }

    /// The path outside of the sandbox for a path inside.
    pub fn seen(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Runs a script inside and returns its output.
    pub fn sh(&self, script: &str) -> String {
        let output = self.command("sh").args(["-c", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Closing its stdin ends the namespaces.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
