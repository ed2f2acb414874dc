//! Plain HTTP(S) requests, for checks from the outside.
//!
//! A server that does not answer is a fact here, not an error: the action decides whether that is good or bad.
//! Redirects are followed only on request, and headers and bodies never go to another origin.

use std::error::Error as _;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, Url};

use super::{CallContext, ConnectError, tls};
use crate::inventory::Inventory;

mod redirect;

use redirect::Hop;

/// Response bodies are cut after this many bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// `http://` or `https://`.
    pub url: String,
    /// `GET`, `HEAD`, `POST` ...
    pub method: String,
    /// Names and values. A `Host` header overrides the host of the URL.
    pub headers: Vec<(String, String)>,
    /// The request's body.
    pub body: Option<String>,
    /// Whether to follow redirects (at most 10). Headers are not sent to another origin; a redirect of a body to
    /// another origin, or from https to http, ends the request.
    pub follow_redirects: bool,
    /// PEM of the only trusted CAs; `None`: the system's.
    pub ca_cert: Option<String>,
    /// Whether to accept any certificate.
    pub insecure: bool,
    /// `host:port` to connect to instead of resolving the URL's host. TLS still verifies the URL's host.
    pub connect_to: Option<String>,
    /// Timeout of the request; the call's deadline applies too.
    pub timeout: Duration,
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    Answer(Answer),
    /// There was no HTTP response.
    NoResponse {
        kind: FailureKind,
        /// The cause as text: `connection refused`.
        why: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// Names (in lower case) and values.
    pub headers: Vec<(String, String)>,
    /// The first 64 KiB; bytes that are not UTF-8 are replaced.
    pub body: String,
    /// Time from sending the request to the last byte read.
    pub elapsed: Duration,
}

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The other side refused the connection.
    Refused,
    /// The other side closed the connection before it answered.
    Closed,
    /// No response before the timeout.
    Timeout,
    /// The host name does not resolve.
    Name,
    /// The TLS handshake failed, or the certificate is not trusted.
    Tls,
    Other,
}

/// Sends HTTP requests; holds no state.
pub struct Backend {}

impl Backend {
    /// The inventory has no settings for HTTP; the parameter keeps the constructor like the other backends'.
    pub fn new(_inventory: &Inventory) -> Self {
        Self {}
    }

    /// Sends one request.
    ///
    /// # Errors
    /// When the request itself is invalid: a bad URL, header or CA.
    pub async fn probe(&self, probe: &Probe, call: &CallContext) -> Result<Fact, ConnectError> {
        let Prepared { client, url, port } = prepare(probe, call).await?;
        let method = Method::from_bytes(probe.method.as_bytes())
            .map_err(|_| ConnectError::failed(format!("{} is not an HTTP method", probe.method)))?;
        let first = Hop::first(url, method, headers(&probe.headers)?, probe.body.clone());
        let start = Instant::now();
        let timeout = probe.timeout.min(call.remaining());
        let sent = send(&client, first, port, probe.follow_redirects);
        let response = match tokio::time::timeout(timeout, sent).await {
            Err(_) => return Ok(Fact::NoResponse { kind: FailureKind::Timeout, why: "no answer in time".into() }),
            Ok(Err(why)) => return Ok(Fact::NoResponse { kind: FailureKind::Other, why }),
            Ok(Ok(response)) => response,
        };
        let answer = async {
            let response = response?;
            let status = response.status().as_u16();
            let headers = response
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect();
            Ok::<_, reqwest::Error>(Answer {
                status,
                headers,
                body: bounded_body(response, MAX_BODY_BYTES).await?,
                elapsed: start.elapsed(),
            })
        };
        Ok(match answer.await {
            Ok(answer) => Fact::Answer(answer),
            Err(error) if error.is_builder() => {
                return Err(ConnectError::failed(format!(
                    "cannot send the request to {}: {}",
                    probe.url,
                    reason(&error)
                )));
            }
            Err(error) => Fact::NoResponse { kind: failure_kind(&error), why: reason(&error) },
        })
    }
}

/// Sends a request and follows its redirects. The outer error says why a redirect is not followed.
async fn send(
    client: &Client,
    mut hop: Hop,
    port: Option<u16>,
    follow: bool,
) -> Result<Result<Response, reqwest::Error>, String> {
    let (first_host, first_port) = (hop.url.host_str().map(str::to_owned), hop.url.port_or_known_default());
    loop {
        let mut url = hop.url.clone();
        let is_first = url.host_str() == first_host.as_deref() && url.port_or_known_default() == first_port;
        if let Some(port) = port.filter(|_| is_first) {
            // reqwest prefers a port in the URL to the port of the resolved address, so the URL has to be changed.
            let _ = url.set_port(Some(port));
        }
        let mut request = client.request(hop.method.clone(), url).headers(hop.headers.clone());
        if let Some(body) = &hop.body {
            request = request.body(body.clone());
        }
        let response = match request.send().await {
            Ok(response) if follow => response,
            other => return Ok(other),
        };
        match hop.next(response.status(), response.headers())? {
            Some(next) => hop = next,
            None => return Ok(Ok(response)),
        }
    }
}

