//! Interprets the API's refusals of an apply: field conflicts, missing kinds and namespaces, immutable fields. No I/O.

use kube::core::Status;

use super::types::{Conflict, FIELD_MANAGER, Preview};

impl Conflict {
    /// Whether the owner is rollout itself, which may have patched a label, for example. Kubernetes treats patches and
    /// applies of one manager as separate owners, and reports a conflict when both claim a field.
    pub fn is_our_own(&self) -> bool {
        self.manager == FIELD_MANAGER
    }
}

/// The field conflicts on one line: `spec.replicas is owned by argocd-controller`.
pub fn describe_conflicts(conflicts: &[Conflict]) -> String {
    let each: Vec<String> = conflicts.iter().map(|c| format!("{} is owned by {}", c.field, c.manager)).collect();
    each.join(", ")
}

/// The field conflicts in a refusal.
pub(super) fn conflicts(status: &Status) -> Vec<Conflict> {
    let causes = status.details.iter().flat_map(|d| &d.causes);
    causes
        .filter(|c| c.reason == "FieldManagerConflict")
        .map(|c| Conflict {
            field: c.field.trim_start_matches('.').to_owned(),
            // The message reads: conflict with "kubectl" with subresource "scale" using apps/v1
            manager: c.message.split('"').nth(1).unwrap_or(&c.message).to_owned(),
        })
        .collect()
}

/// The preview for a refusal; `None` when the kind turns out not to be served.
pub(super) fn classify_refusal(status: &Status) -> Option<Preview> {
    let details = status.details.as_ref();
    if status.code == 404 {
        let of_namespace = details.filter(|d| d.kind == "namespaces");
        return of_namespace.map(|d| Preview::NamespaceMissing(d.name.clone()));
    }
    let message = status.message.clone();
    let busy = status.code == 429 || status.code >= 500 && !is_malformed(&message);
    Some(if busy { Preview::Busy(message) } else { Preview::Refused { why: message, live: None, replaceable: false } })
}

/// Whether a refusal says that a field is immutable. Kubernetes has no code for that, and several wordings.
pub(super) fn is_immutable_field(message: &str) -> bool {
    ["immutable", "may not change", "may not be changed", "cannot change", "can not be changed", "cannot be changed"]
        .iter()
        .any(|phrase| message.contains(phrase))
}

/// Whether a server error says that the object does not have its kind's type: waiting does not help then. Kubernetes
/// has no code for that (`managedfields/internal/structuredmerge.go` of apimachinery).
fn is_malformed(message: &str) -> bool {
    ["failed to create typed patch object", "failed to convert new object"]
        .iter()
        .any(|phrase| message.starts_with(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn status(value: Value) -> Status {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn conflicts_name_field_and_manager() {
        let status = status(json!({
            "status": "Failure", "code": 409, "reason": "Conflict", "message": "Apply failed with 1 conflict",
            "details": {"causes": [{
                "reason": "FieldManagerConflict", "field": ".spec.replicas",
                "message": "conflict with \"kubectl\" with subresource \"scale\" using apps/v1",
            }]},
        }));
        assert_eq!(describe_conflicts(&conflicts(&status)), "spec.replicas is owned by kubectl");
    }

    #[test]
    fn a_missing_namespace_is_told_from_a_missing_kind() {
        let of = |kind: &str| {
            classify_refusal(&status(
                json!({"code": 404, "reason": "NotFound", "message": "x", "details": {"kind": kind, "name": "app"}}),
            ))
        };
        assert!(matches!(of("namespaces"), Some(Preview::NamespaceMissing(name)) if name == "app"));
        assert!(of("gateways.networking.istio.io").is_none());
    }

    #[test]
    fn a_webhook_that_is_down_is_waited_for_and_a_denial_is_not() {
        let of = |code: u16| classify_refusal(&status(json!({"code": code, "message": "x"})));
        assert!(matches!(of(500), Some(Preview::Busy(_))));
        assert!(matches!(of(400), Some(Preview::Refused { .. })));
    }

    #[test]
    fn an_object_of_the_wrong_type_is_not_waited_for() {
        for message in [
            "failed to create typed patch object (default/web; /v1, Kind=Service): .spec.ports[0].port: expected numeric",
            "failed to convert new object (default/q; /v1, Kind=ResourceQuota) to proper version: quantities must match",
        ] {
            let refused = classify_refusal(&status(json!({"code": 500, "message": message})));
            assert!(matches!(refused, Some(Preview::Refused { why, .. }) if why == message));
        }
    }
}
