//! The diff of an install or upgrade: chart, values and objects. Pure.

use serde_json::Value;

use crate::connect::helm::{Release, ReleaseSpec, Rendered, State, equal};
use crate::connect::kube::manifest;
use crate::diff::{Delta, Diff};

/// The diff from the installed release to the wanted one.
pub fn between(asked: &ReleaseSpec, state: &State, rendered: &Rendered) -> Diff {
    let mut diff = Diff::default();
    let name = format!("release {}/{}", asked.namespace, asked.release);
    let live = state.live.as_ref();
    let before = live.map(|l| format!("{} {}", l.chart, l.chart_version));
    let after = match &state.local {
        Some(local) => format!("{} {}", local.name, local.version),
        None => format!("{} {}", asked.chart.own_name(), version(asked, live)),
    };
    diff.push_field(format!("{name} chart"), before, Some(after));
    if let Some(live) = live {
        diff.push_field(format!("{name} status"), Some(live.status.clone()), Some("deployed".to_owned()));
    }
    if let (Some(live), Some(mark)) = (live, asked.chart.mark(state.local.as_ref()))
        && live.description != mark
    {
        let before = if live.description.starts_with(CHART_MARK) { short_mark(&live.description) } else { "not known" };
        diff.push_field(format!("{name} chart's origin"), Some(before.to_owned()), Some(short_mark(&mark).to_owned()));
    }
    let old_values = live.map(|l| &l.values).unwrap_or(&Value::Null);
    if !equal(old_values, &asked.values.0) {
        diff.0.push(Delta::Text {
            label: format!("{name} values"),
            before: values(old_values),
            after: values(&asked.values.0),
        });
    }
    let old = live.map(|l| Rendered::read(&l.manifest).unwrap_or_default().objects).unwrap_or_default();
    objects(&old, rendered, live.is_none() && !asked.skip_crds, &mut diff);
    diff
}

/// The version that will be installed. Only helm knows the version behind a digest or a URL.
fn version(asked: &ReleaseSpec, live: Option<&Release>) -> String {
    match (asked.chart.own_version(), live) {
        (Some(version), _) => version,
        (None, Some(live)) if live.chart == asked.chart.own_name() => live.chart_version.clone(),
        (None, _) if asked.chart.mark(None).is_some() => "(as pinned)".to_owned(),
        (None, _) => "(newest)".to_owned(),
    }
}

/// Start of the release descriptions that [`crate::connect::helm::Chart::mark`] writes.
const CHART_MARK: &str = "rollout: chart ";

/// The mark with a shortened hash, for people.
fn short_mark(mark: &str) -> &str {
    let mark = mark.strip_prefix(CHART_MARK).unwrap_or(mark);
    let end = mark.find("sha256:").map_or(mark.len(), |at| (at + 7 + 16).min(mark.len()));
    mark.get(..end).unwrap_or(mark)
}

fn objects(old: &[Value], rendered: &Rendered, with_crds: bool, diff: &mut Diff) {
    let named = |all: &[Value], name: &str| all.iter().find(|o| manifest::identity(o) == name).cloned();
    if with_crds {
        for crd in &rendered.crds {
            diff.push_field(manifest::identity(crd), None, Some("new".to_owned()));
        }
    }
    for object in &rendered.objects {
        let name = manifest::identity(object);
        match named(old, &name) {
            None => diff.push_field(name, None, Some("new".to_owned())),
            Some(before) if before == *object => {}
            // The schema of a definition has thousands of lines that nobody reads.
            Some(_) if manifest::text(object, "/kind") == "CustomResourceDefinition" => {
                diff.push_field(name, Some("as installed".to_owned()), Some("changed".to_owned()));
            }
            Some(before) => diff.0.push(Delta::Text {
                label: name,
                before: manifest::yaml(&sorted(&before)),
                after: manifest::yaml(&sorted(object)),
            }),
        }
    }
    for object in old {
        let name = manifest::identity(object);
        if named(&rendered.objects, &name).is_none() {
            diff.push_field(name, Some("as installed".to_owned()), None);
        }
    }
}

fn values(values: &Value) -> String {
    match values {
        Value::Null => String::new(),
        Value::Object(map) if map.is_empty() => String::new(),
        values => manifest::yaml(&sorted(values)),
    }
}

/// The value with sorted keys: helm does not keep the order of the file.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}
