//! A machine that can be rebooted: a real sshd as the init process of namespaces of its own, in which the kernel's boot
//! id changes at each start. A reboot clears /run and keeps /var/lib. The machine does not see the home of its user, so
//! that files in it do not matter. Needs root.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::needs;
use super::project::wait_until;

/// The machine; it is switched off when dropped. `kill 1` ends its init, and the machine starts again.
pub struct Machine {
    folder: tempfile::TempDir,
    port: u16,
    power: Arc<Power>,
    supply: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Power {
    off: AtomicBool,
    boots: AtomicU32,
    /// The process that runs the machine.
    process: Mutex<Option<u32>>,
}

impl Machine {
    /// Starts a machine with this program as `sh`. `None` without the rights to create it.
    pub fn start(shell: &str) -> Option<Self> {
        let can =
            needs::namespaces(&["--mount", "--pid"]) && ["ssh-keygen", "sshd", shell].into_iter().all(needs::program);
        if !can {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("var")).unwrap();
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path(key)).status();
            assert!(made.unwrap().success());
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = folder.path().display();
        let server = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {place}/host\nAuthorizedKeysFile {place}/user.pub\nPidFile none\n\
             StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n"
        );
        fs::write(path("sshd_config"), server).unwrap();
        let key = fs::read_to_string(path("host.pub")).unwrap();
        fs::write(path("known_hosts"), format!("[127.0.0.1]:{port} {key}")).unwrap();
        let client = format!(
            "Host *\nIdentityFile {place}/user\nIdentitiesOnly yes\nIdentityAgent none\nKexAlgorithms curve25519-sha256\n\
             UserKnownHostsFile {place}/known_hosts\nGlobalKnownHostsFile /dev/null\n"
        );
        fs::write(path("ssh_config"), client).unwrap();
        let init = format!(
            "set -e
            mount -t proc proc /proc
            mount --bind {place}/boot_id /proc/sys/kernel/random/boot_id
            mount --bind {place}/var /var/lib
            mount --bind \"$(command -v {shell})\" \"$(readlink -f /bin/sh)\"
            mount -t tmpfs tmpfs /run
            mount -t tmpfs tmpfs ~
            mkdir /run/sshd
            exec /usr/sbin/sshd -D -f {place}/sshd_config -E {place}/log"
        );
        let power = Arc::new(Power::default());
        let supply = {
            let (power, boot_id) = (Arc::clone(&power), path("boot_id"));
            std::thread::spawn(move || {
                while !power.off.load(Ordering::SeqCst) {
                    let boot = power.boots.fetch_add(1, Ordering::SeqCst) + 1;
                    fs::write(&boot_id, format!("{boot:08}-0000-4000-8000-000000000000\n")).unwrap();
                    let mut command = Command::new("unshare");
                    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", &init]);
                    let mut process = command.stdin(Stdio::null()).spawn().unwrap();
                    *power.process.lock().unwrap() = Some(process.id());
                    let _ = process.wait();
                    *power.process.lock().unwrap() = None;
                }
            })
        };
        let machine = Self { folder, port, power, supply: Some(supply) };
        wait_until("the machine is up", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(machine)
    }

    /// How often the machine was started.
    pub fn boots(&self) -> u32 {
        self.power.boots.load(Ordering::SeqCst)
    }

    /// The path of a file below the machine's /var/lib.
    pub fn var(&self, name: &str) -> PathBuf {
        self.folder.path().join("var").join(name)
    }

    /// The machine as the inventory host `pi`.
    pub fn inventory(&self) -> String {
        let (config, port) = (self.folder.path().join("ssh_config"), self.port);
        format!(
            "[hosts.pi]\naddress = \"127.0.0.1\"\nport = {port}\n[ssh]\nconfig = \"{}\"\nconnect_timeout = \"2s\"\n",
            config.display()
        )
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.power.off.store(true, Ordering::SeqCst);
        if let Some(process) = *self.power.process.lock().unwrap() {
            let _ = Command::new("kill").args(["-KILL", &process.to_string()]).status();
        }
        if let Some(supply) = self.supply.take() {
            let _ = supply.join();
        }
    }
}
