//! `rollout runs`: lists the runs of this machine, or deletes old ones.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use super::exit::Exit;
use super::failure::Failure;
use super::options::Format;
use super::terminal::{CYAN, DIM, GREEN, RED, Terminal, YELLOW};
use crate::document::parse_duration;
use crate::event::Problem;
use crate::journal::{JournalError, RunInfo, RunState, Store};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only runs of the plan with this name
    plan: Option<String>,
    /// Show this many runs, the newest last
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
    limit: usize,
    /// Delete old runs: all but the newest ones of each plan, see --keep and --older-than
    #[arg(long, conflicts_with = "plan")]
    prune: bool,
    /// With --prune: keep this many runs of each plan; at least one is always kept, because the next run continues it
    #[arg(long, default_value_t = 10, value_name = "N", requires = "prune")]
    keep: usize,
    /// With --prune: delete only runs older than this, such as `720h`
    #[arg(long, value_name = "DURATION", requires = "prune", value_parser = parse_duration)]
    older_than: Option<Duration>,
}

/// Lists the runs, oldest first.
pub fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    if args.prune {
        return prune(args, terminal);
    }
    let mut runs = Store::all_runs();
    runs.retain(|r| args.plan.as_ref().is_none_or(|plan| r.plan == *plan));
    let shown = &runs[runs.len().saturating_sub(args.limit)..];
    if terminal.format == Format::Json {
        terminal.json(&shown.iter().map(record).collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    }
    let mut out = String::new();
    for run in shown {
        let _ = writeln!(out, "{}", line(run));
    }
    if shown.is_empty() {
        terminal.note("nothing has run here yet\n");
    }
    terminal.data(&out)?;
    Ok(Exit::Ok)
}

fn prune(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let deleted = Store::prune(args.keep, args.older_than).map_err(|e| match e {
        JournalError::Open { .. } => e.into(),
        e => Failure::Problem(Problem::new(e.to_string()), Exit::Failed),
    })?;
    if terminal.format == Format::Json {
        terminal.json(&deleted)?;
    } else {
        terminal.data(&deleted.iter().map(|id| format!("{id}\n")).collect::<String>())?;
        terminal.note(&format!("{} runs deleted\n", deleted.len()));
    }
    Ok(Exit::Ok)
}

fn line(run: &RunInfo) -> String {
    let (style, word) = match run.state {
        RunState::Succeeded => (GREEN, "succeeded"),
        RunState::Failed => (RED, "failed"),
        RunState::Interrupted => (YELLOW, "interrupted"),
        RunState::Unfinished => (YELLOW, "unfinished"),
        RunState::Unreadable => (RED, "unreadable"),
    };
    let counts: Vec<String> = run.summary.0.iter().map(|(name, n)| format!("{n} {name}")).collect();
    let elapsed = run.elapsed.map(|s| format!("{s:.1} s")).unwrap_or_default();
    let started = run.started.map(|t| t.strftime("%F %T UTC").to_string()).unwrap_or_default();
    format!(
        "{CYAN}{}{CYAN:#}  {style}{word:<11}{style:#}  {:<12}  {DIM}{started}  {elapsed:>8}{DIM:#}  {}",
        run.id,
        run.plan,
        counts.join(", ")
    )
}

fn record(run: &RunInfo) -> serde_json::Value {
    json!({
        "run": run.id,
        "plan": run.plan,
        "state": run.state,
        "started": run.started,
        "elapsed": run.elapsed,
        "summary": run.summary,
    })
}
