//! Objects of one manifest by which later ones are judged. Pure.

use serde_json::Value;

use crate::connect::kube::manifest::{self, text};

/// Whether the API looks at `earlier` when it judges `object`: so that what it says of `object` does not count before
/// `earlier` is applied. `namespace` is that of objects that name none.
pub(super) fn judges(earlier: &Value, object: &Value, namespace: &str) -> bool {
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
        assert!(judges(&crd, &custom("a.b/v1", "W"), ""));
        assert!(!judges(&crd, &custom("a.b/v1", "V"), "") && !judges(&crd, &custom("v1", "W"), ""));
        let of = |kind: &str, namespace: &str| json!({"kind": kind, "metadata": {"name": "n", "namespace": namespace}});
        assert!(judges(&of("ServiceAccount", ""), &of("Pod", "app"), "app"));
        assert!(!judges(&of("ServiceAccount", "other"), &of("Pod", "app"), "app"));
        assert!(
            judges(&of("Namespace", ""), &of("Pod", "n"), "") && !judges(&of("Namespace", ""), &of("Pod", "m"), "")
        );
        assert!(judges(&of("PriorityClass", ""), &of("Pod", "app"), ""));
        assert!(!judges(&of("ConfigMap", "app"), &of("Pod", "app"), ""));
    }
}
