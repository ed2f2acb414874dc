//! A real sshd of the current user's, on loopback, as a host of the inventory; ends with the test.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server.
pub struct Sshd {
    folder: tempfile::TempDir,
    port: u16,
    server: Child,
}

impl Sshd {
    /// Starts one.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path(key)).status();
            assert!(made.is_ok_and(|s| s.success()), "ssh-keygen must be installed (package openssh-client)");
        }
        // As root sshd insists on this folder, which the system's own service would make.
        let _ = fs::create_dir("/run/sshd");
        // The port is free now; should another process take it, the server ends and the test says so.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = folder.path().display();
        let server = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {place}/host\nAuthorizedKeysFile {place}/user.pub\nPidFile {place}/pid\n\
             SetEnv HOME={place}/home\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nLogLevel DEBUG3\n"
        );
        fs::write(path("sshd_config"), server).unwrap();
        let key = fs::read_to_string(path("host.pub")).unwrap();
        fs::write(path("known_hosts"), format!("[127.0.0.1]:{port} {key}")).unwrap();
        let client = format!(
            "Host *\nIdentityFile {place}/user\nIdentitiesOnly yes\nIdentityAgent none\nKexAlgorithms curve25519-sha256\n\
             UserKnownHostsFile {place}/known_hosts\nGlobalKnownHostsFile /dev/null\n"
        );
        fs::write(path("ssh_config"), client).unwrap();
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-f"]).arg(path("sshd_config")).arg("-E").arg(path("log")).stderr(Stdio::null());
        let server = command.spawn().expect("this test needs /usr/sbin/sshd (package openssh-server)");
        let mut sshd = Self { folder, port, server };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = sshd.server.try_wait().unwrap();
            let log = || fs::read_to_string(sshd.log()).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < deadline, "sshd does not start: {ended:?} {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
        sshd
    }

    /// What it logs.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// It as the host `target`, where the user's home is the folder `home` beside the log.
    pub fn inventory(&self) -> String {
        let (config, port) = (self.folder.path().join("ssh_config"), self.port);
        format!("[hosts.target]\naddress = \"127.0.0.1\"\nport = {port}\n[ssh]\nconfig = \"{}\"\n", config.display())
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
