//! Reads an Argo CD Application: its health, its sync status, and the causes that Argo CD gives. Pure.

use serde_json::Value;

use super::health_issue::HealthIssue;
use crate::connect::kube::manifest::{list, text};

/// Unhealthy resources that the message about one Application names.
const MAX_NAMED: usize = 3;

/// The issue of an Application that is not healthy; `None` if it is.
pub fn unhealthy(application: &Value) -> Option<HealthIssue> {
    let name = text(application, "/metadata/name");
    if application.pointer("/metadata/deletionTimestamp").is_some() {
        return Some(HealthIssue::persistent(format!("{name} is being deleted"), look(application)));
    }
    let status = text(application, "/status/health/status");
    let seen = |status: &str| join(&format!("{name} is {status}"), &why(application));
    match status {
        "Healthy" => None,
        "" if list(application, "/status/conditions").is_empty() => {
            Some(HealthIssue::transient(format!("{name} has no health yet")))
        }
        "" => Some(HealthIssue::persistent(seen("without health"), look(application))),
        "Progressing" => Some(HealthIssue::transient(seen(status))),
        "Missing" if syncing(application) => {
            Some(HealthIssue::transient(format!("{name} is Missing, and being synced")))
        }
        _ => Some(HealthIssue::persistent(seen(status), look(application))),
    }
}

/// Whether the cluster differs from Git, or Argo CD cannot compare them.
pub fn out_of_sync(application: &Value) -> bool {
    text(application, "/status/sync/status") != "Synced"
}

/// Why the Application is not synced; `None` if it is.
pub fn unsynced(application: &Value) -> Option<HealthIssue> {
    if !out_of_sync(application) {
        return None;
    }
    let name = text(application, "/metadata/name");
    let status = match text(application, "/status/sync/status") {
        "" => return Some(HealthIssue::transient(format!("{name} has no sync status yet"))),
        status => status,
    };
    if syncing(application) {
        return Some(HealthIssue::transient(format!("{name} is {status}, and being synced")));
    }
    let seen = join(&format!("{name} is {status}"), &why(application));
    if status != "OutOfSync" || failed(application) {
        return Some(HealthIssue::persistent(seen, look(application)));
    }
    if automated(application) {
        return Some(HealthIssue::transient(format!("{seen}, to be synced automatically")));
    }
    Some(HealthIssue::persistent(seen, format!("argocd app sync {name}, or let the step allow_out_of_sync")))
}

fn look(application: &Value) -> String {
    let (namespace, name) = (text(application, "/metadata/namespace"), text(application, "/metadata/name"));
    format!("kubectl -n {namespace} get application {name} -o yaml, or argocd app get {name}")
}

fn syncing(application: &Value) -> bool {
    application.get("operation").is_some() || text(application, "/status/operationState/phase") == "Running"
}

fn failed(application: &Value) -> bool {
    matches!(text(application, "/status/operationState/phase"), "Failed" | "Error")
}

fn automated(application: &Value) -> bool {
    let automated = application.pointer("/spec/syncPolicy/automated");
    automated.is_some_and(|a| !a.is_null() && a.get("enabled") != Some(&Value::Bool(false)))
}

/// The causes that Argo CD gives: for the Application, for its resources, and for the last sync.
fn why(application: &Value) -> String {
    let mut causes = vec![line(text(application, "/status/health/message")).to_owned()];
    let bad = |r: &&Value| !matches!(text(r, "/health/status"), "" | "Healthy");
    for resource in list(application, "/status/resources").iter().filter(bad).take(MAX_NAMED) {
        let [kind, name, health] = ["/kind", "/name", "/health/status"].map(|p| text(resource, p));
        let message = line(text(resource, "/health/message"));
        causes.push(join(&format!("{kind} {name} is {health}"), message));
    }
    for condition in list(application, "/status/conditions") {
        causes.push(join(text(condition, "/type"), line(text(condition, "/message"))));
    }
    if failed(application) {
        causes.push(join("the last sync failed", line(text(application, "/status/operationState/message"))));
    }
    causes.retain(|c| !c.is_empty());
    causes.join("; ")
}

fn join(what: &str, why: &str) -> String {
    if why.is_empty() { what.to_owned() } else { format!("{what}: {why}") }
}

