//! A mount and host name namespace of a test's own, so that a run can set kernel parameters, load modules and fill disks
//! without the machine noticing. Needs root.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The namespaces, for as long as it lives.
pub struct Sandbox {
    holder: Child,
}

impl Sandbox {
    /// In which /etc/sysctl.d, /etc/modules-load.d and the list of loaded modules are folders of `kernel`. `None` without
    /// the right to make it.
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
        let mut holder = Command::new("unshare")
            .args(["--mount", "--uts", "sh", "-c", script])
            .current_dir(kernel)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut said = String::new();
        BufReader::new(holder.stdout.take()?).read_line(&mut said).ok()?;
        if said.trim() != "ready" {
            let _ = holder.wait();
            eprintln!("skipped in part: kernel parameters, modules and small disks need root");
            return None;
        }
        Some(Self { holder })
    }

    /// A program, to be run inside. It keeps the process number that it is started with.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--uts", "--target"]).arg(self.holder.id().to_string()).arg("--").arg(program);
        command
    }

    /// Where a path inside is to be seen from outside.
    pub fn seen(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// What a script prints inside.
    pub fn sh(&self, script: &str) -> String {
        let output = self.command("sh").args(["-c", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Its standard input closes, and with it the namespaces go.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
