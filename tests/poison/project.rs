//! A project whose secrets come from every source that this machine has, and the program run on it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use rollout::connect::vault::{Data, Effect};
use serde_json::json;

use crate::bao::{Bao, TOKEN, call};
use crate::{needs, poison};

/// Deadline for one call of the program.
const DEADLINE: Duration = Duration::from_secs(120);

/// First argument of a call whose stdin, stdout and stderr are a terminal.
pub const TERMINAL: &str = "in a terminal";

pub struct Project {
    folder: tempfile::TempDir,
    /// Values by source. The values `old` and `made` are no secrets of the plan, but must not show up anywhere either.
    values: Vec<(&'static str, String)>,
    inventory: String,
}

impl Project {
    /// A project with a plan of these steps.
    pub async fn new(features: &[(&str, &str)], inventory: &str, bao: Option<&Bao>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut project = Self { folder, values: Vec::new(), inventory: inventory.to_owned() };
        for folder in ["kept", "wanted", "templates", "tmp"] {
            fs::create_dir(project.path(folder)).unwrap();
        }
        let identity = Identity::generate();
        project.write("kept/identity", identity.to_string().expose_secret());
        let mut secrets =
            String::from("[secrets]\nenv.env = 'POISON_ENV'\nfile.file = 'kept/file'\nkey.file = 'kept/key'\n");
        project.add("env", poison::value("env"));
        let value = project.add("file", poison::value("file"));
        project.write("kept/file", &value);
        let value = project.add("key", poison::key());
        project.write("kept/key", &value);
        let value = project.add("age", poison::value("age"));
        let encrypted = age::encrypt(&identity.to_public(), value.as_bytes()).unwrap();
        fs::write(project.path("in.age"), encrypted).unwrap();
        secrets.push_str("age = { age = 'in.age', identity = 'kept/identity' }\n");
        if project.encrypt_with_sops(&identity) {
            secrets.push_str("sops = { sops = 'in.enc.yaml', key = 'grafana.password' }\n");
        }
        if let Some(bao) = bao {
            project.write_to_vault(bao).await;
            secrets.push_str("vault = { vault = 'secret/grafana/admin', key = 'password' }\n");
            secrets.push_str("vault_1 = { vault = 'kv1/grafana', key = 'password', kv = 1 }\n");
        }
        let old = project.add("old", poison::value("old"));
        project.write("wanted/file", &old);
        project.put_back();
        let made = project.add("made", poison::value("made"));
        project.write("kept/made", &made);
        project.write(
            "templates/conf.j2",
            "{{ all }}\n{{ all | to_json }}\n{{ key | b64encode }}\n{{ key | indent(2) }}\n",
        );
        project.write("templates/large.j2", "{% for n in range(400) %}{{ n }} {{ all }}\n{% endfor %}");

        let all: Vec<String> = project.secrets().map(|name| format!("{{{{ secrets.{name} }}}}")).collect();
        let mut plan = format!(
            "[plan]\nname = 'poison'\n[vars]\nall = '{}'\nkey = '{{{{ secrets.key }}}}'\n{secrets}[phase.p]\n",
            all.join(" ")
        );
        for (id, step) in features {
            let needs = match *id {
                "use" => "['echo']",
                "fetch" => "['template']",
                _ => "[]",
            };
            let hosts = if step.contains("http.check") { "" } else { "hosts = 'target'\n" };
            plan.push_str(&format!("[[phase.p.step]]\nid = '{id}'\nneeds = {needs}\n{hosts}{step}\n"));
        }
        let made = project.path("kept/made").display().to_string();
        let plan = plan.replace("DIR/made", &made).replace("ECHO", &echo());
        project.write("plan.toml", &plan.replace("DIR", &project.folder.path().display().to_string()));
        project.write("inventory.toml", &project.inventory.clone());
        project
    }

