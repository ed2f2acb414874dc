//! Loops, and steps that run once or elsewhere.

use super::*;

fn for_each(items: Value, step: Step) -> Step {
    Step { for_each: Some(at(items)), ..step }
}

fn on(hosts: &str, step: Step) -> Step {
    Step { hosts: Some(at(hosts.to_owned())), ..step }
}

/// Sets a path of each item.
fn set_each(id: &str, items: &[&str]) -> Step {
    for_each(json!(items), step(id, "test.set", json!({ "path": format!("{id}-{{{{ item }}}}"), "value": "1" })))
}

/// Does something for each item that leaves no trace.
fn act_each(id: &str, items: &[&str]) -> Step {
    for_each(json!(items), step(id, "test.act", json!({ "path": format!("{id}-{{{{ item }}}}") })))
}

/// What a run leaves to the next one.
async fn left(plan: Plan, world: &FakeWorld, memory: RunHistory) -> (Ran, RunHistory) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.jsonl");
    let journal = Some(Journal::create(&path).unwrap());
    let ran = run_with(plan, world, Setup { journal, memory, ..Setup::default() }).await;
    (ran, RunHistory::from_events(&read(&path).unwrap()))
}

fn words(ran: &Ran, units: &[&str]) -> Vec<&'static str> {
    units.iter().map(|unit| ran.word(unit)).collect()
}

#[tokio::test]
async fn the_items_of_a_host_are_a_row() {
    let world = FakeWorld::default();
    let make =
        || plan(vec![phase("p", &[], vec![on("pi", set("first", "1")), on("pi", set_each("s", &["a", "b", "c"]))])]);
    let ran = run(make(), &world).await;
    assert_eq!(words(&ran, &["p/s[a]@pi", "p/s[b]@pi", "p/s[c]@pi"]), ["changed"; 3]);
    assert_eq!((world.looks(), world.rows()), (1, 1), "all are asked for and sent with the first");
    let ran = run(make(), &world).await;
    assert_eq!((ran.report.summary.get("same"), world.looks()), (4, 2));
}

#[tokio::test]
async fn a_failed_item_stops_those_behind_it_on_its_host_and_what_comes_after_the_loop() {
    for host in [None, Some("x")] {
        let world = FakeWorld::default();
        world.refuse("s-b");
        let steps = vec![set_each("s", &["a", "b", "c"]), set("after", "1")];
        let steps = steps.into_iter().map(|s| Step { hosts: host.map(|h| at(h.to_owned())), ..s }).collect();
        let ran = run(plan(vec![phase("p", &[], steps)]), &world).await;
        let end = |unit: &str| ran.word(&format!("p/{unit}{}", host.map_or("", |_| "@x")));
        assert_eq!(["s[a]", "s[b]", "s[c]", "after"].map(end), ["changed", "failed", "cancelled", "cancelled"]);
    }
}

#[tokio::test]
async fn an_item_does_not_stand_on_those_before_it_and_what_comes_after_does() {
    let world = FakeWorld::default();
    let make = |items: &[&str]| {
        let after = step("after", "test.act", json!({ "path": "after" }));
        plan(vec![phase("p", &[], vec![act_each("s", items), after, set("last", "1")])])
    };
    world.refuse("last");
    let (_, memory) = left(make(&["a", "b"]), &world, RunHistory::default()).await;
    world.allow("last");
    let (ran, memory) = left(make(&["new", "b", "a"]), &world, memory).await;
    assert_eq!(words(&ran, &["p/s[new]", "p/s[b]", "p/s[a]", "p/after"]), ["changed", "kept", "kept", "changed"]);
    assert_eq!((world.acts("s-a"), world.acts("s-new"), world.acts("after")), (1, 1, 2));
    // One that is gone is told.
    let (ran, _) = left(make(&["b"]), &world, memory).await;
    let gone = |e: &Event| matches!(&e.kind, EventKind::Dropped { unit, why } if unit.to_string() == "p/s[a]" && why.contains("for_each"));
    assert!(ran.events.iter().any(gone));
}

#[tokio::test]
async fn an_item_stands_on_what_comes_before_its_loop() {
    let world = FakeWorld::default();
    let make = |value: &str| {
        plan(vec![phase("p", &[], vec![set("before", value), act_each("s", &["a", "b"]), set("z", "1")])])
    };
    world.refuse("z");
    let (_, memory) = left(make("1"), &world, RunHistory::default()).await;
    let (ran, _) = left(make("2"), &world, memory).await;
    assert_eq!(words(&ran, &["p/s[a]", "p/s[b]"]), ["changed"; 2]);
}

#[tokio::test]
async fn an_item_whose_content_changed_is_done_again_and_no_other() {
    let world = FakeWorld::default();
    let make = |a: &str| {
        let act = step("s", "test.act", json!({ "path": "s-{{ item.key }}-{{ item.value }}" }));
        plan(vec![phase("p", &[], vec![for_each(json!({ "a": a, "b": "1" }), act), set("z", "1")])])
    };
    world.refuse("z");
    let (_, memory) = left(make("1"), &world, RunHistory::default()).await;
    let (ran, _) = left(make("2"), &world, memory).await;
    assert_eq!(words(&ran, &["p/s[a]", "p/s[b]"]), ["changed", "kept"]);
}

