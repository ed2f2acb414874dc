//! Changes that may cut the connection: is there one that a guard could hold, and can the host take it back?

use std::collections::BTreeSet;

use super::checker::{CheckedStep, Checker};
use crate::finding::{Finding, listed};
use crate::inventory::Connection;
use crate::plan::{Guard, Phase};
use crate::template::is_template;

impl Checker<'_> {
    pub(super) fn guards(&mut self, steps: &[CheckedStep<'_>]) {
        let plan = self.plan;
        for known in steps {
            if let Some(guard) = &known.step.guard {
                self.guard(known, guard);
            }
        }
        for (number, phase) in plan.phases.iter().enumerate() {
            match &phase.guard {
                Some(guard) => {
                    let steps: Vec<&CheckedStep<'_>> = steps.iter().filter(|known| known.phase == number).collect();
                    self.guard_of(phase, guard, &steps);
                }
                None => self.nothing_to_leave(phase),
            }
        }
    }

    fn guard(&mut self, known: &CheckedStep<'_>, guard: &Guard) {
        let (step, at) = (known.step, &guard.time.span);
        let id = &step.id.value;
        self.guard_commands(guard);
        if step.hosts.is_none() {
            let message = format!("`guard` has no effect on step `{id}`, which runs on no host");
            self.error("useless-guard", at, message, Some("take `guard` away, or give the step `hosts`".into()));
            return;
        }
        let Some(kind) = &known.kind else { return };
        if step.is_read_only(kind) {
            let message = format!("`guard` has no effect on step `{id}`: {} only looks", kind.name);
            self.error("useless-guard", at, message, Some("guard the step that makes the change".into()));
        } else if !kind.is_revertible && guard.restore.is_none() {
            let message = format!("step `{id}` has no `guard_restore`, and what {} changes cannot be kept", kind.name);
            let help = "add guard_restore = \"…\": the command that undoes it on the host".to_owned();
            self.error("no-restore", at, message, Some(help));
        }
        self.late_handler(known, guard);
        self.without_connection(&[known], guard);
    }

    /// A phase's guard, with the phase's steps.
    fn guard_of(&mut self, phase: &Phase, guard: &Guard, steps: &[&CheckedStep<'_>]) {
        let name = &phase.name.value;
        self.guard_commands(guard);
        let holds =
            |known: &&&CheckedStep<'_>| known.kind.is_some_and(|kind| phase.guard_for(known.step, &kind).is_some());
        let held: Vec<&CheckedStep<'_>> = steps.iter().filter(holds).copied().collect();
        // An unknown action may change anything.
        if held.is_empty() && steps.iter().all(|known| known.kind.is_some()) {
            let message = format!("`guard` has no effect on phase `{name}`: none of its steps is under it");
            let help = "it is for steps that change a host and say nothing of guards themselves: take it away";
            self.error("useless-guard", &guard.time.span, message, Some(help.to_owned()));
        }
        for known in &held {
            let Some(kind) = known.kind.filter(|kind| !kind.is_revertible && guard.restore.is_none()) else { continue };
            let id = &known.step.id;
            let message = format!("the guard of phase `{name}` cannot hold step `{}`", id.value);
            let help = "give the step `guard` and `guard_restore`, the command that undoes it on the host, or \
                        `guard = false` if it cannot cut the connection";
            let source = &self.plan.source;
            self.findings.push(
                Finding::error("no-restore", message)
                    .at(source, id.span.clone(), format!("what {} changes cannot be kept", kind.name))
                    .at(source, guard.time.span.clone(), "has no `guard_restore`")
                    .maybe_help(Some(help.to_owned())),
            );
        }
        for known in &held {
            self.late_handler(known, guard);
        }
        self.without_connection(&held, guard);
    }

    fn guard_commands(&mut self, guard: &Guard) {
        for command in [&guard.apply, &guard.restore, &guard.check].into_iter().flatten() {
            if is_template(&command.value) {
                let help = "write what it does into a script on the host, and run that".to_owned();
                self.error("bad-guard", &command.span, "commands of a guard take no templates", Some(help));
            }
        }
    }

    fn late_handler(&mut self, known: &CheckedStep<'_>, guard: &Guard) {
        let step = known.step;
        if let (Some(handler), None) = (step.notify.first(), &guard.apply) {
            let message = format!("`{}` runs when the guard of step `{}` is off already", handler.value, step.id.value);
            let help = "what puts the change into effect, and may cut the connection, belongs into `guard_apply`";
            self.warn("useless-guard", &handler.span, message, Some(help.to_owned()));
        }
    }

    /// Whether a guard is for steps of this machine, too, where a new connection proves nothing.
    fn without_connection(&mut self, held: &[&CheckedStep<'_>], guard: &Guard) {
        let hosts = held.iter().flat_map(|known| known.hosts.iter().flatten());
        let local = hosts.filter(|host| host.connection == Connection::Local);
        let local: BTreeSet<&str> = local.map(|host| host.name.as_str()).collect();
        if !local.is_empty() && guard.check.is_none() {
            let message = format!("no connection leads to {}, which is this machine", listed(local));
            let help = "there, a guard needs a `guard_check` to tell whether all is well".to_owned();
            self.warn("useless-guard", &guard.time.span, message, Some(help));
        }
    }

    /// `guard = false` in a phase without a guard.
    fn nothing_to_leave(&mut self, phase: &Phase) {
        for step in &phase.steps {
            if let Some(span) = &step.unguarded {
                let message = format!("`guard = false` does nothing: phase `{}` has no guard", phase.name.value);
                self.error("useless-key", span, message, Some("take it away".to_owned()));
            }
        }
    }
}
