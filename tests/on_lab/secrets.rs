//! Unique values go as secrets through Kubernetes, Helm and Istio steps, and are then looked for everywhere but where they
//! are wanted. Hosts, Vault and all sources of secrets have `tests/poison`.

use std::fs;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use rollout::secret::MASK;
use serde_json::Value;

use crate::poison::{self, Search};
use crate::support::{Lab, lab};

const NAMESPACE: &str = "poison";

/// How long one call of the program may take.
const DEADLINE: Duration = Duration::from_secs(180);

const HEAD: &str = r#"
[plan]
name = "poison"
[vars]
all = "{{ secrets.env }} {{ secrets.file }}"
[secrets]
env.env = "POISON_ENV"
file.file = "kept/file"
key.file = "kept/key"
[phase.p]
"#;

/// Steps that go well, in order.
const PASSING: &[&str] = &[
    r#"
id = "cacerts"
action = "istio.cacerts"
mount = "pki_int"
namespace = "poison"
"#,
    r#"
id = "secret"
action = "kube.apply"
namespace = "poison"
manifest = "templates/secret.yaml.j2"
"#,
    r#"
id = "config"
action = "kube.apply"
namespace = "poison"
inline = """
apiVersion: v1
kind: ConfigMap
metadata: {name: config}
data:
  all: {{ all | to_json }}
  key: {{ secrets.key | to_json }}
"""
"#,
    r#"
id = "keys"
action = "kube.apply"
namespace = "poison"
inline = """
apiVersion: v1
kind: ConfigMap
metadata: {name: keys}
data: {file: {{ secrets.file | to_json }}}
"""
"#,
    r#"
id = "annotated"
action = "kube.label"
kind = "ConfigMap"
name = "config"
namespace = "poison"
annotations = { "poison/all" = "{{ all }}" }
"#,
    r#"
id = "release"
action = "helm.release"
release = "poison"
namespace = "poison"
chart = "DIR/chart"
values = "templates/values.yaml.j2"
set = { "one.key" = "{{ secrets.key }}" }
"#,
    r#"
id = "exec"
action = "kube.exec"
namespace = "poison"
selector = "app=gate"
stdin = "{{ all }}"
command = ["cat"]
expect = "{{ secrets.file }}"
"#,
    r#"
id = "use"
action = "kube.exec"
namespace = "poison"
selector = "app=gate"
stdin = "{{ steps.exec.stdout }}"
command = ["sh", "-c", "base64 >&2"]
changes = true
"#,
    r#"
id = "wait"
action = "kube.wait"
kind = "ConfigMap"
name = "config"
namespace = "poison"
jsonpath = "{.data.all}"
value = "{{ all }}"
"#,
];

/// Steps that fail, each by itself, once those that go well have run.
const FAILING: &[&str] = &[
    r#"
id = "name"
action = "kube.apply"
namespace = "poison"
inline = "{apiVersion: v1, kind: ConfigMap, metadata: {name: {{ secrets.file | to_json }}}}"
"#,
    r#"
id = "quantity"
action = "kube.apply"
namespace = "poison"
inline = """
apiVersion: v1
kind: ResourceQuota
metadata: {name: quota}
spec: {hard: {pods: {{ all | to_json }}}}
"""
"#,
    r#"
id = "type"
action = "kube.apply"
namespace = "poison"
inline = """
apiVersion: v1
kind: Service
metadata: {name: service}
spec: {ports: [{port: {{ secrets.file | to_json }}}]}
"""
"#,
    r#"
id = "label"
action = "kube.label"
kind = "ConfigMap"
name = "config"
namespace = "poison"
labels = { all = "{{ secrets.file }}" }
"#,
    r#"
id = "value"
action = "kube.wait"
kind = "ConfigMap"
name = "config"
namespace = "poison"
jsonpath = "{.data.all}"
value = "something else"
timeout = "4s"
"#,
    r#"
id = "theirs"
action = "kube.apply"
namespace = "poison"
inline = """
apiVersion: v1
kind: ConfigMap
metadata: {name: theirs}
data: {all: {{ all | to_json }}, key: {{ secrets.key | to_json }}}
"""
"#,
    r#"
id = "said"
action = "kube.exec"
namespace = "poison"
selector = "app=gate"
stdin = "{{ all }}"
command = ["sh", "-c", "cat >&2; exit 3"]
timeout = "4s"
"#,
    r#"
id = "expected"
action = "kube.exec"
namespace = "poison"
selector = "app=gate"
stdin = "{{ all }}"
command = ["base64"]
expect = "something else"
timeout = "4s"
"#,
    r#"
id = "chart"
action = "helm.release"
release = "fails"
namespace = "poison"
chart = "DIR/chart"
values = "templates/values.yaml.j2"
set = { fails = true, "one.key" = "x" }
"#,
    r#"
id = "schema"
action = "helm.release"
release = "strict"
namespace = "poison"
chart = "DIR/strict"
values = "templates/values.yaml.j2"
"#,
];

