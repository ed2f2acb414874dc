use serde_json::json;

use super::*;
use crate::inventory::{Connection, Inventory};
use crate::plan::{Phase, Portion, Scope, Step, StepKind};
use crate::template::Templates;

pub fn step(id: &str) -> Step {
    Step::new(id, "node.command")
}

pub fn plan(phases: Vec<(&str, &[&str], Vec<Step>)>) -> Plan {
    let phase = |(name, needs, steps): (&str, &[&str], Vec<Step>)| Phase::new(name, steps).needs(needs);
    Plan::new("test", phases.into_iter().map(phase).collect())
}

fn hosts(pattern: &str) -> Vec<Arc<Host>> {
    let host = |name: &str| {
        Arc::new(Host {
            name: name.to_owned(),
            address: name.to_owned(),
            connection: Connection::Local,
            ..Host::default()
        })
    };
    pattern.split(',').filter(|n| !n.is_empty()).map(host).collect()
}

fn graph(plan: &Plan, in_sight: impl Fn(&Host) -> bool) -> Result<Graph, GraphError> {
    graph_of(plan, hosts, in_sight)
}

fn graph_of(
    plan: &Plan,
    hosts_of: impl FnMut(&str) -> Vec<Arc<Host>>,
    in_sight: impl Fn(&Host) -> bool,
) -> Result<Graph, GraphError> {
    let templates = Templates::new(".");
    let (scope, _) = Scope::new(plan, &Inventory::default(), &serde_json::Map::new(), &templates);
    Graph::new(plan, hosts_of, in_sight, RenderContext { templates: &templates, scope: &scope })
}

fn order(plan: &Plan) -> Vec<(String, Vec<String>)> {
    let graph = graph(plan, |_| true).unwrap();
    let name = |i: NodeIndex| match graph.node(i) {
        Node::Unit(unit) => Some(unit.reference(plan).to_string()),
        _ => None,
    };
    let reversed = petgraph::visit::Reversed(&graph.dag);
    let mut all: Vec<(String, Vec<String>)> = graph
        .nodes()
        .filter_map(|(i, _)| {
            let me = name(i)?;
            let mut walk = petgraph::visit::Dfs::new(reversed, i);
            let mut before = Vec::new();
            while let Some(seen) = walk.next(reversed) {
                before.extend(name(seen).filter(|n| *n != me));
            }
            before.sort();
            Some((me, before))
        })
        .collect();
    all.sort();
    all
}

fn needs_of(plan: &Plan, unit: &str) -> Vec<String> {
    order(plan).into_iter().find(|(name, _)| name == unit).map(|(_, before)| before).unwrap()
}

#[test]
fn steps_of_a_phase_run_in_order_and_phases_by_their_needs() {
    let plan = plan(vec![
        ("a", &[], vec![step("one"), step("two")]),
        ("b", &["a"], vec![step("three")]),
        ("c", &[], vec![step("four")]),
    ]);
    assert_eq!(needs_of(&plan, "a/two"), ["a/one"]);
    assert_eq!(needs_of(&plan, "b/three"), ["a/one", "a/two"]);
    assert!(needs_of(&plan, "c/four").is_empty());
}

#[test]
fn empty_needs_start_at_once() {
    let plan = plan(vec![("a", &[], vec![step("one"), step("two").needs(&[])])]);
    assert!(needs_of(&plan, "a/two").is_empty());
}

#[test]
fn a_host_waits_only_for_itself() {
    let plan = plan(vec![("a", &[], vec![step("one").hosts("x,y"), step("two").hosts("x,y")])]);
    assert_eq!(needs_of(&plan, "a/two@x"), ["a/one@x"]);
}

#[test]
fn a_host_that_the_step_before_did_not_run_on_waits_for_all_of_it() {
    let plan = plan(vec![("a", &[], vec![step("init").hosts("x,y"), step("join").hosts("z")])]);
    assert_eq!(needs_of(&plan, "a/join@z"), ["a/init@x", "a/init@y"]);
}

#[test]
fn a_step_that_reads_other_hosts_outputs_waits_for_all_of_them() {
    let second = step("two").hosts("x,y").param("content", "{{ steps.one.hosts['y'].stdout }}");
    let plan = plan(vec![("a", &[], vec![step("one").hosts("x,y"), second])]);
    assert_eq!(needs_of(&plan, "a/two@x"), ["a/one@x", "a/one@y"]);
}

#[test]
fn a_step_without_a_matching_host_still_keeps_the_order() {
    let plan = plan(vec![("a", &[], vec![step("one"), step("none").hosts(""), step("three")])]);
    assert_eq!(needs_of(&plan, "a/three"), ["a/one"]);
}

#[test]
fn cycles_are_refused() {
    let plan = plan(vec![("a", &["b"], vec![step("one")]), ("b", &["a"], vec![step("two")])]);
    assert!(matches!(graph(&plan, |_| true), Err(GraphError::Cycle)));
}

