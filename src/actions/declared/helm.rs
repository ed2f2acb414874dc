//! Cases of the actions on Helm releases.

use serde_json::json;

use super::{Case, Detected, kube};
use crate::connect::helm::{Fact as HelmFact, Probe as HelmProbe, Release, Rendered, State};
use crate::connect::{Fact, Probe};

/// A cluster with free room, and the release `istiod` of version 1.27.0 with one value.
fn answer(probe: &Probe) -> Fact {
    let Probe::Helm(probe) = probe else { return kube::empty_cluster(probe) };
    let objects = vec![json!({"kind": "Deployment", "metadata": {"name": "istiod"}, "spec": {"template": {"spec": {
        "containers": [{"resources": {"requests": {"cpu": "100m", "memory": "1Gi"}}}]}}}})];
    let rendered = Ok(Rendered { objects, ..Rendered::default() });
    Fact::Helm(match probe {
        HelmProbe::Render(_) => HelmFact::Rendered(rendered),
        HelmProbe::Release(_) => HelmFact::Release(Box::new(State {
            live: Some(Release {
                revision: 3,
                status: "deployed".into(),
                chart: "istiod".into(),
                chart_version: "1.27.0".into(),
                values: json!({"pilot": {"replicas": 2}}),
                ..Release::default()
            }),
            namespace_exists: true,
            rendered: Some(rendered),
            ..State::default()
        })),
    })
}

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            action: "helm.release",
            step: "release = 'istiod'\nnamespace = 'istio-system'\nchart = 'istio/istiod'\nversion = '1.27.0'\n\
                   set = { 'pilot.replicas' = 2 }",
            answer,
            params: &[
                ("release", Detected::ByProbes("release = 'other'")),
                ("namespace", Detected::ByProbes("namespace = 'other'")),
                ("chart", Detected::ByVerdict("chart = 'istio/base'")),
                ("version", Detected::ByVerdict("version = '1.28.0'")),
                ("set", Detected::ByVerdict("set = { 'pilot.replicas' = 3 }")),
                ("repo", Detected::Never),
                ("plain_http", Detected::Never),
                ("create_namespace", Detected::Never),
                ("atomic", Detected::Never),
                ("wait", Detected::Never),
                ("skip_crds", Detected::Never),
                ("on_pending", Detected::Never),
                ("force_conflicts", Detected::Never),
            ],
        },
        Case {
            action: "helm.release",
            step: "release = 'istiod'\nnamespace = 'istio-system'\nchart = 'istio/istiod'\n\
                   values = { path = 'v', content = 'pilot: {replicas: 2}' }",
            answer,
            params: &[("values", Detected::ByVerdict("values = { path = 'v', content = 'pilot: {replicas: 3}' }"))],
        },
        Case {
            action: "helm.capacity",
            step: "release = 'istiod'\nnamespace = 'istio-system'\nchart = 'istiod'\nrepo = 'https://charts'\nversion = '1.27.0'",
            answer,
            params: &[
                ("release", Detected::ByProbes("release = 'other'")),
                ("namespace", Detected::ByProbes("namespace = 'other'")),
                ("chart", Detected::ByProbes("chart = 'base'")),
                ("repo", Detected::ByProbes("repo = 'https://other'")),
                ("version", Detected::ByProbes("version = '1.28.0'")),
                ("values", Detected::ByProbes("values = { path = 'v', content = 'a: 1' }")),
                ("set", Detected::ByProbes("set = { a = 1 }")),
                ("headroom", Detected::ByVerdict("headroom = '3500Mi'")),
            ],
        },
        Case {
            action: "helm.capacity",
            step: "release = 'istiod'\nnamespace = 'istio-system'\nchart = 'oci://registry/charts/istiod:1.27.0'",
            answer,
            params: &[("plain_http", Detected::ByProbes("plain_http = true"))],
        },
    ]
}
