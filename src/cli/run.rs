//! `rollout run PLAN` and its preview, `rollout plan PLAN`.

use std::path::PathBuf;
use std::sync::Arc;

use super::detach;
use super::exit::Exit;
use super::failure::Failure;
use super::inject::{Injection, Injections};
use super::lock::LockArgs;
use super::options::Options;
use super::selection::{DisplayArgs, Selection};
use super::session::{Session, exit};
use super::terminal::Terminal;
use crate::event::{Mode, Problem};
use crate::journal::{SavedPlan, Store};

#[derive(Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    display: DisplayArgs,
    /// Preview only: show what would change, the same as `rollout plan`
    #[arg(long)]
    dry_run: bool,
    /// Start anew instead of continuing the last run. Handlers that were notified and have not run yet still run
    #[arg(long)]
    fresh: bool,
    /// Run in the background: closing the terminal does not end the run
    #[arg(long, conflicts_with = "dry_run")]
    detach: bool,
    /// Set for the process that runs in the background
    #[arg(long, hide = true)]
    detached: bool,
    #[command(flatten)]
    answers: Answers,
    #[command(flatten)]
    lock: LockArgs,
    /// Make a step fail on purpose
    #[arg(long, value_name = "STEP=WHAT", hide = true)]
    inject: Vec<Injection>,
}

/// A person's answers about interrupted steps.
#[derive(Debug, clap::Args)]
pub struct Answers {
    /// Take this step as done: it was interrupted, and you checked that it took effect. Write STEP, PHASE/STEP,
    /// STEP@HOST or STEP[ITEM]. Repeatable
    #[arg(long, value_name = "STEP")]
    pub done: Vec<String>,
    /// Run this step again: it was interrupted, and you checked that it did not take effect. Repeatable
    #[arg(long, value_name = "STEP")]
    pub rerun: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    display: DisplayArgs,
    /// Save the preview to this file, for `rollout apply FILE`
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Exit with code 3 if something would change
    #[arg(long)]
    detailed_exit_code: bool,
}

pub fn run(args: &RunArgs, options: &Options, terminal: &Terminal) -> Result<Exit, Failure> {
    if args.detach {
        return detach::start(&args.selection, options, terminal);
    }
    if args.detached {
        detach::leave_terminal()?;
    }
    let mode = if args.dry_run { Mode::Preview } else { Mode::Run };
    let session = Session {
        fresh: args.fresh,
        wait_lock: args.lock.wait_lock,
        done: args.answers.done.clone(),
        rerun: args.answers.rerun.clone(),
        faults: Arc::new(Injections::new(args.inject.clone())),
        ..Session::new(&args.selection, &args.display, mode)
    };
    Ok(exit(&session.run(options, terminal)?.report))
}

pub fn plan(args: &PlanArgs, options: &Options, terminal: &Terminal) -> Result<Exit, Failure> {
    let session =
        Session { is_compared: args.out.is_some(), ..Session::new(&args.selection, &args.display, Mode::Preview) };
    let result = session.run(options, terminal)?;
    let report = result.report;
    if let Some(path) = &args.out {
        if !report.ok {
            let problem = Problem::new(format!("{} was not written, because the preview failed", path.display()));
            return Err(Failure::Problem(problem.hint("the output above says why"), exit(&report)));
        }
        let saved = SavedPlan::from_events(&result.events, result.plan, result.source);
        let source = &saved.source;
        let store = Store::open(&source.plan, &saved.plan, source.inventory.as_deref())?;
        saved.save(path, &store.key()?).map_err(|e| Failure::Problem(Problem::new(e.to_string()), Exit::Failed))?;
        terminal.note(&format!("saved: make exactly these changes with `rollout apply {}`\n", path.display()));
    }
    let pending = report.summary.get("changed") + report.summary.get("pending") > 0;
    match exit(&report) {
        Exit::Ok if pending && args.detailed_exit_code => Ok(Exit::Pending),
        other => Ok(other),
    }
}
