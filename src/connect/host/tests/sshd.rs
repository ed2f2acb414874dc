//! A real sshd run by the current user, on loopback, with keys of its own; ends with the test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::*;

/// A running server.
pub struct Sshd {
    /// Holds keys, configuration and log.
    pub folder: tempfile::TempDir,
    /// The port it listens on.
    pub port: u16,
    server: Child,
}

impl Sshd {
    /// Starts a server; `settings` are further lines of its configuration.
    pub fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for key in ["host", "user", "stranger"] {
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path(key)).status();
            assert!(made.is_ok_and(|s| s.success()), "ssh-keygen must be installed (package openssh-client)");
        }
        std::fs::copy(path("user.pub"), path("authorized_keys")).unwrap();
        // When run as root, sshd requires this folder, which the system's service would create.
        let _ = std::fs::create_dir("/run/sshd");
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let lines = [
                format!("ListenAddress 127.0.0.1:{port}"),
                format!("HostKey {}", path("host").display()),
                format!("AuthorizedKeysFile {}", path("authorized_keys").display()),
                "PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no".to_owned(),
                format!("MaxStartups 100\n{settings}\n"),
            ];
            std::fs::write(path("sshd_config"), lines.join("\n")).unwrap();
            let mut server = Command::new("/usr/sbin/sshd")
                .args(["-D", "-f"])
                .arg(path("sshd_config"))
                .arg("-E")
                .arg(path("log"))
                .stderr(Stdio::null())
                .spawn()
                .expect("these tests need /usr/sbin/sshd (package openssh-server)");
            let deadline = Instant::now() + Duration::from_secs(10);
            while Instant::now() < deadline && server.try_wait().unwrap().is_none() {
                if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    let sshd = Self { folder, port, server };
                    sshd.know(&sshd.public_key("host"));
                    sshd.client_config("user");
                    return sshd;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = server.kill();
            let _ = server.wait();
        }
        panic!("sshd does not start: {}", std::fs::read_to_string(path("log")).unwrap_or_default());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A public key in the format of known_hosts.
    pub fn public_key(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
        text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// Makes this the only host key that the client knows; no key when empty.
    pub fn know(&self, key: &str) {
        let line = if key.is_empty() { String::new() } else { format!("[127.0.0.1]:{} {key}\n", self.port) };
        std::fs::write(self.path("known_hosts"), line).unwrap();
    }

    pub fn client_config(&self, key: &str) {
        let lines = [
            "Host *".to_owned(),
            format!("IdentityFile {}", self.path(key).display()),
            "IdentitiesOnly yes\nIdentityAgent none\nKexAlgorithms curve25519-sha256".to_owned(),
            format!("UserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\n", self.path("known_hosts").display()),
        ];
        std::fs::write(self.path("ssh_config"), lines.join("\n")).unwrap();
    }

    /// A backend that connects to this server.
    pub fn backend(&self) -> Backend {
        Backend::new(&self.inventory())
    }

    /// An inventory for this server.
    pub fn inventory(&self) -> Inventory {
        let mut inventory = Inventory::default();
        inventory.ssh.config = Some(self.path("ssh_config"));
        inventory.ssh.connect_timeout = Some(Duration::from_secs(2));
        inventory
    }

    /// This server as a host of the inventory.
    pub fn target(&self) -> Target {
        target("127.0.0.1", self.port)
    }

    /// The number of logins so far.
    pub fn logins(&self) -> usize {
        std::fs::read_to_string(self.path("log")).unwrap_or_default().matches("Accepted publickey").count()
    }

    /// The number of open connections.
    pub fn sessions(&self) -> usize {
        children(self.server.id()).len()
    }

    /// Cuts all connections, like a failing network or host.
    pub fn cut(&self) {
        self.signal("-KILL");
    }

    /// Stops all connections from answering, like a network that is gone.
    pub fn stop_sessions(&self) {
        self.signal("-STOP");
    }

    fn signal(&self, name: &str) {
        for child in children(self.server.id()) {
            let _ = Command::new("kill").arg(name).arg(child.to_string()).stderr(Stdio::null()).status();
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.cut();
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A host of the inventory with this address.
pub fn target(address: &str, port: u16) -> Target {
    let host = Host { name: "pi-1".into(), address: address.into(), port: Some(port), ..Host::default() };
    Target { host: Some(Arc::new(host)), as_root: false, reconnect: false }
}

/// Processes whose ancestor is `pid`.
fn children(pid: u32) -> Vec<u32> {
    let of = |path: &Path| {
        let stat = std::fs::read_to_string(path.join("stat")).ok()?;
        let parent: u32 = stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()?;
        Some((path.file_name()?.to_str()?.parse::<u32>().ok()?, parent))
    };
    let processes: Vec<(u32, u32)> =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| of(&entry.path())).collect();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(processes.iter().filter(|(_, p)| *p == parent).map(|(child, _)| *child));
        next += 1;
    }
    found.split_off(1)
}
