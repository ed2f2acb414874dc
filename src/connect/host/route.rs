//! The way to a host, as ssh finds it in its configuration.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::config::Config;
use super::master::arguments;
use crate::digest::sha256;
use crate::inventory::{Host, Ssh};

/// How long ssh has to read its configuration.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The way to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Whose sshd the connection goes through: jump hosts, a proxy, or else the host's own address.
    pub doors: Vec<String>,
    /// Tells this configuration from others: lower-case hex.
    pub digest: String,
}

/// The way to a host; `config` is ssh's, as far as it is understood. `None` when ssh does not say.
pub async fn find(host: &Host, ssh: &Ssh, config: Option<&Config>) -> Option<Route> {
    match config.filter(|config| !config.leads_elsewhere(host)) {
        Some(config) => Some(own(host, ssh, &config.text)),
        None => ask(host, ssh).await,
    }
}

/// With nothing on the way.
fn own(host: &Host, ssh: &Ssh, text: &str) -> Route {
    let door = format!("{}:{}", host.address, host.port.unwrap_or(22));
    let arguments: Vec<OsString> = arguments(host, ssh).into_iter().chain([text.into()]).collect();
    let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_encoded_bytes()).collect();
    Route { doors: vec![door], digest: sha256(&arguments.join(&0)) }
}

/// Asks ssh, which takes some milliseconds; `None` when it does not say. Why not, will be told when it is to connect.
async fn ask(host: &Host, ssh: &Ssh) -> Option<Route> {
    let mut command = Command::new("ssh");
    command.arg("-G").args(arguments(host, ssh)).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(READ_TIMEOUT, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| read(&String::from_utf8_lossy(&output.stdout)))
}

fn read(text: &str) -> Route {
    let value = |name: &str| {
        let values = text.lines().filter_map(|line| line.split_once(' ').filter(|(key, _)| *key == name));
        values.map(|(_, value)| value.trim()).find(|value| *value != "none")
    };
    let jumps = value("proxyjump").map(|hosts| hosts.split(',').map(str::to_owned).collect());
    // Hosts that share a proxy have the same command, since the names in it are not filled in here.
    let proxy = || value("proxycommand").map(|command| vec![command.to_owned()]);
    let own = || vec![format!("{}:{}", value("hostname").unwrap_or_default(), value("port").unwrap_or_default())];
    Route { doors: jumps.or_else(proxy).unwrap_or_else(own), digest: sha256(text.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn doors(config: &str) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config).unwrap();
        let host = Host { address: "pi".into(), ..Host::default() };
        ask(&host, &Ssh { config: Some(file.path().into()), ..Ssh::default() }).await.unwrap().doors
    }

    #[tokio::test]
    async fn the_door_is_the_first_sshd_on_the_way() {
        assert_eq!(doors("Host pi\nHostName 10.0.0.1\nPort 2222\n").await, ["10.0.0.1:2222"]);
        assert_eq!(doors("ProxyJump me@gate:2222,inner\n").await, ["me@gate:2222", "inner"]);
        assert_eq!(doors("ProxyCommand ssh -W %h:%p gate\n").await, ["ssh -W %h:%p gate"]);
        assert_eq!(doors("ProxyJump none\nHostName a\n").await, ["a:22"]);
    }

    #[tokio::test]
    async fn ssh_is_not_asked_where_nothing_can_be_on_the_way() {
        // It would say nothing, with a file that is not there.
        let ssh = Ssh { config: Some("/none".into()), ..Ssh::default() };
        let mut host = Host { address: "pi".into(), port: Some(23), ..Host::default() };
        let says = |text: &str| {
            let mut config = Config::default();
            config.text = text.to_owned();
            config
        };
        let route = find(&host, &ssh, Some(&says("User pi"))).await.unwrap();
        assert_eq!(route.doors, ["pi:23"]);
        assert_ne!(find(&host, &ssh, Some(&says("User other"))).await.unwrap().digest, route.digest);
        assert_eq!(find(&host, &ssh, None).await, None);
        host.access.options.insert("ProxyJump".into(), "gate".into());
        assert_eq!(find(&host, &ssh, Some(&says("User pi"))).await, None);
    }

    #[tokio::test]
    async fn another_configuration_has_another_digest_and_a_wrong_one_none() {
        let asked = async |options: &[(&str, &str)]| {
            let mut host = Host { address: "pi".into(), ..Host::default() };
            host.access.options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            ask(&host, &Ssh { config: Some("/dev/null".into()), ..Ssh::default() }).await.map(|route| route.digest)
        };
        let plain = asked(&[]).await.unwrap();
        assert_eq!(asked(&[]).await.unwrap(), plain);
        assert_ne!(asked(&[("KexAlgorithms", "curve25519-sha256")]).await.unwrap(), plain);
        assert_eq!(asked(&[("NoSuchOption", "x")]).await, None);
    }
}
