//! Parses releases as helm records them in Secrets. No I/O.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde_json::Value;

use crate::connect::kube::manifest::text;

/// Longer records are cut, bytes, and so fail to parse.
const MAX_RELEASE_BYTES: u64 = 64 * 1024 * 1024;

/// One revision of a release.
#[derive(Clone, Default)]
pub struct Release {
    /// Revision number, from 1.
    pub revision: u64,
    /// `deployed`, `failed`, `pending-install` ...
    pub status: String,
    /// Helm's description of the revision.
    pub description: String,
    /// When the revision was last updated.
    pub updated: Option<jiff::Timestamp>,
    pub chart: String,
    pub chart_version: String,
    /// Version of the packaged software, for display.
    pub app_version: String,
    pub values: Value,
    /// The rendered objects as YAML, without hooks and `crds/`.
    pub manifest: String,
    /// All revisions that helm has kept, oldest first.
    pub history: Vec<Revision>,
}

/// A revision, from the labels of its Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Revision number, from 1.
    pub number: u64,
    /// `deployed`, `superseded`, `failed` ...
    pub status: String,
}

impl Release {
    /// Decodes the record in a Secret.
    ///
    /// # Errors
    /// What is wrong with the record.
    pub fn read(secret: &Value) -> Result<Self, String> {
        let outer = STANDARD.decode(text(secret, "/data/release")).map_err(|e| e.to_string())?;
        let inner = STANDARD.decode(&outer).map_err(|e| e.to_string())?;
        let mut json = Vec::new();
        if inner.starts_with(&[0x1f, 0x8b]) {
            GzDecoder::new(inner.as_slice())
                .take(MAX_RELEASE_BYTES)
                .read_to_end(&mut json)
                .map_err(|e| e.to_string())?;
        } else {
            json = inner;
        }
        let record: Value = serde_json::from_slice(&json).map_err(|e| e.to_string())?;
        Ok(Self::of(&record))
    }

    fn of(record: &Value) -> Self {
        let owned = |pointer: &str| text(record, pointer).to_owned();
        Self {
            revision: record["version"].as_u64().unwrap_or_default(),
            status: owned("/info/status"),
            description: owned("/info/description"),
            updated: text(record, "/info/last_deployed").parse().ok(),
            chart: owned("/chart/metadata/name"),
            chart_version: owned("/chart/metadata/version"),
            app_version: owned("/chart/metadata/appVersion"),
            values: record["config"].clone(),
            manifest: owned("/manifest"),
            history: Vec::new(),
        }
    }

    /// Whether a helm run is in progress, or was interrupted.
    pub fn is_pending(&self) -> bool {
        self.status.starts_with("pending-") || self.status == "uninstalling"
    }

    /// The newest earlier revision that was deployed successfully.
    pub fn last_good(&self) -> Option<u64> {
        let good = |r: &&Revision| matches!(r.status.as_str(), "deployed" | "superseded") && r.number < self.revision;
        self.history.iter().filter(good).map(|r| r.number).max()
    }
}

/// Whether two sets of values are equal: missing values equal an empty table, and 1 equals 1.0.
pub fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Null, Value::Object(o)) | (Value::Object(o), Value::Null) => o.is_empty(),
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal_inside(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|other| equal_inside(v, other)))
        }
        _ => one == other,
    }
}

/// Below the top level, null and an empty table differ.
fn equal_inside(one: &Value, other: &Value) -> bool {
    one.is_null() == other.is_null() && equal(one, other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use serde_json::json;
    use std::io::Write as _;

    fn secret(record: &Value, zip: bool) -> Value {
        let mut bytes = record.to_string().into_bytes();
        if zip {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&bytes).unwrap();
            bytes = encoder.finish().unwrap();
        }
        json!({"data": {"release": STANDARD.encode(STANDARD.encode(bytes))}})
    }

    fn record() -> Value {
        json!({
            "name": "istiod", "version": 3, "namespace": "istio-system", "config": {"a": 1}, "manifest": "kind: A\n",
            "info": {"status": "deployed", "last_deployed": "2026-11-24T13:00:00.5+01:00", "description": "ok"},
            "chart": {"metadata": {"name": "istiod", "version": "1.27.0", "appVersion": "1.27.0"}, "values": {"b": 2},
                      "templates": [{"name": "templates/a.yaml", "data": STANDARD.encode("kind: A\n")}]},
        })
    }

    #[test]
    fn a_record_is_read_with_and_without_compression() {
        for zip in [true, false] {
            let release = Release::read(&secret(&record(), zip)).unwrap();
            assert_eq!((release.revision, release.status.as_str()), (3, "deployed"));
            assert_eq!((release.chart.as_str(), release.chart_version.as_str()), ("istiod", "1.27.0"));
            assert_eq!(release.values, json!({"a": 1}));
            assert_eq!(release.updated.unwrap().to_string(), "2026-11-24T12:00:00.5Z");
        }
    }

    #[test]
    fn a_broken_record_is_an_error() {
        assert!(Release::read(&json!({"data": {"release": "????"}})).is_err());
        assert!(Release::read(&json!({})).is_err());
    }

    #[test]
    fn values_are_compared_as_helm_stores_them() {
        assert!(equal(&Value::Null, &json!({})));
        assert!(equal(&json!({"a": [1, {"b": 2.0}]}), &json!({"a": [1.0, {"b": 2}]})));
        assert!(!equal(&json!({"a": null}), &json!({"a": {}})));
        assert!(!equal(&json!({"a": 1}), &json!({"a": 1, "b": 2})));
        assert!(!equal(&json!({"a": "1"}), &json!({"a": 1})));
    }

    #[test]
    fn the_last_good_revision_is_the_newest_that_was_deployed() {
        let history = [(1, "superseded"), (2, "deployed"), (3, "failed"), (4, "pending-upgrade")];
        let history = history.map(|(number, status)| Revision { number, status: status.to_owned() }).to_vec();
        let release = Release { revision: 4, status: "pending-upgrade".into(), history, ..Release::default() };
        assert!(release.is_pending());
        assert_eq!(release.last_good(), Some(2));
    }
}
