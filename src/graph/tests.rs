use super::*;
use crate::inventory::{Connection, Inventory};
use crate::plan::{Pace, Phase, Portion, Retry, Scope, Source, Spanned, Step, StepKind};
use crate::template::Templates;

fn at<T>(value: T) -> Spanned<T> {
    Spanned::new(value, 0..0)
}

pub fn step(id: &str, hosts: Option<&str>, needs: Option<&[&str]>) -> Step {
    Step {
        kind: StepKind::Step,
        id: at(id.to_owned()),
        action: at("node.command".to_owned()),
        hosts: hosts.map(|h| at(h.to_owned())),
        needs: needs.map(|n| n.iter().map(|n| at((*n).to_owned())).collect()),
        when: None,
        for_each: None,
        run_once: false,
        delegate_to: None,
        as_root: false,
        retry: Retry::default(),
        timeout: None,
        pace: Pace::default(),
        ignore_errors: false,
        notify: Vec::new(),
        flush: false,
        on_failure: Vec::new(),
        guard: None,
        unguarded: None,
        sensitive: false,
        tags: Vec::new(),
        params: serde_json::Map::new(),
        spans: Vec::new(),
        key_spans: Vec::new(),
    }
}

pub fn plan(phases: Vec<(&str, &[&str], Vec<Step>)>) -> Plan {
    Plan {
        source: Arc::new(Source { path: "plan.toml".into(), text: String::new() }),
        root: ".".into(),
        name: at("test".to_owned()),
        description: None,
        vars: Vec::new(),
        secrets: Vec::new(),
        phases: phases
            .into_iter()
            .map(|(name, needs, steps)| Phase {
                name: at(name.to_owned()),
                description: None,
                needs: needs.iter().map(|n| at((*n).to_owned())).collect(),
                when: None,
                pace: Pace::default(),
                guard: None,
                steps,
            })
            .collect(),
    }
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

/// For each unit, the units that must have ended before it.
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
        ("a", &[], vec![step("one", None, None), step("two", None, None)]),
        ("b", &["a"], vec![step("three", None, None)]),
        ("c", &[], vec![step("four", None, None)]),
    ]);
    assert_eq!(needs_of(&plan, "a/two"), ["a/one"]);
    assert_eq!(needs_of(&plan, "b/three"), ["a/one", "a/two"]);
    assert!(needs_of(&plan, "c/four").is_empty());
}

#[test]
fn empty_needs_start_at_once() {
    let plan = plan(vec![("a", &[], vec![step("one", None, None), step("two", None, Some(&[]))])]);
    assert!(needs_of(&plan, "a/two").is_empty());
}

#[test]
fn a_host_waits_only_for_itself() {
    let plan = plan(vec![("a", &[], vec![step("one", Some("x,y"), None), step("two", Some("x,y"), None)])]);
    assert_eq!(needs_of(&plan, "a/two@x"), ["a/one@x"]);
}

#[test]
fn a_host_that_the_step_before_did_not_run_on_waits_for_all_of_it() {
    let plan = plan(vec![("a", &[], vec![step("init", Some("x,y"), None), step("join", Some("z"), None)])]);
    assert_eq!(needs_of(&plan, "a/join@z"), ["a/init@x", "a/init@y"]);
}

#[test]
fn a_step_that_reads_other_hosts_outputs_waits_for_all_of_them() {
    let mut second = step("two", Some("x,y"), None);
    second.params.insert("content".into(), "{{ steps.one.hosts['y'].stdout }}".into());
    let plan = plan(vec![("a", &[], vec![step("one", Some("x,y"), None), second])]);
    assert_eq!(needs_of(&plan, "a/two@x"), ["a/one@x", "a/one@y"]);
}

#[test]
fn a_step_without_a_matching_host_still_keeps_the_order() {
    let plan =
        plan(vec![("a", &[], vec![step("one", None, None), step("none", Some(""), None), step("three", None, None)])]);
    assert_eq!(needs_of(&plan, "a/three"), ["a/one"]);
}

#[test]
fn circles_are_refused() {
    let plan = plan(vec![("a", &["b"], vec![step("one", None, None)]), ("b", &["a"], vec![step("two", None, None)])]);
    assert!(matches!(graph(&plan, |_| true), Err(GraphError::Cycle)));
}

#[test]
fn a_step_comes_after_its_hosts_part_of_all_earlier_steps() {
    let steps = vec![step("one", Some("x,y"), None), step("two", Some("x"), None), step("three", Some("y"), None)];
    let plan = plan(vec![("a", &[], steps)]);
    assert_eq!(needs_of(&plan, "a/three@y"), ["a/one@x", "a/one@y", "a/two@x"]);
}

