//! Kubernetes and Helm steps against the lab's real API: ownership, labels, exec, stuck releases. Each test has a
//! namespace of its own.

use std::path::PathBuf;

use crate::support::{Lab, Ran, lab};
use rollout::event::{EventKind, Outcome, outcome_name};

/// A plan of one phase in a folder of its own, and the namespace that its steps work in.
pub struct Bench<'a> {
    lab: &'a Lab,
    namespace: &'static str,
    dir: tempfile::TempDir,
}

impl<'a> Bench<'a> {
    pub fn new(lab: &'a Lab, namespace: &'static str) -> Self {
        lab.call(&["kubectl", "delete", "namespace", namespace, "--ignore-not-found", "--wait"]);
        lab.call(&["kubectl", "create", "namespace", namespace]);
        Self { lab, namespace, dir: tempfile::tempdir().unwrap() }
    }

    /// Runs steps, given without their table header.
    pub fn run(&self, steps: &[&str]) -> Ran {
        self.call(&["run", "--fresh"], steps)
    }

    pub fn call(&self, command: &[&str], steps: &[&str]) -> Ran {
        let steps: Vec<String> = steps.iter().map(|s| format!("[[phase.p.step]]\n{s}\ntimeout = \"60s\"\n")).collect();
        let text = format!("[plan]\nname = \"bench\"\n[phase.p]\n{}", steps.concat()).replace("NS", self.namespace);
        let plan: PathBuf = self.dir.path().join("plan.toml");
        std::fs::write(&plan, text).unwrap();
        self.lab.rollout(&[command, &[&plan.display().to_string()]].concat())
    }

    pub fn kubectl(&self, args: &[&str]) -> String {
        self.lab.call(&[&["kubectl", "-n", self.namespace], args].concat())
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        self.lab.call(&["kubectl", "delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false"]);
    }
}

pub fn word(ran: &Ran, step: &str) -> &'static str {
    outcome_name(ran.outcomes().get(&format!("p/{step}")).unwrap_or_else(|| panic!("{}", ran.failures())))
}

const CONFIG: &str = r#"
id = "config"
action = "kube.apply"
namespace = "NS"
inline = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: green}
"""
"#;

#[test]
fn a_field_of_another_manager_is_taken_only_on_request() {
    let Some(lab) = lab() else { return };
    let bench = Bench::new(&lab, "bench-owner");
    let theirs = bench.dir.path().join("theirs.yaml");
    std::fs::write(&theirs, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {colour: red}\n")
        .unwrap();
    bench.kubectl(&["apply", "--server-side", "--field-manager=somebody", "-f", &theirs.display().to_string()]);

    let ran = bench.run(&[CONFIG]);
    assert_eq!(ran.code, 1, "{}", ran.failures());
    let said = format!("{:?}", ran.problems());
    assert!(said.contains("somebody") && said.contains("colour"), "{said}");
    assert_eq!(bench.kubectl(&["get", "cm", "settings", "-o", "jsonpath={.data.colour}"]), "red");

    let forced = CONFIG.replace("inline", "force = true\ninline");
    let ran = bench.run(&[&forced]);
    assert_eq!(word(&ran, "config"), "changed", "{}", ran.failures());
    assert_eq!(bench.kubectl(&["get", "cm", "settings", "-o", "jsonpath={.data.colour}"]), "green");
    assert_eq!(word(&bench.run(&[&forced]), "config"), "same");
}

#[test]
fn drift_is_shown_and_put_right() {
    let Some(lab) = lab() else { return };
    let bench = Bench::new(&lab, "bench-drift");
    assert_eq!(word(&bench.run(&[CONFIG]), "config"), "changed");
    bench.kubectl(&["patch", "cm", "settings", "--field-manager=rollout", "-p", r#"{"data":{"colour":"blue"}}"#]);
    let preview = bench.call(&["plan"], &[CONFIG]);
    let shown = preview.events.iter().any(|e| match &e.kind {
        EventKind::UnitFinished { diff, .. } => {
            diff.0.iter().flat_map(rollout::diff::Delta::lines).any(|l| l.contains("blue → green"))
        }
        _ => false,
    });
    assert!(shown, "{:?}", preview.events);
    assert_eq!(word(&bench.run(&[CONFIG]), "config"), "changed");
    assert_eq!(bench.kubectl(&["get", "cm", "settings", "-o", "jsonpath={.data.colour}"]), "green");
}

#[test]
fn a_kind_that_the_same_run_brings_is_found() {
    let Some(lab) = lab() else { return };
    let bench = Bench::new(&lab, "bench-crd");
    let definition = r#"
id = "definition"
action = "kube.apply"
inline = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.bench.example}
spec:
  group: bench.example
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
"""
"#;
    let widget = r#"
id = "widget"
action = "kube.apply"
namespace = "NS"
inline = """
apiVersion: bench.example/v1
kind: Widget
metadata: {name: one}
spec: {size: 2}
"""
"#;
    lab.call(&["kubectl", "delete", "crd", "widgets.bench.example", "--ignore-not-found"]);
    let preview = bench.call(&["plan"], &[definition, widget]);
    let needs = match &preview.outcomes()["p/widget"] {
        Outcome::Pending { needs } => needs.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(needs, "kind Widget.bench.example, which step definition brings");
    let ran = bench.run(&[definition, widget]);
    assert_eq!((word(&ran, "definition"), word(&ran, "widget")), ("changed", "changed"), "{}", ran.failures());
    let again = bench.run(&[definition, widget]);
    assert_eq!((word(&again, "definition"), word(&again, "widget")), ("same", "same"));
    lab.call(&["kubectl", "delete", "crd", "widgets.bench.example"]);
}

