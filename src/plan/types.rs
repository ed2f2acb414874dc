//! The plan as data.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{ActionInfo, Catalog, Pace, Role, RunsOn, Source, Span, Spanned};
use crate::document::Project;
use crate::inventory::{Inventory, SecretEntry};

/// A plan file.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The file.
    pub source: Arc<Source>,
    /// Folder that relative paths in the plan start from: the plan's own, or its parent where the plan lies in `plans/`.
    pub root: PathBuf,
    /// `[plan] name`.
    pub name: Spanned<String>,
    /// `[plan] description`.
    pub description: Option<String>,
    /// `[vars]`, in file order; values may be templates of other variables.
    pub vars: Vec<(Spanned<String>, Spanned<Value>)>,
    /// `[secrets.*]`; the inventory's of the same names come first.
    pub secrets: Vec<SecretEntry>,
    /// `[phase.*]`, in file order.
    pub phases: Vec<Phase>,
}

impl Plan {
    /// The places of the phases in `phases`, by their names.
    pub fn phases_by_name(&self) -> HashMap<&str, usize> {
        self.phases.iter().enumerate().map(|(index, phase)| (phase.name.value.as_str(), index)).collect()
    }

    /// The files that it may read and write where it runs against an inventory.
    pub fn project(&self, inventory: &Inventory) -> Project {
        Project::from(self.root.as_path()).allow_outside(inventory.allow_outside)
    }

    /// Whether some step reaches a cluster.
    pub fn touches_cluster(&self, catalog: &dyn Catalog) -> bool {
        let mut steps = self.phases.iter().flat_map(|p| &p.steps);
        steps.any(|s| catalog.action(&s.action.value).is_some_and(|k| k.runs_on == RunsOn::Cluster))
    }
}

/// A named group of steps; a node of the graph that a person draws.
#[derive(Debug, Clone)]
pub struct Phase {
    /// The table's name.
    pub name: Spanned<String>,
    /// One line for people.
    pub description: Option<String>,
    /// Phases that must end well first.
    pub needs: Vec<Spanned<String>>,
    /// Expression; the phase is skipped when it is false.
    pub when: Option<Spanned<String>>,
    /// In which batches its hosts go through its steps, and how many may fail.
    pub pace: Pace,
    /// The guard of each of its steps that has none of its own and may change a host.
    pub guard: Option<Guard>,
    /// The steps, then the handlers, then the steps of `on_failure`, each in file order.
    pub steps: Vec<Step>,
}

/// What a step is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StepKind {
    /// `[[phase.NAME.step]]`: it runs in its turn.
    #[default]
    Step,
    /// `[[phase.NAME.handler]]`: it runs once at the end of the phase, or at a `flush`, if a changed step notified it.
    Handler,
    /// `[[phase.NAME.on_failure]]`: it undoes what the steps did that name it, when the phase fails.
    OnFailure,
}

impl StepKind {
    /// All parts, in the order in which a phase has them.
    pub const ALL: [Self; 3] = [Self::Step, Self::Handler, Self::OnFailure];

    /// The name of its tables.
    pub fn key(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Handler => "handler",
            Self::OnFailure => "on_failure",
        }
    }
}

impl Phase {
    /// The steps of a part, with their index in `steps`.
    pub fn steps_of(&self, part: StepKind) -> impl Iterator<Item = (usize, &Step)> {
        self.steps.iter().enumerate().filter(move |(_, step)| step.kind == part)
    }

    /// For each step the indices of those that must end well first: those that its `needs` names, else the one before
    /// it. What does not exist is left out. A handler comes after all steps, and so does what undoes them.
    pub fn order(&self) -> Vec<Vec<usize>> {
        let index = |id: &str| self.steps_of(StepKind::Step).find(|(_, s)| s.id.value == id).map(|(n, _)| n);
        let steps: Vec<usize> = self.steps_of(StepKind::Step).map(|(n, _)| n).collect();
        let needs = self.steps.iter().enumerate().map(|(n, step)| match (step.kind, &step.needs) {
            (StepKind::Step, Some(names)) => names.iter().filter_map(|name| index(&name.value)).collect(),
            (StepKind::Step, None) => n.checked_sub(1).into_iter().collect(),
            _ => steps.clone(),
        });
        needs.collect()
    }
}

