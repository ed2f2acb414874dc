//! `rollout check PLAN...`: reports what is wrong with plans, without connecting to anything.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::exit::Exit;
use super::failure::Failure;
use super::load::load_with_findings;
use super::options::{Format, Options};
use super::terminal::{CYAN, GREEN, Terminal};
use crate::finding::Findings;
use crate::inventory::Inventory;
use crate::plan::Plan;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Plan files
    #[arg(required = true, value_name = "PLAN")]
    plans: Vec<PathBuf>,
}

/// Checks each plan, and shows the findings of all of them together.
pub fn run(args: &Args, options: &Options, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut all = Findings::new();
    let mut good = String::new();
    for path in &args.plans {
        let findings = match load_with_findings(path, options) {
            Ok((plan, inventory, findings)) => {
                if !findings.has_errors() {
                    good.push_str(&success_line(path, &plan, &inventory));
                }
                findings
            }
            Err(findings) => findings,
        };
        all.extend(findings);
    }
    if terminal.format == Format::Json {
        terminal.json(&json!({ "ok": !all.has_errors(), "findings": all.json() }))?;
    } else {
        terminal.warnings(&all);
        terminal.data(&good)?;
    }
    Ok(if all.has_errors() { Exit::Usage } else { Exit::Ok })
}

/// The line for a plan without errors.
fn success_line(path: &Path, plan: &Plan, inventory: &Inventory) -> String {
    let steps = plan.phases.iter().map(|p| p.steps.len()).sum();
    let place = inventory.path.as_ref().map_or("this machine".to_owned(), |p| p.display().to_string());
    format!(
        "{CYAN}{}{CYAN:#} {GREEN}is good{GREEN:#}: {}, {}, against {place} with {}\n",
        path.display(),
        count(plan.phases.len(), "phase"),
        count(steps, "step"),
        count(inventory.hosts.len(), "host"),
    )
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
