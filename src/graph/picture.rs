//! Prints the plan's graph as Mermaid or Graphviz text.

use std::fmt::Write;

use serde_json::Value;

use crate::plan::{Guard, Pace, Phase, Plan, Step, StepKind};

/// Prints a Mermaid flowchart: phases are boxes with their steps inside.
pub fn mermaid(plan: &Plan) -> String {
    let mut out = String::from("flowchart TD\n");
    for (p, phase) in plan.phases.iter().enumerate() {
        let text = join_lines(&phase.name.value, pace_and_guard_lines(&phase.pace, phase.guard.as_ref()), "<br/>");
        let _ = writeln!(out, "  subgraph p{p}[\"{}\"]", escape(&text));
        for (s, step) in phase.steps.iter().enumerate() {
            let text =
                join_lines(&format!("{}<br/><i>{}</i>", step.id.value, step.action.value), step_lines(step), "<br/>");
            let _ = writeln!(out, "    p{p}s{s}[\"{}\"]", escape(&text));
        }
        for (from, to) in step_edges(phase) {
            let _ = writeln!(out, "    p{p}s{from} --> p{p}s{to}");
        }
        let _ = writeln!(out, "  end");
    }
    for (from, to) in phase_edges(plan) {
        let _ = writeln!(out, "  p{from} --> p{to}");
    }
    out
}

/// Prints a Graphviz digraph: phases are clusters with their steps inside.
pub fn dot(plan: &Plan) -> String {
    let mut out = format!("digraph \"{}\" {{\n  compound=true;\n  node [shape=box];\n", escape(&plan.name.value));
    for (p, phase) in plan.phases.iter().enumerate() {
        let details = pace_and_guard_lines(&phase.pace, phase.guard.as_ref()).iter().map(|line| escape(line)).collect();
        let text = join_lines(&escape(&phase.name.value), details, "\\n");
        let _ = writeln!(out, "  subgraph cluster_{p} {{\n    label=\"{text}\";");
        for (s, step) in phase.steps.iter().enumerate() {
            let details = [&step.action.value].into_iter().chain(&step_lines(step)).map(|line| escape(line)).collect();
            let text = join_lines(&escape(&step.id.value), details, "\\n");
            let _ = writeln!(out, "    p{p}s{s} [label=\"{text}\"];");
        }
        for (from, to) in step_edges(phase) {
            let _ = writeln!(out, "    p{p}s{from} -> p{p}s{to};");
        }
        out.push_str("  }\n");
    }
    for (from, to) in phase_edges(plan) {
        // Graphviz has no edges between clusters: the arrow runs between two steps and is cut at the frames.
        let last = plan.phases[from].steps.len().saturating_sub(1);
        let _ = writeln!(out, "  p{from}s{last} -> p{to}s0 [ltail=cluster_{from}, lhead=cluster_{to}];");
    }
    out.push_str("}\n");
    out
}

/// The lines in a step's box below its id and action.
fn step_lines(step: &Step) -> Vec<String> {
    let unguarded = step.unguarded.as_ref().map(|_| "guard = false".to_owned());
    target_lines(step)
        .into_iter()
        .chain(pace_and_guard_lines(&step.pace, step.guard.as_ref()))
        .chain(unguarded)
        .collect()
}

/// `serial`, `max_failures` and `guard` of a step or a phase, as they are written in the plan.
fn pace_and_guard_lines(pace: &Pace, guard: Option<&Guard>) -> Vec<String> {
    let pace = Some(pace.to_string()).filter(|pace| !pace.is_empty());
    pace.into_iter().chain(guard.map(ToString::to_string)).collect()
}

/// On which hosts and for which items a step runs.
fn target_lines(step: &Step) -> Vec<String> {
    let hosts = step.hosts.as_ref().map(|hosts| match (step.run_once, &step.delegate_to) {
        (false, None) => format!("on {}", hosts.value),
        (true, None) => format!("once, on the first of {}", hosts.value),
        (false, Some(machine)) => format!("for {}, on {}", hosts.value, machine.value),
        (true, Some(machine)) => format!("once for {}, on {}", hosts.value, machine.value),
    });
    let items = step.for_each.as_ref().map(|items| match &items.value {
        Value::Array(list) => format!("for each of {} items", list.len()),
        Value::Object(table) => format!("for each of {} items", table.len()),
        template => format!("for each of {}", template.as_str().unwrap_or_default()),
    });
    hosts.into_iter().chain(items).collect()
}

