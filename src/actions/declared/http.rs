//! What URLs answer.

use std::time::Duration;

use super::{Case, Seen};
use crate::connect::http::{Answer, Fact as HttpFact};
use crate::connect::{Fact, Probe};

/// A server that says `ok` to everything.
fn answer(_: &Probe) -> Fact {
    let elapsed = Duration::from_millis(12);
    Fact::Http(HttpFact::Answer(Answer { status: 200, headers: Vec::new(), body: "ok".into(), elapsed }))
}

pub fn cases() -> Vec<Case> {
    vec![Case {
        action: "http.check",
        step: "url = 'https://pi/'",
        sees: answer,
        params: &[
            ("url", Seen::Elsewhere("url = 'https://pi/other'")),
            ("host", Seen::Elsewhere("host = 'other'")),
            ("method", Seen::Elsewhere("method = 'POST'")),
            ("headers", Seen::Elsewhere("headers = { Accept = 'text/html' }")),
            ("body", Seen::Elsewhere("body = 'x'")),
            ("status", Seen::With("status = [204]")),
            ("contains", Seen::With("contains = 'no'")),
            ("matches", Seen::With("matches = '^no$'")),
            ("expect_failure", Seen::With("expect_failure = true")),
            ("follow_redirects", Seen::Elsewhere("follow_redirects = true")),
            ("ca_cert", Seen::Elsewhere("ca_cert = { path = 'ca.pem', content = 'x' }")),
            ("insecure", Seen::Elsewhere("insecure = true")),
            ("connect_to", Seen::Elsewhere("connect_to = '127.0.0.1:80'")),
            ("request_timeout", Seen::Elsewhere("request_timeout = '1s'")),
        ],
    }]
}
