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

/// A parsed plan file.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The file's path and text.
    pub source: Arc<Source>,
    /// Folder that relative paths in the plan start from: the folder of the plan, or its parent if the plan is in
    /// `plans/`.
    pub root: PathBuf,
    /// `[plan] name`.
    pub name: Spanned<String>,
    /// `[plan] description`.
    pub description: Option<String>,
    /// `[vars]`, in file order; values may be templates of other variables.
    pub vars: Vec<(Spanned<String>, Spanned<Value>)>,
    /// `[secrets.*]`; secrets of the same names in the inventory override them.
    pub secrets: Vec<SecretEntry>,
    /// `[phase.*]`, in file order.
    pub phases: Vec<Phase>,
}

impl Plan {
    /// Indices into `phases`, by name.
    pub fn phases_by_name(&self) -> HashMap<&str, usize> {
        self.phases.iter().enumerate().map(|(index, phase)| (phase.name.value.as_str(), index)).collect()
    }

    /// The files that the plan may read and write when it runs with an inventory.
    pub fn project(&self, inventory: &Inventory) -> Project {
        Project::from(self.root.as_path()).allow_outside(inventory.allow_outside)
    }

    /// Whether some step uses the API of a cluster.
    pub fn touches_cluster(&self, catalog: &dyn Catalog) -> bool {
        let mut steps = self.phases.iter().flat_map(|p| &p.steps);
        steps.any(|s| catalog.action(&s.action.value).is_some_and(|k| k.runs_on == RunsOn::Cluster))
    }
}

/// A named group of steps.
#[derive(Debug, Clone)]
pub struct Phase {
    pub name: Spanned<String>,
    pub description: Option<String>,
    /// Phases that must succeed first.
    pub needs: Vec<Spanned<String>>,
    /// Expression; the phase is skipped if it is false.
    pub when: Option<Spanned<String>>,
    /// Batches of hosts for the phase as a whole, and its failure limit.
    pub pace: Pace,
    /// Guard for the steps that may change a host and have no guard of their own.
    pub guard: Option<Guard>,
    /// The steps, then the handlers, then the steps of `on_failure`, each in file order.
    pub steps: Vec<Step>,
}

/// In which list of its phase a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StepKind {
    /// `[[phase.NAME.step]]`: runs in the order of the phase.
    #[default]
    Step,
    /// `[[phase.NAME.handler]]`: runs once at the end of the phase, or before a step with `flush`, if a changed step
    /// notified it.
    Handler,
    /// `[[phase.NAME.on_failure]]`: undoes the steps that name it, if the phase fails.
    OnFailure,
}

impl StepKind {
    /// All kinds, in the order in which they stand in [`Phase::steps`].
    pub const ALL: [Self; 3] = [Self::Step, Self::Handler, Self::OnFailure];

    /// The key in the phase.
    pub fn key(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Handler => "handler",
            Self::OnFailure => "on_failure",
        }
    }
}

impl Phase {
    /// The steps of one kind, with their indices in `steps`.
    pub fn steps_of(&self, kind: StepKind) -> impl Iterator<Item = (usize, &Step)> {
        self.steps.iter().enumerate().filter(move |(_, step)| step.kind == kind)
    }

