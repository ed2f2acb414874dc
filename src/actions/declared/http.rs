//! Cases of the actions on HTTP services.

use std::time::Duration;

use super::{Case, Detected};
use crate::connect::http::{Answer, Fact as HttpFact};
use crate::connect::{Fact, Probe};

/// A server that answers `ok` to every request.
fn answer(_: &Probe) -> Fact {
    let elapsed = Duration::from_millis(12);
    Fact::Http(HttpFact::Answer(Answer { status: 200, headers: Vec::new(), body: "ok".into(), elapsed }))
}

pub fn cases() -> Vec<Case> {
    vec![Case {
        action: "http.check",
        step: "url = 'https://pi/'",
        answer,
        params: &[
            ("url", Detected::ByProbes("url = 'https://pi/other'")),
            ("host", Detected::ByProbes("host = 'other'")),
            ("method", Detected::ByProbes("method = 'POST'")),
            ("headers", Detected::ByProbes("headers = { Accept = 'text/html' }")),
            ("body", Detected::ByProbes("body = 'x'")),
            ("status", Detected::ByVerdict("status = [204]")),
            ("contains", Detected::ByVerdict("contains = 'no'")),
            ("matches", Detected::ByVerdict("matches = '^no$'")),
            ("expect_failure", Detected::ByVerdict("expect_failure = true")),
            ("follow_redirects", Detected::ByProbes("follow_redirects = true")),
            ("ca_cert", Detected::ByProbes("ca_cert = { path = 'ca.pem', content = 'x' }")),
            ("insecure", Detected::ByProbes("insecure = true")),
            ("connect_to", Detected::ByProbes("connect_to = '127.0.0.1:80'")),
            ("request_timeout", Detected::ByProbes("request_timeout = '1s'")),
        ],
    }]
}
