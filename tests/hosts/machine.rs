//! A machine for a test: a copy-on-write view of this machine's root folder in namespaces of its own, so that users can
//! be created, disks filled and services started without affecting this machine.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::needs;

/// The namespaces; they end when this is dropped.
pub struct Machine {
    holder: Child,
    init: String,
    folder: tempfile::TempDir,
}

/// `$1` is a folder; its subfolder `shared` is visible on both machines.
const ROOT: &str = r#"set -e
mount --make-rprivate /
mount -t tmpfs -o size=2g none "$1/root"
cd "$1/root"
mkdir upper work root
mount -t overlay -o "lowerdir=/,upperdir=$PWD/upper,workdir=$PWD/work" none root
cd root
touch .own
"#;

/// Then acts as the init process and reaps orphans.
const PLAIN: &str = r#"
mount --bind "$1/shared" "./$1/shared"
mount --rbind /dev dev
mount --rbind /sys sys
mount -t tmpfs none run
mount -t proc none proc
echo ready
exec chroot . sh -c 'sleep 2147483647 & wait'"#;

/// With systemd, which starts none of this machine's services and cleans up no folders.
const SYSTEMD: &str = r#"
rm -rf etc/systemd/system/*.wants
: >etc/machine-id
for unit in systemd-tmpfiles-setup.service systemd-tmpfiles-clean.timer tmp.mount; do
	ln -sf /dev/null "etc/systemd/system/$unit"
done
echo ready
exec systemd-nspawn --quiet --boot --directory="$PWD" --machine=every --bind="$1/shared" --private-network \
	--register=no --keep-unit --console=pipe </dev/null >"$1/console" 2>&1"#;

const NAMESPACES: &[&str] = &["--mount", "--uts", "--pid", "--ipc", "--fork", "--kill-child"];

impl Machine {
    /// A machine that shares this machine's network. `None` without the rights to create it.
    pub fn new() -> Option<Self> {
        Self::start(PLAIN, NAMESPACES)?.with_first_process(|_| true)
    }

    /// A machine with a network namespace of its own, without any interface set up.
    pub fn apart() -> Option<Self> {
        Self::start(PLAIN, &[NAMESPACES, &["--net"]].concat())?.with_first_process(|_| true)
    }

    /// A machine booted by systemd, with a network of its own. `None` also without systemd-nspawn.
    pub fn booted() -> Option<Self> {
        if !needs::program("systemd-nspawn") {
            return None;
        }
        // The state is `degraded`: some units of this machine cannot work there.
        let up = "case $(systemctl is-system-running) in running | degraded) ip link set lo up;; *) false;; esac";
        Self::start(SYSTEMD, &["--mount"])?.with_first_process(|machine| machine.holds(up))
    }

    fn start(boot: &str, namespaces: &[&str]) -> Option<Self> {
        let can = needs::namespaces(namespaces) && ["setpriv", "nsenter", "sshd"].into_iter().all(needs::program);
        if !can {
            return None;
        }
        let folder = tempfile::Builder::new().prefix("rollout-").tempdir_in("/var/tmp").unwrap();
        for below in ["", "root", "shared"] {
            let path = folder.path().join(below);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare"]).args(namespaces);
        command.args(["sh", "-c", &format!("{ROOT}{boot}"), "sh"]).arg(folder.path());
        let mut holder = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = holder.stdout.take().unwrap();
        let mut machine = Self { holder, init: String::new(), folder };
        let (mut said, mut why) = (String::new(), String::new());
        BufReader::new(stdout).read_line(&mut said).unwrap();
        if said.trim() == "ready" {
            return Some(machine);
        }
        machine.holder.stderr.take().unwrap().read_to_string(&mut why).unwrap();
        needs::met(false, "the right to mount, and overlay, for a machine of its own", why.trim());
        None
    }

    /// Waits until the machine is up. Before it has switched to its own root folder, a command would see this
    /// machine's.
    fn with_first_process(mut self, is_up: impl Fn(&Self) -> bool) -> Option<Self> {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let children = format!("/proc/{0}/task/{0}/children", self.holder.id());
            self.init = std::fs::read_to_string(children).unwrap_or_default().trim().to_owned();
            if !self.init.is_empty() && self.seen("/.own").exists() && is_up(&self) {
                return Some(self);
            }
            let console = || std::fs::read_to_string(self.folder.path().join("console")).unwrap_or_default();
            let ended = self.holder.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "it does not boot: {ended:?} {}", console());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A command that runs inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init, "--mount", "--uts", "--pid", "--ipc", "--net", "--root", "--wd", "--"]);
        command.arg(program);
        command
    }

    /// A command that runs on this machine, in the network of the other one.
    pub fn on_its_network(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init, "--net", "--"]).arg(program);
        command
    }

    /// Process id of its init process on this machine.
    pub fn init(&self) -> &str {
        &self.init
    }

    /// A folder that is visible on both machines, under the same path.
    pub fn shared(&self) -> PathBuf {
        self.folder.path().join("shared")
    }

    /// Runs a script inside and returns its output.
    pub fn sh(&self, script: &str) -> String {
        let output = self.command("sh").args(["-c", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Whether a script succeeds inside.
    pub fn holds(&self, script: &str) -> bool {
        self.command("sh").args(["-c", script]).output().unwrap().status.success()
    }

    /// The path outside for a path inside.
    pub fn seen(&self, path: &str) -> PathBuf {
        Path::new("/proc").join(&self.init).join("root").join(path.trim_start_matches('/'))
    }

    /// Creates a user who may use sudo without a password.
    pub fn add_user(&self, name: &str, shell: &str) {
        self.sh(&format!(
            "useradd --create-home --password '*' --shell '{shell}' {name} && \
             echo '{name} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{name}"
        ));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Processes that systemd-nspawn started outlive it.
        let _ = Command::new("kill").args(["-KILL", &self.init]).stderr(Stdio::null()).status();
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
