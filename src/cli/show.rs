//! `rollout show [RUN]`: what each step of a run did, saw and printed.

use super::exit::Exit;
use super::failure::Failure;
use super::options::Format;
use super::terminal::Terminal;
use crate::event::{Event, Problem};
use crate::journal::{RunInfo, Store, read};
use crate::ui::{DiffStyle, Text, finished, open};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the run, or its beginning [default: the newest]
    run: Option<String>,
    /// How much of the changes to show
    #[arg(long, value_enum, default_value = "full")]
    diff: DiffStyle,
}

/// Prints the run's events.
pub fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let info = find(args.run.as_deref())?;
    let events = events(&info)?;
    if terminal.format == Format::Json {
        terminal.json(&events)?;
    } else {
        let mut text = Text::new(args.diff, format!("rollout run (plan {})", info.plan));
        terminal.data(&(finished(&events, &mut text) + &open(&events, &mut text, info.is_running())))?;
    }
    Ok(Exit::Ok)
}

/// What is on record of a run.
pub fn events(info: &RunInfo) -> Result<Vec<Event>, Failure> {
    read(&info.path).map_err(|error| {
        let hint = format!("move {} away; the world is the state, so nothing else is lost", info.path.display());
        Failure::Problem(Problem::new(error.to_string()).hint(hint), Exit::Failed)
    })
}

/// The run that a person means: by id or its beginning; the newest without one.
pub fn find(wanted: Option<&str>) -> Result<RunInfo, Failure> {
    let mut runs = Store::all_runs();
    let hint = "`rollout runs` lists them";
    let Some(wanted) = wanted else {
        let none = || Failure::usage(Problem::new("nothing has run here yet"));
        return runs.pop().ok_or_else(none);
    };
    let mut found: Vec<RunInfo> = runs.into_iter().filter(|r| r.id.starts_with(wanted)).collect();
    match found.len() {
        0 => Err(Failure::usage(Problem::new(format!("no run is named {wanted}")).hint(hint))),
        1 => Ok(found.remove(0)),
        n => Err(Failure::usage(Problem::new(format!("{n} runs begin with {wanted}")).hint(hint))),
    }
}
