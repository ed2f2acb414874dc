//! Whether a workload's rollout is complete, by the rules of `kubectl rollout status`. Pure.

use serde_json::Value;

use crate::connect::kube::manifest::text;
use crate::connect::kube::pods::condition;

/// Kinds that have rollouts.
pub const KINDS: &[&str] = &["Deployment", "StatefulSet", "DaemonSet"];

/// The part of the rollout that is missing; `None` if the rollout is complete.
pub fn missing(workload: &Value) -> Option<String> {
    let number = |pointer: &str| workload.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    if number("/status/observedGeneration") < number("/metadata/generation") {
        return Some("its controller has not seen the new version yet".to_owned());
    }
    let wanted = workload.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
    match text(workload, "/kind") {
        "Deployment" => {
            let updated = number("/status/updatedReplicas");
            let old = number("/status/replicas").saturating_sub(updated);
            let available = number("/status/availableReplicas");
            let stuck = condition(workload, "Progressing").filter(|c| text(c, "/reason") == "ProgressDeadlineExceeded");
            let late = if stuck.is_some() { ", past its progress deadline" } else { "" };
            if updated < wanted {
                Some(format!("{updated} of {wanted} new replicas made{late}"))
            } else if old > 0 {
                Some(format!("{old} old replicas still to end{late}"))
            } else if available < updated {
                Some(format!("{available} of {updated} replicas available{late}"))
            } else {
                None
            }
        }
        "DaemonSet" => {
            let wanted = number("/status/desiredNumberScheduled");
            let updated = number("/status/updatedNumberScheduled");
            let available = number("/status/numberAvailable");
            let on_delete = text(workload, "/spec/updateStrategy/type") == "OnDelete";
            if updated < wanted && !on_delete {
                Some(format!("{updated} of {wanted} new pods made"))
            } else {
                (available < wanted).then(|| format!("{available} of {wanted} pods available"))
            }
        }
        "StatefulSet" => {
            let (ready, updated) = (number("/status/readyReplicas"), number("/status/updatedReplicas"));
            let partition = number("/spec/updateStrategy/rollingUpdate/partition");
            let on_delete = text(workload, "/spec/updateStrategy/type") == "OnDelete";
            let to_update = wanted.saturating_sub(partition);
            let revisions_differ =
                text(workload, "/status/updateRevision") != text(workload, "/status/currentRevision");
            if ready < wanted {
                Some(format!("{ready} of {wanted} replicas ready"))
            } else if !on_delete && revisions_differ && updated < to_update {
                Some(format!("{updated} of {to_update} replicas updated"))
            } else {
                None
            }
        }
        kind => Some(format!("{kind} has no rollout")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(status: Value) -> Option<String> {
        missing(
            &json!({"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": status}),
        )
    }

    #[test]
    fn a_deployment_goes_through_the_stages_of_kubectl() {
        let at = |updated: u64, all: u64, available: u64| {
            deployment(json!({"observedGeneration": 2, "updatedReplicas": updated, "replicas": all,
                              "availableReplicas": available}))
        };
        assert_eq!(
            deployment(json!({"observedGeneration": 1, "updatedReplicas": 3, "replicas": 3,
                                     "availableReplicas": 3}))
            .unwrap(),
            "its controller has not seen the new version yet"
        );
        assert_eq!(at(1, 4, 3).unwrap(), "1 of 3 new replicas made");
        assert_eq!(at(3, 4, 3).unwrap(), "1 old replicas still to end");
        assert_eq!(at(3, 3, 2).unwrap(), "2 of 3 replicas available");
        assert_eq!(at(3, 3, 3), None);
    }

    #[test]
    fn a_deployment_past_its_deadline_says_so() {
        let seen = deployment(json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3,
            "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}));
        assert_eq!(seen.unwrap(), "0 of 3 replicas available, past its progress deadline");
    }

    #[test]
    fn a_daemon_set_counts_nodes() {
        let at = |updated: u64, available: u64| {
            missing(&json!({"kind": "DaemonSet", "status": {"desiredNumberScheduled": 3,
                "updatedNumberScheduled": updated, "numberAvailable": available}}))
        };
        assert_eq!(at(2, 3).unwrap(), "2 of 3 new pods made");
        assert_eq!(at(3, 2).unwrap(), "2 of 3 pods available");
        assert_eq!(at(3, 3), None);
    }

    #[test]
    fn a_stateful_set_is_updated_down_to_its_partition() {
        let at = |ready: u64, updated: u64, partition: u64| {
            missing(&json!({"kind": "StatefulSet",
                "spec": {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": partition}}},
                "status": {"readyReplicas": ready, "updatedReplicas": updated, "updateRevision": "b", "currentRevision": "a"}}))
        };
        assert_eq!(at(2, 3, 0).unwrap(), "2 of 3 replicas ready");
        assert_eq!(at(3, 1, 0).unwrap(), "1 of 3 replicas updated");
        assert_eq!(at(3, 1, 2), None);
    }
}