    /// For each step, the indices of the steps that must succeed first: those that its `needs` names, else the step
    /// before. Unknown names are left out. Handlers and rollback steps come after all steps.
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

/// One step: the common keys of all steps, and the parameters of its action.
#[derive(Debug, Clone)]
pub struct Step {
    pub kind: StepKind,
    /// Id, unique in the plan. Templates read the step's outputs as `steps.<id with dashes and dots as
    /// underscores>.<output>`.
    pub id: Spanned<String>,
    /// Name of the action, such as `node.file`.
    pub action: Spanned<String>,
    /// Host pattern; the step runs once on each of these hosts.
    pub hosts: Option<Spanned<String>>,
    /// Steps of the same phase that must succeed first. `None`: the step before this one.
    pub needs: Option<Vec<Spanned<String>>>,
    /// Loop: a list, a table, or a template for one of these. The step runs once for each item.
    pub for_each: Option<Spanned<Value>>,
    /// Whether the step runs only once, on the first of its hosts.
    pub run_once: bool,
    /// The machine on which the step runs instead of the host; may be a template.
    pub delegate_to: Option<Spanned<String>>,
    /// Expression; the step is skipped if it is false.
    pub when: Option<Spanned<String>>,
    /// `become`: whether the step runs as root on the host.
    pub as_root: bool,
    /// How often, and after which delay, a failed attempt is retried.
    pub retry: Retry,
    /// Timeout of one attempt, and of waiting for a condition. `None`: the action's default.
    pub timeout: Option<Duration>,
    /// Batches of hosts for this step, and its failure limit.
    pub pace: Pace,
    /// Whether the run continues if the step fails.
    pub ignore_errors: bool,
    /// Handlers of the phase that run if this step changes something.
    pub notify: Vec<Spanned<String>>,
    /// Whether the handlers notified so far run before this step.
    pub flush: bool,
    /// `on_failure` steps of the phase that undo this step.
    pub on_failure: Vec<Spanned<String>>,
    /// How the host reverts the change by itself if the change cuts the connection.
    pub guard: Option<Guard>,
    /// Place of `guard = false`, which turns the phase's guard off for this step.
    pub unguarded: Option<Span>,
    /// Whether diff, outputs and console output are masked.
    pub sensitive: bool,
    /// Labels for `--tags`.
    pub tags: Vec<Spanned<String>>,
    /// Parameters of the action, not yet rendered.
    pub params: Map<String, Value>,
    /// Places of the values of parameters, by JSON pointer (`/values/0`); `""` is the step itself.
    pub spans: Vec<(String, Span)>,
    /// Places of the keys of parameters, by JSON pointer.
    pub key_spans: Vec<(String, Span)>,
}

/// Settings of a guarded change: the host reverts the change by itself unless `rollout` confirms in time that the host
/// can still be reached. The commands are lines for `sh`, run with the step's rights; they are not templates.
#[derive(Debug, Clone)]
pub struct Guard {
    /// How long the host waits for the confirmation; at least one second.
    pub time: Spanned<Duration>,
    /// Activates the change before it is confirmed: a reload, a restart.
    pub apply: Option<Spanned<String>>,
    /// Undoes changes that cannot be backed up, or activates the restored state.
    pub restore: Option<Spanned<String>>,
    /// Must succeed over the new connection before the change is confirmed.
    pub check: Option<Spanned<String>>,
}

impl Guard {
    /// The command that the host runs after the backup is restored: `restore`, else `apply`, which activates the old
    /// state just as it activated the new one.
    pub fn restore_command(&self) -> Option<&str> {
        self.restore.as_ref().or(self.apply.as_ref()).map(|command| command.value.as_str())
    }
}

impl fmt::Display for Guard {
    /// As written in a plan, without the commands.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::SignedDuration::try_from(self.time.value).unwrap_or(jiff::SignedDuration::MAX);
        write!(f, "guard = \"{time:#}\"")
    }
}

/// How a failed attempt is retried: after `delay`, which doubles each time up to one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Maximum number of retries.
    pub times: u32,
    /// Delay before the first retry.
    pub delay: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { times: 0, delay: Duration::from_secs(1) }
    }
}

impl Retry {
    /// The delay after failed attempt number `attempt`, counted from 1.
    pub fn pause(&self, attempt: u32) -> Duration {
        self.delay.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(Duration::from_secs(60))
    }
}

impl Step {
    /// Whether the step runs on each of its hosts.
    pub fn fans_out(&self) -> bool {
        self.hosts.is_some() && !self.run_once
    }

    /// Whether the step changes nothing, as far as its unrendered parameters tell. `action` is the action of the step.
    pub fn is_read_only(&self, action: &ActionInfo) -> bool {
        action.role == Role::Check || (action.is_read_only)(&Value::Object(self.params.clone()))
    }

    /// Whether the step notifies `handler`.
    pub fn notifies(&self, handler: &Self) -> bool {
        self.notify.iter().any(|name| name.value == handler.id.value)
    }

    /// Whether the `on_failure` step `undo` undoes this step.
    pub fn is_undone_by(&self, undo: &Self) -> bool {
        self.on_failure.iter().any(|name| name.value == undo.id.value)
    }

    /// The name by which templates read the step's outputs.
    pub fn template_name(&self) -> String {
        template_name(&self.id.value)
    }
}

/// Turns an id into a template identifier: dashes and dots become underscores.
pub fn template_name(id: &str) -> String {
    id.replace(['-', '.'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_delays_double_up_to_a_minute() {
        let retry = Retry { times: 9, delay: Duration::from_secs(2) };
        let pauses: Vec<u64> = (1..=7).map(|n| retry.pause(n).as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60]);
    }
}
