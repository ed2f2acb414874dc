//! What steps hand to later ones: does it exist, and is it there in time.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};

use super::checker::{CheckedStep, Checker};
use super::structure::phase_edges;
use crate::finding::{did_you_mean, listed};
use crate::plan::{Plan, StepKind};
use crate::template::{Names, OutputRef};

/// Whose template it is, by index.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner {
    /// A step of the list of all steps.
    Step(usize),
    /// A phase.
    Phase(usize),
}

/// What is wrong with a use of an output.
pub(super) struct Wrong {
    /// Whether it need not go wrong.
    pub(super) warns: bool,
    pub(super) code: &'static str,
    /// The name as it stands in the template.
    pub(super) name: String,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// Which steps have surely run before which.
pub(super) struct Before {
    /// Each step's index by its name in templates; the first one's, where names are not unique.
    named: HashMap<String, usize>,
    /// For each step where it stands.
    places: Vec<OutputUse>,
    /// For each phase those that it needs.
    edges: Vec<Vec<usize>>,
    /// For each phase all before it, once that was asked for.
    phases: Vec<OnceCell<BTreeSet<usize>>>,
    /// For each phase what its steps need.
    orders: Vec<Vec<Vec<usize>>>,
}

struct OutputUse {
    phase: usize,
    /// Of the phase's steps.
    number: usize,
    part: StepKind,
}

impl Before {
    pub(super) fn new(plan: &Plan, steps: &[CheckedStep<'_>]) -> Self {
        let edges = phase_edges(plan);
        let place =
            |known: &CheckedStep<'_>| OutputUse { phase: known.phase, number: known.number, part: known.step.kind };
        let mut named = HashMap::new();
        for (index, known) in steps.iter().enumerate() {
            named.entry(known.step.template_name()).or_insert(index);
        }
        Self {
            named,
            places: steps.iter().map(place).collect(),
            phases: edges.iter().map(|_| OnceCell::new()).collect(),
            edges,
            orders: plan.phases.iter().map(|p| p.order()).collect(),
        }
    }

    fn has(&self, owner: Owner, step: usize) -> bool {
        let maker = &self.places[step];
        let phase = match owner {
            Owner::Step(n) => self.places[n].phase,
            Owner::Phase(n) => n,
        };
        let in_phase_before = maker.part == StepKind::Step
            && self.phases[phase].get_or_init(|| reachable(phase, &self.edges)).contains(&maker.phase);
        let step_before = match owner {
            Owner::Step(n) if phase == maker.phase => {
                reachable(self.places[n].number, &self.orders[phase]).contains(&maker.number)
            }
            _ => false,
        };
        in_phase_before || step_before
    }
}

/// All nodes that lie behind one.
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
    /// What is wrong with the outputs among the names of a template.
    pub(super) fn wrong_outputs(
        &self,
        names: &Names,
        owner: Owner,
        steps: &[CheckedStep<'_>],
        before: &Before,
    ) -> Vec<Wrong> {
        let mut wrong: Vec<Wrong> = names
            .outputs()
            .iter()
            .filter_map(|output| self.wrong_output(output, names, owner, steps, before))
            .collect();
        if names.iter().any(|n| n == "steps") {
            let help = "write steps.ID.OUTPUT, with `_` in the place of `-` and `.` in the id".to_owned();
            let message = "`steps` is not used with a name, so nobody can tell which step must run first".to_owned();
            wrong.push(Wrong { warns: false, code: "bad-output", name: "steps".into(), message, help: Some(help) });
        }
        wrong
    }

    fn wrong_output(
        &self,
        used: &OutputRef,
        names: &Names,
        owner: Owner,
        steps: &[CheckedStep<'_>],
        before: &Before,
    ) -> Option<Wrong> {
        let name = format!("steps.{}", used.step);
        let Some(index) = before.named.get(&used.step).copied() else {
            let all: Vec<String> = steps.iter().map(|k| k.step.template_name()).collect();
            let help = did_you_mean(&used.step, all.iter().map(String::as_str))
                .or_else(|| Some(format!("the steps are {}", listed(all.iter().map(String::as_str)))));
            let message = format!("no step is called `{}` in templates", used.step);
            return Some(Wrong { warns: false, code: "unknown-step", name, message, help });
        };
        let maker = &steps[index];
        let id = &maker.step.id.value;
        if !before.has(owner, index) {
            return Some(Wrong { warns: false, code: "output-too-early", name, ..self.too_early(owner, index, steps) });
        }
        let whole = used.output.is_none();
        let fans_out = maker.step.fans_out();
        let is_loop = maker.step.for_each.is_some();
        let all = |part: &str| {
            let all = format!("{name}.{part}");
            names.iter().any(|n| n == all || n.strip_prefix(&all).is_some_and(|rest| rest.starts_with('.')))
        };
        let lacks = match (all("hosts") && !fans_out, all("items") && !is_loop) {
            _ if !whole => None,
            (true, _) if maker.step.run_once => Some("runs once"),
            (true, _) => Some("does not run on hosts"),
            (_, true) => Some("is no loop"),
            _ => None,
        };
        if let Some(lacks) = lacks {
            let message = format!("step `{id}` {lacks}");
            let help = Some(format!("write {name}.OUTPUT"));
            return Some(Wrong { warns: false, code: "bad-output", name, message, help });
        }
        if let Owner::Step(n) = owner
            && all("hosts")
            && self.reads_across_batches(&steps[n], maker)
        {
            let message =
                format!("a batch cannot read what other hosts make of step `{id}`: their batch may come later");
            let help = Some(format!("write {name}.OUTPUT, or read it in a phase after this one"));
            return Some(Wrong { warns: false, code: "bad-output", name, message, help });
        }
        let output = used.output.as_ref()?;
        let full = format!("{name}.{output}");
        let kind = maker.kind.as_ref()?;
        if !kind.outputs.iter().any(|o| o.name == *output) {
            let near = did_you_mean(output, kind.outputs.iter().map(|o| o.name));
            let help = near.unwrap_or_else(|| match kind.outputs {
                [] => format!("{} has no outputs", kind.name),
                some => format!("{} has {}", kind.name, listed(some.iter().map(|o| o.name))),
            });
            let message = format!("step `{id}` has no output `{output}`");
            return Some(Wrong { warns: false, code: "unknown-output", name: full, message, help: Some(help) });
        }
        // The template says itself what happens where the output is missing.
        if !names.unguarded().any(|n| n == full || n.starts_with(&format!("{full}."))) {
            return None;
        }
        if is_loop {
            let message = format!("step `{id}` is a loop: each item has a `{output}` of its own");
            let help = Some(format!("write {name}.items['ITEM'].{output}"));
            return Some(Wrong { warns: false, code: "bad-output", name: full, message, help });
        }
        let asks = |n: usize| self.asks_first(&steps[n], &full);
        if maker.step.ignore_errors && !matches!(owner, Owner::Step(n) if asks(n)) {
            let message = format!("step `{id}` may fail, which it ignores, and then it has no output `{output}`");
            let help = Some(format!("write when = \"{full} is defined\", or {full} | default(…)"));
            return Some(Wrong { warns: true, code: "maybe-missing", name: full, message, help });
        }
        if !fans_out {
            return None;
        }
        let reader = match owner {
            Owner::Step(n) => steps[n].hosts.as_ref(),
            Owner::Phase(_) => None,
        };
        let by_host = || Some(format!("write {name}.hosts['NAME'].{output}"));
        match (&maker.hosts, reader) {
            (Some(_), None) if !matches!(owner, Owner::Step(n) if steps[n].step.hosts.is_some()) => {
                let message = format!("step `{id}` runs on hosts: each has a `{output}` of its own");
                Some(Wrong { warns: false, code: "bad-output", name: full, message, help: by_host() })
            }
            (Some(makers), Some(readers)) => {
                let lacking: Vec<&str> =
                    readers.iter().filter(|h| !makers.contains(h)).map(|h| h.name.as_str()).collect();
                (!lacking.is_empty()).then(|| {
                    let message = format!("step `{id}` does not run on {}", listed(lacking));
                    Wrong { warns: false, code: "bad-output", name: full, message, help: by_host() }
                })
            }
            _ => None,
        }
    }

    fn too_early(&self, owner: Owner, maker: usize, steps: &[CheckedStep<'_>]) -> Wrong {
        let (phase, what) = match owner {
            Owner::Step(n) if n == maker => {
                let message = format!("step `{}` uses its own output", steps[n].step.id.value);
                return Wrong { warns: false, code: "", name: String::new(), message, help: None };
            }
            Owner::Step(n) => (steps[n].phase, format!("step `{}`", steps[n].step.id.value)),
            Owner::Phase(n) => (n, format!("phase `{}`", self.plan.phases[n].name.value)),
        };
        let id = &steps[maker].step.id.value;
        let name = |p: usize| &self.plan.phases[p].name.value;
        let help = match owner {
            Owner::Phase(n) if n == steps[maker].phase => "a phase's `when` is decided before its steps".to_owned(),
            _ if phase == steps[maker].phase => format!("put it after step `{id}`, or let it need that step"),
            _ => format!("let phase `{}` need phase `{}`", name(phase), name(steps[maker].phase)),
        };
        let message = format!("{what} uses an output of step `{id}`, which need not have run by then");
        Wrong { warns: false, code: "", name: String::new(), message, help: Some(help) }
    }
}
