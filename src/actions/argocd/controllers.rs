//! Checks that Argo CD's own Deployments and `StatefulSet`s run. Pure.

use serde_json::Value;

use super::health_issue::HealthIssue;
use crate::actions::kube::rollout;
use crate::connect::kube::Objects;
use crate::connect::kube::manifest::{list, text};
use crate::connect::kube::pods::{self, condition};

/// Label selector of Argo CD's own workloads.
pub const SELECTOR: &str = "app.kubernetes.io/part-of=argocd";

/// Components that Argo CD cannot deliver without. Others, such as notifications, may be scaled to zero on purpose.
const ESSENTIAL: &[&str] = &["server", "repo-server", "application-controller"];

/// The issue of a workload; `None` if it runs.
pub fn issue(workload: &Value, found: &Objects) -> Option<HealthIssue> {
    let (namespace, name) = (text(workload, "/metadata/namespace"), text(workload, "/metadata/name"));
    let path = format!("{}/{name}", text(workload, "/kind").to_lowercase());
    let wanted = workload.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
    if wanted == 0 {
        let hint = format!("kubectl -n {namespace} scale {path} --replicas 1");
        let seen = format!("{name}: 0 of 0 replicas ready (scaled to zero)");
        return is_essential(workload).then(|| HealthIssue::persistent(seen, hint));
    }
    let mut seen = format!("{name}: {}", rollout::missing(workload)?);
    let own: Vec<Value> = found.pods.iter().filter(|pod| selects(workload, pod)).cloned().collect();
    let trouble = pods::unready_reasons(&own, &found.warnings);
    if !trouble.is_empty() {
        seen = format!("{seen}; {trouble}");
    }
    if let Some(refused) = condition(workload, "ReplicaFailure").filter(|c| text(c, "/status") == "True") {
        seen = format!("{seen}; {}", text(refused, "/message"));
    } else if is_rolling_out(workload) || !(is_overdue(workload) || own.iter().any(is_stuck)) {
        return Some(HealthIssue::transient(seen));
    }
    Some(HealthIssue::persistent(seen, format!("kubectl -n {namespace} describe {path}, and its pods' logs, say more")))
}

/// Version of Argo CD: the tag of the image named `argocd`.
pub fn version<'a>(workloads: impl IntoIterator<Item = &'a Value>) -> Option<&'a str> {
    let containers = workloads.into_iter().flat_map(|w| list(w, "/spec/template/spec/containers"));
    containers.map(|c| text(c, "/image")).find_map(|image| {
        let name = image.split('@').next()?.rsplit('/').next()?;
        let (_, tag) = name.split_once(':').filter(|(name, _)| *name == "argocd")?;
        tag.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()).then_some(tag)
    })
}

/// Whether the workload is one of [`ESSENTIAL`], by its label: charts and the operator prefix names with that of the
/// installation.
fn is_essential(workload: &Value) -> bool {
    let labels = ["component", "name"].map(|l| text(workload, &format!("/metadata/labels/app.kubernetes.io~1{l}")));
    let names = labels.into_iter().chain([text(workload, "/metadata/name")]);
    names.map(|n| n.strip_prefix("argocd-").unwrap_or(n)).any(|n| ESSENTIAL.contains(&n))
}

/// Whether a rollout is in progress and within its progress deadline.
fn is_rolling_out(workload: &Value) -> bool {
    let behind = |seen: &str, wanted: &str| {
        let number = |pointer| workload.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        number(seen) < number(wanted)
    };
    behind("/status/observedGeneration", "/metadata/generation")
        || condition(workload, "Progressing")
            .is_some_and(|c| text(c, "/status") == "True" && text(c, "/reason") != "NewReplicaSetAvailable")
}

fn is_overdue(workload: &Value) -> bool {
    condition(workload, "Progressing").is_some_and(|c| text(c, "/status") == "False")
}

fn selects(workload: &Value, pod: &Value) -> bool {
    let labels = workload.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    labels.is_some_and(|wanted| {
        wanted.iter().all(|(key, value)| pod.pointer("/metadata/labels").and_then(|l| l.get(key)) == Some(value))
    })
}

