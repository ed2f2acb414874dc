//! `rollout prove PLAN`: tries, in a test environment, what the plan promises: every step fails once and is recovered
//! from, and a run after that changes nothing.

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
use crate::event::{Event, EventKind, Mode, Outcome, Problem, UnitRef, name};
use crate::sync::lock;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    manner: DisplayArgs,
    /// Yes, this is a test environment: run the plan on it again and again, and fail each step on purpose
    #[arg(long)]
    yes: bool,
}

/// Fails each unit the first time that it ends well.
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

/// What was seen of a step.
#[derive(Debug, Clone, Default, Serialize)]
struct Seen {
    /// The round in which it failed on purpose.
    failed: Option<usize>,
    /// The round in which it ended well after that.
    recovered: Option<usize>,
    /// How it ended in the run after all that.
    again: Option<&'static str>,
}

/// Proves it, and reports step by step.
pub fn run(args: &Args, options: &Options, terminal: &Terminal) -> Result<Exit, Failure> {
    if !args.yes {
        let problem = Problem::new("this runs the plan for real, many times, and fails each of its steps on purpose");
        return Err(Failure::usage(problem.hint("against a test environment: rollout prove PLAN -i INVENTORY --yes")));
    }
    let faults = Arc::new(FailsOnce::default());
    let mut seen: BTreeMap<UnitRef, Seen> = BTreeMap::new();
    let mut order = Vec::new();
    for round in 1.. {
        let session = Session {
            fresh: round == 1,
            faults: faults.clone(),
            quiet: true,
            ..Session::new(&args.selection, &args.manner, Mode::Run)
        };
        let walked = session.go(options, terminal)?;
        if walked.report.interrupted {
            return Ok(Exit::Interrupted);
        }
        let failed = note(&walked.events, round, &faults, &mut seen, &mut order);
        if walked.report.ok {
            terminal.note(&format!("round {round}: ended well\n"));
            break;
        }
        if failed.is_empty() {
            return Err(by_itself(&walked, round));
        }
        terminal.note(&format!("round {round}: failed on purpose, then gone on from: {}\n", failed.join(", ")));
    }
    let session = Session { fresh: true, quiet: true, ..Session::new(&args.selection, &args.manner, Mode::Run) };
    let last = session.go(options, terminal)?;
    for (unit, outcome) in ends(&last.events) {
        seen.entry(unit.clone()).or_default().again = Some(name(outcome));
    }
    report(&order, &seen, terminal)?;
    let changed = last.report.summary.get("changed");
    Ok(if last.report.ok && changed == 0 { Exit::Ok } else { Exit::Failed })
}

/// Takes a round's ends in; gives those that failed on purpose.
fn note(
    events: &[Event],
    round: usize,
    faults: &FailsOnce,
    seen: &mut BTreeMap<UnitRef, Seen>,
    order: &mut Vec<UnitRef>,
) -> Vec<String> {
    let mut failed = Vec::new();
    for (unit, outcome) in ends(events) {
        if !order.contains(unit) {
            order.push(unit.clone());
        }
        let of = seen.entry(unit.clone()).or_default();
        match outcome {
            // Not by its message, which is masked where the step is sensitive.
            Outcome::Failed(_) | Outcome::Warned(_) if of.failed.is_none() && faults.has_failed(unit) => {
                of.failed = Some(round);
                failed.push(unit.to_string());
            }
            Outcome::Same { .. } | Outcome::Changed if of.recovered.is_none() => of.recovered = Some(round),
            _ => {}
        }
    }
    failed
}

fn ends(events: &[Event]) -> impl Iterator<Item = (&UnitRef, &Outcome)> {
    events.iter().filter_map(|event| match &event.kind {
        EventKind::UnitFinished { unit, outcome, .. } => Some((unit, outcome)),
        _ => None,
    })
}

/// A step that nobody made fail.
fn by_itself(walked: &RunResult, round: usize) -> Failure {
    let failed = ends(&walked.events).find_map(|(unit, outcome)| match outcome {
        Outcome::Failed(problem) | Outcome::Unknown(problem) => Some((unit, problem)),
        _ => None,
    });
    let problem = match failed {
        Some((unit, problem)) => Problem {
            message: format!("in round {round} {unit} failed by itself: {}", problem.message),
            ..problem.clone()
        },
        None => Problem::new(format!("round {round} did not end well")),
    };
    Failure::Problem(problem, exit(&walked.report))
}

fn report(order: &[UnitRef], seen: &BTreeMap<UnitRef, Seen>, terminal: &Terminal) -> Result<(), Failure> {
    if terminal.format == Format::Json {
        let rows = order.iter().map(|unit| serde_json::json!({ "unit": unit, "seen": seen[unit] }));
        return Ok(terminal.json(&rows.collect::<Vec<_>>())?);
    }
    let mut out = String::new();
    let mut changes = 0;
    for unit in order {
        let of = &seen[unit];
        let recovery = match (of.failed, of.recovered) {
            (Some(failed), Some(recovered)) => format!("failed in round {failed}, recovered in round {recovered}"),
            (Some(failed), None) => format!("failed in round {failed}, needed no more since"),
            (None, _) => "did not run".to_owned(),
        };
        let again = of.again.unwrap_or("not run");
        let good = again != "changed";
        changes += usize::from(!good);
        let (style, sign) = if good { (GREEN, '✓') } else { (RED, '✗') };
        let again = if good { again } else { "changed again" };
        let _ = writeln!(out, "{style}{sign}{style:#} {unit}  {DIM}{recovery}; in a run after that:{DIM:#} {again}");
    }
    let _ = match changes {
        0 => writeln!(
            out,
            "\n{GREEN}proven{GREEN:#}: each step was recovered from, and a run after that changed nothing"
        ),
        n => writeln!(
            out,
            "\n{RED}not proven{RED:#}: {n} {} each time; give a command a guard (`creates`, `unless`)",
            if n == 1 { "step changes something" } else { "steps change something" }
        ),
    };
    Ok(terminal.data(&out)?)
}