fn line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn application(spec: Value, status: Value) -> Value {
        json!({"metadata": {"name": "web", "namespace": "argocd"}, "spec": spec, "status": status})
    }

    fn health(status: &str) -> Value {
        application(json!({}), json!({"health": {"status": status}}))
    }

    fn lasting(lack: Option<HealthIssue>) -> String {
        let lack = lack.expect("something is lacking");
        assert!(lack.hint.is_some(), "{lack:?} passes");
        lack.seen
    }

    fn passing(lack: Option<HealthIssue>) -> String {
        let lack = lack.expect("something is lacking");
        assert_eq!(lack.hint, None);
        lack.seen
    }

    #[test]
    fn only_healthy_is_healthy() {
        assert_eq!(unhealthy(&health("Healthy")), None);
        for status in ["Degraded", "Missing", "Unknown", "Suspended"] {
            assert_eq!(lasting(unhealthy(&health(status))), format!("web is {status}"));
        }
        assert_eq!(passing(unhealthy(&health("Progressing"))), "web is Progressing");
    }

    #[test]
    fn the_cause_is_told_as_far_as_argo_cd_knows_it() {
        let degraded = application(
            json!({}),
            json!({"health": {"status": "Degraded", "message": "half of it is gone\nand more"},
                "resources": [{"kind": "Service", "name": "web", "health": {"status": "Healthy"}},
                    {"kind": "Deployment", "name": "web", "health": {"status": "Degraded", "message": "no quota"}}],
                "conditions": [{"type": "SyncError", "message": "retried 5 times"}],
                "operationState": {"phase": "Failed", "message": "one or more objects failed to apply"}}),
        );
        assert_eq!(
            lasting(unhealthy(&degraded)),
            "web is Degraded: half of it is gone; Deployment web is Degraded: no quota; SyncError: retried 5 times; \
             the last sync failed: one or more objects failed to apply"
        );
        let hint = unhealthy(&degraded).and_then(|l| l.hint).unwrap();
        assert_eq!(hint, "kubectl -n argocd get application web -o yaml, or argocd app get web");
    }

    #[test]
    fn a_new_application_is_waited_for_unless_argo_cd_refused_it() {
        assert_eq!(passing(unhealthy(&application(json!({}), json!({})))), "web has no health yet");
        let refused = json!({"conditions": [{"type": "InvalidSpecError", "message": "project x does not exist"}]});
        let seen = lasting(unhealthy(&application(json!({}), refused)));
        assert_eq!(seen, "web is without health: InvalidSpecError: project x does not exist");
    }

    #[test]
    fn what_a_sync_is_about_to_make_is_waited_for() {
        let status = json!({"health": {"status": "Missing"}, "operationState": {"phase": "Running"}});
        assert_eq!(passing(unhealthy(&application(json!({}), status))), "web is Missing, and being synced");
    }

    #[test]
    fn an_application_on_its_way_out_does_not_count_as_healthy() {
        let mut leaving = health("Healthy");
        leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(lasting(unhealthy(&leaving)), "web is being deleted");
    }

    #[test]
    fn being_out_of_sync_passes_only_where_argo_cd_syncs_by_itself() {
        let out = |spec: Value, phase: &str| {
            let status = json!({"sync": {"status": "OutOfSync"}, "operationState": {"phase": phase}});
            unsynced(&application(spec, status))
        };
        let automated = || json!({"syncPolicy": {"automated": {}}});
        let disabled = json!({"syncPolicy": {"automated": {"enabled": false}}});
        assert_eq!(passing(out(json!({}), "Running")), "web is OutOfSync, and being synced");
        assert_eq!(passing(out(automated(), "Succeeded")), "web is OutOfSync, to be synced automatically");
        assert_eq!(lasting(out(automated(), "Failed")), "web is OutOfSync: the last sync failed");
        assert_eq!(lasting(out(json!({}), "Succeeded")), "web is OutOfSync");
        assert_eq!(lasting(out(disabled, "Succeeded")), "web is OutOfSync");
    }

    #[test]
    fn a_comparison_that_fails_is_not_in_sync() {
        let status = json!({"sync": {"status": "Unknown"}, "conditions": [
            {"type": "ComparisonError", "message": "authentication required: Repository not found"}]});
        let seen = lasting(unsynced(&application(json!({}), status)));
        assert_eq!(seen, "web is Unknown: ComparisonError: authentication required: Repository not found");
        assert_eq!(unsynced(&application(json!({}), json!({"sync": {"status": "Synced"}}))), None);
        assert_eq!(passing(unsynced(&application(json!({}), json!({})))), "web has no sync status yet");
    }
}
