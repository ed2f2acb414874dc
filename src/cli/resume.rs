//! `rollout resume [RUN]`: continues a run with the arguments that it had.

use std::collections::HashMap;
use std::path::PathBuf;

use super::exit::Exit;
use super::failure::Failure;
use super::lock::LockArgs;
use super::options::Options;
use super::replay::Replay;
use super::run::Answers;
use super::selection::DisplayArgs;
use super::session::{Session, exit};
use super::show;
use super::terminal::Terminal;
use crate::event::{Mode, Problem};
use crate::journal::{RunInfo, RunState, Store};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the run, or its beginning [default: the newest run that did not succeed]
    run: Option<String>,
    #[command(flatten)]
    display: DisplayArgs,
    #[command(flatten)]
    answers: Answers,
    #[command(flatten)]
    lock: LockArgs,
}

pub fn run(args: &Args, options: &Options, terminal: &Terminal) -> Result<Exit, Failure> {
    let info = find(args.run.as_deref())?;
    if info.state == RunState::Unreadable {
        show::events(&info)?;
    }
    let source = info.source.as_ref().ok_or_else(|| {
        let problem =
            Problem::new(format!("run {} was made by a version that did not record the plan's path", info.id));
        Failure::usage(problem.hint("name the plan: rollout run PLAN"))
    })?;
    if source.saved.is_some() {
        let problem = Problem::new(format!("run {} applied a saved plan", info.id));
        return Err(Failure::usage(problem.hint("apply the same file again: rollout apply FILE")));
    }
    let replay = Replay::of(source, options)?;
    let session = Session {
        wait_lock: args.lock.wait_lock,
        done: args.answers.done.clone(),
        rerun: args.answers.rerun.clone(),
        ..Session::new(&replay.selection, &args.display, Mode::Run)
    };
    Ok(exit(&session.run(&replay.options, terminal)?.report))
}

fn find(wanted: Option<&str>) -> Result<RunInfo, Failure> {
    let runs = Store::all_runs();
    let Some(wanted) = wanted else {
        // Only the newest run of each plan can be continued.
        let mut newest: HashMap<PathBuf, RunInfo> = HashMap::new();
        newest.extend(runs.into_iter().map(|r| (r.path.parent().unwrap_or(&r.path).to_owned(), r)));
        let open = newest.into_values().filter(|r| r.state != RunState::Succeeded).max_by(|a, b| a.id.cmp(&b.id));
        return open.ok_or_else(|| {
            Failure::usage(Problem::new("there is no run to continue: the newest run of each plan succeeded"))
        });
    };
    let info = show::find(Some(wanted))?;
    let newest = runs.into_iter().rfind(|r| r.path.parent() == info.path.parent());
    match newest {
        Some(newest) if newest.id != info.id => {
            let problem = Problem::new(format!("run {} of {} is newer than {}", newest.id, info.plan, info.id));
            Err(Failure::usage(problem.hint(format!("continue the newer one: rollout resume {}", newest.id))))
        }
        _ if info.state == RunState::Succeeded => {
            let problem = Problem::new(format!("run {} succeeded; there is nothing to continue", info.id));
            Err(Failure::usage(problem.hint("run the plan again: rollout run PLAN")))
        }
        _ => Ok(info),
    }
}
