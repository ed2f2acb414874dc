use super::*;
use serde_json::json;

fn deployment(replicas: u32, image: &str, version: &str, owned: Option<Value>) -> Value {
    let ours = json!({"manager": FIELD_MANAGER, "operation": "Apply", "time": version, "fieldsV1": owned});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "app", "resourceVersion": version, "generation": 1,
                     "managedFields": if owned.is_some() { json!([ours]) } else { json!([]) }},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [
            {"name": "web", "image": image}, {"name": "proxy", "image": "envoy"}]}}},
        "status": {"readyReplicas": version.len()},
    })
}

fn lines(diff: &Diff) -> Vec<String> {
    diff.0.iter().flat_map(Delta::lines).collect()
}

#[test]
fn book_keeping_is_no_change() {
    let fields = || Some(json!({"f:spec": {}}));
    let (live, result) = (deployment(1, "a", "7", fields()), deployment(1, "a", "800", fields()));
    assert!(between(Some(&live), &result, &json!({}), &[]).is_empty());
}

#[test]
fn fields_of_list_items_go_by_name() {
    let fields = || Some(json!({}));
    let (live, result) = (deployment(1, "a", "7", fields()), deployment(2, "b", "7", fields()));
    assert_eq!(
        lines(&between(Some(&live), &result, &json!({}), &[])),
        [
            "~ Deployment app/web spec.replicas: 1 → 2",
            "~ Deployment app/web spec.template.spec.containers[web].image: a → b"
        ]
    );
}

#[test]
fn taking_over_an_equal_object_is_a_change_once() {
    let (live, result) = (deployment(1, "a", "7", None), deployment(1, "a", "7", Some(json!({}))));
    let shown = lines(&between(Some(&live), &result, &json!({}), &[]));
    assert_eq!(shown, ["+ Deployment app/web fields owned by rollout: the manifest's"]);
    assert!(between(Some(&result), &result, &json!({}), &[]).is_empty());
}

#[test]
fn a_field_left_out_of_the_manifest_shows_as_ownership() {
    let more = json!({"f:spec": {"f:replicas": {}}});
    let (live, result) = (deployment(1, "a", "7", Some(more)), deployment(1, "a", "7", Some(json!({}))));
    assert_eq!(between(Some(&live), &result, &json!({}), &[]).0.len(), 1);
}

#[test]
fn a_conflict_shows_its_owner() {
    let fields = || Some(json!({}));
    let (live, result) = (deployment(1, "a", "7", fields()), deployment(2, "b", "7", fields()));
    let conflict = |field: &str| Conflict { field: field.into(), manager: "argocd".into() };
    let conflicts = [conflict("spec.replicas"), conflict("spec.template.spec.containers[name=\"web\"].image")];
    let shown = lines(&between(Some(&live), &result, &json!({}), &conflicts));
    assert_eq!(shown.len(), 2);
    assert!(shown.iter().all(|l| l.ends_with("(owned by argocd)")), "{shown:?}");
}