fn phase_edges(plan: &Plan) -> Vec<(usize, usize)> {
    let index = plan.phases_by_name();
    let position = |name: &str| index.get(name).copied();
    let edges = |(to, phase): (usize, &Phase)| {
        phase.needs.iter().filter_map(|n| Some((position(&n.value)?, to))).collect::<Vec<_>>()
    };
    plan.phases.iter().enumerate().flat_map(edges).collect()
}

fn step_edges(phase: &Phase) -> Vec<(usize, usize)> {
    let needs = phase.order();
    phase.steps_of(StepKind::Step).flat_map(|(to, _)| needs[to].iter().map(move |from| (*from, to))).collect()
}

fn join_lines(text: &str, more: Vec<String>, line_break: &str) -> String {
    [vec![text.to_owned()], more].concat().join(line_break)
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{plan, step};
    use super::*;
    use crate::plan::Portion;
    use crate::plan::testing::at;

    fn two_phases() -> Plan {
        plan(vec![("a", &[], vec![step("one").hosts("pis"), step("two")]), ("b", &["a"], vec![step("three")])])
    }

    #[test]
    fn batches_and_limits_are_shown() {
        let mut plan = two_phases();
        plan.phases[0].pace.serial = Some(at(vec![Portion::Hosts(1), Portion::Percent(50)]));
        plan.phases[0].steps[0].pace.max_failures = Some(at(Portion::Percent(10)));
        let (mermaid, dot) = (mermaid(&plan), dot(&plan));
        assert!(mermaid.contains("p0[\"a<br/>serial = [1, &quot;50%&quot;]\"]"), "{mermaid}");
        assert!(mermaid.contains("on pis<br/>max_failures = &quot;10%&quot;\"]"), "{mermaid}");
        assert!(dot.contains("label=\"a\\nserial = [1, &quot;50%&quot;]\";"), "{dot}");
        assert!(dot.contains("on pis\\nmax_failures = &quot;10%&quot;\"]"), "{dot}");
    }

    #[test]
    fn guards_are_shown() {
        let mut plan = two_phases();
        let guard = |seconds| Some(Guard::new(Duration::from_secs(seconds)));
        plan.phases[0].guard = guard(90);
        plan.phases[0].steps[0].unguarded = Some(0..0);
        plan.phases[1].steps[0].guard = guard(120);
        let (mermaid, dot) = (mermaid(&plan), dot(&plan));
        assert!(mermaid.contains("p0[\"a<br/>guard = &quot;1m 30s&quot;\"]"), "{mermaid}");
        assert!(mermaid.contains("on pis<br/>guard = false\"]"), "{mermaid}");
        assert!(mermaid.contains("</i><br/>guard = &quot;2m&quot;\"]"), "{mermaid}");
        assert!(dot.contains("label=\"a\\nguard = &quot;1m 30s&quot;\";"), "{dot}");
        assert!(dot.contains("on pis\\nguard = false\"]"), "{dot}");
    }

    #[test]
    fn mermaid_has_phases_steps_and_edges() {
        insta::assert_snapshot!(mermaid(&two_phases()), @r#"
        flowchart TD
          subgraph p0["a"]
            p0s0["one<br/><i>node.command</i><br/>on pis"]
            p0s1["two<br/><i>node.command</i>"]
            p0s0 --> p0s1
          end
          subgraph p1["b"]
            p1s0["three<br/><i>node.command</i>"]
          end
          p0 --> p1
        "#);
    }

    #[test]
    fn dot_draws_phases_as_clusters() {
        insta::assert_snapshot!(dot(&two_phases()), @r#"
        digraph "test" {
          compound=true;
          node [shape=box];
          subgraph cluster_0 {
            label="a";
            p0s0 [label="one\nnode.command\non pis"];
            p0s1 [label="two\nnode.command"];
            p0s0 -> p0s1;
          }
          subgraph cluster_1 {
            label="b";
            p1s0 [label="three\nnode.command"];
          }
          p0s1 -> p1s0 [ltail=cluster_0, lhead=cluster_1];
        }
        "#);
    }
}
