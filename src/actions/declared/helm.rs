//! Releases, and the room for what charts make.

use serde_json::json;

use super::{Case, Seen, kube};
use crate::connect::helm::{Fact as HelmFact, Probe as HelmProbe, Release, Rendered, State};
use crate::connect::{Fact, Probe};

/// A cluster with room, and the release `istiod` of version 1.27.0 with one value.
fn answer(probe: &Probe) -> Fact {
    let Probe::Helm(probe) = probe else { return kube::roomy(probe) };
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
            sees: answer,
            params: &[
                ("release", Seen::Elsewhere("release = 'other'")),
                ("namespace", Seen::Elsewhere("namespace = 'other'")),
                ("chart", Seen::With("chart = 'istio/base'")),
                ("version", Seen::With("version = '1.28.0'")),
                ("set", Seen::With("set = { 'pilot.replicas' = 3 }")),
                ("repo", Seen::Told),
                ("plain_http", Seen::Told),
                ("create_namespace", Seen::Told),
                ("atomic", Seen::Told),
                ("wait", Seen::Told),
                ("skip_crds", Seen::Told),
                ("on_pending", Seen::Told),
                ("force_conflicts", Seen::Told),
            ],
        },
        Case {
            action: "helm.release",
            step: "release = 'istiod'\nnamespace = 'istio-system'\nchart = 'istio/istiod'\n\
                   values = { path = 'v', content = 'pilot: {replicas: 2}' }",
            sees: answer,
            params: &[("values", Seen::With("values = { path = 'v', content = 'pilot: {replicas: 3}' }"))],
        },
        Case {
            action: "helm.capacity",
            step: "release = 'istiod'\nnamespace = 'istio-system'\nchart = 'istiod'\nrepo = 'https://charts'\nversion = '1.27.0'",
            sees: answer,
            params: &[
                ("release", Seen::Elsewhere("release = 'other'")),
                ("namespace", Seen::Elsewhere("namespace = 'other'")),
                ("chart", Seen::Elsewhere("chart = 'base'")),
                ("repo", Seen::Elsewhere("repo = 'https://other'")),
                ("version", Seen::Elsewhere("version = '1.28.0'")),
                ("values", Seen::Elsewhere("values = { path = 'v', content = 'a: 1' }")),
                ("set", Seen::Elsewhere("set = { a = 1 }")),
                ("headroom", Seen::With("headroom = '3500Mi'")),
            ],
        },
        Case {
            action: "helm.capacity",
            step: "release = 'istiod'\nnamespace = 'istio-system'\nchart = 'oci://registry/charts/istiod:1.27.0'",
            sees: answer,
            params: &[("plain_http", Seen::Elsewhere("plain_http = true"))],
        },
    ]
}
