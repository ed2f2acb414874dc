//! Changes that may cut the connection: is there one that a guard could hold, and can the host take it back.

use super::{Checker, Known};
use crate::finding::listed;
use crate::inventory::Connection;
use crate::plan::{Guard, Role};
use crate::template::is_template;

impl Checker<'_> {
    pub(super) fn guards(&mut self, steps: &[Known<'_>]) {
        for known in steps {
            if let Some(guard) = &known.step.guard {
                self.guard(known, guard);
            }
        }
    }

    fn guard(&mut self, known: &Known<'_>, guard: &Guard) {
        let (step, at) = (known.step, &guard.time.span);
        let id = &step.id.value;
        for command in [&guard.apply, &guard.restore, &guard.check].into_iter().flatten() {
            if is_template(&command.value) {
                let help = "write what it does into a script on the host, and run that".to_owned();
                self.error("bad-guard", &command.span, "commands of a guard take no templates", Some(help));
            }
        }
        if step.hosts.is_none() {
            let message = format!("`guard` has no effect on step `{id}`, which runs on no host");
            self.error("useless-guard", at, message, Some("take `guard` away, or give the step `hosts`".into()));
            return;
        }
        let Some(kind) = &known.kind else { return };
        if kind.role == Role::Check {
            let message = format!("`guard` has no effect on step `{id}`: {} only looks", kind.name);
            self.error("useless-guard", at, message, Some("guard the step that makes the change".into()));
        } else if !kind.keeps && guard.restore.is_none() {
            let message = format!("step `{id}` has no `guard_restore`, and what {} changes cannot be kept", kind.name);
            let help = "add guard_restore = \"…\": the command that undoes it on the host".to_owned();
            self.error("no-restore", at, message, Some(help));
        }
        if let (Some(handler), None) = (step.notify.first(), &guard.apply) {
            let message = format!("`{}` runs when the guard of step `{id}` is off already", handler.value);
            let help = "what puts the change into effect, and may cut the connection, belongs into `guard_apply`";
            self.warn("useless-guard", &handler.span, message, Some(help.to_owned()));
        }
        let local = known.hosts.iter().flatten().filter(|host| host.connection == Connection::Local);
        let local: Vec<&str> = local.map(|host| host.name.as_str()).collect();
        if !local.is_empty() && guard.check.is_none() {
            let message = format!("no connection leads to {}, which is this machine", listed(local));
            let help = "there, a guard needs a `guard_check` to tell whether all is well".to_owned();
            self.warn("useless-guard", at, message, Some(help));
        }
    }
}