/// A client for one request, and the URL to send it to.
struct Prepared {
    client: Client,
    url: Url,
    /// The port of `connect_to`, which replaces the URL's.
    port: Option<u16>,
}

async fn prepare(probe: &Probe, call: &CallContext) -> Result<Prepared, ConnectError> {
    tls::install();
    let bad = |why: String| ConnectError::failed(format!("cannot send the request to {}: {why}", probe.url));
    let url = Url::parse(&probe.url).map_err(|e| bad(e.to_string()).hint("write it as http://host:port/path"))?;
    let mut builder = Client::builder()
        .timeout(probe.timeout.min(call.remaining()))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .tls_danger_accept_invalid_certs(probe.insecure);
    if let Some(pem) = &probe.ca_cert {
        builder = builder.tls_certs_only(certificates(pem).map_err(bad)?);
    }
    if is_loopback(&url) {
        builder = builder.no_proxy();
    }
    let mut port = None;
    if let Some(address) = &probe.connect_to {
        let found = tokio::time::timeout(call.remaining(), tokio::net::lookup_host(address.as_str())).await;
        let addresses: Vec<_> = match found {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(error)) => return Err(bad(format!("connect_to = {address}: {error}"))),
            Err(_) => return Err(bad(format!("connect_to = {address}: the name did not resolve in time"))),
        };
        let host = url.host_str().unwrap_or_default().to_owned();
        port = addresses.first().map(std::net::SocketAddr::port);
        builder = builder.resolve_to_addrs(&host, &addresses).no_proxy();
    }
    Ok(Prepared { client: builder.build().map_err(|e| bad(reason(&e)))?, url, port })
}

fn headers(pairs: &[(String, String)]) -> Result<HeaderMap, ConnectError> {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let bad =
            || ConnectError::failed(format!("header {name} cannot be sent: its name or value is not allowed in HTTP"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        map.append(name, HeaderValue::from_str(value).map_err(|_| bad())?);
    }
    Ok(map)
}

/// Reads a response's body as text; stops after `limit` bytes.
pub(super) async fn bounded_body(mut response: reqwest::Response, limit: usize) -> Result<String, reqwest::Error> {
    let mut body = Vec::new();
    while body.len() < limit
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(limit);
    Ok(String::from_utf8_lossy(&body).into_owned())
}

pub(super) fn certificates(pem: &str) -> Result<Vec<reqwest::Certificate>, String> {
    match reqwest::Certificate::from_pem_bundle(pem.as_bytes()) {
        Ok(certificates) if certificates.is_empty() => Err("the CA contains no PEM certificate".to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("the CA cannot be read: {}", reason(&error))),
    }
}

/// Whether the URL's host is this machine, which a proxy cannot reach.
pub(super) fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// The innermost cause of an error as text. The URL, which every layer repeats, is left out.
pub(super) fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() { "connecting timed out".into() } else { "no answer in time".into() };
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if let Some(io) = cause.downcast_ref::<std::io::Error>() {
        match io.kind() {
            std::io::ErrorKind::ConnectionRefused => return "connection refused".into(),
            std::io::ErrorKind::ConnectionReset => return "connection reset".into(),
            _ => {}
        }
    }
    match cause.to_string() {
        text if text.contains("IncompleteMessage") || text.contains("before message completed") => {
            "the connection was closed before an answer came".into()
        }
        text => text,
    }
}

fn failure_kind(error: &reqwest::Error) -> FailureKind {
    if error.is_timeout() {
        return FailureKind::Timeout;
    }
    let mut cause = error.source();
    let mut text = String::new();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            match io.kind() {
                std::io::ErrorKind::ConnectionRefused => return FailureKind::Refused,
                std::io::ErrorKind::ConnectionReset
                | std::io::ErrorKind::ConnectionAborted
                | std::io::ErrorKind::BrokenPipe
                | std::io::ErrorKind::UnexpectedEof => return FailureKind::Closed,
                _ if io.get_ref().is_some_and(|e| e.is::<rustls::Error>()) => return FailureKind::Tls,
                _ => {}
            }
        }
        text = inner.to_string();
        cause = inner.source();
    }
    if error.is_dns() {
        FailureKind::Name
    } else if text.contains("before message completed") || text.contains("IncompleteMessage") {
        FailureKind::Closed
    } else {
        FailureKind::Other
    }
}
