//! Finds out how ssh will reach a host, from ssh's configuration.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::config::Config;
use super::master::arguments;
use crate::digest::sha256;
use crate::inventory::{Host, Ssh};

/// Timeout of `ssh -G`, which only reads configuration.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// How ssh reaches a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The servers whose sshd the connection is made to: jump hosts, a proxy, or else the host's own address.
    pub entry_points: Vec<String>,
    /// Digest of the configuration for this host, lower-case hex.
    pub digest: String,
}

/// Finds the route to a host. `config` is ssh's configuration, if it could be parsed. `None` when `ssh -G` fails.
pub async fn find(host: &Host, ssh: &Ssh, config: Option<&Config>) -> Option<Route> {
    match config.filter(|config| !config.may_share_sshd(host)) {
        Some(config) => Some(direct(host, ssh, &config.text)),
        None => ask_ssh(host, ssh).await,
    }
}

/// The route of a host that is reached without a jump host or proxy.
fn direct(host: &Host, ssh: &Ssh, text: &str) -> Route {
    let entry_point = format!("{}:{}", host.address, host.port.unwrap_or(22));
    let arguments: Vec<OsString> = arguments(host, ssh).into_iter().chain([text.into()]).collect();
    let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_encoded_bytes()).collect();
    Route { entry_points: vec![entry_point], digest: sha256(&arguments.join(&0)) }
}

/// Asks `ssh -G`, which takes some milliseconds. `None` when that fails; connecting will report why.
async fn ask_ssh(host: &Host, ssh: &Ssh) -> Option<Route> {
    let mut command = Command::new("ssh");
    command.arg("-G").args(arguments(host, ssh)).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(READ_TIMEOUT, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| parse(&String::from_utf8_lossy(&output.stdout)))
}

fn parse(text: &str) -> Route {
    let value = |name: &str| {
        let values = text.lines().filter_map(|line| line.split_once(' ').filter(|(key, _)| *key == name));
        values.map(|(_, value)| value.trim()).find(|value| *value != "none")
    };
    let jumps = value("proxyjump").map(|hosts| hosts.split(',').map(str::to_owned).collect());
    // Hosts that share a proxy have the same command here, since `ssh -G` leaves its `%h` and `%p` in place.
    let proxy = || value("proxycommand").map(|command| vec![command.to_owned()]);
    let own = || vec![format!("{}:{}", value("hostname").unwrap_or_default(), value("port").unwrap_or_default())];
    Route { entry_points: jumps.or_else(proxy).unwrap_or_else(own), digest: sha256(text.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn entry_points(config: &str) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config).unwrap();
        let host = Host { address: "pi".into(), ..Host::default() };
        ask_ssh(&host, &Ssh { config: Some(file.path().into()), ..Ssh::default() }).await.unwrap().entry_points
    }

    #[tokio::test]
    async fn the_entry_point_is_the_first_sshd_on_the_way() {
        assert_eq!(entry_points("Host pi\nHostName 10.0.0.1\nPort 2222\n").await, ["10.0.0.1:2222"]);
        assert_eq!(entry_points("ProxyJump me@gate:2222,inner\n").await, ["me@gate:2222", "inner"]);
        assert_eq!(entry_points("ProxyCommand ssh -W %h:%p gate\n").await, ["ssh -W %h:%p gate"]);
        assert_eq!(entry_points("ProxyJump none\nHostName a\n").await, ["a:22"]);
    }

    #[tokio::test]
    async fn ssh_is_not_asked_where_nothing_can_be_on_the_way() {
        // `ssh -G` would fail, since its configuration file does not exist.
        let ssh = Ssh { config: Some("/none".into()), ..Ssh::default() };
        let mut host = Host { address: "pi".into(), port: Some(23), ..Host::default() };
        let says = |text: &str| {
            let mut config = Config::default();
            config.text = text.to_owned();
            config
        };
        let route = find(&host, &ssh, Some(&says("User pi"))).await.unwrap();
        assert_eq!(route.entry_points, ["pi:23"]);
        assert_ne!(find(&host, &ssh, Some(&says("User other"))).await.unwrap().digest, route.digest);
        assert_eq!(find(&host, &ssh, None).await, None);
        host.access.options.insert("ProxyJump".into(), "gate".into());
        assert_eq!(find(&host, &ssh, Some(&says("User pi"))).await, None);
    }

    #[tokio::test]
    async fn another_configuration_has_another_digest_and_a_wrong_one_none() {
        let digest_of = async |options: &[(&str, &str)]| {
            let mut host = Host { address: "pi".into(), ..Host::default() };
            host.access.options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            ask_ssh(&host, &Ssh { config: Some("/dev/null".into()), ..Ssh::default() }).await.map(|route| route.digest)
        };
        let plain = digest_of(&[]).await.unwrap();
        assert_eq!(digest_of(&[]).await.unwrap(), plain);
        assert_ne!(digest_of(&[("KexAlgorithms", "curve25519-sha256")]).await.unwrap(), plain);
        assert_eq!(digest_of(&[("NoSuchOption", "x")]).await, None);
    }
}
