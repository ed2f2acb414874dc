//! `rollout apply FILE`: does exactly what a saved plan shows, or says what moved since.

use std::path::PathBuf;

use super::exit::Exit;
use super::failure::Failure;
use super::lock::Waiting;
use super::options::Options;
use super::replay::Replay;
use super::selection::DisplayArgs;
use super::session::{Session, exit};
use super::terminal::Terminal;
use crate::event::{Mode, Problem};
use crate::journal::{SavedPlan, Store};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file that `rollout plan -o FILE` wrote
    file: PathBuf,
    #[command(flatten)]
    manner: DisplayArgs,
    #[command(flatten)]
    waiting: Waiting,
}

/// Looks whether anything moved, then applies it.
pub fn run(args: &Args, options: &Options, terminal: &Terminal) -> Result<Exit, Failure> {
    let key_of = |saved: &SavedPlan| {
        let source = &saved.source;
        Store::existing_key(&source.plan, &saved.plan, source.inventory.as_deref())
    };
    let (saved, hash) = SavedPlan::load(&args.file, key_of).map_err(|e| {
        Failure::usage(Problem::new(e.to_string()).hint("save a plan with `rollout plan PLAN -o FILE`"))
    })?;
    if options.inventory.is_some() || !options.vars.is_empty() {
        let problem = Problem::new("a saved plan has its inventory and variables in it");
        return Err(Failure::usage(problem.hint("leave out -i and --var, or save another plan with them")));
    }
    let replay = Replay::of(&saved.source, options)?;
    // What an apply that was cut off has done already is no reason to refuse: its own journal tells what that was.
    if !replay.goes_on_from(&saved.plan, &hash) {
        let look = Session::new(&replay.selection, &args.manner, Mode::Preview);
        let look = Session { quiet: true, compared: true, ..look };
        let now = look.go(&replay.options, terminal)?;
        let now = SavedPlan::from_events(&now.events, now.plan, now.source);
        let moved = saved.differences(&now);
        if !moved.is_empty() {
            let lines: Vec<String> = moved.iter().map(|line| format!("  {line}")).collect();
            let at = saved.at.strftime("%F %T UTC");
            let message = format!("what {} shows has moved since {at}:\n{}", args.file.display(), lines.join("\n"));
            let hint = format!("nothing was done; look again: rollout plan {}", saved.source.plan.display());
            return Err(Failure::Problem(Problem::new(message).hint(hint), Exit::Failed));
        }
    }
    let session = Session {
        wait_lock: args.waiting.wait_lock,
        agreed: Some((saved, hash)),
        again: Some(format!("rollout apply {}", args.file.display())),
        ..Session::new(&replay.selection, &args.manner, Mode::Run)
    };
    Ok(exit(&session.go(&replay.options, terminal)?.report))
}
