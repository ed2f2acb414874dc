//! Follows redirects one by one, so that headers and bodies are never sent to another origin.

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, StatusCode, Url};

/// More redirects than this are an error.
const MAX_REDIRECTS: usize = 10;

/// The next request of a chain of redirects.
pub struct Hop {
    /// The URL as given by the user or by the `Location` header.
    pub url: Url,
    pub method: Method,
    /// Request headers; cleared on the first redirect to another origin.
    pub headers: HeaderMap,
    /// Request body; dropped when a redirect turns the request into a `GET`.
    pub body: Option<String>,
    followed: usize,
}

impl Hop {
    /// The user's own request.
    pub fn first(url: Url, method: Method, headers: HeaderMap, body: Option<String>) -> Self {
        Self { url, method, headers, body, followed: 0 }
    }

    /// The request that a response redirects to; `None` when the response is no redirect. Headers are dropped when the
    /// origin changes.
    ///
    /// # Errors
    /// Why the redirect is not followed: too many, a body for another origin, or from https to http.
    pub fn next(mut self, status: StatusCode, headers: &HeaderMap) -> Result<Option<Self>, String> {
        let location = headers.get(LOCATION).and_then(|to| to.to_str().ok());
        let (true, Some(location)) = (matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308), location) else {
            return Ok(None);
        };
        if self.followed == MAX_REDIRECTS {
            return Err(format!("it redirects more than {MAX_REDIRECTS} times"));
        }
        let to = self.url.join(location).map_err(|e| format!("it redirects to an invalid URL: {e}"))?;
        match (self.url.scheme(), to.scheme()) {
            ("https", "http") => return Err(format!("it redirects from https to {to}, which is not followed")),
            (_, "http" | "https") => {}
            _ => return Err(format!("it redirects to {to}, which is neither http nor https")),
        }
        if status == StatusCode::SEE_OTHER && self.method != Method::HEAD
            || matches!(status.as_u16(), 301 | 302) && self.method == Method::POST
        {
            (self.method, self.body) = (Method::GET, None);
        }
        if to.origin() != self.url.origin() {
            if self.body.is_some() {
                return Err(format!("it redirects to {to}, and a body is not sent to another origin"));
            }
            self.headers.clear();
        }
        Ok(Some(Self { url: to, followed: self.followed + 1, ..self }))
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{AUTHORIZATION, HeaderValue};

    use super::*;

    fn hop(url: &str, method: Method, body: bool) -> Hop {
        let secret = HeaderValue::from_static("secret");
        let headers = HeaderMap::from_iter([(AUTHORIZATION, secret.clone()), ("x-api-key".parse().unwrap(), secret)]);
        Hop::first(url.parse().unwrap(), method, headers, body.then(|| "secret".to_owned()))
    }

    fn next(hop: Hop, status: u16, to: &'static str) -> Result<Option<Hop>, String> {
        let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(to))]);
        hop.next(StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn headers_stay_with_their_origin() {
        let one = || hop("https://a/x", Method::GET, false);
        for (to, kept) in [
            ("/y", 2),
            ("https://a:443/y", 2),
            ("https://a:8443/", 0),
            ("https://b/", 0),
            ("https://a.b/", 0),
            ("//b/x", 0),
            ("https://a@b/", 0),
        ] {
            assert_eq!(next(one(), 302, to).unwrap().unwrap().headers.len(), kept, "{to}");
        }
        // A second redirect back to the first origin does not restore them.
        let away = next(one(), 302, "https://b/").unwrap().unwrap();
        assert!(next(away, 302, "https://a/x").unwrap().unwrap().headers.is_empty());
    }

    #[test]
    fn a_body_goes_to_no_other_origin_and_nothing_from_https_to_http() {
        for status in [307, 308] {
            let post = || hop("https://a/x", Method::POST, true);
            assert!(next(post(), status, "https://b/").err().unwrap().contains("another origin"));
            assert!(next(post(), status, "/y").unwrap().unwrap().body.is_some());
        }
        for status in [301, 302, 303] {
            let to = next(hop("https://a/x", Method::POST, true), status, "https://b/").unwrap().unwrap();
            assert_eq!((to.method, to.body), (Method::GET, None));
        }
        for to in ["http://a/x", "ftp://a/x", "file:///etc/passwd"] {
            assert!(next(hop("https://a/x", Method::GET, false), 302, to).is_err(), "{to}");
        }
        assert!(next(hop("http://a/x", Method::GET, false), 302, "https://a/x").unwrap().unwrap().headers.is_empty());
    }

    #[test]
    fn it_ends() {
        let mut hop = hop("http://a/x", Method::GET, false);
        for _ in 0..MAX_REDIRECTS {
            hop = next(hop, 302, "/x").unwrap().unwrap();
        }
        assert!(next(hop, 302, "/x").is_err());
    }
}
