//! Checks guards: does the guard apply to a change, and can the host revert that change?

use std::collections::BTreeSet;

use super::checker::{CheckedStep, Checker};
use crate::finding::{Finding, listed};
use crate::inventory::Connection;
use crate::plan::{Guard, Phase};
use crate::template::is_template;

impl Checker<'_> {
    pub(super) fn guards(&mut self, steps: &[CheckedStep<'_>]) {
        let plan = self.plan;
        for checked in steps {
            if let Some(guard) = &checked.step.guard {
                self.step_guard(checked, guard);
            }
        }
        for (number, phase) in plan.phases.iter().enumerate() {
            match &phase.guard {
                Some(guard) => {
                    let steps: Vec<&CheckedStep<'_>> = steps.iter().filter(|checked| checked.phase == number).collect();
                    self.phase_guard(phase, guard, &steps);
                }
                None => self.useless_guard_false(phase),
            }
        }
    }

    fn step_guard(&mut self, checked: &CheckedStep<'_>, guard: &Guard) {
        let (step, at) = (checked.step, &guard.time.span);
        let id = &step.id.value;
        self.guard_commands(guard);
        if step.hosts.is_none() {
            let message = format!("`guard` has no effect on step `{id}`, which runs on no host");
            self.error("useless-guard", at, message, Some("remove `guard`, or give the step `hosts`".into()));
            return;
        }
        let Some(action) = &checked.action else { return };
        if step.is_read_only(action) {
            let message = format!("`guard` has no effect on step `{id}`: {} only looks", action.name);
            self.error("useless-guard", at, message, Some("guard the step that makes the change".into()));
        } else if !action.is_revertible && guard.restore.is_none() {
            let message =
                format!("step `{id}` has no `guard_restore`, and what {} changes cannot be kept", action.name);
            let help = "add guard_restore = \"…\": the command that undoes it on the host".to_owned();
            self.error("no-restore", at, message, Some(help));
        }
        self.late_handler(checked, guard);
        self.guards_this_machine(&[checked], guard);
    }

    /// Checks the guard of a phase against the phase's steps.
    fn phase_guard(&mut self, phase: &Phase, guard: &Guard, steps: &[&CheckedStep<'_>]) {
        let name = &phase.name.value;
        self.guard_commands(guard);
        let is_guarded = |checked: &&&CheckedStep<'_>| {
            checked.action.is_some_and(|action| phase.guard_for(checked.step, &action).is_some())
        };
        let guarded: Vec<&CheckedStep<'_>> = steps.iter().filter(is_guarded).copied().collect();
        // An unknown action may change a host.
        if guarded.is_empty() && steps.iter().all(|checked| checked.action.is_some()) {
            let message = format!("`guard` has no effect on phase `{name}`: it applies to none of its steps");
            let help = "it applies to steps that change a host and have no `guard` of their own: remove it";
            self.error("useless-guard", &guard.time.span, message, Some(help.to_owned()));
        }
        for checked in &guarded {
            let Some(action) = checked.action.filter(|action| !action.is_revertible && guard.restore.is_none()) else {
                continue;
            };
            let id = &checked.step.id;
            let message = format!("the guard of phase `{name}` cannot hold step `{}`", id.value);
            let help = "give the step `guard` and `guard_restore`, the command that undoes it on the host, or \
                        `guard = false` if it cannot cut the connection";
            let source = &self.plan.source;
            self.findings.push(
                Finding::error("no-restore", message)
                    .at(source, id.span.clone(), format!("what {} changes cannot be kept", action.name))
                    .at(source, guard.time.span.clone(), "has no `guard_restore`")
                    .maybe_help(Some(help.to_owned())),
            );
        }
        for checked in &guarded {
            self.late_handler(checked, guard);
        }
        self.guards_this_machine(&guarded, guard);
    }

    fn guard_commands(&mut self, guard: &Guard) {
        for command in [&guard.apply, &guard.restore, &guard.check].into_iter().flatten() {
            if is_template(&command.value) {
                let help = "put the command into a script on the host, and run the script".to_owned();
                self.error("bad-guard", &command.span, "the commands of a guard cannot contain templates", Some(help));
            }
        }
    }

    fn late_handler(&mut self, checked: &CheckedStep<'_>, guard: &Guard) {
        let step = checked.step;
        if let (Some(handler), None) = (step.notify.first(), &guard.apply) {
            let message = format!("`{}` runs only after the guard of step `{}` is off", handler.value, step.id.value);
            let help = "put the command that activates the change, and may cut the connection, into `guard_apply`";
            self.warn("useless-guard", &handler.span, message, Some(help.to_owned()));
        }
    }

    /// Warns if a guard covers steps on this machine, where a new connection proves nothing.
    fn guards_this_machine(&mut self, guarded: &[&CheckedStep<'_>], guard: &Guard) {
        let hosts = guarded.iter().flat_map(|checked| checked.hosts.iter().flatten());
        let local = hosts.filter(|host| host.connection == Connection::Local);
        let local: BTreeSet<&str> = local.map(|host| host.name.as_str()).collect();
        if !local.is_empty() && guard.check.is_none() {
            let message = format!("no connection leads to {}, which is this machine", listed(local));
            let help = "add a `guard_check`, a command that tells whether the change works".to_owned();
            self.warn("useless-guard", &guard.time.span, message, Some(help));
        }
    }

    /// Reports `guard = false` in a phase without a guard.
    fn useless_guard_false(&mut self, phase: &Phase) {
        for step in &phase.steps {
            if let Some(span) = &step.unguarded {
                let message = format!("`guard = false` does nothing: phase `{}` has no guard", phase.name.value);
                self.error("useless-key", span, message, Some("remove it".to_owned()));
            }
        }
    }
}
