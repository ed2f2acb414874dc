//! Parses references to charts, and decides whether a release came from a chart. No I/O, except that a path is checked
//! for existence.
//!
//! Where a release's record does not identify its chart, a mark in its description does: helm keeps the description
//! with the revision, and replaces it when somebody else changes the release.

use super::contents::LocalChart;
use super::release::Release;
use crate::digest;

/// A reference to a chart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chart {
    /// Name in `repository`, `repo/name` of `helm repo`, `oci://…`, a URL, or a path.
    pub name: String,
    /// URL of a chart repository.
    pub repository: Option<String>,
    /// Exact version; `None`: the newest for a new release, any version for an existing one.
    pub version: Option<String>,
    /// Whether to use an OCI registry without TLS.
    pub plain_http: bool,
}

/// A parsed OCI reference: `oci://registry:5000/charts/app:1.0.0@sha256:…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oci<'a> {
    /// The last component of the path, which is the chart's name.
    pub name: &'a str,
    /// The part after a colon.
    pub tag: Option<&'a str>,
    /// The part after an `@`.
    pub digest: Option<&'a str>,
}

impl<'a> Oci<'a> {
    /// Parses an OCI reference; `None` for other references.
    pub fn parse(reference: &'a str) -> Option<Self> {
        let rest = reference.strip_prefix("oci://")?;
        let (rest, digest) = rest.split_once('@').map_or((rest, None), |(r, d)| (r, Some(d)));
        // The registry's port comes before the path, so it is never in the last component.
        let (path, last) = rest.trim_end_matches('/').rsplit_once('/')?;
        let (name, tag) = last.split_once(':').map_or((last, None), |(n, t)| (n, Some(t)));
        (!path.is_empty() && !name.is_empty()).then_some(Self { name, tag, digest })
    }
}

impl Chart {
    /// Whether helm reads the chart from this machine: for a path, and for any name by which a file or folder exists in
    /// the working directory.
    pub fn is_local(&self) -> bool {
        self.name.starts_with(['.', '/']) || std::path::Path::new(&self.name).exists()
    }

    fn is_url(&self) -> bool {
        self.name.starts_with("https://") || self.name.starts_with("http://")
    }

    /// The chart's own name, as releases record it.
    pub fn own_name(&self) -> &str {
        if let Some(oci) = Oci::parse(&self.name) {
            return oci.name;
        }
        let last = self.name.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        last.strip_suffix(".tgz").unwrap_or(last)
    }

    /// The requested version, from the parameter or the tag of an OCI reference.
    pub fn own_version(&self) -> Option<String> {
        // A tag cannot contain a plus sign: helm writes an underscore instead.
        let of_tag = || Some(Oci::parse(&self.name)?.tag?.replace('_', "+"));
        self.version.clone().or_else(of_tag)
    }

    /// The description that marks a release as made from exactly this chart; `None` where name and version identify the
    /// chart.
    pub fn mark(&self, local: Option<&LocalChart>) -> Option<String> {
        let what = match (local, Oci::parse(&self.name)) {
            (Some(local), _) => format!("contents sha256:{}", local.contents),
            (None, Some(oci)) => format!("digest {}", oci.digest?),
            (None, None) if self.is_url() => format!("from a URL, sha256:{}", digest::sha256(self.name.as_bytes())),
            (None, None) => return None,
        };
        Some(format!("rollout: chart {what}"))
    }

    /// Whether the release was made from this chart.
    pub(super) fn is_source_of(&self, live: &Release, local: Option<&LocalChart>) -> bool {
        if let Some(mark) = self.mark(local) {
            return live.description == mark;
        }
        let plain = |version: &str| version.trim_start_matches('v').to_owned();
        self.own_name() == live.chart && self.own_version().is_none_or(|v| plain(&v) == plain(&live.chart_version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(name: &str, version: Option<&str>) -> Chart {
        Chart { name: name.to_owned(), version: version.map(str::to_owned), ..Chart::default() }
    }

    fn live(version: &str) -> Release {
        Release { chart: "istiod".into(), chart_version: version.into(), ..Release::default() }
    }

    #[test]
    fn every_kind_of_reference_has_a_name_and_some_have_a_version() {
        for (reference, name, version) in [
            ("istiod", "istiod", None),
            ("istio/istiod", "istiod", None),
            ("oci://registry.example.com/charts/istiod", "istiod", None),
            ("oci://registry.example.com:5000/istiod", "istiod", None),
            ("oci://registry.example.com:5000/charts/istiod:1.27.0", "istiod", Some("1.27.0")),
            ("oci://[::1]:5000/charts/istiod:1.27.0_lab.1", "istiod", Some("1.27.0+lab.1")),
            ("oci://r/c/istiod:1.27.0@sha256:ab", "istiod", Some("1.27.0")),
            ("oci://r/c/istiod@sha256:ab", "istiod", None),
            ("./charts/trading-app/", "trading-app", None),
        ] {
            assert_eq!(
                (chart(reference, None).own_name(), chart(reference, None).own_version().as_deref()),
                (name, version)
            );
        }
    }

    #[test]
    fn an_unpinned_version_takes_any_and_a_pinned_one_only_its_own() {
        assert!(chart("istio/istiod", None).is_source_of(&live("1.27.0"), None));
        assert!(chart("istio/istiod", Some("v1.27.0")).is_source_of(&live("1.27.0"), None));
        assert!(!chart("istio/istiod", Some("1.27.1")).is_source_of(&live("1.27.0"), None));
        assert!(!chart("istio/base", None).is_source_of(&live("1.27.0"), None));
    }

    #[test]
    fn another_tag_is_another_chart() {
        assert!(chart("oci://r:5000/c/istiod:1.27.0", None).is_source_of(&live("1.27.0"), None));
        assert!(!chart("oci://r:5000/c/istiod:1.28.0", None).is_source_of(&live("1.27.0"), None));
    }

    #[test]
    fn a_digest_is_known_by_the_mark_of_the_release_alone() {
        let pinned = chart("oci://r/c/istiod@sha256:ab", None);
        assert!(!pinned.is_source_of(&live("1.27.0"), None));
        let marked = Release { description: pinned.mark(None).unwrap(), ..live("1.27.0") };
        assert!(pinned.is_source_of(&marked, None));
        assert!(!chart("oci://r/c/istiod@sha256:cd", None).is_source_of(&marked, None));
    }

    #[test]
    fn a_chart_from_a_url_is_known_by_the_url() {
        let fetched = chart("https://example.com/download?of=istiod", None);
        let marked = Release { description: fetched.mark(None).unwrap(), ..live("1.27.0") };
        assert!(fetched.is_source_of(&marked, None) && !fetched.is_source_of(&live("1.27.0"), None));
    }
}
