//! Builds the client from the inventory, and translates its errors.

use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Error};

use crate::connect::{ConnectError, tls};
use crate::inventory::Kube;

/// Timeout for connecting to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client and the address of its API server.
pub struct Connection {
    pub client: Client,
    /// URL of the API server, for messages.
    pub server: String,
}

/// Reads the kubeconfig; does not connect yet.
///
/// # Errors
/// [`ConnectError::Failed`] when there is no usable configuration.
pub async fn connect(endpoint: &Kube) -> Result<Connection, ConnectError> {
    tls::install();
    let mut config = config(endpoint).await?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    let server = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(|e| {
        ConnectError::failed(format!("the kubeconfig for {server} can not be used: {}", chain(&e)))
            .hint("check the certificates and the credentials plugin that it names")
    })?;
    Ok(Connection { client, server })
}

async fn config(endpoint: &Kube) -> Result<Config, ConnectError> {
    let options = KubeConfigOptions { context: endpoint.context.clone(), ..KubeConfigOptions::default() };
    if let Some(path) = &endpoint.kubeconfig {
        let failed = |why: String| {
            ConnectError::failed(format!("the kubeconfig {} can not be used: {why}", path.display()))
                .hint("see [kube] in the inventory; `kubectl config get-contexts` lists what a kubeconfig offers")
        };
        let file = Kubeconfig::read_from(path).map_err(|e| failed(chain(&e)))?;
        return Config::from_custom_kubeconfig(file, &options).await.map_err(|e| failed(chain(&e)));
    }
    let no_config = |why: String| {
        ConnectError::failed(format!("no cluster is configured: {why}"))
            .hint("set kubeconfig under [kube] in the inventory, or $KUBECONFIG")
    };
    if endpoint.context.is_some() {
        return Config::from_kubeconfig(&options).await.map_err(|e| no_config(chain(&e)));
    }
    Config::infer().await.map_err(|e| no_config(chain(&e)))
}

/// Translates an error of a request: whether the request reached the server, and what the server answered.
pub fn error(what: &str, server: &str, error: &Error, changes: bool) -> ConnectError {
    match error {
        Error::Api(status) => {
            let answer = ConnectError::failed(format!("{what}: {}", status.message));
            match status.code {
                401 => answer.hint("the API server does not accept these credentials: check the kubeconfig's user"),
                403 => answer.hint("the kubeconfig's user lacks this right: see `kubectl auth can-i --list`"),
                _ => answer,
            }
        }
        Error::Auth(e) => ConnectError::failed(format!("{what}: no credentials for {server}: {}", chain(e)))
            .hint("the kubeconfig's credentials plugin or token file did not work"),
        Error::Service(_) | Error::HyperError(_) | Error::UpgradeConnection(_) | Error::ReadEvents(_) => {
            let why = chain(error);
            if changes && !why.contains("(Connect)") {
                return ConnectError::lost(format!("{what}: the connection to {server} broke: {why}"));
            }
            ConnectError::unreachable(format!("the Kubernetes API at {server} does not answer: {why}")).hint(hint(&why))
        }
        other => ConnectError::failed(format!("{what}: {}", chain(other))),
    }
}

fn hint(why: &str) -> &'static str {
    if why.contains("certificate") {
        "the kubeconfig's CA is not the one that signed the server's certificate, or the address is not in it"
    } else if why.contains("dns") || why.contains("lookup") {
        "the server's name does not resolve from here: check the kubeconfig's server and the network"
    } else {
        "is the cluster up, and reachable from here? try `kubectl get --raw /readyz`"
    }
}

/// An error and its causes as one text, without repetitions.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let next = e.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = e.source();
    }
    text
}
