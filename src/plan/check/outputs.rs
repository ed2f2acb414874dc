//! Checks uses of step outputs: does the output exist, and has its step surely run by then?

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};

use super::checker::{CheckedStep, Checker};
use super::structure::phase_edges;
use crate::finding::{did_you_mean, listed};
use crate::plan::{Plan, StepKind};
use crate::template::{Names, OutputRef};

/// The step or phase to which a template belongs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner {
    /// Index into the list of all steps.
    Step(usize),
    /// Index into the phases.
    Phase(usize),
}

/// A problem with a name in a template.
pub(super) struct TemplateProblem {
    /// Whether to report a warning, because the problem occurs only in some runs.
    pub(super) is_warning: bool,
    pub(super) code: &'static str,
    /// The name as written in the template.
    pub(super) name: String,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// Answers which steps have surely run before a step or phase.
pub(super) struct StepOrder {
    /// Index of each step by its name in templates. For duplicate names, the first step.
    named: HashMap<String, usize>,
    /// Place of each step in its phase.
    places: Vec<StepPlace>,
    /// For each phase, the phases that it needs directly.
    edges: Vec<Vec<usize>>,
    /// For each phase, all phases that it needs directly or indirectly; computed at first use.
    phases: Vec<OnceCell<BTreeSet<usize>>>,
    /// For each phase, the direct needs of each of its steps.
    orders: Vec<Vec<Vec<usize>>>,
}

struct StepPlace {
    phase: usize,
    /// Index in the phase's steps.
    number: usize,
    kind: StepKind,
}

impl StepOrder {
    pub(super) fn new(plan: &Plan, steps: &[CheckedStep<'_>]) -> Self {
        let edges = phase_edges(plan);
        let place = |checked: &CheckedStep<'_>| StepPlace {
            phase: checked.phase,
            number: checked.number,
            kind: checked.step.kind,
        };
        let mut named = HashMap::new();
        for (index, checked) in steps.iter().enumerate() {
            named.entry(checked.step.template_name()).or_insert(index);
        }
        Self {
            named,
            places: steps.iter().map(place).collect(),
            phases: edges.iter().map(|_| OnceCell::new()).collect(),
            edges,
            orders: plan.phases.iter().map(|p| p.order()).collect(),
        }
    }

    fn runs_before(&self, owner: Owner, step: usize) -> bool {
        let producer = &self.places[step];
        let phase = match owner {
            Owner::Step(n) => self.places[n].phase,
            Owner::Phase(n) => n,
        };
        let in_phase_before = producer.kind == StepKind::Step
            && self.phases[phase].get_or_init(|| reachable(phase, &self.edges)).contains(&producer.phase);
        let step_before = match owner {
            Owner::Step(n) if phase == producer.phase => {
                reachable(self.places[n].number, &self.orders[phase]).contains(&producer.number)
            }
            _ => false,
        };
        in_phase_before || step_before
    }
}

/// All nodes that can be reached from a node.
pub(super) fn reachable(from: usize, edges: &[Vec<usize>]) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let mut todo = edges[from].clone();
    while let Some(node) = todo.pop() {
        if seen.insert(node) {
            todo.extend(&edges[node]);
        }
    }
    seen
}

