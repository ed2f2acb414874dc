//! Reads `guard` and its commands, of steps and of phases. A guarded host reverts a change by itself if the change cuts
//! the connection.

use std::time::Duration;

use serde_json::Value;

use super::{ActionInfo, Catalog, Guard, Phase, Plan, Spanned, Step, StepKind};
use crate::document::{Item, Reader, Table};
use crate::finding::Span;

/// The host's timer counts whole seconds.
const MIN_GUARD_TIME: Duration = Duration::from_secs(1);

impl Phase {
    /// The phase's guard, if it applies to the step: a regular step that may change a host and has neither `guard` nor
    /// `guard = false` itself.
    pub fn guard_for(&self, step: &Step, action: &ActionInfo) -> Option<&Guard> {
        let has_own_guard = step.guard.is_some() || step.unguarded.is_some();
        let may_change_host = step.kind == StepKind::Step && step.hosts.is_some() && !step.is_read_only(action);
        self.guard.as_ref().filter(|_| may_change_host && !has_own_guard)
    }
}

impl Plan {
    /// Copies the guard of each phase to the steps it applies to. Each step is confirmed on its own: if all were
    /// confirmed together at the end, steps that are already recorded as done could be reverted.
    pub fn apply_phase_guards(&mut self, catalog: &dyn Catalog) {
        for phase in self.phases.iter_mut().filter(|phase| phase.guard.is_some()) {
            let guard = |step: &Step| phase.guard_for(step, catalog.action(&step.action.value)?).cloned();
            let guards: Vec<_> = phase.steps.iter().map(guard).collect();
            for (step, guard) in phase.steps.iter_mut().zip(guards) {
                step.guard = step.guard.take().or(guard);
            }
        }
    }
}

/// Takes `guard = false` off the table and returns its place.
pub(super) fn unguarded(table: &mut Table) -> Option<Span> {
    let (_, node) = table.entries.iter().find(|(key, _)| key.value == "guard")?;
    let is_off = matches!(node.item, Item::Scalar(Value::Bool(false)));
    is_off.then(|| table.take("guard"))?.map(|(key, _)| key.span)
}

/// Takes `guard` and the `guard_…` commands off the table.
pub(super) fn guard(reader: &mut Reader, table: &mut Table) -> Option<Guard> {
    let key_span =
        |table: &Table, key: &str| table.entries.iter().find(|(k, _)| k.value == key).map(|(k, _)| k.span.clone());
    let span = key_span(table, "guard");
    let time = reader.duration(table, "guard");
    let mut command = |key: &str| {
        let at = key_span(table, key);
        let command = reader.string(table, key);
        if let (None, Some(at)) = (&span, at) {
            let help = format!("add `guard = \"2m\"`, or leave `{key}` out");
            reader.error("useless-key", &at, format!("`{key}` without `guard` does nothing"), Some(help));
        }
        command
    };
    let [apply, restore, check] = ["guard_apply", "guard_restore", "guard_check"].map(&mut command);
    let (time, span) = (time?, span?);
    if time < MIN_GUARD_TIME {
        let help = "the time must be enough to change, reload and connect anew: write guard = \"2m\"".to_owned();
        reader.error(
            "bad-duration",
            &span,
            "a guard of less than a second would revert the change at once",
            Some(help),
        );
    }
    Some(Guard { time: Spanned::new(time, span), apply, restore, check })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::finding::Style;

    fn step(id: &str, keys: &str) -> String {
        format!("[[phase.p.step]]\nid = \"{id}\"\n{keys}\n")
    }

    fn parse(phase: &str, rest: &str) -> Result<Plan, String> {
        let text = format!("[plan]\nname = \"d\"\n[phase.p]\n{phase}\n{rest}");
        let refused = |f: crate::finding::Findings| f.text(Style { color: false, unicode: true, width: 100 });
        Plan::parse(Path::new("plans/a.toml"), &text).map_err(refused)
    }

    #[test]
    fn a_phase_has_the_keys_of_a_guard() {
        let keys = "guard = \"90s\"\nguard_apply = \"reload\"\nguard_restore = \"undo\"\nguard_check = \"true\"";
        let plan = parse(keys, &step("a", "action = \"x\"\nguard = false")).unwrap();
        let guard = plan.phases[0].guard.as_ref().unwrap();
        let command = |of: &Option<Spanned<String>>| of.as_ref().map(|command| command.value.clone()).unwrap();
        assert_eq!(
            (guard.time.value.as_secs(), command(&guard.apply), command(&guard.check)),
            (90, "reload".into(), "true".into())
        );
        assert_eq!((guard.restore_command(), guard.to_string()), (Some("undo"), "guard = \"1m 30s\"".to_owned()));
        let off = plan.phases[0].steps[0].unguarded.clone().unwrap();
        assert!(plan.phases[0].steps[0].guard.is_none() && &plan.source.text[off] == "guard");
    }

    #[test]
    fn incomplete_guards_are_refused() {
        let step = |keys: &str| step("a", &format!("action = \"x\"\n{keys}"));
        for (phase, rest, expected) in [
            ("guard_check = \"true\"", step(""), "`guard_check` without `guard` does nothing"),
            ("guard = \"10ms\"", step(""), "less than a second"),
            ("guard = false", step(""), "`guard` must be a duration such as \"90s\", not a boolean"),
            ("guard = \"1m\"", step("guard = true"), "`guard` must be a duration such as \"90s\", not a boolean"),
            ("guard = \"1m\"", step("guard_check = \"true\""), "`guard_check` without `guard` does nothing"),
            ("guard = \"1m\"", step("guard = false\nguard_check = \"true\""), "`guard_check` without `guard`"),
        ] {
            let report = parse(phase, &rest).unwrap_err();
            assert!(report.contains(expected) && report.contains("plans/a.toml:"), "{phase} {rest}: {report}");
        }
    }
}
