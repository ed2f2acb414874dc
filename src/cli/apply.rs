//! `rollout apply FILE`: makes exactly the changes that a saved plan shows, or lists what has moved since.

use std::path::PathBuf;

use super::exit::Exit;
use super::failure::Failure;
use super::lock::LockArgs;
use super::options::Options;
use super::replay::Replay;
use super::selection::DisplayArgs;
use super::session::{Session, exit};
use super::terminal::Terminal;
use crate::event::{Mode, Problem};
use crate::journal::{SavedPlan, Store};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file that `rollout plan -o FILE` wrote
    file: PathBuf,
    #[command(flatten)]
    display: DisplayArgs,
    #[command(flatten)]
    lock: LockArgs,
}

/// Compares a new preview with the saved plan, and runs it only if both agree.
pub fn run(args: &Args, options: &Options, terminal: &Terminal) -> Result<Exit, Failure> {
    let key_of = |saved: &SavedPlan| {
        let source = &saved.source;
        Store::existing_key(&source.plan, &saved.plan, source.inventory.as_deref())
    };
    let (saved, hash) = SavedPlan::load(&args.file, key_of).map_err(|e| {
        Failure::usage(Problem::new(e.to_string()).hint("save a plan with `rollout plan PLAN -o FILE`"))
    })?;
    if options.inventory.is_some() || !options.vars.is_empty() {
        let problem = Problem::new("a saved plan already contains its inventory and variables");
        return Err(Failure::usage(problem.hint("leave out -i and --var, or save a new plan with them")));
    }
    let replay = Replay::of(&saved.source, options)?;
    // An interrupted apply of the same file is continued without a comparison: its own changes would count as moves.
    if !replay.continues_apply_of(&saved.plan, &hash) {
        let preview = Session::new(&replay.selection, &args.display, Mode::Preview);
        let preview = Session { is_quiet: true, is_compared: true, ..preview };
        let result = preview.run(&replay.options, terminal)?;
        let current = SavedPlan::from_events(&result.events, result.plan, result.source);
        let moved = saved.differences(&current);
        if !moved.is_empty() {
            let lines: Vec<String> = moved.iter().map(|line| format!("  {line}")).collect();
            let at = saved.at.strftime("%F %T UTC");
            let message =
                format!("values have moved since {} was saved ({at}):\n{}", args.file.display(), lines.join("\n"));
            let hint = format!("nothing was changed; make a new preview: rollout plan {}", saved.source.plan.display());
            return Err(Failure::Problem(Problem::new(message).hint(hint), Exit::Failed));
        }
    }
    let session = Session {
        wait_lock: args.lock.wait_lock,
        saved_plan: Some((saved, hash)),
        resume_command: Some(format!("rollout apply {}", args.file.display())),
        ..Session::new(&replay.selection, &args.display, Mode::Run)
    };
    Ok(exit(&session.run(&replay.options, terminal)?.report))
}