#[test]
fn labels_are_set_once() {
    let Some(lab) = lab() else { return };
    let bench = Bench::new(&lab, "bench-label");
    let label =
        "id = \"label\"\naction = \"kube.label\"\nkind = \"Namespace\"\nname = \"NS\"\nlabels = { team = \"trading\" }";
    assert_eq!(word(&bench.run(&[label]), "label"), "changed");
    assert_eq!(word(&bench.run(&[label]), "label"), "same");
    let seen = bench.kubectl(&["get", "ns", "bench-label", "-o", "jsonpath={.metadata.labels.team}"]);
    assert_eq!(seen, "trading");
}

#[test]
fn a_pod_that_cannot_start_says_why() {
    let Some(lab) = lab() else { return };
    let bench = Bench::new(&lab, "bench-pod");
    let pod = r#"
id = "pod"
action = "kube.apply"
namespace = "NS"
inline = """
apiVersion: v1
kind: Pod
metadata: {name: broken}
spec: {containers: [{name: main, image: "no.such/image:1", imagePullPolicy: Never}]}
"""
"#;
    let wait = "id = \"up\"\naction = \"kube.wait\"\nkind = \"Pod\"\nname = \"broken\"\nnamespace = \"NS\"\ncondition = \"Ready\"";
    let text = [pod, wait];
    let ran = {
        // A short deadline: the reason is there within a moment.
        let short: Vec<String> = text.iter().map(|s| (*s).to_owned()).collect();
        let plan = bench.dir.path().join("plan.toml");
        let body = format!(
            "[plan]\nname = \"bench\"\n[phase.p]\n[[phase.p.step]]\n{}\n[[phase.p.step]]\n{}\ntimeout = \"6s\"\n",
            short[0], short[1]
        );
        std::fs::write(&plan, body.replace("NS", bench.namespace)).unwrap();
        lab.rollout(&["run", "--fresh", &plan.display().to_string()])
    };
    assert_eq!(ran.code, 1);
    let said = format!("{:?}", ran.problems());
    assert!(said.contains("broken") && said.contains("ErrImageNeverPull"), "{said}");
}

const RELEASE: &str = r#"
id = "gateway"
action = "helm.release"
release = "bench"
namespace = "NS"
chart = "base"
repo = "http://127.0.0.1:8879"
version = "1.31.0-lab.1"
set = { "global.istioNamespace" = "NS", "defaultRevision" = "" , "base.excludedCRDs" = ["envoyfilters.networking.istio.io"] }
"#;

#[test]
fn a_release_that_a_killed_helm_left_pending_is_explained_and_repaired_on_request() {
    let Some(mut lab) = lab() else { return };
    // The chart's CRDs belong to one release only.
    lab.reset();
    let bench = Bench::new(&lab, "bench-helm");
    assert_eq!(word(&bench.run(&[RELEASE]), "gateway"), "changed");
    assert_eq!(word(&bench.run(&[RELEASE]), "gateway"), "same");
    pretend_stuck(&bench);
    let ran = bench.run(&[RELEASE]);
    let said = format!("{:?}", ran.problems());
    assert!(said.contains("pending-upgrade") && said.contains("on_pending"), "{said}");
    let repaired = RELEASE.replace("action", "on_pending = \"rollback\"\naction");
    let ran = bench.run(&[&repaired]);
    assert_eq!(word(&ran, "gateway"), "changed", "{}", ran.failures());
    assert_eq!(word(&bench.run(&[&repaired]), "gateway"), "same");
    drop(bench);
    lab.reset();
}

/// Adds a newer revision in the state that a helm leaves that was killed in an upgrade an hour ago.
fn pretend_stuck(bench: &Bench<'_>) {
    let script = r#"
import base64, gzip, json, sys
secret = json.load(sys.stdin)
release = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))))
release["version"] = 2
release["info"]["status"] = "pending-upgrade"
release["info"]["last_deployed"] = "2020-01-01T00:00:00Z"
data = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(release).encode()))).decode()
labels = dict(secret["metadata"]["labels"], status="pending-upgrade", version="2", modifiedAt="1577836800")
name = secret["metadata"]["name"].replace(".v1", ".v2")
print(json.dumps({"apiVersion": "v1", "kind": "Secret", "type": secret["type"],
    "metadata": {"name": name, "namespace": secret["metadata"]["namespace"], "labels": labels},
    "data": {"release": data}}))
"#;
    let one = bench.kubectl(&["get", "secret", "sh.helm.release.v1.bench.v1", "-o", "json"]);
    let (from, to) = (bench.dir.path().join("one.json"), bench.dir.path().join("two.json"));
    std::fs::write(&from, one).unwrap();
    let output = std::process::Command::new("python3")
        .args(["-c", script])
        .stdin(std::fs::File::open(&from).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(&to, output.stdout).unwrap();
    bench.kubectl(&["create", "-f", &to.display().to_string()]);
}