/// Whether the pod will not start by itself: it cannot be scheduled, or one of its containers cannot run.
fn is_stuck(pod: &Value) -> bool {
    let waits_for_cause = |container: &Value| {
        let reason = text(container, "/state/waiting/reason");
        !matches!(reason, "" | "ContainerCreating" | "PodInitializing")
    };
    let containers = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let unscheduled = || condition(pod, "PodScheduled").is_some_and(|c| text(c, "/status") == "False");
    pod.pointer("/metadata/deletionTimestamp").is_none()
        && (unscheduled() || containers.iter().flat_map(|path| list(pod, path)).any(waits_for_cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn server(replicas: u64, status: Value) -> Value {
        json!({"kind": "Deployment",
            "metadata": {"name": "argocd-server", "namespace": "argocd", "generation": 2,
                "labels": {"app.kubernetes.io/name": "argocd-server"}},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "server"}}},
            "status": status})
    }

    fn status(ready: u64, progressing: (&str, &str)) -> Value {
        json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": ready,
            "conditions": [{"type": "Progressing", "status": progressing.0, "reason": progressing.1}]})
    }

    const SETTLED: (&str, &str) = ("True", "NewReplicaSetAvailable");

    fn pod(app: &str, waiting: &str) -> Value {
        json!({"metadata": {"name": format!("{app}-1"), "labels": {"app": app}}, "status": {"phase": "Running",
            "containerStatuses": [{"name": "c", "restartCount": 4, "state": {"waiting": {"reason": waiting}},
                "lastState": {"terminated": {"exitCode": 20}}}]}})
    }

    fn seen(workload: &Value, pods: Vec<Value>) -> Option<(String, bool)> {
        let issue = issue(workload, &Objects { pods, ..Objects::default() })?;
        Some((issue.seen, issue.hint.is_none()))
    }

    #[test]
    fn one_that_is_available_lacks_nothing() {
        assert_eq!(seen(&server(1, status(1, SETTLED)), vec![]), None);
    }

    #[test]
    fn an_essential_part_scaled_to_zero_is_named_with_the_command_that_mends_it() {
        let issue = issue(&server(0, json!({"observedGeneration": 2})), &Objects::default()).unwrap();
        assert_eq!(issue.seen, "argocd-server: 0 of 0 replicas ready (scaled to zero)");
        assert_eq!(issue.hint.as_deref(), Some("kubectl -n argocd scale deployment/argocd-server --replicas 1"));
    }

    #[test]
    fn the_parts_are_known_by_label_whatever_the_installation_is_called() {
        let named = |component: &str| {
            json!({"kind": "Deployment", "metadata": {"name": format!("prod-{component}"),
                "labels": {"app.kubernetes.io/component": component}}, "spec": {"replicas": 0}})
        };
        assert!(seen(&named("repo-server"), vec![]).is_some());
        assert_eq!(seen(&named("notifications-controller"), vec![]), None, "may be switched off");
    }

    #[test]
    fn a_rollout_under_way_passes_even_where_a_pod_fails() {
        let (seen, passes) =
            seen(&server(1, status(0, ("True", "ReplicaSetUpdated"))), vec![pod("server", "CrashLoopBackOff")])
                .unwrap();
        assert!(passes && seen.starts_with("argocd-server: 0 of 1 replicas available; pod server-1: "), "{seen}");
        let behind = json!({"observedGeneration": 1});
        assert!(super::issue(&server(1, behind), &Objects::default()).unwrap().hint.is_none());
    }

    #[test]
    fn a_pod_that_crashes_after_the_rollout_does_not_pass() {
        let (seen, passes) = seen(&server(1, status(0, SETTLED)), vec![pod("server", "CrashLoopBackOff")]).unwrap();
        assert!(!passes);
        assert_eq!(
            seen,
            "argocd-server: 0 of 1 replicas available; pod server-1: CrashLoopBackOff (container c ended with exit \
             status 20, 4 restarts)"
        );
    }

    #[test]
    fn a_pod_that_starts_passes_and_those_of_others_do_not_count() {
        let pods = vec![pod("server", "ContainerCreating"), pod("other", "CrashLoopBackOff")];
        let (seen, passes) = seen(&server(1, status(0, SETTLED)), pods).unwrap();
        assert!(passes && !seen.contains("other-1"), "{seen}");
    }

    #[test]
    fn a_pod_that_can_not_be_scheduled_does_not_pass() {
        let pod = json!({"metadata": {"name": "p", "labels": {"app": "server"}}, "status": {"phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "none"}]}});
        assert!(!seen(&server(1, status(0, SETTLED)), vec![pod]).unwrap().1);
    }

    #[test]
    fn a_rollout_past_its_deadline_does_not_pass() {
        let (seen, passes) = seen(&server(1, status(0, ("False", "ProgressDeadlineExceeded"))), vec![]).unwrap();
        assert!(!passes && seen.ends_with("past its progress deadline"), "{seen}");
    }

    #[test]
    fn pods_that_may_not_be_made_do_not_pass() {
        let status = json!({"observedGeneration": 2, "conditions": [
            {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"},
            {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: small"}]});
        let (seen, passes) = seen(&server(1, status), vec![]).unwrap();
        assert!(!passes && seen.ends_with("exceeded quota: small"), "{seen}");
    }

    #[test]
    fn a_stateful_set_counts_ready_replicas() {
        let controller = |ready: u64| {
            json!({"kind": "StatefulSet", "metadata": {"name": "argocd-application-controller", "namespace": "argocd"},
                "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "c"}}}, "status": {"readyReplicas": ready}})
        };
        assert_eq!(seen(&controller(1), vec![]), None);
        let (seen, passes) = seen(&controller(0), vec![pod("c", "ImagePullBackOff")]).unwrap();
        assert!(!passes && seen.contains("0 of 1 replicas ready") && seen.contains("ImagePullBackOff"), "{seen}");
    }

    #[test]
    fn the_version_is_the_tag_of_argo_cds_own_image() {
        let of = |image: &str| json!({"spec": {"template": {"spec": {"containers": [{"image": image}]}}}});
        let redis = of("redis:8.2.1");
        let argocd = of("registry.example.com:5000/argoproj/argocd:v3.1.0@sha256:00");
        assert_eq!(version([&redis, &argocd]), Some("v3.1.0"));
        assert_eq!(version([&redis, &of("quay.io/argoproj/argocd:latest"), &of("quay.io/argoproj/argocd")]), None);
    }
}