#[test]
fn a_host_that_no_earlier_step_ran_on_waits_for_all_of_them() {
    let steps = vec![step("one", Some("x,y"), None), step("two", Some("x"), None), step("three", Some("z"), None)];
    let plan = plan(vec![("a", &[], steps)]);
    assert_eq!(needs_of(&plan, "a/three@z"), ["a/one@x", "a/one@y", "a/two@x"]);
}

#[test]
fn outputs_of_other_hosts_are_waited_for_over_the_steps_between() {
    let mut third = step("three", Some("x,y"), None);
    third.params.insert("content".into(), "{{ steps.one.hosts['y'].stdout }}".into());
    let steps = vec![step("one", Some("x,y"), None), step("two", Some("x,y"), None), third];
    let plan = plan(vec![("a", &[], steps)]);
    assert_eq!(needs_of(&plan, "a/three@x"), ["a/one@x", "a/one@y", "a/two@x"]);
}

#[test]
fn what_flushes_waits_for_every_handler_and_for_its_own_part() {
    let notify =
        |names: &[&str], step: Step| Step { notify: names.iter().map(|n| at((*n).to_owned())).collect(), ..step };
    let handler = |id: &str, hosts: &str| Step { kind: StepKind::Handler, ..step(id, Some(hosts), None) };
    let steps = vec![
        notify(&["first", "last"], step("one", Some("x,y"), None)),
        Step { flush: true, ..step("two", Some("y"), None) },
        handler("first", "x,y"),
        handler("last", "x"),
    ];
    let plan = plan(vec![("a", &[], steps)]);
    let before = needs_of(&plan, "a/two@y");
    for unit in ["a/one@y", "a/first@y", "a/last@x"] {
        assert!(before.contains(&unit.to_owned()), "{unit} in {before:?}");
    }
}

#[test]
fn a_host_is_undone_backwards_whatever_runs_elsewhere() {
    let undone = |by: &str, step: Step| Step { on_failure: vec![at(by.to_owned())], ..step };
    let undo = |id: &str, hosts: &str| Step { kind: StepKind::OnFailure, ..step(id, Some(hosts), None) };
    let steps = vec![
        undone("undo-one", step("one", Some("y"), None)),
        undone("undo-two", step("two", Some("x"), None)),
        undone("undo-three", step("three", Some("x,y"), None)),
        undo("undo-one", "y"),
        undo("undo-two", "x"),
        undo("undo-three", "x,y"),
    ];
    let plan = plan(vec![("a", &[], steps)]);
    assert!(needs_of(&plan, "a/undo-one@y").contains(&"a/undo-three@y".to_owned()));
}

fn rolling(serial: &[Portion], steps: Vec<Step>) -> Plan {
    let mut plan = plan(vec![("a", &[], steps)]);
    plan.phases[0].pace.serial = Some(at(serial.to_vec()));
    plan
}

#[test]
fn a_batch_waits_for_all_steps_of_the_one_before() {
    let steps = || vec![step("one", Some("x,y,z"), None), step("two", Some("y,z"), None)];
    let plan = rolling(&[Portion::Hosts(1), Portion::Hosts(2)], steps());
    assert!(needs_of(&plan, "a/one@x").is_empty());
    assert_eq!(needs_of(&plan, "a/one@y"), ["a/one@x"]);
    assert_eq!(needs_of(&plan, "a/two@z"), ["a/one@x", "a/one@z"]);
    let plan = rolling(&[Portion::Percent(34)], steps());
    assert_eq!(needs_of(&plan, "a/one@z"), ["a/one@x", "a/one@y", "a/two@y"]);
}

#[test]
fn a_step_with_batches_holds_up_nobody_else() {
    let mut second = step("two", Some("x,y"), None);
    second.pace.serial = Some(at(vec![Portion::Hosts(1)]));
    let steps = vec![step("one", Some("x,y"), None), second, step("three", Some("x,y"), None)];
    let plan = plan(vec![("a", &[], steps)]);
    assert_eq!(needs_of(&plan, "a/two@y"), ["a/one@x", "a/one@y", "a/two@x"]);
    assert_eq!(needs_of(&plan, "a/three@x"), ["a/one@x", "a/two@x"]);
}

