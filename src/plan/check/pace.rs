//! How steps and phases go over their hosts: keys that do nothing, and orders that batches cannot keep.

use super::checker::{CheckedStep, Checker};
use super::outputs::reachable;
use crate::finding::{Finding, Span};
use crate::plan::{Pace, Phase, StepKind};
use crate::template::Names;

impl Checker<'_> {
    pub(super) fn paces(&mut self) {
        let plan = self.plan;
        for phase in &plan.phases {
            let fans_out = phase.steps_of(StepKind::Step).any(|(_, step)| step.fans_out());
            if !fans_out {
                let help = "batches and limits are of hosts: give its steps `hosts`, or take the key away";
                self.useless(&phase.pace, &format!("phase `{}` has no `hosts`", phase.name.value), help);
            }
            for (_, step) in phase.steps_of(StepKind::Step).filter(|(_, step)| !step.fans_out()) {
                let (why, help) = match step.run_once {
                    true => ("runs once", "batches and limits are of hosts: take `run_once` away, or the key"),
                    false => ("has no `hosts`", "batches and limits are of hosts: add `hosts`, or take the key away"),
                };
                self.useless(&step.pace, &format!("step `{}` {why}", step.id.value), help);
            }
            if let Some(serial) = phase.pace.serial.as_ref().filter(|_| fans_out) {
                self.between_batches(phase, &serial.span);
            }
        }
    }

    fn useless(&mut self, pace: &Pace, why: &str, help: &str) {
        let serial = pace.serial.as_ref().map(|serial| ("serial", &serial.span));
        let failures = pace.max_failures.as_ref().map(|most| ("max_failures", &most.span));
        for (key, span) in serial.into_iter().chain(failures) {
            let message = format!("`{key}` does nothing: {why}");
            self.error("useless-key", span, message, Some(help.to_owned()));
        }
    }

    /// A step that runs once cannot come after one batch and before another part of it.
    fn between_batches(&mut self, phase: &Phase, serial: &Span) {
        let order = phase.order();
        let reach: Vec<_> = (0..order.len()).map(|n| reachable(n, &order)).collect();
        let on_hosts: Vec<usize> =
            phase.steps_of(StepKind::Step).filter(|(_, s)| s.fans_out()).map(|(n, _)| n).collect();
        for (number, step) in phase.steps_of(StepKind::Step).filter(|(_, s)| !s.fans_out()) {
            let after = on_hosts.iter().any(|n| reach[number].contains(n));
            let before = on_hosts.iter().any(|n| reach[*n].contains(&number));
            if after && before {
                let message = format!(
                    "step `{}` runs once, between steps that run on hosts, and phase `{}` has `serial`",
                    step.id.value, phase.name.value
                );
                let help =
                    "each batch goes through all steps before the next one: give it `hosts`, or a phase of its own";
                self.findings.push(
                    Finding::error("between-batches", message)
                        .at(&self.plan.source, step.id.span.clone(), "runs once")
                        .at(&self.plan.source, serial.clone(), "batch by batch")
                        .maybe_help(Some(help.to_owned())),
                );
            }
        }
    }

    /// Whether a step in a phase with `serial` looks at other hosts' outputs of the same phase, which a later batch has yet
    /// to make.
    pub(super) fn reads_across_batches(&self, reader: &CheckedStep<'_>, maker: &CheckedStep<'_>) -> bool {
        let serial = self.plan.phases[reader.phase].pace.serial.is_some();
        serial && reader.phase == maker.phase && reader.step.fans_out() && maker.step.fans_out()
    }

    /// Whether a step says itself, by its `when` or its phase's, what becomes of it where an output is not there.
    pub(super) fn asks_first(&self, reader: &CheckedStep<'_>, output: &str) -> bool {
        let of_phase = self.plan.phases[reader.phase].when.as_ref();
        let whens = reader.step.when.iter().chain(of_phase);
        let mut names = whens.filter_map(|when| self.templates.names_in_expression(&when.value).ok());
        names.any(|names: Names| {
            let guards = |name: &str| name == output || output.starts_with(&format!("{name}."));
            names.iter().any(guards) && !names.unguarded().any(guards)
        })
    }
}