/// One typed step: the keys that every step may have, and the action's own parameters.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it is for.
    pub kind: StepKind,
    /// Unique in the plan; its outputs are `steps.<id with dashes as underscores>.<output>`.
    pub id: Spanned<String>,
    /// Name of the action, such as `node.file`.
    pub action: Spanned<String>,
    /// Host pattern: the step runs once on each of these hosts.
    pub hosts: Option<Spanned<String>>,
    /// Steps (of the same phase) that must end well first. `None`: the step before this one.
    pub needs: Option<Vec<Spanned<String>>>,
    /// What it is done for: once for each item of this list or table, or of the one that this template comes to.
    pub for_each: Option<Spanned<Value>>,
    /// Whether it runs once, on the first of its hosts, for all of them.
    pub run_once: bool,
    /// The machine that it runs on instead of the host; may be a template.
    pub delegate_to: Option<Spanned<String>>,
    /// Expression; the step is skipped when it is false.
    pub when: Option<Spanned<String>>,
    /// Whether it runs as root on the host.
    pub as_root: bool,
    /// How often a failed attempt is repeated.
    pub retry: Retry,
    /// Deadline of one attempt, and of a wait. `None`: the action's default.
    pub timeout: Option<Duration>,
    /// In which batches its hosts take their turn, and how many may fail.
    pub pace: Pace,
    /// Whether what needs it goes on when it fails.
    pub ignore_errors: bool,
    /// Handlers of the phase that must run when this step changed something.
    pub notify: Vec<Spanned<String>>,
    /// Whether the handlers that were notified so far run before this step.
    pub flush: bool,
    /// Steps of the phase's `on_failure` that undo this one.
    pub on_failure: Vec<Spanned<String>>,
    /// How the host takes the change back by itself, should it cut the connection.
    pub guard: Option<Guard>,
    /// Where it says `guard = false`: its phase's is not for it.
    pub unguarded: Option<Span>,
    /// Whether its diff, outputs and output are masked.
    pub sensitive: bool,
    /// Labels for `--tags`.
    pub tags: Vec<Spanned<String>>,
    /// The action's own parameters, templates not yet rendered.
    pub params: Map<String, Value>,
    /// Where each parameter's value stands, by JSON pointer (`/values/0`); `""` is the step itself.
    pub spans: Vec<(String, Span)>,
    /// Where each parameter's key stands, by JSON pointer.
    pub key_spans: Vec<(String, Span)>,
}

/// A change that its host takes back by itself, unless it is told in time that it can still be reached. Commands are lines
/// for `sh`, with the step's rights; they are no templates.
#[derive(Debug, Clone)]
pub struct Guard {
    /// How long the host waits for that; at least a second.
    pub time: Spanned<Duration>,
    /// Puts the change into effect, before it is confirmed: a reload, a restart.
    pub apply: Option<Spanned<String>>,
    /// Undoes what cannot be kept and put back, or puts into effect what was put back.
    pub restore: Option<Spanned<String>>,
    /// Must end well over the new connection, too.
    pub check: Option<Spanned<String>>,
}

impl Guard {
    /// The command that the host runs when all is back: what puts the new state into effect does so with the old one.
    pub fn restore_command(&self) -> Option<&str> {
        self.restore.as_ref().or(self.apply.as_ref()).map(|command| command.value.as_str())
    }
}

impl fmt::Display for Guard {
    /// As in a plan, without its commands.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::SignedDuration::try_from(self.time.value).unwrap_or(jiff::SignedDuration::MAX);
        write!(f, "guard = \"{time:#}\"")
    }
}

/// How a failed attempt is repeated: after `delay`, doubled each time, never more than a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts after the first.
    pub times: u32,
    /// Pause before the second attempt.
    pub delay: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { times: 0, delay: Duration::from_secs(1) }
    }
}

impl Retry {
    /// The pause after a failed attempt (from 1).
    pub fn pause(&self, attempt: u32) -> Duration {
        self.delay.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(Duration::from_secs(60))
    }
}

impl Step {
    /// Whether it runs on each of its hosts.
    pub fn fans_out(&self) -> bool {
        self.hosts.is_some() && !self.run_once
    }

    /// Whether it only looks, as far as that can be told before its templates are rendered; `kind` is its action's.
    pub fn is_read_only(&self, kind: &ActionInfo) -> bool {
        kind.role == Role::Check || (kind.is_read_only)(&Value::Object(self.params.clone()))
    }

    /// Whether it asks for a handler when it has changed something.
    pub fn notifies(&self, handler: &Self) -> bool {
        self.notify.iter().any(|name| name.value == handler.id.value)
    }

    /// Whether a step of `on_failure` undoes it.
    pub fn is_undone_by(&self, undo: &Self) -> bool {
        self.on_failure.iter().any(|name| name.value == undo.id.value)
    }

    /// The name under which templates find the step's outputs.
    pub fn template_name(&self) -> String {
        template_name(&self.id.value)
    }
}

/// An id as a template identifier: dashes and dots become underscores.
pub fn template_name(id: &str) -> String {
    id.replace(['-', '.'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let retry = Retry { times: 9, delay: Duration::from_secs(2) };
        let pauses: Vec<u64> = (1..=7).map(|n| retry.pause(n).as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60]);
    }
}
