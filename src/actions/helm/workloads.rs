//! The pods that the objects of a chart create. Pure.

use serde_json::Value;

use crate::actions::kube::scheduling::{Amount, Pods, Workload};
use crate::connect::kube::manifest::{list, text};

/// Kinds whose pods are counted.
const KINDS: &[&str] = &["Deployment", "StatefulSet", "DaemonSet", "Job"];

/// A workload with its pods.
pub struct WorkloadPods {
    pub workload: Workload,
    pub pods: Pods,
}

/// The pods of all objects. Objects that name no namespace are in `namespace`.
pub fn workload_pods(objects: &[Value], namespace: &str) -> Vec<WorkloadPods> {
    let workloads = objects.iter().filter(|o| KINDS.contains(&text(o, "/kind")));
    workloads.map(|workload| of(workload, namespace, objects)).collect()
}

fn of(workload: &Value, namespace: &str, objects: &[Value]) -> WorkloadPods {
    let namespace = Some(text(workload, "/metadata/namespace")).filter(|n| !n.is_empty()).unwrap_or(namespace);
    let owner = Workload { namespace: namespace.to_owned(), name: text(workload, "/metadata/name").to_owned() };
    let spec = workload.pointer("/spec/template/spec").unwrap_or(&Value::Null);
    let selector = spec.get("nodeSelector").and_then(Value::as_object).into_iter().flatten();
    let pods = Pods {
        name: format!("{namespace}/{}", owner.name),
        each: Amount::of_pod(spec),
        replicas: replicas(workload, objects),
        selector: selector.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect(),
        tolerations: list(spec, "/tolerations").iter().filter_map(|t| serde_json::from_value(t.clone()).ok()).collect(),
    };
    WorkloadPods { workload: owner, pods }
}

fn replicas(workload: &Value, objects: &[Value]) -> Option<u64> {
    let number = |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_u64);
    let (kind, name) = (text(workload, "/kind"), text(workload, "/metadata/name"));
    match kind {
        "DaemonSet" => None,
        "Job" => {
            let at_once = number(workload, "/spec/parallelism").unwrap_or(1);
            Some(number(workload, "/spec/completions").map_or(at_once, |all| all.min(at_once)))
        }
        _ => {
            let scales = |o: &&Value| {
                text(o, "/kind") == "HorizontalPodAutoscaler"
                    && text(o, "/spec/scaleTargetRef/kind") == kind
                    && text(o, "/spec/scaleTargetRef/name") == name
            };
            // An autoscaler keeps at least `minReplicas` pods, whatever the workload says.
            let least = objects.iter().find(scales).map(|o| number(o, "/spec/minReplicas").unwrap_or(1));
            Some(least.or_else(|| number(workload, "/spec/replicas")).unwrap_or(1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn replicas_of(workload: Value, autoscaler: Value) -> Option<u64> {
        workload_pods(&[workload, autoscaler], "app")[0].pods.replicas
    }

    fn workload(kind: &str, spec: Value) -> Value {
        json!({"kind": kind, "metadata": {"name": "web"}, "spec": spec})
    }

    #[test]
    fn the_number_of_pods_is_the_kind_s_own() {
        let of = |kind: &str, spec: Value| replicas_of(workload(kind, spec), Value::Null);
        assert_eq!(of("Deployment", json!({})), Some(1));
        assert_eq!(of("StatefulSet", json!({"replicas": 3})), Some(3));
        assert_eq!(of("Deployment", json!({"replicas": 0})), Some(0));
        assert_eq!(of("DaemonSet", json!({"replicas": 3})), None);
        assert_eq!(of("Job", json!({})), Some(1));
        assert_eq!(of("Job", json!({"parallelism": 4, "completions": 2})), Some(2));
    }

    #[test]
    fn an_autoscaler_s_least_number_wins() {
        let scaler = |name: &str, min: Value| {
            json!({"kind": "HorizontalPodAutoscaler", "spec": {"minReplicas": min, "maxReplicas": 5,
                   "scaleTargetRef": {"kind": "Deployment", "name": name}}})
        };
        let of = |scaler: Value| replicas_of(workload("Deployment", json!({"replicas": 1})), scaler);
        assert_eq!(of(scaler("web", json!(2))), Some(2));
        assert_eq!(of(scaler("web", Value::Null)), Some(1));
        assert_eq!(of(scaler("other", json!(2))), Some(1));
    }

    #[test]
    fn the_pod_template_says_what_and_where() {
        let web = json!({"kind": "Deployment", "metadata": {"name": "web", "namespace": "own"}, "spec": {"template": {
            "spec": {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"operator": "Exists"}],
                     "containers": [{"resources": {"requests": {"cpu": "1", "memory": "2Gi"}}}]}}}});
        let objects = [json!({"kind": "Service"}), web, workload("Deployment", json!({}))];
        let made = workload_pods(&objects, "app");
        let names: Vec<&str> = made.iter().map(|m| m.pods.name.as_str()).collect();
        assert_eq!(names, ["own/web", "app/web"]);
        let pods = &made[0].pods;
        assert_eq!(pods.each, Amount { cpu: "1".parse().unwrap(), memory: "2Gi".parse().unwrap() });
        assert_eq!((pods.selector["disk"].as_str(), pods.tolerations.len()), ("ssd", 1));
    }
}