#[test]
fn a_step_comes_after_its_hosts_part_of_all_earlier_steps() {
    let steps = vec![step("one").hosts("x,y"), step("two").hosts("x"), step("three").hosts("y")];
    let plan = plan(vec![("a", &[], steps)]);
    assert_eq!(needs_of(&plan, "a/three@y"), ["a/one@x", "a/one@y", "a/two@x"]);
}

#[test]
fn a_host_that_no_earlier_step_ran_on_waits_for_all_of_them() {
    let steps = vec![step("one").hosts("x,y"), step("two").hosts("x"), step("three").hosts("z")];
    let plan = plan(vec![("a", &[], steps)]);
    assert_eq!(needs_of(&plan, "a/three@z"), ["a/one@x", "a/one@y", "a/two@x"]);
}

#[test]
fn a_step_waits_for_outputs_of_other_hosts_from_before_the_last_step() {
    let third = step("three").hosts("x,y").param("content", "{{ steps.one.hosts['y'].stdout }}");
    let steps = vec![step("one").hosts("x,y"), step("two").hosts("x,y"), third];
    let plan = plan(vec![("a", &[], steps)]);
    assert_eq!(needs_of(&plan, "a/three@x"), ["a/one@x", "a/one@y", "a/two@x"]);
}

#[test]
fn a_step_with_flush_waits_for_every_handler() {
    let steps = vec![
        step("one").hosts("x,y").notify(&["first", "last"]),
        step("two").hosts("y").flush(),
        step("first").hosts("x,y").kind(StepKind::Handler),
        step("last").hosts("x").kind(StepKind::Handler),
    ];
    let plan = plan(vec![("a", &[], steps)]);
    let before = needs_of(&plan, "a/two@y");
    for unit in ["a/one@y", "a/first@y", "a/last@x"] {
        assert!(before.contains(&unit.to_owned()), "{unit} in {before:?}");
    }
}

#[test]
fn a_host_is_undone_in_reverse_order_of_its_steps() {
    let steps = vec![
        step("one").hosts("y").on_failure(&["undo-one"]),
        step("two").hosts("x").on_failure(&["undo-two"]),
        step("three").hosts("x,y").on_failure(&["undo-three"]),
        step("undo-one").hosts("y").kind(StepKind::OnFailure),
        step("undo-two").hosts("x").kind(StepKind::OnFailure),
        step("undo-three").hosts("x,y").kind(StepKind::OnFailure),
    ];
    let plan = plan(vec![("a", &[], steps)]);
    assert!(needs_of(&plan, "a/undo-one@y").contains(&"a/undo-three@y".to_owned()));
}

fn rolling(serial: &[Portion], steps: Vec<Step>) -> Plan {
    Plan::new("test", vec![Phase::new("a", steps).serial(serial)])
}

#[test]
fn a_batch_waits_for_all_steps_of_the_one_before() {
    let steps = || vec![step("one").hosts("x,y,z"), step("two").hosts("y,z")];
    let plan = rolling(&[Portion::Hosts(1), Portion::Hosts(2)], steps());
    assert!(needs_of(&plan, "a/one@x").is_empty());
    assert_eq!(needs_of(&plan, "a/one@y"), ["a/one@x"]);
    assert_eq!(needs_of(&plan, "a/two@z"), ["a/one@x", "a/one@z"]);
    let plan = rolling(&[Portion::Percent(34)], steps());
    assert_eq!(needs_of(&plan, "a/one@z"), ["a/one@x", "a/one@y", "a/two@y"]);
}

#[test]
fn a_step_with_batches_does_not_delay_other_steps() {
    let second = step("two").hosts("x,y").serial(&[Portion::Hosts(1)]);
    let steps = vec![step("one").hosts("x,y"), second, step("three").hosts("x,y")];
    let plan = plan(vec![("a", &[], steps)]);
    assert_eq!(needs_of(&plan, "a/two@y"), ["a/one@x", "a/one@y", "a/two@x"]);
    assert_eq!(needs_of(&plan, "a/three@x"), ["a/one@x", "a/two@x"]);
}

#[test]
fn a_step_without_hosts_runs_before_or_after_all_batches() {
    let once = |id: &str| step(id);
    let on = |id: &str| step(id).hosts("x,y");
    let plan = rolling(&[Portion::Hosts(1)], vec![once("first"), on("one"), on("two"), once("last")]);
    assert_eq!(needs_of(&plan, "a/one@y"), ["a/first", "a/one@x", "a/two@x"]);
    assert_eq!(needs_of(&plan, "a/last"), ["a/first", "a/one@x", "a/one@y", "a/two@x", "a/two@y"]);
    let between = rolling(&[Portion::Hosts(1)], vec![on("one"), once("between"), on("two")]);
    assert!(matches!(graph(&between, |_| true), Err(GraphError::BetweenBatches { step }) if step == "between"));
}

#[test]
fn handlers_run_with_their_batch() {
    let notifier = step("one").hosts("x,y").notify(&["handler"]);
    let handler = step("handler").hosts("x,y").kind(StepKind::Handler);
    let plan = rolling(&[Portion::Hosts(1)], vec![notifier, handler]);
    assert_eq!(needs_of(&plan, "a/one@y"), ["a/handler@x", "a/one@x"]);
    assert_eq!(needs_of(&plan, "a/handler@x"), ["a/one@x"]);
}