impl Checker<'_> {
    /// The problems with outputs among the names of a template.
    pub(super) fn output_problems(
        &self,
        names: &Names,
        owner: Owner,
        steps: &[CheckedStep<'_>],
        order: &StepOrder,
    ) -> Vec<TemplateProblem> {
        let mut problems: Vec<TemplateProblem> = names
            .outputs()
            .iter()
            .filter_map(|output| self.output_problem(output, names, owner, steps, order))
            .collect();
        if names.iter().any(|n| n == "steps") {
            let help = "write steps.ID.OUTPUT, with `_` in the place of `-` and `.` in the id".to_owned();
            let message = "`steps` is used without a step id, so it is unknown which step must run first".to_owned();
            problems.push(TemplateProblem {
                is_warning: false,
                code: "bad-output",
                name: "steps".into(),
                message,
                help: Some(help),
            });
        }
        problems
    }

    fn output_problem(
        &self,
        output_ref: &OutputRef,
        names: &Names,
        owner: Owner,
        steps: &[CheckedStep<'_>],
        order: &StepOrder,
    ) -> Option<TemplateProblem> {
        let name = format!("steps.{}", output_ref.step);
        let Some(index) = order.named.get(&output_ref.step).copied() else {
            let uses: Vec<String> = steps.iter().map(|k| k.step.template_name()).collect();
            let help = did_you_mean(&output_ref.step, uses.iter().map(String::as_str))
                .or_else(|| Some(format!("the steps are {}", listed(uses.iter().map(String::as_str)))));
            let message = format!("no step is called `{}` in templates", output_ref.step);
            return Some(TemplateProblem { is_warning: false, code: "unknown-step", name, message, help });
        };
        let producer = &steps[index];
        let id = &producer.step.id.value;
        if !order.runs_before(owner, index) {
            return Some(TemplateProblem {
                is_warning: false,
                code: "output-too-early",
                name,
                ..self.too_early(owner, index, steps)
            });
        }
        let is_whole_step = output_ref.output.is_none();
        let fans_out = producer.step.fans_out();
        let is_loop = producer.step.for_each.is_some();
        let uses = |table: &str| {
            let path = format!("{name}.{table}");
            names.iter().any(|n| n == path || n.strip_prefix(&path).is_some_and(|rest| rest.starts_with('.')))
        };
        let reason = match (uses("hosts") && !fans_out, uses("items") && !is_loop) {
            _ if !is_whole_step => None,
            (true, _) if producer.step.run_once => Some("runs once"),
            (true, _) => Some("does not run on hosts"),
            (_, true) => Some("is not a loop"),
            _ => None,
        };
        if let Some(reason) = reason {
            let message = format!("step `{id}` {reason}");
            let help = Some(format!("write {name}.OUTPUT"));
            return Some(TemplateProblem { is_warning: false, code: "bad-output", name, message, help });
        }
        if let Owner::Step(n) = owner
            && uses("hosts")
            && self.reads_across_batches(&steps[n], producer)
        {
            let message =
                format!("a batch cannot read what other hosts make of step `{id}`: their batch may come later");
            let help = Some(format!("write {name}.OUTPUT, or read it in a phase after this one"));
            return Some(TemplateProblem { is_warning: false, code: "bad-output", name, message, help });
        }
        let output = output_ref.output.as_ref()?;
        let full = format!("{name}.{output}");
        let action = producer.action.as_ref()?;
        if !action.outputs.iter().any(|o| o.name == *output) {
            let suggestion = did_you_mean(output, action.outputs.iter().map(|o| o.name));
            let help = suggestion.unwrap_or_else(|| match action.outputs {
                [] => format!("{} has no outputs", action.name),
                some => format!("{} has {}", action.name, listed(some.iter().map(|o| o.name))),
            });
            let message = format!("step `{id}` has no output `{output}`");
            return Some(TemplateProblem {
                is_warning: false,
                code: "unknown-output",
                name: full,
                message,
                help: Some(help),
            });
        }
        // The template handles a missing output itself, by `default` or `is defined`.
        if !names.unguarded().any(|n| n == full || n.starts_with(&format!("{full}."))) {
            return None;
        }
        if is_loop {
            let message = format!("step `{id}` is a loop: each item has a `{output}` of its own");
            let help = Some(format!("write {name}.items['ITEM'].{output}"));
            return Some(TemplateProblem { is_warning: false, code: "bad-output", name: full, message, help });
        }
        let is_guarded = |n: usize| self.is_guarded_by_when(&steps[n], &full);
        if producer.step.ignore_errors && !matches!(owner, Owner::Step(n) if is_guarded(n)) {
            let message = format!("step `{id}` may fail, which it ignores, and then it has no output `{output}`");
            let help = Some(format!("write when = \"{full} is defined\", or {full} | default(…)"));
            return Some(TemplateProblem { is_warning: true, code: "maybe-missing", name: full, message, help });
        }
        if !fans_out {
            return None;
        }
        let readers = match owner {
            Owner::Step(n) => steps[n].hosts.as_ref(),
            Owner::Phase(_) => None,
        };
        let by_host = || Some(format!("write {name}.hosts['NAME'].{output}"));
        match (&producer.hosts, readers) {
            (Some(_), None) if !matches!(owner, Owner::Step(n) if steps[n].step.hosts.is_some()) => {
                let message = format!("step `{id}` runs on hosts: each has a `{output}` of its own");
                Some(TemplateProblem { is_warning: false, code: "bad-output", name: full, message, help: by_host() })
            }
            (Some(producers), Some(readers)) => {
                let missing: Vec<&str> =
                    readers.iter().filter(|h| !producers.contains(h)).map(|h| h.name.as_str()).collect();
                (!missing.is_empty()).then(|| {
                    let message = format!("step `{id}` does not run on {}", listed(missing));
                    TemplateProblem { is_warning: false, code: "bad-output", name: full, message, help: by_host() }
                })
            }
            _ => None,
        }
    }

    fn too_early(&self, owner: Owner, producer: usize, steps: &[CheckedStep<'_>]) -> TemplateProblem {
        let (phase, what) = match owner {
            Owner::Step(n) if n == producer => {
                let message = format!("step `{}` uses its own output", steps[n].step.id.value);
                return TemplateProblem { is_warning: false, code: "", name: String::new(), message, help: None };
            }
            Owner::Step(n) => (steps[n].phase, format!("step `{}`", steps[n].step.id.value)),
            Owner::Phase(n) => (n, format!("phase `{}`", self.plan.phases[n].name.value)),
        };
        let id = &steps[producer].step.id.value;
        let name = |p: usize| &self.plan.phases[p].name.value;
        let help = match owner {
            Owner::Phase(n) if n == steps[producer].phase => "a phase's `when` is decided before its steps".to_owned(),
            _ if phase == steps[producer].phase => format!("put it after step `{id}`, or let it need that step"),
            _ => format!("let phase `{}` need phase `{}`", name(phase), name(steps[producer].phase)),
        };
        let message = format!("{what} uses an output of step `{id}`, which may not have run by then");
        TemplateProblem { is_warning: false, code: "", name: String::new(), message, help: Some(help) }
    }
}
