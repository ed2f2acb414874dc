//! One test for each class of bad plan. A single finding is compared as the user reads it; several findings as a table.

mod foreign;
mod guard;
mod hosts;
mod loops;
mod outputs;
mod pace;
mod params;
mod repeats;
mod secrets;
mod structure;
mod templates;
mod variables;

use std::path::Path;

use serde_json::{Map, Value, json};

use super::check;
use crate::finding::{Finding, Findings, Severity, Span, Style};
use crate::inventory::Inventory;
use crate::plan::Plan;
use crate::plan::testing::catalog;

const INVENTORY: &str = r#"
[vars]
domain = "lan"
[hosts.control]
connection = "local"
[hosts.pi-1]
address = "10.0.0.1"
vars.disk = "/dev/sda"
vars.slots = 2
[hosts.pi-2]
address = "10.0.0.2"
vars.slots = "many"
[groups.pis]
hosts = ["pi-*"]
"#;

struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(self, path: &str, text: &str) -> Self {
        let full = self.0.path().join(path);
        std::fs::create_dir_all(full.parent().unwrap()).unwrap();
        std::fs::write(full, text).unwrap();
        self
    }

    /// The findings of a plan; `[plan]` is added.
    fn findings(&self, text: &str, overrides: &Value) -> Findings {
        let text = format!("[plan]\nname = \"demo\"\n{text}");
        let mut plan = Plan::parse(Path::new("plans/a.toml"), &text).unwrap_or_else(|f| panic!("{}", f.text(STYLE)));
        plan.root = self.0.path().to_owned();
        let inventory = Inventory::parse(Path::new("inventory/lab.toml"), INVENTORY).unwrap();
        let overrides: Map<String, Value> = overrides.as_object().unwrap().clone();
        check(&plan, &inventory, &catalog(), &overrides)
    }

    /// The findings as the user reads them.
    fn check(&self, text: &str) -> String {
        self.check_with(text, &json!({}))
    }

    fn check_with(&self, text: &str, overrides: &Value) -> String {
        let findings = self.findings(text, overrides);
        let text = self.without_root(&findings.text(STYLE));
        if text.is_empty() { format!("{} errors", findings.count(Severity::Error)) } else { text }
    }

    /// The findings as a table: the place and the marked text, the message, and the help.
    fn table(&self, text: &str) -> String {
        self.table_with(text, &json!({}))
    }

    fn table_with(&self, text: &str, overrides: &Value) -> String {
        self.without_root(&self.findings(text, overrides).iter().map(row).collect::<String>())
    }

    fn without_root(&self, text: &str) -> String {
        text.replace(&self.0.path().display().to_string(), "ROOT")
    }
}

fn row(finding: &Finding) -> String {
    let place = finding.place.as_ref().unwrap();
    let file = place.source.path.display().to_string();
    let file = if file == "plans/a.toml" { String::new() } else { format!("{file}:") };
    let mark = |(span, label): &(Span, String)| {
        let (line, column) = place.source.position(span.start);
        let label = if label.is_empty() { String::new() } else { format!(" ({label})") };
        format!("{file}{line}:{column} {}{label}", &place.source.text[span.clone()])
    };
    let marks: Vec<String> = place.labels.iter().map(mark).collect();
    let sign = if finding.severity == Severity::Error { '×' } else { '⚠' };
    let help = finding.help.iter().map(|help| format!("    {help}\n")).collect::<String>();
    format!("{sign} {}: {}\n{help}", marks.join(" and "), finding.message)
}

const STYLE: Style = Style { color: false, unicode: true, width: 100 };

#[test]
fn a_good_plan_has_no_findings() {
    let project = Project::new()
        .file(
            "templates/motd.j2",
            "{% set x = zone %}{{ x }} {{ host.disk | default('none') }}{% include 'templates/part.j2' %}\n",
        )
        .file(
            "templates/part.j2",
            "{{ x }} {{ steps.first_file.checksum is defined }}{% for h in hosts %}{{ h }}{% endfor %}",
        )
        .file("values.yaml", "a: {{ not a template\n");
    let said = project.check(
        r#"
[vars]
zone = "{{ domain }}-1"
copies = 3
page = "http://{{ host.address }}/"
[phase.files]
[[phase.files.step]]
id = "first.file"
action = "test.file"
hosts = "pis:!pi-2"
when = "host.disk == '/dev/sda'"
path = "/etc/{{ zone }}"
source = "values.yaml"
aliases = ["{{ hosts['pi-1'].address }}", "{{ groups.pis | first }}", "{{ page }}"]
[[phase.files.step]]
id = "motd"
action = "test.file"
hosts = "pis"
become = true
path = "/etc/motd"
mode = "{{ '0600' if zone.startswith is undefined else '0644' }}"
count = "{{ copies }}"
template = "templates/motd.j2"
[phase.app]
needs = ["files"]
when = "zone is defined"
[[phase.app.step]]
id = "app"
action = "test.release"
release = "{{ steps.first_file.hosts['pi-1'].checksum }}"
[[phase.app.step]]
id = "again"
action = "test.release"
release = "{{ plan.name }}-{{ steps.app.revision }}"
port = "{{ steps.app.revision }}"
"#,
    );
    assert_eq!(said, "0 errors");
}
