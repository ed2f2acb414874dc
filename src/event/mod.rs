//! The events of a run: one versioned stream that the terminal, JSON output and the journal all read.
//!
//! Readers get every event except [`EventKind::Progress`], which may be dropped. Everything in an event is already
//! redacted.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diff::Diff;

mod outcome;
mod problem;
mod texts;
mod unit;

pub use outcome::{Outcome, Summary, outcome_name};
pub use problem::Problem;
pub use unit::UnitRef;

/// Version of the event format. It rises when an older version would misread new events.
///
/// 1: runs, units, retries. 2: records taken over from the run before, handlers, undo. 3: units of loops. 4: ignored
/// failures.
pub const VERSION: u32 = 4;

/// One thing that happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Format version, see [`VERSION`].
    pub v: u32,
    /// Position in the run's stream. It rises; gaps are events that only the journal has.
    pub seq: u64,
    /// Wall-clock time, for people only.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: jiff::Timestamp,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The state of a unit in an earlier run, which this run takes over. Comes before `run_started`, and only in
    /// journals.
    Remembered {
        /// The unit.
        unit: UnitRef,
        /// Hash of the definition that ran.
        definition: String,
        /// How the unit ended in the earlier run.
        standing: RecordedState,
        /// Outputs of the unit, if it succeeded.
        outputs: Outputs,
        /// When the unit last succeeded. The unit of time is a count of records, over all runs that this run continues.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        done: Option<u64>,
        /// When the unit may last have changed something, as a count of records like `done`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        touched: Option<u64>,
    },
    /// A changed unit notified a handler, which must then run, in this run or a later one. Before `run_started`: a
    /// notification taken over from an earlier run.
    Notified {
        /// The handler's unit.
        handler: UnitRef,
        /// The unit that notified the handler.
        by: UnitRef,
    },
    /// The run starts.
    RunStarted {
        /// Id of the run.
        run: String,
        /// Name of the plan.
        plan: String,
        /// Preview or run.
        mode: Mode,
        /// Number of units in the graph.
        units: usize,
        /// Id of the run that this one continues.
        resumed_from: Option<String>,
        /// Id of the run of the whole plan that has not succeeded yet: this run, or the one that this partial run
        /// belongs to. Absent if only a part was ever asked for, and in version 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        whole: Option<String>,
        /// The arguments of the run; absent in version 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<Source>,
    },
    /// The record of a unit from an earlier run no longer counts, because the plan was edited.
    Dropped {
        /// The unit.
        unit: UnitRef,
        /// The reason.
        why: String,
    },
    /// A unit starts. This event is on disk before anything of the unit is sent.
    UnitStarted {
        /// The unit.
        unit: UnitRef,
        /// Hash of the unit's rendered definition.
        definition: String,
        /// Number of the attempt, from 1.
        attempt: u32,
        /// The unit before this one, if both are sent together. This unit then runs only if the one before it succeeds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<UnitRef>,
        /// The machine that the unit runs on, if it is not the unit's host (`delegate_to`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        on: Option<String>,
        /// In a run that continues another one: why the unit is not kept. Absent if the unit never ran.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// What a unit sees or does at the moment, such as the state that a wait last saw. May be dropped.
    Progress {
        /// The unit.
        unit: UnitRef,
        /// One line of text.
        message: String,
    },
    /// An attempt failed, and another one follows after a delay.
    UnitRetried {
        /// The unit.
        unit: UnitRef,
        /// Number of the failed attempt, from 1.
        attempt: u32,
        /// Why the attempt failed.
        message: String,
        /// Pause before the next attempt, in seconds.
        delay: f64,
    },
    /// A unit finished.
    UnitFinished {
        /// The unit.
        unit: UnitRef,
        /// How the unit ended.
        outcome: Outcome,
        /// Hash of the unit's rendered definition; absent if it was not rendered.
        definition: Option<String>,
        /// What changed, or would change.
        diff: Diff,
        /// Outputs for later steps.
        outputs: Outputs,
        /// The last lines that the unit printed.
        output: String,
        /// Seconds since the unit started.
        elapsed: f64,
        /// Whether anything that may change the host was sent; absent means true or unknown.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        acted: bool,
    },
    /// A rollback step undid a unit, because its phase failed.
    Undone {
        /// The unit.
        unit: UnitRef,
        /// The rollback step's unit.
        by: UnitRef,
    },
    /// The run finished.
    RunFinished {
        /// Number of units by outcome.
        summary: Summary,
        /// Whether every unit succeeded.
        ok: bool,
        /// Whether a signal stopped the run.
        interrupted: bool,
        /// Seconds since the run started.
        elapsed: f64,
        /// Handlers that a later run must run.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        handlers_left: Vec<UnitRef>,
        /// Units that should have been undone and were not.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        stuck: Vec<UnitRef>,
    },
    /// An event of a newer version.
    #[serde(other)]
    Unknown,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_yes(flag: &bool) -> bool {
    *flag
}

/// The arguments of a run, from which it can be repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// Path of the plan.
    pub plan: PathBuf,
    /// Path of the inventory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<PathBuf>,
    /// Selection and variables, as command-line arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// Hash of the saved plan that the run applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<String>,
}

/// The recorded state of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordedState {
    /// The unit succeeded.
    Succeeded,
    /// The unit failed; its effect is known.
    Failed,
    /// The unit started; how it ended is not known.
    Unknown,
    /// The unit succeeded and was undone.
    Undone,
    /// The unit failed, and `ignore_errors` makes that a warning.
    Warned,
}

impl RecordedState {
    pub fn lets_dependents_start(self) -> bool {
        matches!(self, Self::Succeeded | Self::Warned)
    }
}

/// Whether a run may change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Preview: probes and verdicts only.
    Preview,
    /// Run: effects, too.
    Run,
}

/// The outputs of a step, by name.
pub type Outputs = serde_json::Map<String, serde_json::Value>;

/// Seconds, rounded to milliseconds.
pub fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