#[tokio::test]
async fn a_looped_handler_answers_for_the_same_item_and_what_undoes_goes_backwards() {
    let world = FakeWorld::default();
    let handler = |id: &str| Step { kind: StepKind::Handler, ..act_each(id, &["a", "b"]) };
    let undo = Step { kind: StepKind::OnFailure, ..act_each("u", &["a", "b", "c"]) };
    world.put("s-a", "1");
    let steps = |items: &[&str]| {
        let (notify, on_failure) = (vec![at("h".to_owned())], vec![at("u".to_owned())]);
        vec![Step { notify, on_failure, ..set_each("s", items) }, set("z", "1"), handler("h"), undo.clone()]
    };
    let ran = run(plan(vec![phase("p", &[], steps(&["a", "b"]))]), &world).await;
    assert_eq!((world.acts("h-a"), world.acts("h-b"), ran.report.ok), (0, 1, true));

    world.refuse("z");
    world.remove("z");
    world.remove("s-b");
    let ran = run(plan(vec![phase("p", &[], steps(&["b", "c"]))]), &world).await;
    let undone = ran.events.iter().filter_map(|e| match &e.kind {
        EventKind::Undone { unit, by } => Some(format!("{unit} by {by}")),
        _ => None,
    });
    assert_eq!(undone.collect::<Vec<_>>(), ["p/s[c] by p/u[c]", "p/s[b] by p/u[b]"]);
}

#[tokio::test]
async fn outputs_are_by_item_also_where_there_are_none() {
    let world = FakeWorld::default();
    let text = "{{ steps.s['items'].b.value }}{{ steps.s.hosts.y['items'].a.value }}{{ steps.none['items'] }}";
    let all = step("all", "test.set", json!({ "path": "all", "value": text }));
    let steps = vec![on("x,y", set_each("s", &["a", "b"])), on("x,y", set_each("none", &[])), on("x,y", all)];
    let ran = run(plan(vec![phase("p", &[], steps)]), &world).await;
    assert!(ran.report.ok, "{:?}", ran.outcomes);
    assert_eq!(world.get("all").as_deref(), Some("11{}"));
}

#[tokio::test]
async fn what_runs_once_waits_for_all_hosts_and_all_wait_for_it() {
    let world = FakeWorld::default();
    let once = Step { run_once: true, ..on("x,y", set("once", "o")) };
    let read = step("read", "test.set", json!({ "path": "read", "value": "{{ steps.once.value }}" }));
    let steps = vec![on("x,y", set("a", "1")), once, on("y", read)];
    let ran = run(plan(vec![phase("p", &[], steps)]), &world).await;
    let order = |unit: &str| {
        let ends = |e: &Event| matches!(&e.kind, EventKind::UnitFinished { unit: of, .. } if of.to_string() == unit);
        ran.events.iter().position(ends).unwrap()
    };
    assert!(
        order("p/a@x") < order("p/once") && order("p/a@y") < order("p/once") && order("p/once") < order("p/read@y")
    );
    assert_eq!(world.get("read").as_deref(), Some("o"));
    let on = ran.events.iter().find_map(|e| match &e.kind {
        EventKind::UnitStarted { unit, on, .. } if unit.step == "once" => on.clone(),
        _ => None,
    });
    assert_eq!(on.as_deref(), Some("x"));
}

#[tokio::test]
async fn what_was_done_once_is_not_done_again_from_another_host_and_not_repeated_when_cut_off() {
    let world = FakeWorld::default();
    let make = || {
        let once = Step { run_once: true, ..on("x,y", step("once", "test.act", json!({ "path": "once" }))) };
        plan(vec![phase("p", &[], vec![once, on("x,y", set("b", "1"))])])
    };
    world.refuse("b");
    let (ran, memory) = left(make(), &world, RunHistory::default()).await;
    assert_eq!(words(&ran, &["p/once", "p/b@x"]), ["changed", "failed"]);
    let ran = run_with(make(), &world, Setup { memory, sees: Some("y"), ..Setup::default() }).await;
    assert_eq!((ran.word("p/once"), world.acts("once")), ("kept", 1));

    let cut = [EventKind::UnitStarted {
        unit: crate::event::UnitRef { phase: "p".into(), step: "once".into(), item: None, host: None },
        definition: "d".into(),
        attempt: 1,
        with: None,
        on: None,
        why: None,
    }];
    let at = jiff::Timestamp::UNIX_EPOCH;
    let events: Vec<Event> = cut.into_iter().map(|kind| Event { v: crate::event::VERSION, seq: 0, at, kind }).collect();
    let setup = Setup { memory: RunHistory::from_events(&events), sees: Some("y"), ..Setup::default() };
    assert_eq!(run_with(make(), &world, setup).await.word("p/once"), "unknown");
}

#[tokio::test]
async fn a_preview_tells_of_each_item() {
    let world = FakeWorld::default();
    world.put("s-a", "1");
    let ran = preview(plan(vec![phase("p", &[], vec![set_each("s", &["a", "b"])])]), &world).await;
    assert_eq!(words(&ran, &["p/s[a]", "p/s[b]"]), ["same", "changed"]);
}
