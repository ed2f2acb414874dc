//! `rollout actions [NAME]`: the list of actions, and the page of one.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::exit::Exit;
use super::failure::Failure;
use super::options::Format;
use super::terminal::{BOLD, CYAN, DIM, Terminal};
use crate::actions::Registry;
use crate::event::Problem;
use crate::finding::did_you_mean;
use crate::plan::{ActionInfo, Catalog, Param, Role, RunsOn};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show this action alone, such as `node.file`; a group such as `node` lists its actions
    name: Option<String>,
}

/// Lists or shows.
pub fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let registry = Registry::standard();
    let kinds = registry.actions();
    match &args.name {
        None => list(&kinds, terminal)?,
        Some(name) => match registry.action(name) {
            Some(kind) => show(kind, terminal)?,
            None => {
                let prefix = format!("{name}.");
                let group: Vec<&ActionInfo> = kinds.iter().filter(|k| k.name.starts_with(&prefix)).copied().collect();
                if group.is_empty() {
                    let near = did_you_mean(name, kinds.iter().map(|k| k.name));
                    let hint = near.unwrap_or_else(|| "`rollout actions` lists all of them".into());
                    return Err(Failure::usage(Problem::new(format!("no action is named `{name}`")).hint(hint)));
                }
                list(&group, terminal)?;
            }
        },
    }
    Ok(Exit::Ok)
}

fn list(kinds: &[&ActionInfo], terminal: &Terminal) -> std::io::Result<()> {
    if terminal.format == Format::Json {
        return terminal.json(&kinds.iter().map(|k| record(k)).collect::<Vec<_>>());
    }
    let width = kinds.iter().map(|k| k.name.len()).max().unwrap_or_default();
    let mut out = String::new();
    for kind in kinds {
        let place = format!("{:<10}", place(kind.runs_on));
        let _ = writeln!(out, "{CYAN}{:<width$}{CYAN:#}  {DIM}{place}{DIM:#}  {}", kind.name, kind.summary);
    }
    terminal.data(&out)
}

fn show(kind: &ActionInfo, terminal: &Terminal) -> std::io::Result<()> {
    if terminal.format == Format::Json {
        return terminal.json(&record(kind));
    }
    terminal.data(&page(kind))
}

fn place(place: RunsOn) -> &'static str {
    match place {
        RunsOn::Host => "host",
        RunsOn::Controller => "controller",
        RunsOn::Cluster => "cluster",
    }
}

fn record(kind: &ActionInfo) -> Value {
    let outputs: Vec<Value> = kind.outputs.iter().map(|o| json!({ "name": o.name, "about": o.about })).collect();
    json!({
        "name": kind.name,
        "summary": kind.summary,
        "place": place(kind.runs_on),
        "changes": kind.role == Role::Change,
        "outputs": outputs,
        "example": kind.example,
        "schema": (kind.schema)(),
    })
}

/// The page of one action.
fn page(kind: &ActionInfo) -> String {
    let mut out = format!("{CYAN}{BOLD}{}{BOLD:#}{CYAN:#}: {}\n", kind.name, kind.summary);
    let place = match kind.runs_on {
        RunsOn::Host => "Runs on each host of the step's `hosts`",
        RunsOn::Controller => "Runs once, from this machine",
        RunsOn::Cluster => "Runs once, from this machine, through the cluster's API",
    };
    let role = match kind.role {
        Role::Check => "it only looks.",
        Role::Change => "it changes things, and only what differs.",
    };
    let _ = writeln!(out, "\n{place}; {role}");
    let params = kind.params();
    for (title, required) in [("Required", true), ("Optional", false)] {
        if params.iter().any(|p| p.required == required) {
            let _ = writeln!(out, "\n{BOLD}{title} parameters{BOLD:#}");
            params.iter().filter(|p| p.required == required).for_each(|p| parameter(&mut out, p));
        }
    }
    if !kind.outputs.is_empty() {
        let _ = writeln!(out, "\n{BOLD}Outputs{BOLD:#} {DIM}steps.ID.NAME in later steps{DIM:#}");
        for output in kind.outputs {
            let _ = writeln!(out, "  {CYAN}{}{CYAN:#}\n      {}", output.name, output.about);
        }
    }
    let _ = writeln!(out, "\n{BOLD}Example{BOLD:#}");
    for line in example(kind).lines() {
        let _ = writeln!(out, "  {line}");
    }
    out
}

/// The example with a step's header.
fn example(kind: &ActionInfo) -> String {
    let text = kind.example.trim();
    if text.contains("[[phase.") { text.to_owned() } else { format!("[[phase.NAME.step]]\n{text}") }
}

fn parameter(out: &mut String, param: &Param) {
    let default = param.default.as_ref().map(|d| format!(", default {d}")).unwrap_or_default();
    let _ = writeln!(out, "  {CYAN}{}{CYAN:#} {DIM}{}{default}{DIM:#}", param.name, param.kind);
    for line in param.about.lines() {
        let _ = writeln!(out, "      {}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::finding::Style;
    use crate::inventory::Inventory;
    use crate::plan::{Plan, check};

    #[test]
    fn every_example_is_a_step_that_its_action_takes() {
        let registry = Registry::standard();
        let inventory = Inventory::builtin();
        for kind in registry.actions() {
            let text =
                format!("[plan]\nname = \"example\"\n{}\n", example(kind).replace("phase.NAME", "phase.example"));
            let plan = Plan::parse(Path::new("plans/example.toml"), &text)
                .unwrap_or_else(|f| panic!("{}", f.text(Style { color: false, unicode: true, width: 100 })));
            assert!(plan.phases.iter().flat_map(|p| &p.steps).any(|s| s.action.value == kind.name), "{}", kind.name);
            // Hosts, variables and files of an example are those of the reader's project.
            let wrong = check(&plan, &inventory, &registry, &serde_json::Map::new());
            let refused = wrong.iter().find(|f| f.code.ends_with("-parameter") || f.code.ends_with("-action"));
            assert_eq!(refused, None, "{}", kind.name);
        }
    }

    #[test]
    fn every_action_is_documented() {
        for kind in Registry::standard().actions() {
            assert!(!kind.summary.is_empty() && !kind.summary.ends_with('.'), "{}: {}", kind.name, kind.summary);
            for param in kind.params() {
                assert!(!param.about.is_empty(), "{}: {} says nothing", kind.name, param.name);
            }
            for output in kind.outputs {
                assert!(crate::template::is_variable_name(output.name), "{}: {}", kind.name, output.name);
            }
            assert!(page(kind).contains(kind.name));
        }
    }
}
