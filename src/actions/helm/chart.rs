//! Chart references: parsing, rules, and the error when a chart does not render. Shared by all actions on charts.

use serde_json::{Map, Value};

use super::values::{Templates, merged};
use crate::actions::Verdict;
use crate::connect::helm::{Chart, Oci};
use crate::event::Problem;
use crate::plan::{ParamError, refuse};

/// The chart that the parameters name. Empty texts count as not given.
pub fn reference(name: &str, repo: Option<&String>, version: Option<&String>, plain_http: bool) -> Chart {
    let given = |text: Option<&String>| text.filter(|t| !t.is_empty()).cloned();
    Chart { name: name.to_owned(), repository: given(repo), version: given(version), plain_http }
}

/// Checks the parameters of a chart reference.
pub fn check_reference(
    chart: &str,
    repo: Option<&str>,
    version: Option<&str>,
    plain_http: bool,
) -> Result<(), ParamError> {
    if version.is_some_and(|v| !v.is_empty() && !v.contains("{{") && !is_exact(v)) {
        return refuse("version", "an exact version is needed, such as 1.27.0: with a range two runs may differ");
    }
    if !chart.contains("{{") {
        check_oci(chart, repo, version, plain_http)?;
    }
    let Some(repo) = repo.filter(|r| !r.is_empty()) else { return Ok(()) };
    if chart.contains('/') && !chart.contains("{{") {
        return refuse("chart", "with repo, the chart is a plain name");
    }
    if repo.split_once("://").is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|host| host.contains('@'))) {
        return refuse("repo", "no credentials in the URL: use `helm repo add` or `helm registry login`");
    }
    Ok(())
}

/// Checks a chart reference that may point to an OCI registry.
fn check_oci(chart: &str, repo: Option<&str>, version: Option<&str>, plain_http: bool) -> Result<(), ParamError> {
    if !chart.starts_with("oci://") {
        return match plain_http {
            true => {
                refuse("plain_http", "it is for OCI registries (oci://…) only; for a `repo`, write http:// in its URL")
            }
            false => Ok(()),
        };
    }
    let Some(oci) = Oci::parse(chart) else {
        return refuse("chart", "write it as oci://registry/path/chart:version");
    };
    if repo.is_some_and(|r| !r.is_empty()) {
        return refuse("repo", "the chart names its registry itself (oci://…)");
    }
    if oci.tag.is_some_and(|tag| !is_exact(tag)) {
        let message = "an exact version is needed as tag, such as :1.27.0, or a digest (@sha256:…): \
                       with a tag that moves two runs may differ";
        return refuse("chart", message);
    }
    let is_digest = |d: &str| d.strip_prefix("sha256:").is_some_and(|h| h.len() == 64 && h.chars().all(hex));
    if oci.digest.is_some_and(|d| !is_digest(d)) {
        return refuse("chart", "a digest is written as @sha256: and 64 hexadecimal digits");
    }
    let Some(version) = version.filter(|v| !v.is_empty() && !v.contains("{{")) else { return Ok(()) };
    if let Some(tag) =
        oci.tag.filter(|tag| tag.replace('_', "+").trim_start_matches('v') != version.trim_start_matches('v'))
    {
        return refuse("version", format!("the chart's tag says {tag}: leave out one of the two"));
    }
    if oci.digest.is_some() {
        return refuse("version", "the digest says already which version it is: leave out one of the two");
    }
    Ok(())
}

fn hex(c: char) -> bool {
    matches!(c, '0'..='9' | 'a'..='f')
}

/// Whether the text is one version, such as `1.27.0` or `v1.27.0-rc.1`. Helm takes `1.27` as a range of all its
/// patches.
fn is_exact(version: &str) -> bool {
    let version = version.strip_prefix('v').unwrap_or(version);
    let core = version.split(['-', '+', '_']).next().unwrap_or_default();
    let parts: Vec<&str> = core.split('.').collect();
    let number = |p: &&str| !p.is_empty() && p.chars().all(|c| c.is_ascii_digit());
    let inner = |c: char| c.is_ascii_alphanumeric() || ".-+_".contains(c);
    parts.len() == 3 && parts.iter().all(number) && version.chars().all(inner)
}