/// A chart whose Deployment is not ready before there is a ConfigMap `go`.
const CHART: &str = r#"
apiVersion: v1
kind: Secret
metadata: {name: chart}
stringData:
  all: {{ .Values.all | toJson }}
  key: {{ .Values.one.key | toJson }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: chart}
data: {all: {{ .Values.all | toJson }}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gate}
spec:
  selector: {matchLabels: {app: gate}}
  template:
    metadata: {labels: {app: gate}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: docker.io/library/busybox:1.35
        imagePullPolicy: Never
        command: [sleep, "1000000"]
        envFrom: [{configMapRef: {name: go}}]
        volumeMounts: [{name: secret, mountPath: /secret}]
      volumes: [{name: secret, secret: {secretName: chart}}]
{{ if .Values.fails }}{{ fail .Values.all }}{{ end }}
"#;

/// The project, and what was found so far.
struct Bench<'a> {
    lab: &'a Lab,
    folder: tempfile::TempDir,
    values: Vec<(&'static str, String)>,
    found: Vec<String>,
}

impl<'a> Bench<'a> {
    fn new(lab: &'a Lab) -> Self {
        let values = ["env", "file", "old"].map(|name| (name, poison::value(name)));
        let values = values.into_iter().chain([("key", poison::key())]).collect();
        let bench = Self { lab, folder: tempfile::tempdir().unwrap(), values, found: Vec::new() };
        for folder in ["kept", "templates", "tmp", "chart/templates", "strict"] {
            fs::create_dir_all(bench.path(folder)).unwrap();
        }
        bench.write("kept/file", bench.value("file"));
        bench.write("kept/key", bench.value("key"));
        bench.write(
            "templates/secret.yaml.j2",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: secret}\n\
             data: {all: {{ all | b64encode }}}\nstringData: {key: {{ secrets.key | to_json }}}\n",
        );
        bench.write("templates/values.yaml.j2", "all: {{ all | to_json }}\n");
        bench.write("chart/Chart.yaml", "{apiVersion: v2, name: chart, version: 0.1.0}\n");
        bench.write("chart/templates/objects.yaml", CHART);
        bench.write("chart/templates/NOTES.txt", "{{ .Values.all }}\n");
        bench.write("strict/Chart.yaml", "{apiVersion: v2, name: strict, version: 0.1.0}\n");
        bench.write("strict/values.schema.json", r#"{"properties": {"all": {"enum": ["x"], "pattern": "^x$"}}}"#);
        bench.write_plan("passing", PASSING, "");
        bench.write_plan("failing", FAILING, "needs = []\n");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path(name));
        file.and_then(|mut file| file.write_all(text.as_bytes())).unwrap();
    }

    fn write_plan(&self, name: &str, steps: &[&str], further: &str) {
        let steps: String = steps.iter().map(|step| format!("[[phase.p.step]]{step}{further}")).collect();
        self.write(
            &format!("{name}.toml"),
            &(HEAD.to_owned() + &steps).replace("DIR", self.path("").to_str().unwrap()),
        );
    }

    fn value(&self, name: &str) -> &str {
        &self.values.iter().find(|(known, _)| *known == name).unwrap().1
    }

    fn all(&self) -> String {
        format!("{} {}", self.value("env"), self.value("file"))
    }

    fn kubectl(&self, args: &[&str]) -> String {
        self.lab.call(&[&["kubectl", "-n", NAMESPACE], args].concat())
    }

    fn object(&self, kind: &str, name: &str) -> Value {
        serde_json::from_str(&self.kubectl(&["get", kind, name, "-o", "json"])).unwrap()
    }

    /// As before the first run: earlier secrets lie where the plan puts its own, some in fields of another manager.
    fn undone(&self) {
        self.lab.call(&["kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait"]);
        self.lab.call(&["kubectl", "create", "namespace", NAMESPACE]);
        let old = serde_json::json!({ "all": self.value("old") });
        let meta =
            |kind: &str, name: &str| serde_json::json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
        let with = |kind: &str, name: &str, field: &str, data: &Value| {
            let mut object = meta(kind, name);
            object[field] = data.clone();
            object
        };
        // A key goes from beside one that stays.
        let keys = serde_json::json!({ "file": self.value("file"), "gone": self.value("old") });
        let ours = [
            with("Secret", "secret", "stringData", &old),
            with("ConfigMap", "config", "data", &old),
            with("ConfigMap", "keys", "data", &keys),
        ];
        let theirs = [with("ConfigMap", "theirs", "data", &old)];
        for (manager, objects) in [("rollout", &ours[..]), ("somebody", &theirs[..])] {
            let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": objects });
            let file = self.path("kept/objects.json");
            fs::write(&file, list.to_string()).unwrap();
            let manager = format!("--field-manager={manager}");
            self.kubectl(&["apply", "--server-side", &manager, "-f", file.to_str().unwrap()]);
        }
    }

    /// All that may be seen nowhere; the key of Istio's CA too, once there is one.
    fn search(&self) -> Search {
        let secret =
            self.kubectl(&["get", "secret", "cacerts", "--ignore-not-found", "-o", "jsonpath={.data.ca-key\\.pem}"]);
        let key = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, secret.trim()).unwrap();
        let key = String::from_utf8(key).unwrap();
        let made = (!key.is_empty()).then_some(("Istio's CA key", key.as_str()));
        let values = self.values.iter().map(|(name, value)| (*name, value.as_str()));
        Search::new(&values.chain(made).collect::<Vec<_>>())
    }

    /// Calls the program. While helm is at work, looks at all processes, and only then lets the chart become ready.
    fn call(&mut self, args: &[&str], log: &str, waits_for_chart: bool) -> Output {
        let out = [self.path("kept/stdout"), self.path("kept/stderr")];
        let mut command = self.lab.tool(args);
        command
            .env("ROLLOUT_STATE_DIR", self.path("state"))
            .env("TMPDIR", self.path("tmp"))
            .env("POISON_ENV", self.value("env"))
            .env("RUST_LOG", log)
            .stdin(Stdio::null())
            .stdout(fs::File::create(&out[0]).unwrap())
            .stderr(fs::File::create(&out[1]).unwrap());
        let mut child = command.spawn().unwrap();
        let (began, mut waits) = (Instant::now(), waits_for_chart);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if waits && self.helm_waits() {
                waits = false;
                self.found.extend(self.search().find_in_processes());
                self.kubectl(&["create", "configmap", "go", "--from-literal=open=yes"]);
            }
            if began.elapsed() > DEADLINE {
                drop((child.kill(), child.wait()));
                panic!("{args:?} was at work for {DEADLINE:?}: {}", fs::read_to_string(&out[0]).unwrap());
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let [stdout, stderr] = out.map(|file| fs::read(file).unwrap());
        let said = [stdout.as_slice(), stderr.as_slice()].concat();
        assert!(!waits, "{args:?}: helm did not wait for the chart: {}", String::from_utf8_lossy(&said));
        self.found.extend(self.search().find(&said).iter().map(|name| format!("{args:?} said {name}")));
        Output { status, stdout, stderr }
    }

    /// Whether helm has made the chart's objects and is still running.
    fn helm_waits(&self) -> bool {
        let made = !self.kubectl(&["get", "deployment", "gate", "--ignore-not-found", "-o", "name"]).is_empty();
        let runs = |line: Vec<u8>| {
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains("helm upgrade") && line.contains(NAMESPACE)
        };
        made && fs::read_dir("/proc").unwrap().flatten().any(|p| fs::read(p.path().join("cmdline")).is_ok_and(runs))
    }

    fn all_is_there(&self) {
        let decoded = |value: &Value| {
            let text = value.as_str().unwrap_or_default();
            String::from_utf8(base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap())
                .unwrap()
        };
        for name in ["secret", "chart"] {
            let data = self.object("secret", name)["data"].clone();
            assert_eq!(
                (decoded(&data["all"]), decoded(&data["key"])),
                (self.all(), self.value("key").to_owned()),
                "{name}"
            );
        }
        let config = self.object("configmap", "config");
        assert_eq!(config["data"]["all"], self.all());
        assert_eq!(config["metadata"]["annotations"]["poison/all"], self.all());
    }

    /// What lies where it is not wanted: in files, and in objects that keep no values for anybody.
    fn left_behind(&self) -> Vec<String> {
        let search = self.search();
        let wanted = self.path("kept");
        let places = [
            (self.path(""), 5),
            (std::env::temp_dir(), 1),
            ("/run".into(), 2),
            ("/var/lib/rollout-lab/helm".into(), 6),
        ];
        let mut found: Vec<_> =
            places.iter().flat_map(|(place, depth)| search.find_in(place, *depth, &[wanted.as_path()])).collect();
        let kinds = "events,leases,deployments,replicasets,pods,services,resourcequotas";
        let objects = self.lab.call(&["kubectl", "get", kinds, "--all-namespaces", "-o", "json"]);
        found.extend(search.find(objects.as_bytes()).iter().map(|name| format!("an object: {name}")));
        found
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        self.lab.call(&["kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false"]);
    }
}

