//! `rollout run PLAN` and its dry run, `rollout plan PLAN`.

use std::sync::Arc;

use super::exit::Exit;
use super::failure::Failure;
use super::inject::{Injection, Injections};
use super::options::Options;
use super::session::{Manner, Selection, Session, exit};
use super::terminal::Terminal;
use crate::event::Mode;

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    manner: Manner,
    /// Only look, and show what would change: the same as `rollout plan`
    #[arg(long)]
    dry_run: bool,
    /// Start anew instead of going on from the last run; handlers that are still to run are not forgotten
    #[arg(long)]
    fresh: bool,
    /// Take this step as done: it was cut off, and you saw that it took effect. STEP, PHASE/STEP or STEP@HOST. Repeatable
    #[arg(long, value_name = "STEP")]
    done: Vec<String>,
    /// Run this step, whatever is on record: it was cut off, and you saw that it did not take effect. Repeatable
    #[arg(long, value_name = "STEP")]
    rerun: Vec<String>,
    /// Make a step go wrong on purpose
    #[arg(long, value_name = "STEP=WHAT", hide = true)]
    inject: Vec<Injection>,
}

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    manner: Manner,
    /// End with exit code 3 when something would change
    #[arg(long)]
    detailed_exit_code: bool,
}

/// `rollout run`.
pub fn run(args: &RunArgs, options: &Options, terminal: &Terminal) -> Result<Exit, Failure> {
    let mode = if args.dry_run { Mode::Preview } else { Mode::Run };
    let session = Session {
        fresh: args.fresh,
        done: args.done.clone(),
        rerun: args.rerun.clone(),
        faults: Arc::new(Injections::new(args.inject.clone())),
        ..Session::new(&args.selection, &args.manner, mode)
    };
    Ok(exit(&session.go(options, terminal)?.report))
}

/// `rollout plan`.
pub fn plan(args: &PlanArgs, options: &Options, terminal: &Terminal) -> Result<Exit, Failure> {
    let report = Session::new(&args.selection, &args.manner, Mode::Preview).go(options, terminal)?.report;
    let pending = report.summary.get("changed") + report.summary.get("pending") > 0;
    match exit(&report) {
        Exit::Ok if pending && args.detailed_exit_code => Ok(Exit::Pending),
        other => Ok(other),
    }
}
