//! Explains on one line why pods are not ready. No I/O.

use std::collections::BTreeMap;

use serde_json::Value;

use super::manifest::{list, text};

/// Number of reasons in one message; the rest become `…`.
const MAX_NAMED: usize = 3;

/// The label selector of a workload's pods, from its `spec.selector`.
pub fn selector(workload: &Value) -> Option<String> {
    let labels = workload.pointer("/spec/selector/matchLabels")?.as_object()?;
    let each: Vec<String> = labels.iter().filter_map(|(k, v)| Some(format!("{k}={}", v.as_str()?))).collect();
    (!each.is_empty()).then(|| each.join(","))
}

/// The condition of that type in an object's status.
pub fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    list(object, "/status/conditions").iter().find(|c| text(c, "/type") == name)
}

/// Whether the pod is ready and not being deleted.
pub fn ready(pod: &Value) -> bool {
    pod.pointer("/metadata/deletionTimestamp").is_none()
        && condition(pod, "Ready").is_some_and(|c| text(c, "/status") == "True")
}

/// Whether the pod has ended and holds no resources any more.
pub fn ended(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Why pods are not ready; pods with the same reason are counted: `2 pods like a: ImagePullBackOff (…)`. Empty when all
/// pods are ready.
pub fn unready_reasons(pods: &[Value], warnings: &[Value]) -> String {
    let mut reasons: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for pod in pods.iter().filter(|p| !ready(p) && text(p, "/status/phase") != "Succeeded") {
        reasons.entry(reason(pod, warnings)).or_default().push(text(pod, "/metadata/name"));
    }
    let each: Vec<String> = reasons
        .iter()
        .take(MAX_NAMED)
        .map(|(reason, names)| match names.as_slice() {
            [one] => format!("pod {one}: {reason}"),
            many => format!("{} pods like {}: {reason}", many.len(), many[0]),
        })
        .collect();
    let more = if reasons.len() > MAX_NAMED { "; …" } else { "" };
    format!("{}{more}", each.join("; "))
}

fn reason(pod: &Value, warnings: &[Value]) -> String {
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        return "is being deleted".to_owned();
    }
    for kind in ["/status/initContainerStatuses", "/status/containerStatuses"] {
        for container in list(pod, kind) {
            if let Some(state) = container_problem(container) {
                return with_warning(pod, warnings, state);
            }
        }
    }
    if let Some(c) = condition(pod, "PodScheduled").filter(|c| text(c, "/status") == "False") {
        return format!("{} ({})", text(c, "/reason"), text(c, "/message"));
    }
    match text(pod, "/status/phase") {
        "Running" => with_warning(pod, warnings, "runs but is not ready".to_owned()),
        "" => "has no status yet".to_owned(),
        phase => with_warning(pod, warnings, phase.to_owned()),
    }
}

/// Why one container does not run; `None` when the pod does not wait for this container.
fn container_problem(container: &Value) -> Option<String> {
    let name = text(container, "/name");
    let after = |state: &str| {
        let exit = container.pointer("/lastState/terminated/exitCode")?;
        Some(format!("{state} (container {name} ended with exit status {exit}, {})", restarts(container)))
    };
    if let Some(waiting) = container.pointer("/state/waiting") {
        let (reason, message) = (text(waiting, "/reason"), text(waiting, "/message"));
        if matches!(reason, "PodInitializing") {
            return None;
        }
        if let Some(text) = after(reason) {
            return Some(text);
        }
        let message = if message.is_empty() { String::new() } else { format!(": {message}") };
        return Some(format!("{reason} (container {name}{message})"));
    }
    let exit = container.pointer("/state/terminated/exitCode")?.as_i64()?;
    (exit != 0).then(|| format!("container {name} ended with exit status {exit}, {}", restarts(container)))
}

fn restarts(container: &Value) -> String {
    match container.pointer("/restartCount").and_then(Value::as_u64) {
        Some(1) => "1 restart".to_owned(),
        n => format!("{} restarts", n.unwrap_or_default()),
    }
}

/// Appends the newest warning event about the pod: a volume that cannot be mounted, a failing probe.
fn with_warning(pod: &Value, warnings: &[Value], state: String) -> String {
    let name = text(pod, "/metadata/name");
    let of_pod = |e: &&Value| {
        text(e, "/involvedObject/name") == name && !matches!(text(e, "/reason"), "BackOff" | "FailedScheduling")
    };
    match warnings.iter().rev().find(of_pod) {
        Some(event) => {
            let message = text(event, "/message").lines().next().unwrap_or_default();
            format!("{state}; {}: {message}", text(event, "/reason"))
        }
        None => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, status: Value) -> Value {
        json!({"metadata": {"name": name}, "status": status})
    }

    #[test]
    fn a_ready_pod_is_no_trouble() {
        let pods = [pod("a", json!({"conditions": [{"type": "Ready", "status": "True"}]}))];
        assert_eq!(unready_reasons(&pods, &[]), "");
    }

    #[test]
    fn waiting_containers_say_why_and_alike_pods_are_counted() {
        let status = json!({"phase": "Pending", "containerStatuses": [
            {"name": "web", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image x:1"}}}]});
        let pods = [pod("a", status.clone()), pod("b", status)];
        assert_eq!(unready_reasons(&pods, &[]), "2 pods like a: ImagePullBackOff (container web: no such image x:1)");
    }

    #[test]
    fn a_crash_loop_names_the_exit_status() {
        let status = json!({"phase": "Running", "containerStatuses": [{"name": "web", "restartCount": 4,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m"}},
            "lastState": {"terminated": {"exitCode": 1}}}]});
        assert_eq!(
            unready_reasons(&[pod("a", status)], &[]),
            "pod a: CrashLoopBackOff (container web ended with exit status 1, 4 restarts)"
        );
    }

    #[test]
    fn an_unschedulable_pod_quotes_the_scheduler() {
        let status = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient memory."}]});
        let expected = "pod a: Unschedulable (0/3 nodes are available: 3 Insufficient memory.)";
        assert_eq!(unready_reasons(&[pod("a", status)], &[]), expected);
    }

    #[test]
    fn a_missing_volume_is_told_by_its_event() {
        let status = json!({"phase": "Pending", "containerStatuses": [
            {"name": "web", "state": {"waiting": {"reason": "ContainerCreating"}}}]});
        let events = [json!({"involvedObject": {"name": "a"}, "reason": "FailedMount",
            "message": "MountVolume.SetUp failed for volume \"ca\" : secret \"cacerts\" not found"})];
        let seen = unready_reasons(&[pod("a", status)], &events);
        assert!(
            seen.ends_with("FailedMount: MountVolume.SetUp failed for volume \"ca\" : secret \"cacerts\" not found")
        );
    }
}