#[test]
fn secrets_in_clusters_go_nowhere_but_where_they_are_wanted() {
    let Some(lab) = lab() else { return };
    let mut bench = Bench::new(&lab);
    let [passing, failing, saved] =
        ["passing.toml", "failing.toml", "saved.rollout"].map(|name| bench.path(name).to_str().unwrap().to_owned());
    let inventory = ["-i", "inventory/lab.toml"];
    for (log, format) in [("off", "text"), ("trace", "json")] {
        let shown = ["--diff", "full", "--output", format];
        bench.undone();
        let planned = bench.call(&[&["plan", &passing, "-o", &saved], &inventory[..], &shown].concat(), log, false);
        let applied = bench.call(&[&["apply", &saved], &shown[..]].concat(), log, true);
        for (what, ran) in [("plan", &planned), ("apply", &applied)] {
            assert!(ran.status.success(), "{what}: {ran:?}");
            // Else the search would find nothing since there was nothing.
            assert!(String::from_utf8_lossy(&ran.stdout).contains(MASK), "{what}: {ran:?}");
        }
        bench.all_is_there();

        bench.undone();
        let ran = bench.call(&[&["run", &passing, "--fresh"], &inventory[..], &shown].concat(), log, true);
        assert!(ran.status.success(), "{ran:?}");
        bench.all_is_there();

        let ran = bench.call(&[&["run", &failing, "--fresh"], &inventory[..], &shown].concat(), log, false);
        let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        assert_eq!(ran.status.code(), Some(1), "{said}");
        assert!(said.contains(MASK), "{said}");
        let failed = format!("{} failed", FAILING.len());
        assert!(format == "json" || said.contains(&failed), "not {failed}: {said}");
        for args in [&["show", "--diff", "full", "--output", format][..], &["runs", "--output", format]] {
            assert!(bench.call(args, log, false).status.success(), "{args:?}");
        }
        let left = bench.left_behind();
        bench.found.extend(left);
    }
    assert_eq!(bench.found, Vec::<String>::new());
}
