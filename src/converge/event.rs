//! What the service reports: one line a tick, and more where something is not as the plan says.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::drift::Drift;
use super::repairs::Suspension;
use crate::diff::Delta;
use crate::document::format_duration;
use crate::event::{Problem, seconds};

/// The version of the service's JSON lines.
pub const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceEvent {
    pub v: u32,
    pub at: Timestamp,
    #[serde(flatten)]
    pub kind: ServiceEventKind,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ServiceEventKind {
    /// The service probes from now on.
    Started {
        plan: String,
        mode: &'static str,
    },
    /// A tick found everything as the plan says.
    InOrder {
        units: usize,
        seconds: f64,
    },
    /// A tick found units that are not as the plan says. `pending` units cannot be judged before these are repaired.
    Drift {
        units: Vec<Drifted>,
        pending: usize,
        seconds: f64,
    },
    /// Drifted units were repaired.
    Repaired {
        units: Vec<String>,
        seconds: f64,
    },
    /// A unit is not repaired for a while, since something undoes each repair.
    Suspended {
        unit: String,
        seconds: f64,
    },
    /// A tick or a repair failed.
    Failed {
        message: String,
        hint: Option<String>,
        units: Vec<FailedUnit>,
    },
    /// The tick was left out: somebody else runs the plan.
    Busy {
        message: String,
    },
    /// The plan or the inventory was edited and does not check. The last good one stays in force.
    PlanRefused {
        findings: String,
    },
    /// The edited plan checks again, or another one is in force.
    PlanReloaded,
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drifted {
    pub unit: String,
    /// The change that would repair the unit, as in previews.
    pub changes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailedUnit {
    pub unit: String,
    pub message: String,
}

impl ServiceEventKind {
    pub fn drift(drift: &Drift, elapsed: Duration) -> Self {
        let units = drift.drifted.iter().map(|drifted| Drifted {
            unit: drifted.unit.to_string(),
            changes: drifted.diff.redacted().0.iter().flat_map(Delta::lines).collect(),
        });
        Self::Drift { units: units.collect(), pending: drift.pending, seconds: seconds(elapsed) }
    }

    pub fn failed(what: &str, drift: &Drift) -> Self {
        let units = drift
            .failed
            .iter()
            .map(|(unit, problem)| FailedUnit { unit: unit.to_string(), message: problem.clone().redacted().message });
        Self::Failed { message: what.to_owned(), hint: None, units: units.collect() }
    }

    pub fn problem(problem: &Problem) -> Self {
        let Problem { message, hint, .. } = problem.clone().redacted();
        Self::Failed { message, hint, units: Vec::new() }
    }

    pub fn suspended(suspension: &Suspension) -> Self {
        Self::Suspended { unit: suspension.unit.to_string(), seconds: seconds(suspension.left) }
    }
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

impl fmt::Display for ServiceEventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { plan, mode } => write!(f, "keeps plan {plan}, mode {mode}"),
            Self::InOrder { units, seconds } => write!(f, "in order: {}, in {seconds:.1} s", count(*units, "unit")),
            Self::Drift { units, pending, seconds } => {
                write!(f, "drift: {}", count(units.len(), "unit"))?;
                if *pending > 0 {
                    write!(f, ", {pending} behind not judged yet")?;
                }
                write!(f, ", in {seconds:.1} s")?;
                for Drifted { unit, changes } in units {
                    write!(f, "\n  {unit}")?;
                    changes.iter().try_for_each(|line| write!(f, "\n    {line}"))?;
                }
                Ok(())
            }
            Self::Repaired { units, seconds } => {
                write!(f, "repaired: {}, in {seconds:.1} s", count(units.len(), "unit"))?;
                units.iter().try_for_each(|unit| write!(f, "\n  {unit}"))
            }
            Self::Suspended { unit, seconds } => {
                let time = format_duration(Duration::from_secs_f64(*seconds));
                write!(f, "suspended: {unit} drifts again after each repair, so it is not repaired for {time}")
            }
            Self::Failed { message, hint, units } => {
                write!(f, "failed: {message}")?;
                units.iter().try_for_each(|FailedUnit { unit, message }| write!(f, "\n  {unit}: {message}"))?;
                hint.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
            }
            Self::Busy { message } => write!(f, "left out: {message}"),
            Self::PlanRefused { findings } => {
                write!(f, "the edited plan does not check, so the last good one stays in force:\n{findings}")
            }
            Self::PlanReloaded => write!(f, "the edited plan is in force"),
            Self::Stopped => write!(f, "stopped"),
        }
    }
}
