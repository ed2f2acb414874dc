//! `rollout prove PLAN`: checks in a test environment that every step recovers from a failure, and that a run after
//! that changes nothing.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::options::{Format, Options};
use super::selection::{DisplayArgs, Selection};
use super::session::{RunResult, Session, exit};
use super::terminal::{DIM, GREEN, RED, Terminal};
use crate::engine::Faults;
use crate::event::{Event, EventKind, Mode, Outcome, Problem, UnitRef, outcome_name};
use crate::sync::lock;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    display: DisplayArgs,
    /// Confirm that this is a test environment: the plan runs on it many times, and each step fails on purpose
    #[arg(long)]
    yes: bool,
}

/// Fails each unit the first time that it would succeed.
#[derive(Default)]
struct FailsOnce(Mutex<HashSet<UnitRef>>);

impl FailsOnce {
    fn has_failed(&self, unit: &UnitRef) -> bool {
        lock(&self.0).contains(unit)
    }
}

impl Faults for FailsOnce {
    fn meddles(&self, unit: &UnitRef) -> bool {
        !self.has_failed(unit)
    }

    fn fails(&self, unit: &UnitRef) -> bool {
        lock(&self.0).insert(unit.clone())
    }
}

/// What happened to a unit.
#[derive(Debug, Clone, Default, Serialize)]
struct UnitHistory {
    /// The round in which the unit failed on purpose.
    failed: Option<usize>,
    /// The round in which the unit succeeded after that.
    recovered: Option<usize>,
    /// The outcome in the last run, after all rounds.
    again: Option<&'static str>,
}

/// Runs the plan in rounds until nothing fails, then once more, and reports on each step.
pub fn run(args: &Args, options: &Options, terminal: &Terminal) -> Result<Exit, Failure> {
    if !args.yes {
        let problem = Problem::new("this runs the plan for real, many times, and makes each step fail on purpose");
        return Err(Failure::usage(problem.hint("use a test environment: rollout prove PLAN -i INVENTORY --yes")));
    }
    let faults = Arc::new(FailsOnce::default());
    let mut histories: BTreeMap<UnitRef, UnitHistory> = BTreeMap::new();
    let mut order = Vec::new();
    for round in 1.. {
        let session = Session {
            fresh: round == 1,
            faults: faults.clone(),
            is_quiet: true,
            ..Session::new(&args.selection, &args.display, Mode::Run)
        };
        let result = session.run(options, terminal)?;
        if result.report.interrupted {
            return Ok(Exit::Interrupted);
        }
        let failed = record_round(&result.events, round, &faults, &mut histories, &mut order);
        if result.report.ok {
            terminal.note(&format!("round {round}: succeeded\n"));
            break;
        }
        if failed.is_empty() {
            return Err(unplanned_failure(&result, round));
        }
        terminal.note(&format!("round {round}: failed on purpose: {}\n", failed.join(", ")));
    }
    let session = Session { fresh: true, is_quiet: true, ..Session::new(&args.selection, &args.display, Mode::Run) };
    let last = session.run(options, terminal)?;
    for (unit, outcome) in unit_outcomes(&last.events) {
        histories.entry(unit.clone()).or_default().again = Some(outcome_name(outcome));
    }
    report(&order, &histories, terminal)?;
    let changed = last.report.summary.get("changed");
    Ok(if last.report.ok && changed == 0 { Exit::Ok } else { Exit::Failed })
}

/// Records the outcomes of a round, and returns the units that failed on purpose.
fn record_round(
    events: &[Event],
    round: usize,
    faults: &FailsOnce,
    histories: &mut BTreeMap<UnitRef, UnitHistory>,
    order: &mut Vec<UnitRef>,
) -> Vec<String> {
    let mut failed = Vec::new();
    for (unit, outcome) in unit_outcomes(events) {
        if !order.contains(unit) {
            order.push(unit.clone());
        }
        let history = histories.entry(unit.clone()).or_default();
        match outcome {
            // The message cannot tell: it is masked if the step is sensitive.
            Outcome::Failed(_) | Outcome::Warned(_) if history.failed.is_none() && faults.has_failed(unit) => {
                history.failed = Some(round);
                failed.push(unit.to_string());
            }
            Outcome::Same { .. } | Outcome::Changed if history.recovered.is_none() => history.recovered = Some(round),
            _ => {}
        }
    }
    failed
}

fn unit_outcomes(events: &[Event]) -> impl Iterator<Item = (&UnitRef, &Outcome)> {
    events.iter().filter_map(|event| match &event.kind {
        EventKind::UnitFinished { unit, outcome, .. } => Some((unit, outcome)),
        _ => None,
    })
}

/// A round failed, but no step failed on purpose.
fn unplanned_failure(result: &RunResult, round: usize) -> Failure {
    let failed = unit_outcomes(&result.events).find_map(|(unit, outcome)| match outcome {
        Outcome::Failed(problem) | Outcome::Unknown(problem) => Some((unit, problem)),
        _ => None,
    });
    let problem = match failed {
        Some((unit, problem)) => Problem {
            message: format!("in round {round}, {unit} failed without being made to: {}", problem.message),
            ..problem.clone()
        },
        None => Problem::new(format!("round {round} failed, but no step did")),
    };
    Failure::Problem(problem, exit(&result.report))
}

fn report(order: &[UnitRef], histories: &BTreeMap<UnitRef, UnitHistory>, terminal: &Terminal) -> Result<(), Failure> {
    if terminal.format == Format::Json {
        let rows = order.iter().map(|unit| serde_json::json!({ "unit": unit, "seen": histories[unit] }));
        return Ok(terminal.json(&rows.collect::<Vec<_>>())?);
    }
    let mut out = String::new();
    let mut changes = 0;
    for unit in order {
        let history = &histories[unit];
        let recovery = match (history.failed, history.recovered) {
            (Some(failed), Some(recovered)) => format!("failed in round {failed}, recovered in round {recovered}"),
            (Some(failed), None) => format!("failed in round {failed}, was not needed after that"),
            (None, _) => "did not run".to_owned(),
        };
        let again = history.again.unwrap_or("not run");
        let good = again != "changed";
        changes += usize::from(!good);
        let (style, sign) = if good { (GREEN, '✓') } else { (RED, '✗') };
        let again = if good { again } else { "changed again" };
        let _ = writeln!(out, "{style}{sign}{style:#} {unit}  {DIM}{recovery}; in a run after that:{DIM:#} {again}");
    }
    let _ = match changes {
        0 => writeln!(
            out,
            "\n{GREEN}proven{GREEN:#}: each step recovered from a failure, and a run after that changed nothing"
        ),
        n => writeln!(
            out,
            "\n{RED}not proven{RED:#}: {n} {} in every run; give a command a condition (`creates`, `unless`)",
            if n == 1 { "step changes something" } else { "steps change something" }
        ),
    };
    Ok(terminal.data(&out)?)
}
