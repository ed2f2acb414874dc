//! `rollout actions [NAME]`: lists the actions, or prints the reference of one.

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

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show only this action, such as `node.file`, or list a group of actions, such as `node`
    name: Option<String>,
}

/// Lists all actions or those of a group, or shows one.
pub fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let registry = Registry::standard();
    let actions = registry.actions();
    match &args.name {
        None => list(&actions, terminal)?,
        Some(name) => match registry.action(name) {
            Some(action) => show(action, terminal)?,
            None => {
                let prefix = format!("{name}.");
                let group: Vec<&ActionInfo> = actions.iter().filter(|k| k.name.starts_with(&prefix)).copied().collect();
                if group.is_empty() {
                    let near = did_you_mean(name, actions.iter().map(|k| k.name));
                    let hint = near.unwrap_or_else(|| "`rollout actions` lists all of them".into());
                    return Err(Failure::usage(Problem::new(format!("no action is named `{name}`")).hint(hint)));
                }
                list(&group, terminal)?;
            }
        },
    }
    Ok(Exit::Ok)
}

fn list(actions: &[&ActionInfo], terminal: &Terminal) -> std::io::Result<()> {
    if terminal.format == Format::Json {
        return terminal.json(&actions.iter().map(|k| record(k)).collect::<Vec<_>>());
    }
    let width = actions.iter().map(|k| k.name.len()).max().unwrap_or_default();
    let mut out = String::new();
    for action in actions {
        let place = format!("{:<10}", place(action.runs_on));
        let _ = writeln!(out, "{CYAN}{:<width$}{CYAN:#}  {DIM}{place}{DIM:#}  {}", action.name, action.summary);
    }
    terminal.data(&out)
}

fn show(action: &ActionInfo, terminal: &Terminal) -> std::io::Result<()> {
    if terminal.format == Format::Json {
        return terminal.json(&record(action));
    }
    terminal.data(&page(action))
}

fn place(place: RunsOn) -> &'static str {
    match place {
        RunsOn::Host => "host",
        RunsOn::Controller => "controller",
        RunsOn::Cluster => "cluster",
    }
}

fn record(action: &ActionInfo) -> Value {
    let outputs: Vec<Value> = action.outputs.iter().map(|o| json!({ "name": o.name, "about": o.about })).collect();
    json!({
        "name": action.name,
        "summary": action.summary,
        "place": place(action.runs_on),
        "changes": action.role == Role::Change,
        "outputs": outputs,
        "example": action.example,
        "schema": (action.schema)(),
    })
}

/// The reference of one action as text.
fn page(action: &ActionInfo) -> String {
    let mut out = format!("{CYAN}{BOLD}{}{BOLD:#}{CYAN:#}: {}\n", action.name, action.summary);
    let place = match action.runs_on {
        RunsOn::Host => "Runs on each host of the step's `hosts`",
        RunsOn::Controller => "Runs once, from this machine",
        RunsOn::Cluster => "Runs once, from this machine, through the cluster's API",
    };
    let role = match action.role {
        Role::Check => "it only looks and never changes anything.",
        Role::Change => "it changes only what differs from the parameters.",
    };
    let _ = writeln!(out, "\n{place}; {role}");
    let params = action.params();
    for (title, required) in [("Required", true), ("Optional", false)] {
        if params.iter().any(|p| p.required == required) {
            let _ = writeln!(out, "\n{BOLD}{title} parameters{BOLD:#}");
            params.iter().filter(|p| p.required == required).for_each(|p| parameter(&mut out, p));
        }
    }
    if !action.outputs.is_empty() {
        let _ = writeln!(out, "\n{BOLD}Outputs{BOLD:#} {DIM}steps.ID.NAME in later steps{DIM:#}");
        for output in action.outputs {
            let _ = writeln!(out, "  {CYAN}{}{CYAN:#}\n      {}", output.name, output.about);
        }
    }
    let _ = writeln!(out, "\n{BOLD}Example{BOLD:#}");
    for line in example(action).lines() {
        let _ = writeln!(out, "  {line}");
    }
    out
}

/// The action's example, with a step header in front where the example has none.
fn example(action: &ActionInfo) -> String {
    let text = action.example.trim();
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
            // Hosts, variables and files in examples exist only in the reader's project, so findings about them are
            // ignored.
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
