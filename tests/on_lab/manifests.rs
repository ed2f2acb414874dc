//! What only a real API server shows of manifests: that octal numbers mean what they mean to kubectl, that objects of one
//! manifest which need each other are applied in one step, that a key which is taken out of a Secret goes, and that what
//! nobody may change is made anew where the plan says so.

use rollout::event::{EventKind, outcome_name};

use crate::cluster::{Bench, word};
use crate::support::lab;

const MODES: &str = r#"
id = "modes"
action = "kube.apply"
namespace = "NS"
inline = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: modes}
spec:
  replicas: 0
  selector: {matchLabels: {app: modes}}
  template:
    metadata: {labels: {app: modes}}
    spec:
      containers: [{name: c, image: none.example/none, volumeMounts: [{name: k, mountPath: /k}]}]
      volumes: [{name: k, secret: {secretName: s, defaultMode: 0400}}]
"""
"#;

#[test]
fn an_octal_mode_is_the_one_that_kubectl_makes_of_it() {
    let Some(lab) = lab() else { return };
    let bench = Bench::new(&lab, "bench-octal");
    assert_eq!(word(&bench.run(&[MODES]), "modes"), "changed");
    let path = "jsonpath={.spec.template.spec.volumes[0].secret.defaultMode}";
    assert_eq!(bench.kubectl(&["get", "deploy", "modes", "-o", path]), "256");
    assert_eq!(word(&bench.run(&[MODES]), "modes"), "same");
}

const POD: &str = r#"
id = "all"
action = "kube.apply"
namespace = "NS"
inline = """
apiVersion: v1
kind: Pod
metadata: {name: once}
spec:
  serviceAccountName: runner
  restartPolicy: Never
  containers: [{name: c, image: none.example/none}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: runner}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: pods}
spec: {hard: {pods: "4"}}
"""
"#;

#[test]
fn objects_of_one_manifest_that_need_each_other_are_applied_in_one_step() {
    let Some(lab) = lab() else { return };
    let bench = Bench::new(&lab, "bench-whole");
    assert_eq!(word(&bench.call(&["plan"], &[POD]), "all"), "changed", "a preview does not fail");
    assert_eq!(word(&bench.run(&[POD]), "all"), "changed");
    assert_eq!(word(&bench.run(&[POD]), "all"), "same");
}

const DEFINITION: &str = r#"
id = "all"
action = "kube.apply"
namespace = "NS"
inline = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.bench.example}
spec:
  group: bench.example
  scope: Namespaced
  names: {plural: gadgets, kind: Gadget}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {size: {type: integer}MORE}}}
---
apiVersion: bench.example/v1
kind: Gadget
metadata: {name: one}
spec: {size: 2ALSO}
"""
"#;

#[test]
fn a_definition_and_its_objects_are_brought_to_a_newer_version_in_one_step() {
    let Some(lab) = lab() else { return };
    let bench = Bench::new(&lab, "bench-newer");
    let old = DEFINITION.replace("MORE", "").replace("ALSO", "");
    let new = DEFINITION.replace("MORE", ", colour: {type: string}").replace("ALSO", ", colour: red");
    assert_eq!(word(&bench.run(&[&old]), "all"), "changed");
    assert_eq!(word(&bench.call(&["plan"], &[&new]), "all"), "changed", "a preview does not fail");
    assert_eq!(word(&bench.run(&[&new]), "all"), "changed");
    assert_eq!(bench.kubectl(&["get", "gadget", "one", "-o", "jsonpath={.spec.colour}"]), "red");
    assert_eq!(word(&bench.run(&[&new]), "all"), "same");
    lab.call(&["kubectl", "delete", "crd", "gadgets.bench.example"]);
}

#[test]
fn a_key_that_is_taken_out_of_a_secret_goes() {
    let Some(lab) = lab() else { return };
    let bench = Bench::new(&lab, "bench-keys");
    let secret = |keys: &str| {
        format!(
            "id = \"s\"\naction = \"kube.apply\"\nnamespace = \"NS\"\ninline = \"\"\"\napiVersion: v1\nkind: Secret\n\
             metadata: {{name: s}}\nstringData: {{{keys}}}\n\"\"\"\n"
        )
    };
    assert_eq!(word(&bench.run(&[&secret("a: one, b: two")]), "s"), "changed");
    assert_eq!(word(&bench.run(&[&secret("a: one")]), "s"), "changed");
    assert_eq!(bench.kubectl(&["get", "secret", "s", "-o", "jsonpath={.data}"]), r#"{"a":"b25l"}"#);
    assert_eq!(word(&bench.run(&[&secret("a: one")]), "s"), "same");
}

#[test]
fn what_nobody_may_change_is_made_anew_only_where_the_plan_says_so() {
    let Some(lab) = lab() else { return };
    let bench = Bench::new(&lab, "bench-anew");
    let job = |command: &str, rest: &str| {
        format!(
            "id = \"job\"\naction = \"kube.apply\"\nnamespace = \"NS\"\n{rest}inline = \"\"\"\napiVersion: batch/v1\n\
             kind: Job\nmetadata: {{name: j}}\nspec:\n  suspend: true\n  template:\n    spec:\n      \
             restartPolicy: Never\n      containers: [{{name: c, image: none.example/none, command: [{command}]}}]\n\"\"\"\n"
        )
    };
    assert_eq!(word(&bench.run(&[&job("old", "")]), "job"), "changed");
    let refused = bench.run(&[&job("new", "")]);
    assert_eq!(word(&refused, "job"), "failed");
    assert!(format!("{:?}", refused.problems()).contains("replace = true"), "{}", refused.failures());
    let replaced = bench.run(&[&job("new", "replace = true\n")]);
    assert_eq!(word(&replaced, "job"), "changed", "{}", replaced.failures());
    let shown = replaced.events.iter().any(|event| match &event.kind {
        EventKind::UnitFinished { outcome, diff, .. } => {
            let lines = diff.0.iter().flat_map(rollout::diff::Delta::lines);
            outcome_name(outcome) == "changed" && lines.into_iter().any(|line| line.contains("delete Job"))
        }
        _ => false,
    });
    assert!(shown, "{:?}", replaced.events);
    let path = "jsonpath={.spec.template.spec.containers[0].command[0]}";
    assert_eq!(bench.kubectl(&["get", "job", "j", "-o", path]), "new");
    assert_eq!(word(&bench.run(&[&job("new", "replace = true\n")]), "job"), "same");
}