    /// Puts earlier secrets into files from which steps remove them.
    pub fn put_back(&self) {
        let old = self.value("old");
        for (file, mode, text) in [
            ("moved", 0o644, format!("first\nsecond {old}\nlast\n")),
            ("private", 0o640, format!("first\n{old}\nlast\n")),
            ("taken-out", 0o644, format!("{old}\nlast")),
            ("gone", 0o644, format!("old={old}\n")),
            ("lines", 0o600, format!("first\nold={old}\nlast\n")),
        ] {
            let file = format!("wanted/{file}");
            self.write(&file, &text);
            fs::set_permissions(self.path(&file), fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    fn value(&self, name: &str) -> &str {
        &self.values.iter().find(|(n, _)| *n == name).unwrap().1
    }

    fn add(&mut self, name: &'static str, value: String) -> String {
        self.values.push((name, value.clone()));
        value
    }

    /// Creates the sops file, if `sops` is installed.
    fn encrypt_with_sops(&mut self, identity: &Identity) -> bool {
        if !needs::program("sops") {
            return false;
        }
        let value = poison::value("sops");
        self.write("kept/plain.json", &json!({ "grafana": { "password": value, "port": 3000 } }).to_string());
        let made = Command::new("sops")
            .args(["encrypt", "--output-type", "yaml", "--age", &identity.to_public().to_string()])
            .arg(self.path("kept/plain.json"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::write(self.path("in.enc.yaml"), made.stdout).unwrap();
        self.add("sops", value);
        true
    }

    async fn write_to_vault(&mut self, bao: &Bao) {
        let write = async |path: &str, body: serde_json::Value| {
            let serde_json::Value::Object(body) = body else { panic!("an object") };
            bao.backend().perform(&Effect::Write { path: path.into(), body: Data(body) }, &call()).await.unwrap();
        };
        let value = self.add("vault", poison::value("vault"));
        write("secret/data/grafana/admin", json!({ "data": { "password": value } })).await;
        let value = self.add("vault_1", poison::value("vault_1"));
        write("sys/mounts/kv1", json!({ "type": "kv", "options": { "version": "1" } })).await;
        write("kv1/grafana", json!({ "password": value })).await;
        self.inventory.push_str(&format!(
            "[vault]\naddress = '{}'\nca_cert = '{}'\ntoken_env = 'POISON_TOKEN'\n",
            bao.address(),
            bao.ca_cert().display()
        ));
    }

    fn write(&self, name: &str, text: &str) {
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(self.path(name));
        file.and_then(|mut file| file.write_all(text.as_bytes())).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o777
    }

    /// All values that must not show up anywhere, by name.
    pub fn values(&self) -> Vec<(&str, &str)> {
        self.values.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    fn secrets(&self) -> impl Iterator<Item = &'static str> {
        self.values.iter().map(|(name, _)| *name).filter(|name| !["old", "made", "key"].contains(name))
    }

    pub fn all(&self) -> String {
        self.secrets().map(|name| self.value(name)).collect::<Vec<_>>().join(" ")
    }

    fn command(&self, args: &[&str]) -> Command {
        let env = &self.values[0].1;
        let program = env!("CARGO_BIN_EXE_rollout");
        let mut command = match args.split_first() {
            Some((&TERMINAL, args)) => {
                // Without this the terminal's size is unknown, and a narrow terminal would cut the values that the test
                // looks for.
                let line = shlex::try_join([&[program], args].concat()).unwrap();
                let mut command = Command::new("script");
                command.args(["--quiet", "--return", "--command"]);
                command.arg(format!("stty cols 1000 rows 50; exec {line}")).arg("/dev/null");
                command
            }
            _ => {
                let mut command = Command::new(program);
                command.args(args);
                command
            }
        };
        command
            .env("ROLLOUT_STATE_DIR", self.path("state"))
            .env("TMPDIR", self.path("tmp"))
            .env("POISON_ENV", env)
            .env("POISON_TOKEN", TOKEN)
            .env("SOPS_AGE_KEY_FILE", self.path("kept/identity"))
            .env_remove("ROLLOUT_INVENTORY")
            .stdin(Stdio::null());
        command
    }

    /// Runs the program with the plan, see [`Self::watch`].
    pub fn call(&self, args: &[&str], log: &str, look: impl FnOnce() -> Vec<String>) -> (Output, Vec<String>) {
        let (inventory, plan) = (self.path("inventory.toml"), self.path("plan.toml"));
        let named = ["--inventory", inventory.to_str().unwrap(), plan.to_str().unwrap()];
        self.watch(&[args, &named].concat(), log, look)
    }

    /// Runs the program. When a step waits at the gate, `look` is called before the step continues.
    pub fn watch(&self, args: &[&str], log: &str, look: impl FnOnce() -> Vec<String>) -> (Output, Vec<String>) {
        let gate = [self.path("begun"), self.path("go")];
        gate.iter().for_each(|file| drop(fs::remove_file(file)));
        let out = [self.path("kept/stdout"), self.path("kept/stderr")];
        let mut command = self.command(args);
        command.env("RUST_LOG", log);
        command.stdout(fs::File::create(&out[0]).unwrap()).stderr(fs::File::create(&out[1]).unwrap());
        let mut child = command.spawn().unwrap();
        // A detached run reaches the gate later; the test lets it through.
        let verb = args.iter().find(|arg| **arg != TERMINAL).copied().unwrap_or_default();
        let runs = ["run", "apply", "prove", "resume"].contains(&verb) && !args.contains(&"--detach");
        let (mut look, mut seen) = (runs.then_some(look), Vec::new());
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if gate[0].exists()
                && let Some(look) = look.take()
            {
                seen = look();
                fs::write(&gate[1], "").unwrap();
            }
            if Instant::now() > deadline {
                drop((child.kill(), child.wait()));
                panic!("{args:?} was at work for {DEADLINE:?}: {}", fs::read_to_string(&out[0]).unwrap());
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let [stdout, stderr] = out.map(|file| fs::read(file).unwrap());
        assert!(look.is_none(), "{args:?}: no step waited at the gate: {}", String::from_utf8_lossy(&stderr));
        (Output { status, stdout, stderr }, seen)
    }

    pub fn query(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }
}

/// A server that echoes the request with an error status; stops with the program.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut buffer = vec![0; 64 * 1024];
            let size = stream.read(&mut buffer).unwrap_or_default();
            let said = String::from_utf8_lossy(&buffer[..size]).into_owned();
            // The headers may arrive before the body.
            let more = if said.ends_with("\r\n\r\n") { stream.read(&mut buffer).unwrap_or_default() } else { 0 };
            let said = said + &String::from_utf8_lossy(&buffer[..more]);
            let said = said.rsplit("\r\n\r\n").next().unwrap_or_default();
            let head = format!("HTTP/1.1 500 X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", said.len());
            drop(stream.write_all(format!("{head}{said}").as_bytes()));
        }
    });
    format!("http://{address}/")
}
