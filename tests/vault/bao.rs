//! An OpenBao server for a test: in memory, on loopback, with TLS; it stops when dropped.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rollout::connect::{CallContext, vault};
use rollout::inventory::{Inventory, Token, Vault};

use crate::needs;

pub const TOKEN: &str = "root-token-of-a-test";

pub struct Bao {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Drop for Bao {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Bao {
    /// Starts a server; `None` if the program is not installed.
    pub async fn start() -> Option<Self> {
        let program = program()?;
        let folder = tempfile::tempdir().unwrap();
        // The port is free now. If another process takes it first, the server exits and the test fails with a message.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::fs::File::create(folder.path().join("server.log")).unwrap();
        let child = Command::new(program)
            .args(["server", "-dev", "-dev-no-store-token", "-dev-tls"])
            .arg(format!("-dev-tls-cert-dir={}", folder.path().display()))
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .env("BAO_DEV_ROOT_TOKEN_ID", TOKEN)
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut bao = Self { child, folder, port };
        bao.wait_until_up().await;
        Some(bao)
    }

    async fn wait_until_up(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut seen = String::from("no certificate was written");
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                panic!("the server ended: {}", std::fs::read_to_string(self.folder.path().join("server.log")).unwrap());
            }
            if self.ca_cert().exists() {
                match self.backend().probe(&vault::Probe::Health, &call()).await {
                    Ok(vault::Fact::Health(nodes)) if nodes[0].state == vault::State::Active => return,
                    Ok(fact) => seen = format!("{fact:?}"),
                    Err(error) => seen = error.to_string(),
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server did not come up; last seen: {seen}");
    }

    pub fn address(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    pub fn ca_cert(&self) -> PathBuf {
        self.folder.path().join("vault-ca.pem")
    }

    pub fn inventory(&self) -> Inventory {
        let token = self.folder.path().join("token");
        std::fs::write(&token, TOKEN).unwrap();
        let mut inventory = Inventory::default();
        inventory.vault = Vault {
            addresses: vec![self.address()],
            ca_cert: Some(self.ca_cert()),
            token: Token::File(token),
            ..Vault::default()
        };
        inventory
    }

    pub fn backend(&self) -> vault::Backend {
        vault::Backend::new(&self.inventory())
    }
}

/// A call context with enough time for a slow machine.
pub fn call() -> CallContext {
    CallContext::silent(Duration::from_secs(20))
}

fn program() -> Option<PathBuf> {
    let named = std::env::var_os("ROLLOUT_BAO").map(PathBuf::from);
    let program = named.unwrap_or_else(|| PathBuf::from("/var/lib/rollout-lab/bin/bao"));
    let what = format!("OpenBao at {}", program.display());
    needs::met(program.exists(), &what, "`tests/lab/lab up` builds it, or ROLLOUT_BAO names another").then_some(program)
}
