//! Which chart is meant, and whether a release came from it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::release::Release;
use crate::connect::kube::manifest::text;
use crate::document::yaml::{Repeated, from_str};

/// A reference to a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// Name in `repository`, `repo/name` of `helm repo`, `oci://…`, or a path that starts with `.` or `/`.
    pub name: String,
    /// URL of a chart repository.
    pub repository: Option<String>,
    /// Exact version; `None`: the newest for a new release, any for one that is there.
    pub version: Option<String>,
}

/// What a chart's folder holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LocalChart {
    /// Name in its `Chart.yaml`.
    pub name: String,
    /// Version in its `Chart.yaml`.
    pub version: String,
    /// Its default values.
    pub values: Value,
    /// Text of its templates, by path below the chart.
    pub templates: BTreeMap<String, String>,
}

impl Chart {
    /// Whether the chart lies on this machine.
    pub fn is_local(&self) -> bool {
        self.repository.is_none() && self.name.starts_with(['.', '/'])
    }

    /// The chart's own name, as releases record it.
    pub fn own_name(&self) -> &str {
        let last = self.name.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let last = if self.name.starts_with("oci://") { last.split(':').next().unwrap_or(last) } else { last };
        match last.strip_suffix(".tgz") {
            Some(archive) => archive_parts(archive).0,
            None => last,
        }
    }

    /// The version that is asked for, also by a packed chart's file name.
    pub fn own_version(&self) -> Option<&str> {
        let of_archive = || archive_parts(self.name.strip_suffix(".tgz")?).1;
        self.version.as_deref().or_else(of_archive)
    }

    /// Whether the release came from this chart.
    pub(super) fn is_that_of(&self, live: &Release, local: Option<&LocalChart>) -> bool {
        if let Some(local) = local {
            return local.name == live.chart
                && local.version == live.chart_version
                && local.templates == live.templates
                && super::equal(&local.values, &live.default_values);
        }
        let version = self.own_version().map(|v| v.trim_start_matches('v'));
        self.own_name() == live.chart && version.is_none_or(|v| v == live.chart_version.trim_start_matches('v'))
    }
}

/// `istiod-1.27.0` is `istiod` in version `1.27.0`.
fn archive_parts(name: &str) -> (&str, Option<&str>) {
    let mut dashes = name.match_indices('-').filter_map(|(at, _)| name.split_at_checked(at));
    let parts = dashes.find_map(|(name, rest)| {
        Some((name, rest.strip_prefix('-')?)).filter(|(_, version)| version.starts_with(|c: char| c.is_ascii_digit()))
    });
    parts.map_or((name, None), |(name, version)| (name, Some(version)))
}

/// Reads a chart's folder; `None` when it is none.
pub(super) fn read(folder: &Path) -> Option<LocalChart> {
    let about: Value = yaml(&folder.join("Chart.yaml")).filter(Value::is_object)?;
    let mut templates = BTreeMap::new();
    collect(folder, &folder.join("templates"), &mut templates);
    Some(LocalChart {
        name: text(&about, "/name").to_owned(),
        version: text(&about, "/version").to_owned(),
        values: yaml(&folder.join("values.yaml")).unwrap_or_default(),
        templates,
    })
}

fn yaml(path: &Path) -> Option<Value> {
    from_str(&std::fs::read_to_string(path).ok()?, Repeated::LastWins).ok()
}

/// Whether helm leaves the file out of a chart: hidden ones always, editors' copies by the usual `.helmignore`.
fn is_left_out(name: &str) -> bool {
    name.starts_with('.') || [".swp", ".bak", ".tmp", ".orig", "~"].iter().any(|end| name.ends_with(end))
}

fn collect(root: &Path, folder: &Path, templates: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if is_left_out(&entry.file_name().to_string_lossy()) {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, templates);
        } else if let (Ok(name), Ok(text)) = (path.strip_prefix(root), std::fs::read_to_string(&path)) {
            templates.insert(name.to_string_lossy().into_owned(), text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(name: &str, version: Option<&str>) -> Chart {
        Chart { name: name.to_owned(), repository: None, version: version.map(str::to_owned) }
    }

    #[test]
    fn every_kind_of_reference_has_a_name() {
        for (reference, name) in [
            ("istiod", "istiod"),
            ("istio/istiod", "istiod"),
            ("oci://registry.example.com/charts/istiod", "istiod"),
            ("oci://registry.example.com/charts/istiod:1.27.0", "istiod"),
            ("./charts/trading-app/", "trading-app"),
            ("./kube-prometheus-stack-75.1.0.tgz", "kube-prometheus-stack"),
        ] {
            assert_eq!(chart(reference, None).own_name(), name);
        }
    }

    #[test]
    fn a_packed_chart_names_its_version() {
        assert_eq!(chart("/tmp/istiod-1.31.0-lab.1.tgz", None).own_version(), Some("1.31.0-lab.1"));
    }

    #[test]
    fn an_unpinned_version_takes_any_and_a_pinned_one_only_its_own() {
        let live = Release { chart: "istiod".into(), chart_version: "1.27.0".into(), ..Release::default() };
        assert!(chart("istio/istiod", None).is_that_of(&live, None));
        assert!(chart("istio/istiod", Some("v1.27.0")).is_that_of(&live, None));
        assert!(!chart("istio/istiod", Some("1.27.1")).is_that_of(&live, None));
        assert!(!chart("istio/base", None).is_that_of(&live, None));
    }

    #[test]
    fn an_edited_local_chart_is_another_one_though_its_version_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("templates")).unwrap();
        std::fs::write(folder.path().join("Chart.yaml"), "name: app\nversion: 0.1.0\n").unwrap();
        std::fs::write(folder.path().join("templates/a.yaml"), "kind: A\n").unwrap();
        let local = read(folder.path()).unwrap();
        let live = Release {
            chart: "app".into(),
            chart_version: "0.1.0".into(),
            templates: local.templates.clone(),
            ..Release::default()
        };
        let asked = chart("./app", None);
        assert!(asked.is_that_of(&live, Some(&local)));
        std::fs::write(folder.path().join("templates/.a.yaml.swp"), "x").unwrap();
        std::fs::write(folder.path().join("templates/a.yaml~"), "x").unwrap();
        assert!(asked.is_that_of(&live, read(folder.path()).as_ref()), "what helm leaves out is no change");
        std::fs::write(folder.path().join("templates/a.yaml"), "kind: B\n").unwrap();
        assert!(!asked.is_that_of(&live, read(folder.path()).as_ref()));
    }

    #[test]
    fn default_values_are_compared_as_helm_keeps_them() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Chart.yaml"), "name: app\nversion: 0.1.0\n").unwrap();
        std::fs::write(folder.path().join("values.yaml"), "at: {x: 1, y: 2}\n").unwrap();
        let live = Release {
            chart: "app".into(),
            chart_version: "0.1.0".into(),
            default_values: serde_json::json!({"at": {"x": 1, "true": 2}}),
            ..Release::default()
        };
        assert!(chart("./app", None).is_that_of(&live, read(folder.path()).as_ref()));
    }
}
