//! Charts from a registry: Debian's `docker-registry`, without TLS, on the lab's laptop.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::cluster::{Bench, word};
use crate::support::{Lab, Ran, lab};

/// The laptop's address on the lab's network: with a registry on loopback helm speaks http by itself.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const PORT: u16 = 5055;

const RELEASE: &str = r#"
id = "app"
action = "helm.release"
release = "app"
namespace = "NS"
chart = "oci://REGISTRY/charts/oc"
plain_http = true
"#;

/// A registry that ends with the test.
struct Registry<'a> {
    lab: &'a Lab,
    child: Child,
    folder: tempfile::TempDir,
}

impl<'a> Registry<'a> {
    fn start(lab: &'a Lab) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yml");
        let root = folder.path().join("kept").display().to_string();
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\n\
             http: {{addr: '{ADDRESS}:{PORT}'}}\n"
        );
        std::fs::write(&config, text).unwrap();
        let on_laptop = |program: &str| {
            let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/lab"));
            command.args(["exec", program]).stdin(Stdio::null()).stdout(Stdio::null());
            command
        };
        // Each chart that it has not got yet is an error to it.
        let log = folder.path().join("log");
        let said = std::fs::File::create(&log).unwrap();
        let child = on_laptop("docker-registry").arg("serve").arg(&config).stderr(said).spawn().unwrap();
        let registry = Self { lab, child, folder };
        let mut curl = on_laptop("curl");
        curl.args(["-sf", "--retry", "30", "--retry-connrefused", "--retry-delay", "1"]);
        let answers = curl.arg(format!("http://{ADDRESS}:{PORT}/v2/")).status().unwrap().success();
        assert!(answers, "the registry does not answer: {}", std::fs::read_to_string(log).unwrap());
        registry
    }

    /// Pushes the chart in a version, which its one object shows. Gives its digest.
    fn push(&self, version: &str) -> String {
        let chart = self.folder.path().join("oc");
        std::fs::create_dir_all(chart.join("templates")).unwrap();
        std::fs::write(chart.join("Chart.yaml"), format!("apiVersion: v2\nname: oc\nversion: {version}\n")).unwrap();
        std::fs::write(
            chart.join("templates/settings.yaml"),
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {version: {{ .Chart.Version }}}\n",
        )
        .unwrap();
        let (folder, chart) = (self.folder.path().display().to_string(), chart.display().to_string());
        self.lab.call(&["exec", "helm", "package", &chart, "--destination", &folder]);
        let (packed, to) = (format!("{folder}/oc-{version}.tgz"), format!("oci://{ADDRESS}:{PORT}/charts"));
        // Helm tells the digest on stderr.
        let push = r#"helm push "$1" "$2" --plain-http 2>&1"#;
        let said = self.lab.call(&["exec", "sh", "-c", push, "sh", &packed, &to]);
        let digest = said.lines().find_map(|line| line.strip_prefix("Digest: "));
        digest.unwrap_or_else(|| panic!("no digest: {said}")).to_owned()
    }
}

impl Drop for Registry<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The step with this behind the chart's name.
fn release(reference: &str) -> String {
    RELEASE.replace("REGISTRY/charts/oc", &format!("{ADDRESS}:{PORT}/charts/oc{reference}"))
}

fn said(ran: &Ran) -> String {
    format!("{:?}", ran.problems())
}

#[test]
fn a_chart_is_taken_from_a_registry_by_tag_version_and_digest() {
    let Some(lab) = lab() else { return };
    let (bench, registry) = (Bench::new(&lab, "bench-registry"), Registry::start(&lab));
    let (first, second) = (registry.push("1.0.0"), registry.push("1.1.0"));
    let deployed = || bench.kubectl(&["get", "cm", "settings", "-o", "jsonpath={.data.version}"]);

    let preview = bench.call(&["plan", "--detailed-exit-code"], &[&release(":1.0.0")]);
    assert_eq!(preview.code, 3, "{}", preview.failures());
    assert_eq!(bench.kubectl(&["get", "secret", "-l", "owner=helm", "-o", "name"]), "");

    let pinned = [format!(":1.0.0@{first}"), format!("@{second}"), format!("@{first}")];
    let version = release("").replace("plain_http", "version = \"1.1.0\"\nplain_http");
    for (step, version) in [
        (release(":1.0.0"), "1.0.0"),
        (release(":1.1.0"), "1.1.0"),
        (release(&pinned[0]), "1.0.0"),
        (release(&pinned[1]), "1.1.0"),
        (release(&pinned[2]), "1.0.0"),
        (version, "1.1.0"),
    ] {
        let ran = bench.run(&[&step]);
        assert_eq!(word(&ran, "app"), "changed", "{step}{}", ran.failures());
        assert_eq!(deployed(), version, "{step}");
        assert_eq!(word(&bench.call(&["plan"], &[&step]), "app"), "same", "{step}");
        assert_eq!(word(&bench.run(&[&step]), "app"), "same", "{step}");
    }
    // The newest is for a release that is not there yet.
    assert_eq!(word(&bench.run(&[&release("")]), "app"), "same");
    // Helm 3 goes over to http by itself.
    let ran = bench.run(&[&release(":1.0.0").replace("plain_http = true", "")]);
    assert_eq!(word(&ran, "app"), "changed", "{}", ran.failures());
}

#[test]
fn what_a_registry_does_not_give_is_told_with_what_to_do() {
    let Some(lab) = lab() else { return };
    let (bench, registry) = (Bench::new(&lab, "bench-registry"), Registry::start(&lab));
    registry.push("1.0.0");
    let other = release(&format!("@sha256:{}", "ab".repeat(32)));
    for (step, what) in [
        (release(":1.2.0"), "oc:1.2.0: not found"),
        (release(":1.2.0"), "`helm show chart oci://10.77.0.1:5055/charts/oc:1.2.0 --plain-http`"),
        (other, ": not found"),
    ] {
        let ran = bench.call(&["plan"], &[&step]);
        assert_eq!(ran.code, 1, "{step}{}", ran.failures());
        assert!(said(&ran).contains(what), "{what}: {}", said(&ran));
    }
}
