//! A real sshd as a host of the inventory; it stops with the test.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Sshd {
    folder: tempfile::TempDir,
    address: String,
    port: u16,
    server: Child,
}

impl Sshd {
    /// Starts a server of the current user on this machine, with verbose logs. The user's home is the folder `home`
    /// beside the log, so that files of the real home do not matter.
    pub fn start() -> Self {
        Self::with(&std::env::temp_dir(), "127.0.0.1", "LogLevel DEBUG3\nSetEnv HOME=PLACE/home\n", &|program| {
            Command::new(program)
        })
    }

    /// Starts a server at an address, with additional lines of configuration in which `PLACE` is its folder. `inside`
    /// makes the command that runs a program where the server should be; the folder `shared` must be visible there,
    /// too.
    pub fn with(shared: &Path, address: &str, settings: &str, inside: &dyn Fn(&str) -> Command) -> Self {
        let folder = tempfile::tempdir_in(shared).unwrap();
        // The login user must be able to read the authorized keys.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = |name: &str| folder.path().join(name);
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path(key)).status();
            assert!(made.is_ok_and(|s| s.success()), "ssh-keygen must be installed (package openssh-client)");
        }
        // The port is free now. If another process takes it first, the server exits and the test fails with a message.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = folder.path().display();
        let server = format!(
            "ListenAddress {address}:{port}\nHostKey {place}/host\nAuthorizedKeysFile {place}/user.pub\nPidFile {place}/pid\n\
             StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nMaxStartups 100\n{settings}"
        );
        fs::write(path("sshd_config"), server.replace("PLACE", &place.to_string())).unwrap();
        let key = fs::read_to_string(path("host.pub")).unwrap();
        fs::write(path("known_hosts"), format!("[{address}]:{port} {key}")).unwrap();
        let client = format!(
            "Host *\nIdentityFile {place}/user\nIdentitiesOnly yes\nIdentityAgent none\nKexAlgorithms curve25519-sha256\n\
             UserKnownHostsFile {place}/known_hosts\nGlobalKnownHostsFile /dev/null\n"
        );
        fs::write(path("ssh_config"), client).unwrap();
        let server = run(folder.path(), inside);
        Self { folder, address: address.to_owned(), port, server }
    }

    /// Restarts the server at the same address.
    pub fn again(&mut self, inside: &dyn Fn(&str) -> Command) {
        self.server = run(self.folder.path(), inside);
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub fn logins(&self) -> usize {
        fs::read_to_string(self.log()).unwrap_or_default().matches("Accepted publickey").count()
    }

    /// The server as the inventory host `target`, with additional lines in the host's table.
    pub fn inventory_with(&self, more: &str) -> String {
        let (config, address, port) = (self.folder.path().join("ssh_config"), &self.address, self.port);
        format!(
            "[hosts.target]\naddress = \"{address}\"\nport = {port}\n{more}\n[ssh]\nconfig = \"{}\"\n",
            config.display()
        )
    }

    /// The server as the inventory host `target`.
    pub fn inventory(&self) -> String {
        self.inventory_with("")
    }
}

fn run(folder: &Path, inside: &dyn Fn(&str) -> Command) -> Child {
    let log = folder.join("log");
    let _ = fs::remove_file(&log);
    // As root, sshd requires this folder, which the system's own service would create.
    let _ = inside("mkdir").args(["-p", "/run/sshd"]).status();
    let mut command = inside("/usr/sbin/sshd");
    command.args(["-D", "-f"]).arg(folder.join("sshd_config")).arg("-E").arg(&log).stderr(Stdio::null());
    let mut server = command.spawn().expect("this test needs /usr/sbin/sshd (package openssh-server)");
    let deadline = Instant::now() + Duration::from_secs(20);
    let said = || fs::read_to_string(&log).unwrap_or_default();
    while !said().contains("Server listening on") {
        let ended = server.try_wait().unwrap();
        assert!(ended.is_none() && Instant::now() < deadline, "sshd does not start: {ended:?} {}", said());
        std::thread::sleep(Duration::from_millis(10));
    }
    server
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