#[test]
fn hosts_of_several_patterns_are_in_the_order_of_the_inventory() {
    let steps = vec![step("one").hosts("y,z"), step("two").hosts("x,z")];
    let plan = rolling(&[Portion::Hosts(1)], steps);
    let all = |pattern: &str| hosts(if pattern == "all" { "x,y,z" } else { pattern });
    let graph = graph_of(&plan, all, |_| true).unwrap();
    let firsts = graph.units().filter(|unit| {
        let index = graph.nodes().find(|(_, node)| matches!(node, Node::Unit(u) if std::ptr::eq(u, *unit))).unwrap().0;
        graph.predecessors(index).all(|before| !matches!(graph.node(before), Node::Gate))
            && unit.host.as_ref().is_some_and(|host| host.name == "x")
    });
    assert_eq!(firsts.count(), 1, "x is the first batch");
}

#[test]
fn a_batch_has_all_items_of_its_hosts() {
    let each = || step("two").hosts("x,y").for_each(json!(["a", "b"]));
    let rolled = rolling(&[Portion::Hosts(1)], vec![step("one").hosts("x,y"), each()]);
    assert_eq!(needs_of(&rolled, "a/two[a]@x"), ["a/one@x"]);
    assert_eq!(needs_of(&rolled, "a/one@y"), ["a/one@x", "a/two[a]@x", "a/two[b]@x"]);
    let plan = plan(vec![("a", &[], vec![each().serial(&[Portion::Hosts(1)])])]);
    assert_eq!(needs_of(&plan, "a/two[b]@x"), ["a/two[a]@x"]);
    assert_eq!(needs_of(&plan, "a/two[a]@y"), ["a/two[a]@x", "a/two[b]@x"]);
}

#[test]
fn a_step_with_run_once_is_in_no_batch() {
    let once = |id: &str| step(id).hosts("x,y").run_once();
    let on = |id: &str| step(id).hosts("x,y");
    let plan = rolling(&[Portion::Hosts(1)], vec![once("first"), on("one"), once("last")]);
    assert_eq!(needs_of(&plan, "a/one@y"), ["a/first", "a/one@x"]);
    assert_eq!(needs_of(&plan, "a/last"), ["a/first", "a/one@x", "a/one@y"]);
    let between = rolling(&[Portion::Hosts(1)], vec![on("one"), once("between"), on("two")]);
    assert!(matches!(graph(&between, |_| true), Err(GraphError::BetweenBatches { step }) if step == "between"));
}

#[test]
fn a_loop_is_a_chain_on_each_host() {
    let steps = vec![
        step("one").hosts("x,y"),
        step("two").hosts("x,y").for_each(json!(["a", "b"])),
        step("three").hosts("x,z"),
    ];
    let plan = plan(vec![("p", &[], steps)]);
    assert_eq!(needs_of(&plan, "p/two[a]@x"), ["p/one@x"]);
    assert_eq!(needs_of(&plan, "p/two[b]@x"), ["p/one@x", "p/two[a]@x"]);
    assert_eq!(needs_of(&plan, "p/three@x"), ["p/one@x", "p/two[a]@x", "p/two[b]@x"]);
    assert_eq!(needs_of(&plan, "p/three@z").len(), 6, "a host of its own waits for all");
}

#[test]
fn a_loop_without_items_keeps_the_order() {
    let steps = vec![step("one").hosts("x"), step("two").hosts("x").for_each(json!([])), step("three").hosts("x")];
    let plan = plan(vec![("p", &[], steps)]);
    assert_eq!(needs_of(&plan, "p/three@x"), ["p/one@x"]);
}

#[test]
fn run_once_uses_the_first_visible_host() {
    let once = step("one").hosts("x,y").run_once();
    let there = step("two").hosts("x,y").delegate_to("m");
    let here = step("three").hosts("y").delegate_to("localhost");
    let plan = plan(vec![("p", &[], vec![once, there, here])]);
    let spread = |in_sight: fn(&Host) -> bool| {
        let graph = graph(&plan, in_sight).unwrap();
        let name = |host: &Option<Arc<Host>>| host.as_ref().map(|h| h.name.clone()).unwrap_or_default();
        let unit = |u: &Unit| format!("{} sees {} on {}", u.reference(&plan), name(&u.vars_host), name(&u.runs_on));
        (graph.units().map(unit).collect::<Vec<_>>(), graph.is_limited())
    };
    let all = ["p/one sees x on x", "p/two@x sees x on m", "p/two@y sees y on m", "p/three@y sees y on localhost"];
    assert_eq!(spread(|_| true), (all.map(str::to_owned).to_vec(), false));
    let part = ["p/one sees y on y", "p/two@y sees y on m", "p/three@y sees y on localhost"];
    assert_eq!(spread(|host| host.name == "y"), (part.map(str::to_owned).to_vec(), true));
}
