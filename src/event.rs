//! The run's events: one versioned stream that terminal, JSON, journal and page all read.
//!
//! Step events always arrive; [`Kind::Progress`] may be dropped. Everything in an event is already redacted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diff::Diff;
use crate::excerpt;

mod texts;

/// The version of the event format; raised when a reader of an older version would misread an event.
///
/// 1: runs, units, retries. 2: what a run takes over from the one before, handlers, undo. 3: units of loops. 4: ignored
/// failures.
pub const VERSION: u32 = 4;

/// One thing that happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Format version, see [`VERSION`].
    pub v: u32,
    /// Position in the run's stream; rises, with gaps where an event was for the journal only.
    pub seq: u64,
    /// Wall-clock time; for people, never for decisions.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: jiff::Timestamp,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// What an earlier run recorded of a unit, taken over; stands before the run's start. Only in journals.
    Remembered {
        /// The unit.
        unit: UnitRef,
        /// Hash of the definition that ran.
        definition: String,
        /// How it stands.
        standing: RecordedState,
        /// Its outputs, when it ended well.
        outputs: Outputs,
        /// When it ended well last, on the clock of [`Kind::Remembered`]: a count of records, over all runs that this
        /// one goes on from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        done: Option<u64>,
        /// When it may have changed something last, on the same clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        touched: Option<u64>,
    },
    /// A changed unit asks for a handler, which must then run sooner or later, by this run or a later one. Before the
    /// run's start: taken over from an earlier one.
    Notified {
        /// The handler's unit.
        handler: UnitRef,
        /// Who asks.
        by: UnitRef,
    },
    /// The run begins.
    RunStarted {
        /// The run's id.
        run: String,
        /// The plan's name.
        plan: String,
        /// Whether anything may be changed.
        mode: Mode,
        /// Units in the graph.
        units: usize,
        /// The run that this one goes on from.
        resumed_from: Option<String>,
        /// The run of the whole plan that has yet to end well: this one, or one that this run of a part belongs to.
        /// Absent where a part is all that was asked for, and in version 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        whole: Option<String>,
        /// What it was asked to run; absent in version 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<Source>,
    },
    /// What an earlier run recorded of a unit no longer counts, since the plan was edited.
    Dropped {
        /// The unit.
        unit: UnitRef,
        /// Why.
        why: String,
    },
    /// A unit begins; durable before anything of it is sent out.
    UnitStarted {
        /// The unit.
        unit: UnitRef,
        /// Hash of its rendered definition.
        definition: String,
        /// From 1.
        attempt: u32,
        /// The unit before it, when it is sent together with that one; it is done only if that one ends well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<UnitRef>,
        /// The machine that it runs on, where that is not the unit's host.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        on: Option<String>,
        /// In a run that goes on from another one: why it is not kept; absent when it never ran.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// What a unit sees or does right now, e.g. what a wait last saw. May be dropped.
    Progress {
        /// The unit.
        unit: UnitRef,
        /// One line.
        message: String,
    },
    /// An attempt failed and the next one follows after a delay.
    UnitRetried {
        /// The unit.
        unit: UnitRef,
        /// The attempt that failed, from 1.
        attempt: u32,
        /// Why it failed.
        message: String,
        /// Pause before the next attempt, seconds.
        delay: f64,
    },
    /// A unit ended.
    UnitFinished {
        /// The unit.
        unit: UnitRef,
        /// How it ended.
        outcome: Outcome,
        /// Hash of its rendered definition; absent when it never came to be rendered.
        definition: Option<String>,
        /// What changed, or would change.
        diff: Diff,
        /// Values for later steps.
        outputs: Outputs,
        /// Last lines of what it printed.
        output: String,
        /// Seconds since it started.
        elapsed: f64,
        /// Whether anything that changes something was sent out; absent: it was, or that is not known.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        acted: bool,
    },
    /// What a unit did has been undone, since its phase failed.
    Undone {
        /// The unit.
        unit: UnitRef,
        /// The unit that undid it.
        by: UnitRef,
    },
    /// The run ended.
    RunFinished {
        /// The counts.
        summary: Summary,
        /// Whether every unit ended well.
        ok: bool,
        /// Whether a signal ended it.
        interrupted: bool,
        /// Seconds since it started.
        elapsed: f64,
        /// Handlers that are still to run, by a later run.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        handlers_left: Vec<UnitRef>,
        /// Units whose work should have been undone and was not.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        stuck: Vec<UnitRef>,
    },
    /// An event of a newer version.
    #[serde(other)]
    Unknown,
}

/// What is not known is taken to have happened.
fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_yes(flag: &bool) -> bool {
    *flag
}

/// What a run was asked for: enough to ask for it again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// The plan's file.
    pub plan: PathBuf,
    /// The inventory's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<PathBuf>,
    /// Selections and variables, as on the command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// Hash of the saved plan that it applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<String>,
}

/// How a unit stands, as far as it is on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordedState {
    /// It ended well.
    Succeeded,
    /// It ended badly; what it did is known.
    Failed,
    /// It was started, and how it ended is not known.
    Unknown,
    /// It ended well, and was undone.
    Undone,
    /// It failed, and the plan says to go on.
    Warned,
}

impl RecordedState {
    /// Whether units that need this one may start.
    pub fn lets_dependents_start(self) -> bool {
        matches!(self, Self::Succeeded | Self::Warned)
    }
}

/// Whether a run may change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Probes and verdicts only.
    Preview,
    /// Effects too.
    Run,
}

/// Values that a step hands to later ones, by name.
pub type Outputs = serde_json::Map<String, serde_json::Value>;