#[test]
fn only_what_the_manifest_says_must_be_as_the_server_said() {
    let wanted = json!({"kind": "Deployment", "metadata": {"name": "web", "namespace": "app"}, "spec": {"replicas": 2,
        "template": {"spec": {"containers": [{"name": "web", "image": "b", "resources": {"cpu": "1000m"}}]}}}});
    let of_server = |replicas: u32, image: &str, injected: &str| {
        let mut object = deployment(replicas, image, injected, None);
        object["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"cpu": "1"});
        object["spec"]["template"]["spec"]["containers"][1]["image"] = injected.into();
        object["metadata"]["uid"] = injected.into();
        object
    };
    let said = of_server(2, "b", "sidecar-1");
    assert!(server_changes(&said, &of_server(2, "b", "sidecar-2"), &wanted).is_empty());
    let diff = server_changes(&said, &of_server(1, "mirror/b", "sidecar-2"), &wanted);
    let lines = [
        "~ Deployment app/web spec.replicas: 1 → 2",
        "~ Deployment app/web spec.template.spec.containers[web].image: mirror/b → b",
    ];
    assert_eq!(self::lines(&diff), lines);
    let problem = check_kept(&said, &diff).unwrap_err();
    assert!(problem.message.starts_with("the API accepted Deployment app/web, but stored something else:\n~"));
    let mut dropped = of_server(2, "b", "x");
    dropped["spec"].as_object_mut().unwrap().remove("replicas");
    assert_eq!(self::lines(&server_changes(&said, &dropped, &wanted)), ["+ Deployment app/web spec.replicas: 2"]);
}

#[test]
fn what_the_server_writes_in_another_way_is_no_change() {
    let container = |resources: Value| json!({"spec": {"containers": [{"name": "web", "resources": resources}]}});
    let ports = |numbers: [u16; 2]| json!({"spec": {"ports": numbers.map(|port| json!({"port": port, "name": port.to_string()}))}});
    let labels = |labels: Value| json!({"metadata": {"name": "x", "labels": labels}});
    let as_of_server = [
        (container(json!({"cpu": "1000m"})), container(json!({"cpu": "1"}))),
        (container(json!({"cpu": 0.5, "memory": 1_073_741_824})), container(json!({"cpu": "500m", "memory": "1Gi"}))),
        (container(json!({"memory": "1024Mi"})), container(json!({"memory": "1Gi"}))),
        (container(json!({"limits": {}})), container(json!({}))),
        (container(json!(null)), json!({"spec": {"containers": [{"name": "web"}]}})),
        (labels(json!({})), json!({"metadata": {"name": "x"}})),
        (labels(json!(null)), json!({"metadata": {"name": "x"}})),
        (json!({"spec": {"args": []}}), json!({"spec": {}})),
        (json!({"stringData": {"k": "v"}}), json!({"data": {"k": "dg=="}})),
        (ports([80, 443]), ports([443, 80])),
    ];
    for (wanted, server) in as_of_server {
        let mut reordered = server.clone();
        if let Some(Value::Array(ports)) = reordered.pointer_mut("/spec/ports") {
            ports.reverse();
        }
        assert!(between(Some(&server), &reordered, &wanted, &[]).is_empty(), "{wanted}");
        assert!(server_changes(&server, &reordered, &wanted).is_empty(), "{wanted}");
    }
}

#[test]
fn a_replacement_shows_what_differs_and_leaves_defaults_out() {
    let live = deployment(1, "a", "7", None);
    let wanted = json!({"kind": "Deployment", "metadata": {"name": "web", "namespace": "app"},
        "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "b"}, {"name": "proxy"}]}}}});
    let shown = lines(&replaced(&live, &wanted, "field is immutable"));
    let act = "delete Deployment app/web with all that belongs to it, and create it anew: field is immutable";
    assert!(shown[0].ends_with(act), "{shown:?}");
    assert_eq!(shown[1..], ["~ Deployment app/web spec.template.spec.containers[web].image: a → b"]);
}

#[test]
fn an_answer_is_cut_only_where_no_secret_is_cut() {
    crate::secret::register("Passwort-in-der-Antwort");
    let why = format!("{}Passwort-in-der-Antwort{}", "x".repeat(240), "y".repeat(1000));
    let said = shortened(&why);
    assert!(said.chars().count() < 520 && !said.contains("Passwort"), "{said}");
}

#[test]
fn secrets_are_hidden() {
    let secret = |value: &str| json!({"kind": "Secret", "metadata": {"name": "s"}, "data": {"k": value}});
    let shown = lines(&between(Some(&secret("b25l")), &secret("dHdv"), &json!({}), &[]));
    assert_eq!(shown.len(), 1);
    assert!(shown[0].starts_with("~ Secret s data.k: ‹secret› "), "{shown:?}");
    assert!(!shown[0].contains("b25l") && !shown[0].contains("dHdv"));
}
