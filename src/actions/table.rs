//! Keeps the table of all actions in `README.md` of this folder equal to the registry.

use std::fmt::Write as _;
use std::path::Path;

use super::Registry;
use crate::plan::{ActionInfo, Catalog as _, Role, RunsOn};

/// Environment variable that makes the test write the table.
const UPDATE: &str = "ROLLOUT_UPDATE";

const HEAD: &str = "# Actions

What steps can do. `rollout actions NAME` shows an action with its parameters, outputs and an example. Those that look never
change anything and run in previews too; those that change do so only where something differs. *Root*: usually with
`become = true`, as in the example. *Reaches*: the host of the step, the cluster's API, or another server from the machine
that runs the tool.
";

fn table() -> String {
    let registry = Registry::standard();
    let group = |kind: &ActionInfo| kind.name.split('.').next().unwrap_or_default().to_owned();
    let mut text = HEAD.to_owned();
    let mut last = String::new();
    for kind in registry.actions() {
        if group(kind) != last {
            last = group(kind);
            let _ = writeln!(
                text,
                "\n## {last}\n\n| action | what it is for | does | root | reaches |\n|---|---|---|---|---|"
            );
        }
        let does = match kind.role {
            Role::Check => "looks",
            Role::Change => "changes",
        };
        let root = if kind.example.contains("become = true") { "yes" } else { "" };
        let reaches = match kind.runs_on {
            RunsOn::Host => "host",
            RunsOn::Controller => "server",
            RunsOn::Cluster => "cluster",
        };
        let summary = kind.summary.replace('|', "\\|");
        let _ = writeln!(text, "| `{}` | {summary} | {does} | {root} | {reaches} |", kind.name);
    }
    text
}

#[test]
fn the_table_of_actions_is_that_of_the_registry() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/actions/README.md");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, table()).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let how = format!("write it anew: {UPDATE}=1 cargo test --lib the_table_of_actions");
    assert!(there == table(), "{} is out of date; {how}", path.display());
}
