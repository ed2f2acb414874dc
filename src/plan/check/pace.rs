//! Checks `serial` and `max_failures`: keys without effect, and orders that batches cannot keep.

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
                let help = "these keys need hosts: give its steps `hosts`, or remove the key";
                self.useless_pace(&phase.pace, &format!("phase `{}` has no `hosts`", phase.name.value), help);
            }
            for (_, step) in phase.steps_of(StepKind::Step).filter(|(_, step)| !step.fans_out()) {
                let (why, help) = match step.run_once {
                    true => ("runs once", "these keys need hosts: remove `run_once` or the key"),
                    false => ("has no `hosts`", "these keys need hosts: add `hosts`, or remove the key"),
                };
                self.useless_pace(&step.pace, &format!("step `{}` {why}", step.id.value), help);
            }
            if let Some(serial) = phase.pace.serial.as_ref().filter(|_| fans_out) {
                self.between_batches(phase, &serial.span);
            }
        }
    }

    fn useless_pace(&mut self, pace: &Pace, why: &str, help: &str) {
        let serial = pace.serial.as_ref().map(|serial| ("serial", &serial.span));
        let failures = pace.max_failures.as_ref().map(|most| ("max_failures", &most.span));
        for (key, span) in serial.into_iter().chain(failures) {
            let message = format!("`{key}` does nothing: {why}");
            self.error("useless-key", span, message, Some(help.to_owned()));
        }
    }

    /// Reports steps that run once between steps that run in batches: each batch would have to wait for such a step and
    /// run before it.
    fn between_batches(&mut self, phase: &Phase, serial: &Span) {
        let order = phase.order();
        let transitive_needs: Vec<_> = (0..order.len()).map(|n| reachable(n, &order)).collect();
        let on_hosts: Vec<usize> =
            phase.steps_of(StepKind::Step).filter(|(_, s)| s.fans_out()).map(|(n, _)| n).collect();
        for (number, step) in phase.steps_of(StepKind::Step).filter(|(_, s)| !s.fans_out()) {
            let after = on_hosts.iter().any(|n| transitive_needs[number].contains(n));
            let before = on_hosts.iter().any(|n| transitive_needs[*n].contains(&number));
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

    /// Whether a step in a phase with `serial` reads outputs of other hosts from the same phase. A later batch may not
    /// have produced them yet.
    pub(super) fn reads_across_batches(&self, reader: &CheckedStep<'_>, producer: &CheckedStep<'_>) -> bool {
        let serial = self.plan.phases[reader.phase].pace.serial.is_some();
        serial && reader.phase == producer.phase && reader.step.fans_out() && producer.step.fans_out()
    }

    /// Whether the `when` of the step or of its phase handles a missing output.
    pub(super) fn is_guarded_by_when(&self, reader: &CheckedStep<'_>, output: &str) -> bool {
        let of_phase = self.plan.phases[reader.phase].when.as_ref();
        let whens = reader.step.when.iter().chain(of_phase);
        let mut names = whens.filter_map(|when| self.templates.names_in_expression(&when.value).ok());
        names.any(|names: Names| {
            let covers = |name: &str| name == output || output.starts_with(&format!("{name}."));
            names.iter().any(covers) && !names.unguarded().any(covers)
        })
    }
}
