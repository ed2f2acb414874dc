//! Checks ids, needs, handlers, `on_failure` steps, and cycles.

use std::collections::HashMap;

use super::checker::Checker;
use crate::finding::{Finding, Span, Spanned, cycles, did_you_mean, listed};
use crate::plan::{Phase, Plan, Step, StepKind};

impl Checker<'_> {
    pub(super) fn structure(&mut self) {
        let plan = self.plan;
        self.ids();
        let names = plan.phases_by_name();
        for phase in &plan.phases {
            for need in &phase.needs {
                self.phase_need(need, &names);
            }
            for (number, step) in phase.steps.iter().enumerate() {
                for need in step.needs.iter().flatten() {
                    self.step_need(phase, number, need);
                }
            }
            self.named_steps(phase, StepKind::Handler, "notifies", |step| &step.notify);
            self.named_steps(phase, StepKind::OnFailure, "names", |step| &step.on_failure);
            if phase.steps_of(StepKind::Step).next().is_none() {
                let message = format!("phase `{}` has no steps", phase.name.value);
                let help = format!("add [[phase.{}.step]], or remove the phase", phase.name.value);
                self.warn("empty-phase", &phase.name.span, message, Some(help));
            }
        }
        let place = |n: usize, label: usize| {
            let phase = &plan.phases[n];
            let named = phase.needs.iter().find(|need| need.value == plan.phases[label].name.value);
            named.map_or(&phase.name.span, |need| &need.span)
        };
        self.report_cycles("phases", &phase_edges(plan), |n| &plan.phases[n].name.value, place);
        for phase in &plan.phases {
            let label = format!("steps of phase `{}`", phase.name.value);
            let place = |n: usize, label: usize| {
                let step = &phase.steps[n];
                let named = step.needs.iter().flatten().find(|need| need.value == phase.steps[label].id.value);
                named.map_or(&step.id.span, |need| &need.span)
            };
            self.report_cycles(&label, &phase.order(), |n| &phase.steps[n].id.value, place);
        }
    }

    fn ids(&mut self) {
        let steps: Vec<_> = self.plan.phases.iter().flat_map(|p| &p.steps).collect();
        let mut seen = HashMap::new();
        for step in &steps {
            let first = *seen.entry(step.template_name()).or_insert(step);
            if std::ptr::eq(first, step) {
                continue;
            }
            let (id, other) = (&step.id.value, &first.id.value);
            let finding = if id == other {
                Finding::error("duplicate-id", format!("two steps have the id `{id}`"))
                    .help("ids are unique in the whole plan, since outputs are addressed by them")
            } else {
                let name = step.template_name();
                Finding::error("duplicate-id", format!("steps `{other}` and `{id}` have the same name in templates"))
                    .help(format!("both are steps.{name} there; give one of them another id"))
            };
            let source = &self.plan.source;
            self.findings.push(finding.at(source, step.id.span.clone(), "again").at(
                source,
                first.id.span.clone(),
                "first",
            ));
        }
    }

    fn phase_need(&mut self, need: &Spanned<String>, names: &HashMap<&str, usize>) {
        if names.contains_key(need.value.as_str()) {
            return;
        }
        let names = || self.plan.phases.iter().map(|p| p.name.value.as_str());
        let of_step = self.plan.phases.iter().find(|p| p.steps.iter().any(|s| s.id.value == need.value));
        let help = match of_step {
            Some(phase) => format!("it is a step of phase `{}`; phases need phases", phase.name.value),
            None => did_you_mean(&need.value, names()).unwrap_or_else(|| format!("the phases are {}", listed(names()))),
        };
        self.error("unknown-phase", &need.span, format!("no phase is named `{}`", need.value), Some(help));
    }

    /// Checks the handlers or `on_failure` steps of a phase: each name in a step must exist, and each handler must be
    /// named by a step.
    fn named_steps(
        &mut self,
        phase: &Phase,
        kind: StepKind,
        verb: &str,
        names_of: impl for<'s> Fn(&'s Step) -> &'s [Spanned<String>],
    ) {
        let key = kind.key();
        let existing: Vec<&str> = phase.steps_of(kind).map(|(_, s)| s.id.value.as_str()).collect();
        let named: Vec<&Spanned<String>> = phase.steps.iter().flat_map(names_of).collect();
        for name in &named {
            if existing.contains(&name.value.as_str()) {
                continue;
            }
            let other = self.plan.phases.iter().find(|p| p.steps_of(kind).any(|(_, s)| s.id.value == name.value));
            let help = if let Some(other) = other {
                format!("it is in phase `{}`: a step {verb} steps of its own phase only", other.name.value)
            } else if phase.steps.iter().any(|s| s.id.value == name.value) {
                format!("it is in another list: move it below [[phase.{}.{key}]]", phase.name.value)
            } else {
                did_you_mean(&name.value, existing.iter().copied())
                    .unwrap_or_else(|| format!("add [[phase.{}.{key}]] with this id", phase.name.value))
            };
            let message = format!("`{key}` of phase `{}` has no step named `{}`", phase.name.value, name.value);
            self.error("unknown-step", &name.span, message, Some(help));
        }
        for (_, step) in phase.steps_of(kind) {
            if !named.iter().any(|name| name.value == step.id.value) {
                let id = &step.id.value;
                let keyword = if kind == StepKind::Handler { "notify" } else { "on_failure" };
                let help = format!("add {keyword} = [\"{id}\"] to a step of the phase, or remove it");
                self.error(
                    "unused-step",
                    &step.id.span,
                    format!("no step {verb} `{id}`, so it never runs"),
                    Some(help),
                );
            }
        }
    }

    fn step_need(&mut self, phase: &Phase, number: usize, need: &Spanned<String>) {
        let steps = || phase.steps_of(StepKind::Step);
        if steps().any(|(_, s)| s.id.value == need.value) {
            return;
        }
        let elsewhere = self.plan.phases.iter().find(|p| p.steps.iter().any(|s| s.id.value == need.value));
        let is_phase = self.plan.phases.iter().any(|p| p.name.value == need.value);
        let ids: Vec<&str> = steps().filter(|(n, _)| *n != number).map(|(_, s)| s.id.value.as_str()).collect();
        let help = if let Some(other) = elsewhere {
            format!(
                "it is in phase `{}`: steps need steps of their own phase; let phase `{}` need that phase",
                other.name.value, phase.name.value
            )
        } else if is_phase {
            format!("it is a phase: write `needs` below [phase.{}]", phase.name.value)
        } else {
            did_you_mean(&need.value, ids.iter().copied()).unwrap_or_else(|| format!("the steps are {}", listed(ids)))
        };
        let message = format!("no step of phase `{}` is named `{}`", phase.name.value, need.value);
        self.error("unknown-step", &need.span, message, Some(help));
    }

    /// Reports each cycle with its path. `place` is where a node names another node as a need.
    fn report_cycles<'p>(
        &mut self,
        of: &str,
        edges: &[Vec<usize>],
        name: impl Fn(usize) -> &'p str,
        place: impl Fn(usize, usize) -> &'p Span,
    ) {
        for path in cycles(edges) {
            let names: Vec<&str> = path.iter().map(|n| name(*n)).collect();
            let message = format!("{of} need each other: {}", names.join(" → "));
            let help = "an arrow means \"needs\"; remove one of them".to_owned();
            self.error("cycle", place(path[0], path[1]), message, Some(help));
        }
    }
}

/// For each phase, the indices of the phases that it needs.
pub(super) fn phase_edges(plan: &Plan) -> Vec<Vec<usize>> {
    let index = plan.phases_by_name();
    let needs = |p: &Phase| p.needs.iter().filter_map(|n| index.get(n.value.as_str()).copied()).collect();
    plan.phases.iter().map(needs).collect()
}
