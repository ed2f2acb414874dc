//! HTTP requests to the active node: token, retries that cannot repeat a change, and Vault's own error messages.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Client, StatusCode, Url, redirect};
use serde_json::{Map, Value};

use super::{Backend, Data, Fact};
use crate::connect::http::{bounded_body, certificates, is_loopback, reason};
use crate::connect::{CallContext, ConnectError, tls};
use crate::secret::Secret;

/// Pause between two attempts of a request.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// Longer answers are refused, bytes. Vault itself accepts requests of up to 32 MiB.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// Larger CA files are refused, bytes.
const MAX_CA_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Messages by which Vault says that nothing is at a path, where its status is not 404.
const ABSENCE_MESSAGES: [&str; 3] =
    ["no default issuer currently configured", "no secret engine mount at", "unable to find pki issuer"];

struct Answer {
    status: StatusCode,
    body: Value,
}

impl Backend {
    pub(super) fn client(&self) -> Result<&Client, ConnectError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = self.build_client()?;
        // Another caller may have set the client meanwhile; either client will do.
        drop(self.client.set(client));
        self.client.get().ok_or_else(|| ConnectError::failed("the Vault client is not there"))
    }

    fn build_client(&self) -> Result<Client, ConnectError> {
        tls::install();
        let addresses = &self.vault.addresses;
        if addresses.is_empty() {
            let none = ConnectError::failed("no Vault is configured");
            return Err(none.hint("add to the inventory: [vault] addresses = [\"https://host:8200\"]"));
        }
        let mut urls = Vec::new();
        for address in addresses {
            let bad = |e| ConnectError::failed(format!("[vault] addresses: {address} is not a URL: {e}"));
            urls.push(Url::parse(address).map_err(bad)?);
        }
        let mut builder = Client::builder();
        if urls.iter().any(is_loopback) {
            builder = builder.no_proxy();
        }
        // The token is sent with every redirect, so redirects may only lead to nodes that the user has named.
        let origins: Vec<_> = urls.iter().map(Url::origin).collect();
        builder = builder.redirect(redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() < 5 && origins.contains(&attempt.url().origin()) {
                attempt.follow()
            } else {
                attempt.stop()
            }
        }));
        if let Some(path) = &self.vault.ca_cert {
            let bad = |why: String| {
                ConnectError::failed(format!("[vault] ca_cert = {}: {why}", path.display()))
                    .hint("it is the PEM file of the CA that signed the API's certificate")
            };
            let pem = crate::document::read_text(path, MAX_CA_FILE_BYTES).map_err(|e| bad(e.to_string()))?;
            builder = builder.tls_certs_only(certificates(&pem).map_err(bad)?);
        }
        builder.build().map_err(|e| ConnectError::failed(format!("cannot set up TLS for Vault: {}", reason(&e))))
    }

    fn token(&self) -> Result<Secret, ConnectError> {
        self.vault.token.read().map_err(|why| {
            ConnectError::failed(format!("there is no Vault token: {why}"))
                .hint("name a file or a variable that holds one: [vault] token_file or token_env in the inventory")
        })
    }

    pub(super) async fn read(&self, path: &str, call: &CallContext) -> Result<Fact, ConnectError> {
        let answer = self.request(reqwest::Method::GET, path, None, call).await?;
        if answer.status.is_success() {
            return Ok(Fact::Found { data: data(answer.body), at: Timestamp::now() });
        }
        let text = errors(&answer.body);
        let lower = text.to_lowercase();
        if answer.status == StatusCode::NOT_FOUND || ABSENCE_MESSAGES.iter().any(|words| lower.contains(words)) {
            let why = if text.is_empty() { "there is nothing at this path".to_owned() } else { text };
            return Ok(Fact::Absent { why });
        }
        Err(self.refusal("read", path, &answer))
    }

    pub(super) async fn write(&self, path: &str, body: &Data, call: &CallContext) -> Result<Data, ConnectError> {
        let answer = self.request(reqwest::Method::POST, path, Some(&body.0), call).await?;
        if answer.status.is_success() {
            for warning in texts(&answer.body["warnings"]) {
                (call.progress)(format!("Vault warns: {warning}"));
            }
            Ok(data(answer.body))
        } else {
            Err(self.refusal("create and update", path, &answer))
        }
    }

    /// Sends a request to the active node. Retries only requests that were certainly not carried out: never a write
    /// that may have reached a node.
    async fn request(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Map<String, Value>>,
        call: &CallContext,
    ) -> Result<Answer, ConnectError> {
        let token = self.token()?;
        let client = self.client()?;
        loop {
            let node = self.active_node(call).await?;
            let url = format!("{}/v1/{}", node.trim_end_matches('/'), path.trim_matches('/'));
            let mut request = client
                .request(method.clone(), url)
                .timeout(call.remaining())
                .header("X-Vault-Token", token.expose())
                .header("X-Vault-Request", "true");
            if let Some(namespace) = &self.vault.namespace {
                request = request.header("X-Vault-Namespace", namespace);
            }
            if let Some(body) = body {
                request =
                    request.header("Content-Type", "application/json").body(Value::Object(body.clone()).to_string());
            }
            let sent = async {
                let response = request.send().await?;
                let status = response.status();
                let text = bounded_body(response, MAX_ANSWER_BYTES).await?;
                if text.len() >= MAX_ANSWER_BYTES {
                    return Ok(None);
                }
                let body = serde_json::from_str(&text).unwrap_or_default();
                Ok::<_, reqwest::Error>(Some(Answer { status, body }))
            };
            let sent = match sent.await {
                Ok(None) => {
                    let message = format!(
                        "Vault at {node} answers {method} {path} with more than {} MiB; the request may have been carried out",
                        MAX_ANSWER_BYTES / 1024 / 1024
                    );
                    let error = if method == reqwest::Method::GET { ConnectError::failed } else { ConnectError::lost };
                    return Err(error(message));
                }
                Ok(Some(answer)) => Ok(answer),
                Err(error) => Err(error),
            };
            let problem = match sent {
                Ok(answer) if not_active(&answer) => {
                    format!("it is no longer active (HTTP {})", answer.status.as_u16())
                }
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_connect() || method == reqwest::Method::GET => reason(&error),
                Err(error) => {
                    self.forget_active(&node).await;
                    let message =
                        format!("the connection to Vault at {node} broke during {method} {path}: {}", reason(&error));
                    return Err(ConnectError::lost(message));
                }
            };
            self.forget_active(&node).await;
            if call.remaining() < RETRY_DELAY {
                let message =
                    format!("no answer to {method} {path} from Vault in time; last error from {node}: {problem}");
                return Err(ConnectError::unreachable(message));
            }
            (call.progress)(format!("retrying: {node}: {problem}"));
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    fn refusal(&self, capability: &str, path: &str, answer: &Answer) -> ConnectError {
        let status = answer.status.as_u16();
        let text = errors(&answer.body);
        let message = if text.is_empty() {
            format!("Vault answers {path} with HTTP {status}")
        } else {
            format!("Vault answers {path} with HTTP {status}: {text}")
        };
        let error = ConnectError::failed(message);
        match status {
            403 => error.hint(format!(
                "the token from {} is not valid or its policy lacks {capability} on {path}; \
                 check with `vault token lookup` and `vault token capabilities {path}`",
                self.vault.token
            )),
            _ => error,
        }
    }
}

/// Whether the node rejected the request unread because it is not (or no longer) the active node.
fn not_active(answer: &Answer) -> bool {
    let status = answer.status.as_u16();
    matches!(status, 429 | 472 | 473 | 503) || status == 500 && errors(&answer.body).contains("local node not active")
}

fn data(mut body: Value) -> Data {
    match body.get_mut("data").map(Value::take) {
        Some(Value::Object(map)) => Data(map),
        _ => Data::default(),
    }
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// The texts of Vault's `errors`, on one line.
fn errors(body: &Value) -> String {
    let lines = texts(&body["errors"]).flat_map(str::lines).map(|line| line.trim().trim_start_matches("* "));
    lines.filter(|l| !l.is_empty() && !l.ends_with("error occurred:")).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_are_one_line_without_the_counting() {
        let body = json!({ "errors": ["1 error occurred:\n\t* permission denied\n\n", "other"] });
        assert_eq!(errors(&body), "permission denied; other");
        assert_eq!(errors(&json!({})), "");
    }

    #[test]
    fn only_an_inactive_node_is_asked_again() {
        let answer = |status: u16, error: &str| Answer {
            status: StatusCode::from_u16(status).unwrap(),
            body: json!({ "errors": [error] }),
        };
        assert!(not_active(&answer(503, "Vault is sealed")));
        assert!(not_active(&answer(500, "local node not active but active cluster node not found")));
        assert!(!not_active(&answer(500, "1 error occurred")));
        assert!(!not_active(&answer(400, "bad")));
    }
}
