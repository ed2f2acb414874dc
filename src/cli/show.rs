//! `rollout show [RUN]`: shows what each step of a run did, saw and printed.

use super::exit::Exit;
use super::failure::Failure;
use super::options::Format;
use super::terminal::Terminal;
use crate::event::{Event, Problem};
use crate::journal::{RunInfo, Store, read};
use crate::ui::{DiffStyle, Text, render_events, render_unfinished};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the run, or its beginning [default: the newest run]
    run: Option<String>,
    /// How much of the changes to show
    #[arg(long, value_enum, default_value = "full")]
    diff: DiffStyle,
}

pub fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let info = find(args.run.as_deref())?;
    let events = events(&info)?;
    if terminal.format == Format::Json {
        terminal.json(&events)?;
    } else {
        let mut text = Text::new(args.diff, format!("rollout run (plan {})", info.plan));
        terminal
            .data(&(render_events(&events, &mut text) + &render_unfinished(&events, &mut text, info.is_running())))?;
    }
    Ok(Exit::Ok)
}

/// The events in a run's journal.
pub fn events(info: &RunInfo) -> Result<Vec<Event>, Failure> {
    read(&info.path).map_err(|error| {
        let hint = format!(
            "move {} away; only the record of this run is lost, since every run asks the hosts for their state",
            info.path.display()
        );
        Failure::Problem(Problem::new(error.to_string()).hint(hint), Exit::Failed)
    })
}

/// The run whose id is or begins with `wanted`; the newest run for `None`.
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
