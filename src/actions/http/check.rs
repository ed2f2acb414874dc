//! `http.check`: a URL answers, or is refused, as expected.

use std::collections::BTreeMap;

use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde_json::json;

use crate::actions::lifetime::Lifetime;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::http::{Answer, FailureKind};
use crate::connect::{Effect, EffectResult, Fact, Probe, http};
use crate::event::{Outputs, Problem};
use crate::excerpt;
use crate::plan::{Output, ParamError, PlainFile, Role, RunsOn, refuse};
use crate::secret::redact;

/// A URL answers with the expected status and text. The request is repeated until it does, or until the step's timeout.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// URL of the request: `http://` or `https://`.
    pub url: String,
    /// `Host` header. Default: the host of `url`. For an ingress that routes by host.
    #[serde(default)]
    pub host: Option<String>,
    /// Method. Default: `GET`.
    #[serde(default = "get")]
    pub method: String,
    /// More headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body of the request. Default: none.
    #[serde(default)]
    pub body: Option<String>,
    /// Expected status, or a list of them. Default: 200; with `expect_failure`, no answer at all.
    #[serde(default)]
    pub status: Option<Statuses>,
    /// Text that the first 64 KiB of the answer must contain.
    #[serde(default)]
    pub contains: Option<String>,
    /// Regular expression that the first 64 KiB of the answer must match.
    #[serde(default)]
    pub matches: Option<String>,
    /// Whether the request must be refused: the connection is refused, closed or dropped, or the answer has one of
    /// `status`. An unknown host name or an untrusted certificate does not count as refused. Default: false.
    #[serde(default)]
    pub expect_failure: bool,
    /// Whether to follow redirects. Default: false. To another origin (scheme, host and port), `headers` are not sent.
    /// Two redirects are never followed and count as no answer: with a body to another origin, and from https to http.
    #[serde(default)]
    pub follow_redirects: bool,
    /// PEM file of the CA that signed the server's certificate. Default: the system's CAs.
    #[serde(default)]
    pub ca_cert: PlainFile,
    /// Whether to accept any certificate. Default: false.
    #[serde(default)]
    pub insecure: bool,
    /// `host:port` to connect to instead of the URL's. TLS still checks the host of the URL.
    #[serde(default)]
    pub connect_to: Option<String>,
    /// Timeout of one request. Default: 10s. The step's timeout limits all requests together.
    #[serde(default = "ten_seconds")]
    pub request_timeout: Lifetime,
}

/// HTTP statuses, written as one number or as a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses(pub Vec<u16>);

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }
}

impl JsonSchema for Statuses {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Statuses".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let status = json_schema!({ "type": "integer", "minimum": 100, "maximum": 599 });
        json_schema!({ "anyOf": [status, { "type": "array", "items": status }] })
    }
}

struct OneOrMany;

impl OneOrMany {
    fn status<E: Error>(number: i64) -> Result<u16, E> {
        let status = u16::try_from(number).ok().filter(|status| (100..600).contains(status));
        status.ok_or_else(|| E::custom(format!("{number} is no HTTP status")))
    }
}

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Statuses;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a status or a list of them")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Statuses, E> {
        Ok(Statuses(vec![Self::status(number)?]))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Statuses, E> {
        self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Statuses, A::Error> {
        let mut all = Vec::new();
        while let Some(number) = list.next_element()? {
            all.push(Self::status(number)?);
        }
        Ok(Statuses(all))
    }
}

fn get() -> String {
    "GET".to_owned()
}

fn ten_seconds() -> Lifetime {
    Lifetime::seconds(10)
}

impl Spec for Check {
    const NAME: &'static str = "http.check";
    const SUMMARY: &'static str = "a URL answers, or is refused, as it should";
    const RUNS_ON: RunsOn = RunsOn::Controller;
    const ROLE: Role = Role::Check;
    const OUTPUTS: &'static [Output] = &[
        Output { name: "status", about: "HTTP status; absent when there was no answer" },
        Output { name: "body", about: "the answer's first 64 KiB" },
        Output { name: "elapsed", about: "time from request to answer, seconds" },
    ];
    const EXAMPLE: &'static str = r#"
