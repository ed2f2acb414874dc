//! What a URL answers: plain HTTP(S) requests, for checks from the outside.
//!
//! Knows [`super::tls`] and the shared vocabulary. That nobody answers is a fact here, not an error: whether it is good or
//! bad is for the action to say. Asking never follows a redirect unless told to, and takes nothing secret along then.

use std::error::Error as _;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, Url};

use super::{CallContext, ConnectError, tls};
use crate::inventory::Inventory;

mod redirect;

use redirect::Hop;

/// Bytes of a body that are kept.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// `http://` or `https://`.
    pub url: String,
    /// `GET`, `HEAD`, `POST` ...
    pub method: String,
    /// Names and values; `Host` in the place of the URL's.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Option<String>,
    /// Whether redirects (at most 10) are followed: without the headers to another origin, and never with a body to another
    /// one, nor from https to http.
    pub follow_redirects: bool,
    /// PEM of the only CAs that are trusted; `None`: the system's.
    pub ca_cert: Option<String>,
    /// Whether any certificate is taken.
    pub insecure: bool,
    /// `host:port` to connect to in the place of what the URL's host resolves to; TLS still asks for the URL's host.
    pub connect_to: Option<String>,
    /// How long one attempt may take; never longer than the call.
    pub timeout: Duration,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// An HTTP response.
    Answer(Answer),
    /// None.
    NoResponse {
        /// At which point it ended.
        kind: FailureKind,
        /// In words: `connection refused`.
        why: String,
    },
}

/// An HTTP response.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Names (in lower case) and values.
    pub headers: Vec<(String, String)>,
    /// The first 64 KiB; other bytes than UTF-8 are replaced.
    pub body: String,
    /// From the request to the last byte that was read.
    pub elapsed: Duration,
}

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The other side refused the connection.
    Refused,
    /// The other side closed the connection before it answered.
    Closed,
    /// Nothing came back in time.
    Timeout,
    /// The name is not known.
    Name,
    /// The two sides did not agree on TLS, or the certificate is not trusted.
    Tls,
    /// Something else.
    Other,
}

/// Sends requests.
pub struct Backend {}

impl Backend {
    /// An inventory has no say in this.
    pub fn new(_inventory: &Inventory) -> Self {
        Self {}
    }

    /// Sends one request.
    ///
    /// # Errors
    /// When the request itself makes no sense: a bad URL, header or CA.
    pub async fn probe(&self, probe: &Probe, call: &CallContext) -> Result<Fact, ConnectError> {
        let Location { client, url, port } = place(probe, call).await?;
        let method = Method::from_bytes(probe.method.as_bytes())
            .map_err(|_| ConnectError::failed(format!("{} is no HTTP method", probe.method)))?;
        let first = Hop::first(url, method, headers(&probe.headers)?, probe.body.clone());
        let start = Instant::now();
        let within = probe.timeout.min(call.remaining());
        let sent = send(&client, first, port, probe.follow_redirects);
        let response = match tokio::time::timeout(within, sent).await {
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
                return Err(ConnectError::failed(format!("cannot ask {}: {}", probe.url, why(&error))));
            }
            Err(error) => Fact::NoResponse { kind: kind(&error), why: why(&error) },
        })
    }
}

/// Sends a request, and those that it is redirected to; gives why one of these is not followed.
async fn send(
    client: &Client,
    mut hop: Hop,
    port: Option<u16>,
    follow: bool,
) -> Result<Result<Response, reqwest::Error>, String> {
    let (host, named) = (hop.url.host_str().map(str::to_owned), hop.url.port_or_known_default());
    loop {
        let mut url = hop.url.clone();
        let is_first = url.host_str() == host.as_deref() && url.port_or_known_default() == named;
        if let Some(port) = port.filter(|_| is_first) {
            // A port in the URL would win over that of the address.
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

/// How a URL is reached.
struct Location {
    client: Client,
    url: Url,
    /// The port to connect to in the place of the URL's.
    port: Option<u16>,
}

async fn place(probe: &Probe, call: &CallContext) -> Result<Location, ConnectError> {
    tls::install();
    let bad = |why: String| ConnectError::failed(format!("cannot ask {}: {why}", probe.url));
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
            Err(_) => return Err(bad(format!("connect_to = {address}: the name is not resolved in time"))),
        };
        let host = url.host_str().unwrap_or_default().to_owned();
        port = addresses.first().map(std::net::SocketAddr::port);
        builder = builder.resolve_to_addrs(&host, &addresses).no_proxy();
    }
    Ok(Location { client: builder.build().map_err(|e| bad(why(&e)))?, url, port })
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

/// A response's body as text, of at most `limit` bytes; what comes after is not read.
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

/// The certificates of a PEM text.
pub(super) fn certificates(pem: &str) -> Result<Vec<reqwest::Certificate>, String> {
    match reqwest::Certificate::from_pem_bundle(pem.as_bytes()) {
        Ok(certificates) if certificates.is_empty() => Err("there is no PEM certificate in the CA".to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("the CA cannot be read: {}", why(&error))),
    }
}

/// Whether the URL's host is this machine, which no proxy can reach.
pub(super) fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// An error in words: the innermost cause, without the URL that every layer repeats.
pub(super) fn why(error: &reqwest::Error) -> String {
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

fn kind(error: &reqwest::Error) -> FailureKind {
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