/// Checks that the values can be merged.
pub fn check_values(values: &Templates, set: &Map<String, Value>) -> Result<(), ParamError> {
    merged(values, set).map(drop).map_err(|(pointer, message)| ParamError { pointer, message })
}

/// The verdict on a chart that helm cannot render.
pub fn unrenderable(chart: &Chart, why: &str) -> Verdict {
    Verdict::Blocked(Problem::new(format!("the chart cannot be rendered: {why}")).hint(hint(chart, why)))
}

/// What to do about helm's error. For registries, helm itself names neither `plain_http` nor a command to check the
/// chart with.
fn hint(chart: &Chart, why: &str) -> String {
    if Oci::parse(&chart.name).is_none() {
        return "check chart, repo and version (`helm search repo`, `helm show chart`) and the values".to_owned();
    }
    if why.contains("server gave HTTP response to HTTPS client") {
        return "the registry speaks no TLS: `plain_http = true` takes the chart without it, and nothing but a digest \
                (@sha256:…) then proves what comes"
            .to_owned();
    }
    if chart.plain_http && why.contains("HTTP request to an HTTPS server") {
        return "the registry speaks TLS: take `plain_http` out".to_owned();
    }
    let version = chart.version.as_ref().map(|v| format!(" --version {v}")).unwrap_or_default();
    let plain = if chart.plain_http { " --plain-http" } else { "" };
    format!(
        "`helm show chart {}{version}{plain}` asks the registry for the same: check path, version and digest, the login \
         (`helm registry login`), and the values",
        chart.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(chart: &str, repo: Option<&str>, version: Option<&str>, plain_http: bool) -> Option<String> {
        check_reference(chart, repo, version, plain_http).err().map(|e| e.pointer)
    }

    #[test]
    fn one_version_is_named_once_and_exactly() {
        let digest = format!("oci://r/c/app@sha256:{}", "ab".repeat(32));
        for (chart, version, pointer) in [
            ("app", Some("1.27.0"), None),
            ("app", Some("v1.27.0-rc.1+build"), None),
            ("app", Some("1.27"), Some("/version")),
            ("app", Some("1.27.x"), Some("/version")),
            ("app", Some("^1.27.0"), Some("/version")),
            ("app", Some("{{ v }}"), None),
            ("oci://r:5000/c/app", Some("1.27.0"), None),
            ("oci://r:5000/c/app:1.27.0", None, None),
            ("oci://r:5000/c/app:v1.27.0", Some("1.27.0"), None),
            ("oci://r:5000/c/app:1.27.0", Some("1.28.0"), Some("/version")),
            ("oci://r/c/app:latest", None, Some("/chart")),
            ("oci://r/c/app:{{ tag }}", None, None),
            ("oci://r/c/app@sha256:ab", None, Some("/chart")),
            ("oci://app", None, Some("/chart")),
            (&digest, None, None),
            (&digest, Some("1.27.0"), Some("/version")),
        ] {
            assert_eq!(at(chart, None, version, false).as_deref(), pointer, "{chart} {version:?}");
        }
    }

    #[test]
    fn a_registry_s_refusal_is_told_with_what_to_do() {
        let at = |plain_http, why: &str| {
            hint(&reference("oci://r:5000/c/app", None, Some(&"1.0.0".to_owned()), plain_http), why)
        };
        assert!(
            at(false, "Get \"https://r:5000/v2/\": http: server gave HTTP response to HTTPS client")
                .contains("plain_http = true")
        );
        assert!(at(true, "400: Client sent an HTTP request to an HTTPS server").contains("take `plain_http` out"));
        assert!(
            at(true, "not found").starts_with("`helm show chart oci://r:5000/c/app --version 1.0.0 --plain-http` asks")
        );
    }

    #[test]
    fn plain_http_is_for_registries_only() {
        assert_eq!(at("oci://r:5000/app:1.0.0", None, None, true), None);
        assert_eq!(at("app", Some("http://r"), None, true).as_deref(), Some("/plain_http"));
        assert_eq!(at("oci://r/app", Some("http://r"), None, false).as_deref(), Some("/repo"));
    }
}