[[phase.verify.step]]
id = "ingress"
action = "http.check"
url = "http://control-pi:30080/healthz"
host = "trading.home"
status = 200
contains = "ok"
timeout = "1m"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        if let Some(Err(error)) = self.matches.as_deref().map(Regex::new) {
            return refuse("matches", format!("this is no regular expression: {error}"));
        }
        if self.expect_failure && (self.contains.is_some() || self.matches.is_some()) && self.status.is_none() {
            return refuse("expect_failure", "a refused connection has no text: set `status` as well");
        }
        if self.status.as_ref().is_some_and(|list| list.0.is_empty()) {
            return refuse("status", "it cannot be empty");
        }
        if !self.url.starts_with("http://") && !self.url.starts_with("https://") {
            return refuse("url", "it must start with http:// or https://");
        }
        Ok(())
    }
}

impl Check {
    fn statuses(&self) -> &[u16] {
        match &self.status {
            Some(list) => &list.0,
            None if self.expect_failure => &[],
            None => &[200],
        }
    }

    /// Why the answer is not the expected one; `None` if it is.
    fn wrong(&self, answer: &Answer) -> Option<String> {
        let seen = || format!("HTTP {} from {}{}", answer.status, self.url, excerpt(&answer.body));
        if !self.statuses().contains(&answer.status) {
            let wanted = if self.expect_failure && self.status.is_none() {
                "no answer".to_owned()
            } else {
                format!("HTTP {}", self.statuses().iter().map(u16::to_string).collect::<Vec<_>>().join(" or "))
            };
            return Some(format!("{}; expected: {wanted}", seen()));
        }
        if let Some(text) = self.contains.as_ref().filter(|text| !answer.body.contains(*text)) {
            return Some(format!("{}; it does not contain \"{text}\"", seen()));
        }
        let pattern = self.matches.as_ref()?;
        let matched = Regex::new(pattern).is_ok_and(|regex| regex.is_match(&answer.body));
        (!matched).then(|| format!("{}; it does not match {pattern}", seen()))
    }
}

impl Action for Check {
    fn probes(&self) -> Vec<Probe> {
        let mut headers: Vec<(String, String)> = self.headers.clone().into_iter().collect();
        if let Some(host) = &self.host {
            headers.push(("Host".into(), host.clone()));
        }
        vec![Probe::Http(http::Probe {
            url: self.url.clone(),
            method: self.method.clone(),
            headers,
            body: self.body.clone(),
            follow_redirects: self.follow_redirects,
            ca_cert: (!self.ca_cert.path.is_empty()).then(|| self.ca_cert.content.clone()),
            insecure: self.insecure,
            connect_to: self.connect_to.clone(),
            timeout: self.request_timeout.0,
        })]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        match facts {
            [Fact::Http(http::Fact::Answer(answer))] => match self.wrong(answer) {
                Some(seen) => Verdict::Wait { seen },
                None => Verdict::Same { seen: format!("HTTP {} in {} ms", answer.status, answer.elapsed.as_millis()) },
            },
            [Fact::Http(http::Fact::NoResponse { kind, why })] => {
                let refused = matches!(kind, FailureKind::Refused | FailureKind::Closed | FailureKind::Timeout);
                if self.expect_failure && refused {
                    return Verdict::Same { seen: format!("refused, as it should be: {why}") };
                }
                Verdict::Wait { seen: format!("no answer from {}: {why}", self.url) }
            }
            _ => Verdict::Blocked(Problem::new("there is no answer from the HTTP client")),
        }
    }

    fn next_effect(&self, _: &[Fact], _: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(None)
    }

    fn outputs(&self, facts: &[Fact], _: &[EffectResult]) -> Outputs {
        let [Fact::Http(http::Fact::Answer(answer))] = facts else { return Outputs::new() };
        Outputs::from_iter([
            ("status".to_owned(), json!(answer.status)),
            ("body".to_owned(), json!(answer.body)),
            ("elapsed".to_owned(), json!(crate::event::seconds(answer.elapsed))),
        ])
    }
}

