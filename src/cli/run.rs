//! `rollout run PLAN` and its dry run, `rollout plan PLAN`.

use std::path::PathBuf;
use std::sync::Arc;

use super::detach;
use super::exit::Exit;
use super::failure::Failure;
use super::inject::{Injection, Injections};
use super::lock::Waiting;
use super::options::Options;
use super::selection::{DisplayArgs, Selection};
use super::session::{Session, exit};
use super::terminal::Terminal;
use crate::event::{Mode, Problem};
use crate::journal::{SavedPlan, Store};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    manner: DisplayArgs,
    /// Only look, and show what would change: the same as `rollout plan`
    #[arg(long)]
    dry_run: bool,
    /// Start anew instead of going on from the last run; handlers that are still to run are not forgotten
    #[arg(long)]
    fresh: bool,
    /// Go on in the background: closing the terminal does not end the run
    #[arg(long, conflicts_with = "dry_run")]
    detach: bool,
    /// This is the run in the background
    #[arg(long, hide = true)]
    detached: bool,
    #[command(flatten)]
    answers: Answers,
    #[command(flatten)]
    waiting: Waiting,
    /// Make a step go wrong on purpose
    #[arg(long, value_name = "STEP=WHAT", hide = true)]
    inject: Vec<Injection>,
}

/// What a person says of steps that were cut off.
#[derive(Debug, clap::Args)]
pub struct Answers {
    /// Take this step as done: it was cut off, and you saw that it took effect. STEP, PHASE/STEP, STEP@HOST or
    /// STEP[ITEM]. Repeatable
    #[arg(long, value_name = "STEP")]
    pub done: Vec<String>,
    /// Run this step, whatever is on record: it was cut off, and you saw that it did not take effect. Repeatable
    #[arg(long, value_name = "STEP")]
    pub rerun: Vec<String>,
}

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    manner: DisplayArgs,
    /// Save what is shown in this file, for `rollout apply FILE`
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// End with exit code 3 when something would change
    #[arg(long)]
    detailed_exit_code: bool,
}

/// `rollout run`.
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
        wait_lock: args.waiting.wait_lock,
        done: args.answers.done.clone(),
        rerun: args.answers.rerun.clone(),
        faults: Arc::new(Injections::new(args.inject.clone())),
        ..Session::new(&args.selection, &args.manner, mode)
    };
    Ok(exit(&session.go(options, terminal)?.report))
}

/// `rollout plan`.
pub fn plan(args: &PlanArgs, options: &Options, terminal: &Terminal) -> Result<Exit, Failure> {
    let session =
        Session { compared: args.out.is_some(), ..Session::new(&args.selection, &args.manner, Mode::Preview) };
    let walked = session.go(options, terminal)?;
    let report = walked.report;
    if let Some(path) = &args.out {
        if !report.ok {
            let problem = Problem::new(format!("{} is not written: the preview did not end well", path.display()));
            return Err(Failure::Problem(problem.hint("see above for why"), exit(&report)));
        }
        let saved = SavedPlan::from_events(&walked.events, walked.plan, walked.source);
        let source = &saved.source;
        let store = Store::open(&source.plan, &saved.plan, source.inventory.as_deref())?;
        saved.save(path, &store.key()?).map_err(|e| Failure::Problem(Problem::new(e.to_string()), Exit::Failed))?;
        terminal.note(&format!("saved: apply exactly this with `rollout apply {}`\n", path.display()));
    }
    let pending = report.summary.get("changed") + report.summary.get("pending") > 0;
    match exit(&report) {
        Exit::Ok if pending && args.detailed_exit_code => Ok(Exit::Pending),
        other => Ok(other),
    }
}