#[test]
fn what_runs_once_stands_before_or_after_all_batches() {
    let once = |id: &str| step(id, None, None);
    let on = |id: &str| step(id, Some("x,y"), None);
    let plan = rolling(&[Portion::Hosts(1)], vec![once("first"), on("one"), on("two"), once("last")]);
    assert_eq!(needs_of(&plan, "a/one@y"), ["a/first", "a/one@x", "a/two@x"]);
    assert_eq!(needs_of(&plan, "a/last"), ["a/first", "a/one@x", "a/one@y", "a/two@x", "a/two@y"]);
    let between = rolling(&[Portion::Hosts(1)], vec![on("one"), once("between"), on("two")]);
    assert!(matches!(graph(&between, |_| true), Err(GraphError::BetweenBatches { step }) if step == "between"));
}

#[test]
fn handlers_run_with_their_batch() {
    let asks = Step { notify: vec![at("handler".to_owned())], ..step("one", Some("x,y"), None) };
    let handler = Step { kind: StepKind::Handler, ..step("handler", Some("x,y"), None) };
    let plan = rolling(&[Portion::Hosts(1)], vec![asks, handler]);
    assert_eq!(needs_of(&plan, "a/one@y"), ["a/handler@x", "a/one@x"]);
    assert_eq!(needs_of(&plan, "a/handler@x"), ["a/one@x"]);
}

#[test]
fn hosts_of_several_patterns_are_in_the_order_of_the_inventory() {
    let steps = vec![step("one", Some("y,z"), None), step("two", Some("x,z"), None)];
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

fn items(items: &[&str], step: Step) -> Step {
    Step { for_each: Some(at(serde_json::json!(items))), ..step }
}

#[test]
fn a_batch_has_all_items_of_its_hosts() {
    let each = || items(&["a", "b"], step("two", Some("x,y"), None));
    let rolled = rolling(&[Portion::Hosts(1)], vec![step("one", Some("x,y"), None), each()]);
    assert_eq!(needs_of(&rolled, "a/two[a]@x"), ["a/one@x"]);
    assert_eq!(needs_of(&rolled, "a/one@y"), ["a/one@x", "a/two[a]@x", "a/two[b]@x"]);
    let mut alone = each();
    alone.pace.serial = Some(at(vec![Portion::Hosts(1)]));
    let plan = plan(vec![("a", &[], vec![alone])]);
    assert_eq!(needs_of(&plan, "a/two[b]@x"), ["a/two[a]@x"]);
    assert_eq!(needs_of(&plan, "a/two[a]@y"), ["a/two[a]@x", "a/two[b]@x"]);
}

#[test]
fn what_runs_once_on_a_host_is_in_no_batch() {
    let once = |id: &str| Step { run_once: true, ..step(id, Some("x,y"), None) };
    let on = |id: &str| step(id, Some("x,y"), None);
    let plan = rolling(&[Portion::Hosts(1)], vec![once("first"), on("one"), once("last")]);
    assert_eq!(needs_of(&plan, "a/one@y"), ["a/first", "a/one@x"]);
    assert_eq!(needs_of(&plan, "a/last"), ["a/first", "a/one@x", "a/one@y"]);
    let between = rolling(&[Portion::Hosts(1)], vec![on("one"), once("between"), on("two")]);
    assert!(matches!(graph(&between, |_| true), Err(GraphError::BetweenBatches { step }) if step == "between"));
}

#[test]
fn a_loop_is_a_chain_on_each_host() {
    let steps = vec![
        step("one", Some("x,y"), None),
        items(&["a", "b"], step("two", Some("x,y"), None)),
        step("three", Some("x,z"), None),
    ];
    let plan = plan(vec![("p", &[], steps)]);
    assert_eq!(needs_of(&plan, "p/two[a]@x"), ["p/one@x"]);
    assert_eq!(needs_of(&plan, "p/two[b]@x"), ["p/one@x", "p/two[a]@x"]);
    assert_eq!(needs_of(&plan, "p/three@x"), ["p/one@x", "p/two[a]@x", "p/two[b]@x"]);
    assert_eq!(needs_of(&plan, "p/three@z").len(), 6, "a host of its own waits for all");
}

#[test]
fn a_loop_without_items_keeps_the_order() {
    let steps =
        vec![step("one", Some("x"), None), items(&[], step("two", Some("x"), None)), step("three", Some("x"), None)];
    let plan = plan(vec![("p", &[], steps)]);
    assert_eq!(needs_of(&plan, "p/three@x"), ["p/one@x"]);
}

#[test]
fn what_runs_once_is_on_the_first_host_in_sight() {
    let once = Step { run_once: true, ..step("one", Some("x,y"), None) };
    let there = Step { delegate_to: Some(at("m".to_owned())), ..step("two", Some("x,y"), None) };
    let here = Step { delegate_to: Some(at("localhost".to_owned())), ..step("three", Some("y"), None) };
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