/// Which unit: a step, for an item when it is a loop, on a host when it fans out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct UnitRef {
    /// Phase name.
    pub phase: String,
    /// Step id.
    pub step: String,
    /// The item's name, for steps with `for_each`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// Host name, for steps with `hosts`, but for those that run once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

impl UnitRef {
    /// Whether a person who writes `step`, `phase/step`, `step[item]`, `step@host` or `phase/step[item]@host` means this
    /// unit.
    pub fn is_meant_by(&self, name: &str) -> bool {
        // Items may have any sign in their names; the rest has none of these.
        let (name, item, rest) =
            match name.split_once('[').and_then(|(name, rest)| Some((name, rest.rsplit_once(']')?))) {
                Some((name, (item, rest))) => (name, Some(item), rest),
                None => name.find('@').map_or((name, None, ""), |at| (&name[..at], None, &name[at..])),
            };
        let (phase, step) = name.split_once('/').map_or((None, name), |(phase, step)| (Some(phase), step));
        let on_host = match rest.strip_prefix('@') {
            Some(host) => self.host.as_deref() == Some(host),
            None => rest.is_empty(),
        };
        self.step == step
            && on_host
            && phase.is_none_or(|phase| self.phase == phase)
            && item.is_none_or(|item| self.item.as_deref() == Some(item))
    }
}

impl std::fmt::Display for UnitRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.phase, self.step)?;
        self.item.as_ref().map_or(Ok(()), |item| write!(f, "[{item}]"))?;
        self.host.as_ref().map_or(Ok(()), |host| write!(f, "@{host}"))
    }
}

/// How a unit ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// All was as asked.
    Same {
        /// What was seen, one line; may be empty.
        seen: String,
    },
    /// It was changed (run) or would be changed (preview).
    Changed,
    /// Done by the run that this one resumes; its definition is the same.
    Kept {
        /// Whether only a person says so.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        said: bool,
    },
    /// `when` was false, or the phase was left out.
    Skipped {
        /// Why.
        why: String,
    },
    /// It waits for something that is not so yet (preview only).
    Waits {
        /// What is seen now.
        seen: String,
    },
    /// Not knowable before an earlier step has run (preview only).
    Pending {
        /// The step or thing it needs.
        needs: String,
    },
    /// It failed and the state of the world is known.
    Failed(Problem),
    /// It failed, and the plan says to go on as if it had not (`ignore_errors`); it has no outputs.
    Warned(Problem),
    /// It was cut off in the middle: whether it took effect is not known.
    Unknown(Problem),
    /// Not started, since something it needs did not end well.
    Cancelled {
        /// What it needed.
        needs: String,
    },
}

impl Outcome {
    /// Whether units that need this one may start.
    pub fn lets_dependents_start(&self) -> bool {
        !matches!(self, Self::Failed(_) | Self::Unknown(_) | Self::Cancelled { .. })
    }
}

/// Why something failed, for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// What happened and what was seen: a lower-case fragment.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether the other side could not be reached at all (exit code 4).
    #[serde(default)]
    pub unreachable: bool,
    /// Whether it is a panic of this program: what came of the unit is not known then.
    #[serde(skip)]
    pub defect: bool,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// The same, told with the part of a step in which it lies, such as a parameter.
    #[must_use]
    pub fn within(mut self, part: &str) -> Self {
        if !part.is_empty() {
            self.message = format!("{part}: {}", self.message);
        }
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same as it may be shown: control characters are written down, every registered secret is masked, and it is as long
    /// as a person reads.
    #[must_use]
    pub fn redacted(mut self) -> Self {
        let shown = |text: &str| excerpt::message(&crate::secret::shown(text)).into_owned();
        self.message = shown(&self.message);
        self.hint = self.hint.map(|hint| shown(&hint));
        self
    }
}

/// How many units ended how, by outcome name (`same`, `changed`, `failed` ...).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary(pub BTreeMap<String, usize>);

impl Summary {
    /// Counts one more.
    pub fn count(&mut self, outcome: &Outcome) {
        *self.0.entry(name(outcome).to_owned()).or_default() += 1;
    }

    /// The count of one outcome by name.
    pub fn get(&self, name: &str) -> usize {
        self.0.get(name).copied().unwrap_or_default()
    }
}

/// The outcome's name as in JSON.
pub fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Same { .. } => "same",
        Outcome::Changed => "changed",
        Outcome::Kept { .. } => "kept",
        Outcome::Skipped { .. } => "skipped",
        Outcome::Waits { .. } => "waits",
        Outcome::Pending { .. } => "pending",
        Outcome::Failed(_) => "failed",
        Outcome::Warned(_) => "warned",
        Outcome::Unknown(_) => "unknown",
        Outcome::Cancelled { .. } => "cancelled",
    }
}

/// Seconds as in events.
pub fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_meant_by_its_own_name_and_by_its_parts() {
        let unit = |item: Option<&str>| UnitRef {
            phase: "p".into(),
            step: "users".into(),
            item: item.map(str::to_owned),
            host: Some("pi-1".into()),
        };
        for item in ["ada", "a@b", "/etc/x", "a]b[c", "x=1", "[", "]"] {
            let unit = unit(Some(item));
            let named = [format!("users[{item}]"), format!("users[{item}]@pi-1"), unit.to_string()];
            for name in named.iter().map(String::as_str).chain(["users", "p/users", "users@pi-1", "p/users@pi-1"]) {
                assert!(unit.is_meant_by(name), "{name}");
            }
            for name in
                ["users[bob]", "users[]", "p/users[ada2]@pi-1", "users[ada]@pi-2", "q/users", "user", "users[ada]x"]
            {
                assert!(!unit.is_meant_by(name), "{name} is not {unit}");
            }
        }
        assert!(unit(None).is_meant_by("users@pi-1") && !unit(None).is_meant_by("users[ada]"));
    }
}
