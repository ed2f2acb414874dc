//! Dependencies between objects of one manifest. Pure.

use serde_json::Value;

use crate::connect::kube::manifest::{self, text};

/// Whether the API checks `object` against `earlier`, so that its answer on `object` is not final before `earlier` is
/// applied. `namespace` is that of objects that name none.
pub(super) fn is_checked_against(earlier: &Value, object: &Value, namespace: &str) -> bool {
    let place = |object| Some(text(object, "/metadata/namespace")).filter(|n| !n.is_empty()).unwrap_or(namespace);
    match text(earlier, "/kind") {
        "CustomResourceDefinition" => {
            text(earlier, "/spec/group") == manifest::group(text(object, "/apiVersion"))
                && text(earlier, "/spec/names/kind") == text(object, "/kind")
        }
        "Namespace" => ["", text(earlier, "/metadata/name")].contains(&place(object)),
        "ServiceAccount" | "ResourceQuota" | "LimitRange" | "Role" | "RoleBinding" => place(earlier) == place(object),
        "PriorityClass"
        | "RuntimeClass"
        | "StorageClass"
        | "ClusterRole"
        | "ClusterRoleBinding"
        | "ValidatingAdmissionPolicy"
        | "ValidatingAdmissionPolicyBinding"
        | "MutatingAdmissionPolicy"
        | "MutatingAdmissionPolicyBinding" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_is_judged_by_what_is_of_its_kind_and_place() {
        let crd = json!({"kind": "CustomResourceDefinition", "spec": {"group": "a.b", "names": {"kind": "W"}}});
        let custom = |version: &str, kind: &str| json!({"apiVersion": version, "kind": kind});
        assert!(is_checked_against(&crd, &custom("a.b/v1", "W"), ""));
        assert!(
            !is_checked_against(&crd, &custom("a.b/v1", "V"), "") && !is_checked_against(&crd, &custom("v1", "W"), "")
        );
        let of = |kind: &str, namespace: &str| json!({"kind": kind, "metadata": {"name": "n", "namespace": namespace}});
        assert!(is_checked_against(&of("ServiceAccount", ""), &of("Pod", "app"), "app"));
        assert!(!is_checked_against(&of("ServiceAccount", "other"), &of("Pod", "app"), "app"));
        assert!(
            is_checked_against(&of("Namespace", ""), &of("Pod", "n"), "")
                && !is_checked_against(&of("Namespace", ""), &of("Pod", "m"), "")
        );
        assert!(is_checked_against(&of("PriorityClass", ""), &of("Pod", "app"), ""));
        assert!(!is_checked_against(&of("ConfigMap", "app"), &of("Pod", "app"), ""));
    }
}