/// The start of a body, on one line.
fn excerpt(body: &str) -> String {
    let body = redact(body);
    let line = body.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() { String::new() } else { format!(": {}", excerpt::head(&line, 120)) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn check(toml: &str) -> Check {
        let check: Check = toml::from_str(&format!("url = 'http://pi:30080/'\n{toml}")).unwrap();
        check.rules().unwrap();
        check
    }

    fn answer(status: u16, body: &str) -> [Fact; 1] {
        let elapsed = Duration::from_millis(12);
        [Fact::Http(http::Fact::Answer(Answer { status, headers: Vec::new(), body: body.into(), elapsed }))]
    }

    fn nothing(kind: FailureKind) -> [Fact; 1] {
        [Fact::Http(http::Fact::NoResponse { kind, why: "connection refused".into() })]
    }

    fn waits(verdict: Verdict) -> String {
        let Verdict::Wait { seen } = verdict else { panic!("{verdict:?} does not wait") };
        seen
    }

    #[test]
    fn the_right_answer_passes() {
        let check = check("contains = 'ok'\nmatches = '^o.$'");
        assert_eq!(check.verdict(&answer(200, "ok")), Verdict::Same { seen: "HTTP 200 in 12 ms".into() });
        assert_eq!(check.outputs(&answer(200, "ok"), &[])["elapsed"], 0.012);
    }

    #[test]
    fn a_wrong_answer_is_waited_on_and_shown() {
        assert_eq!(
            waits(check("").verdict(&answer(503, "no  healthy\nupstream"))),
            "HTTP 503 from http://pi:30080/: no healthy upstream; expected: HTTP 200"
        );
        assert_eq!(
            waits(check("contains = 'ok'").verdict(&answer(200, ""))),
            "HTTP 200 from http://pi:30080/; it does not contain \"ok\""
        );
        assert!(waits(check("matches = '^o$'").verdict(&answer(200, "x"))).ends_with("it does not match ^o$"));
        assert!(waits(check("status = [200, 204]").verdict(&answer(404, ""))).ends_with("expected: HTTP 200 or 204"));
    }

    #[test]
    fn no_answer_is_waited_on() {
        let seen = waits(check("").verdict(&nothing(FailureKind::Refused)));
        assert_eq!(seen, "no answer from http://pi:30080/: connection refused");
    }

    #[test]
    fn a_refusal_can_be_what_is_right() {
        let check = check("expect_failure = true");
        for kind in [FailureKind::Refused, FailureKind::Closed, FailureKind::Timeout] {
            assert!(matches!(check.verdict(&nothing(kind)), Verdict::Same { .. }), "{kind:?}");
        }
        // A mistyped host name must not count as refused.
        for kind in [FailureKind::Name, FailureKind::Tls, FailureKind::Other] {
            assert!(matches!(check.verdict(&nothing(kind)), Verdict::Wait { .. }), "{kind:?}");
        }
        assert_eq!(waits(check.verdict(&answer(200, ""))), "HTTP 200 from http://pi:30080/; expected: no answer");
    }

    #[test]
    fn a_status_can_be_a_refusal_too() {
        let check = check("expect_failure = true\nstatus = 403");
        assert!(matches!(check.verdict(&answer(403, "")), Verdict::Same { .. }));
        assert!(matches!(check.verdict(&answer(200, "")), Verdict::Wait { .. }));
    }

    #[test]
    fn what_is_no_status_is_refused() {
        for status in ["0", "1200", "-1", "[200, 'x']", "'200'"] {
            assert!(toml::from_str::<Check>(&format!("url = 'http://pi'\nstatus = {status}")).is_err(), "{status}");
        }
    }

    #[test]
    fn rules_name_the_parameter() {
        let pointer = |toml: &str| toml::from_str::<Check>(toml).unwrap().rules().unwrap_err().pointer;
        assert_eq!(pointer("url = 'pi:80'"), "/url");
        assert_eq!(pointer("url = 'http://pi'\nmatches = '('"), "/matches");
        assert_eq!(pointer("url = 'http://pi'\nstatus = []"), "/status");
        assert_eq!(pointer("url = 'http://pi'\nexpect_failure = true\ncontains = 'x'"), "/expect_failure");
    }
}
