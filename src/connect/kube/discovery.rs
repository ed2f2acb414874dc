//! The kinds that the API serves. No I/O: parses the discovery documents that [`super::Backend`] fetches and caches.

use kube::core::ApiResource;
use kube::core::discovery::v2::APIGroupDiscoveryList;

use super::KindRef;

/// Groups that come with Kubernetes: they win if an installed group has a kind of the same name.
const BUILT_IN: &[&str] = &[
    "",
    "apps",
    "batch",
    "autoscaling",
    "policy",
    "networking.k8s.io",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "admissionregistration.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "scheduling.k8s.io",
    "certificates.k8s.io",
    "node.k8s.io",
];

/// A served kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Group, version, kind and plural.
    pub api: ApiResource,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

/// All served kinds. Within a group, preferred versions come first.
#[derive(Debug, Clone, Default)]
pub struct Table(Vec<Resource>);

/// The result of a lookup.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    One(Resource),
    /// No such kind is served.
    Missing,
    /// Several groups serve a kind of that name; the groups.
    Ambiguous(Vec<String>),
}

impl Table {
    /// Parses the aggregated discovery documents of the core group and of all others.
    pub fn new(lists: impl IntoIterator<Item = APIGroupDiscoveryList>) -> Self {
        let mut all = Vec::new();
        for group in lists.into_iter().flat_map(|l| l.items) {
            let name = group.metadata.and_then(|m| m.name).unwrap_or_default();
            for version in group.versions {
                let of_group = version.version.unwrap_or_default();
                for resource in version.resources {
                    let kind = resource.response_kind.unwrap_or_default();
                    let (Some(plural), Some(kind_name)) = (resource.resource, kind.kind) else { continue };
                    let group = kind.group.filter(|g| !g.is_empty()).unwrap_or_else(|| name.clone());
                    let version = kind.version.filter(|v| !v.is_empty()).unwrap_or_else(|| of_group.clone());
                    let api_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
                    let api = ApiResource { group, version, api_version, kind: kind_name, plural };
                    all.push(Resource { api, namespaced: resource.scope.as_deref() == Some("Namespaced") });
                }
            }
        }
        Self(all)
    }

    /// Whether discovery listed no kind at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every `group/version` and `group/version/Kind`, in the form of helm's `--api-versions`.
    pub fn api_versions(&self) -> Vec<String> {
        let versions = self.0.iter().map(|r| r.api.api_version.clone());
        let kinds = self.0.iter().map(|r| format!("{}/{}", r.api.api_version, r.api.kind));
        let mut all: Vec<String> = versions.chain(kinds).collect();
        all.sort();
        all.dedup();
        all
    }

    pub fn find(&self, wanted: &KindRef) -> Found {
        let named = self.0.iter().filter(|r| r.api.kind == wanted.kind);
        if let Some(api_version) = &wanted.api_version {
            let one = named.clone().find(|r| r.api.api_version == *api_version);
            return one.cloned().map_or(Found::Missing, Found::One);
        }
        let of_built_in = BUILT_IN.iter().find_map(|g| named.clone().find(|r| r.api.group == *g));
        if let Some(resource) = of_built_in.or_else(|| named.clone().next()) {
            let mut groups: Vec<String> = named.map(|r| r.api.group.clone()).collect();
            groups.dedup();
            if groups.len() > 1 && of_built_in.is_none() {
                return Found::Ambiguous(groups);
            }
            return Found::One(resource.clone());
        }
        Found::Missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table() -> Table {
        let resource = |plural: &str, kind: &str, scope: &str| json!({"resource": plural, "responseKind": {"kind": kind}, "scope": scope});
        let group = |name: &str, versions: &[(&str, serde_json::Value)]| {
            let versions: Vec<_> = versions
                .iter()
                .map(|(version, resource)| json!({"version": version, "resources": [resource]}))
                .collect();
            json!({"metadata": {"name": name}, "versions": versions})
        };
        let list = json!({"items": [
            group("", &[("v1", resource("events", "Event", "Namespaced"))]),
            group("events.k8s.io", &[("v1", resource("events", "Event", "Namespaced"))]),
            group("networking.istio.io", &[
                ("v1", resource("gateways", "Gateway", "Namespaced")),
                ("v1beta1", resource("gateways", "Gateway", "Namespaced")),
            ]),
            group("gateway.networking.k8s.io", &[("v1", resource("gateways", "Gateway", "Namespaced"))]),
            group("argoproj.io", &[("v1alpha1", resource("applications", "Application", "Namespaced"))]),
        ]});
        Table::new([serde_json::from_value(list).unwrap()])
    }

    fn found(api_version: Option<&str>, kind: &str) -> Found {
        table().find(&KindRef { api_version: api_version.map(str::to_owned), kind: kind.to_owned() })
    }

    #[test]
    fn a_kind_is_found_by_name_and_the_core_group_wins() {
        let Found::One(event) = found(None, "Event") else { panic!("not found") };
        assert_eq!((event.api.api_version.as_str(), event.namespaced), ("v1", true));
        let Found::One(application) = found(None, "Application") else { panic!("not found") };
        assert_eq!(application.api.api_version, "argoproj.io/v1alpha1");
    }

    #[test]
    fn two_groups_with_the_same_kind_need_a_version() {
        let groups = vec!["networking.istio.io".to_owned(), "gateway.networking.k8s.io".to_owned()];
        assert_eq!(found(None, "Gateway"), Found::Ambiguous(groups));
        assert!(matches!(found(Some("networking.istio.io/v1beta1"), "Gateway"), Found::One(_)));
    }

    #[test]
    fn an_unserved_version_is_missing() {
        assert_eq!(found(Some("networking.istio.io/v2"), "Gateway"), Found::Missing);
        assert_eq!(found(None, "VirtualService"), Found::Missing);
    }
}
