//! Asking ahead of time for the steps behind one.

use super::*;

fn on(host: &str, step: Step) -> Step {
    Step { hosts: Some(at(host.to_owned())), ..step }
}

fn row(host: &str) -> Vec<Step> {
    ["a", "b", "c", "d"].into_iter().map(|id| on(host, set(id, "1"))).collect()
}

#[tokio::test]
async fn a_host_where_nothing_is_to_be_done_is_asked_once() {
    let world = FakeWorld::default();
    let make = || plan(vec![phase("p", &[], row("pi")), phase("q", &["p"], vec![on("pi", set("e", "1"))])]);
    run(make(), &world).await;
    let before = world.looks();
    let second = run(make(), &world).await;
    assert_eq!(second.report.summary.get("same"), 5);
    assert_eq!(world.looks() - before, 1);
    preview(make(), &world).await;
    assert_eq!(world.looks() - before, 2);
}

#[tokio::test]
async fn what_is_known_of_a_host_is_used_up_before_the_next_one_goes_on() {
    let world = FakeWorld::default();
    ["a", "b", "c", "d"].iter().for_each(|path| world.put(path, "1"));
    let plan = plan(vec![phase("p", &[], row("far-1")), phase("q", &[], row("far-2"))]);
    let ran = run(plan, &world).await;
    let ends = ran.events.iter().filter_map(|event| match &event.kind {
        EventKind::UnitFinished { unit, .. } => unit.host.as_deref(),
        _ => None,
    });
    let mut hosts: Vec<&str> = ends.collect();
    assert_eq!(hosts.len(), 8);
    // The first one of each ends when its host has answered.
    hosts.dedup();
    assert!(hosts.len() <= 3, "{hosts:?}");
}

#[tokio::test]
async fn what_an_effect_may_have_changed_is_asked_again() {
    let world = FakeWorld::default();
    let at_x = |id: &str| on("pi", step(id, "test.set", json!({ "path": "x", "value": "1" })));
    let steps = vec![on("pi", set("a", "1")), at_x("b"), on("pi", set("c", "1")), at_x("d")];
    world.put("a", "1");
    world.put("c", "1");
    let ran = run(plan(vec![phase("p", &[], steps)]), &world).await;
    let words = ["p/a@pi", "p/b@pi", "p/c@pi", "p/d@pi"].map(|unit| ran.word(unit));
    assert_eq!(words, ["same", "changed", "same", "same"]);
    assert_eq!((world.looks(), world.writes()), (2, 1));
}

#[tokio::test]
async fn steps_that_wait_for_another_host_are_not_asked_for_before_it_is_done() {
    let world = FakeWorld::default();
    let steps = || vec![on("one", set("a", "1")), on("two", set("b", "1")), on("one", set("c", "1"))];
    world.put("a", "1");
    world.put("c", "1");
    let also = world.clone();
    world.on_write("b", move || also.put("c", "0"));
    let ran = run(plan(vec![phase("p", &[], steps())]), &world).await;
    assert_eq!(ran.word("p/c@one"), "changed");
}

#[tokio::test]
async fn what_reads_the_outputs_of_a_step_before_it_is_asked_for_in_its_turn() {
    let world = FakeWorld::default();
    let steps = || vec![on("pi", set("a", "1")), on("pi", set("b", "{{ steps.a.value }}")), on("pi", set("c", "1"))];
    let make = || plan(vec![phase("p", &[], steps())]);
    run(make(), &world).await;
    let before = world.looks();
    let second = run(make(), &world).await;
    assert_eq!(second.report.summary.get("same"), 3);
    assert_eq!(world.looks() - before, 2);
}

#[tokio::test]
async fn a_question_that_cannot_be_answered_fails_only_the_one_who_asks_it() {
    let world = FakeWorld::default();
    let make = || plan(vec![phase("p", &[], row("pi"))]);
    run(make(), &world).await;
    world.unreadable("c");
    let second = run(make(), &world).await;
    let words = ["p/a@pi", "p/b@pi", "p/c@pi", "p/d@pi"].map(|unit| second.word(unit));
    assert_eq!(words, ["same", "same", "failed", "cancelled"]);
}

/// A row whose answers are known: the first step is as it should be, the others are not.
fn changing() -> Vec<Step> {
    [set("a", "1"), set("b", "1"), set("c", "1"), set("d", "1")].map(|step| on("pi", step)).into()
}

#[tokio::test]
async fn changes_that_do_not_bear_upon_each_other_are_sent_together() {
    let world = FakeWorld::default();
    world.put("a", "1");
    let ran = run(plan(vec![phase("p", &[], changing())]), &world).await;
    let words = ["p/a@pi", "p/b@pi", "p/c@pi", "p/d@pi"].map(|unit| ran.word(unit));
    assert_eq!(words, ["same", "changed", "changed", "changed"]);
    assert_eq!((world.looks(), world.rows(), world.writes()), (1, 1, 3));
}

#[tokio::test]
async fn the_first_step_of_a_row_is_sent_with_the_others() {
    let world = FakeWorld::default();
    let ran = run(plan(vec![phase("p", &[], changing())]), &world).await;
    assert_eq!(ran.report.summary.get("changed"), 4);
    assert_eq!((world.looks(), world.rows(), world.writes()), (1, 1, 4));
}

#[tokio::test]
async fn what_a_change_is_known_to_leave_is_not_asked_again() {
    let world = FakeWorld::default();
    // The owner of a new file is known only on its host.
    world.put("x", "0");
    let at_x = |id: &str| on("pi", step(id, "test.set", json!({ "path": "x", "value": id })));
    let steps = vec![at_x("a"), at_x("b"), on("pi", set("c", "1"))];
    let ran = run(plan(vec![phase("p", &[], steps)]), &world).await;
    assert_eq!(ran.report.summary.get("changed"), 3);
    assert_eq!((world.looks(), world.rows(), world.writes()), (1, 1, 3));
    assert_eq!(world.get("x").as_deref(), Some("b"));
}

#[tokio::test]
async fn what_stands_behind_a_refused_change_is_not_sent() {
    let world = FakeWorld::default();
    world.put("a", "1");
    world.refuse("c");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.jsonl");
    let journal = Some(Journal::create(&path).unwrap());
    let make = || plan(vec![phase("p", &[], changing())]);
    let ran = run_with(make(), &world, Setup { journal, ..Setup::default() }).await;
    let words = ["p/b@pi", "p/c@pi", "p/d@pi"].map(|unit| ran.word(unit));
    assert_eq!(words, ["changed", "failed", "cancelled"]);
    assert_eq!(ran.outcomes["p/d@pi"], Outcome::Cancelled { needs: "p/c@pi".into() });
    assert_eq!(world.get("d"), None);
    // Nothing is on record of the one that was never sent.
    world.allow("c");
    let memory = RunHistory::from_events(&read(&path).unwrap());
    let second = run_with(make(), &world, Setup { memory, ..Setup::default() }).await;
    let whys = second.events.iter().filter_map(|e| match &e.kind {
        EventKind::UnitStarted { unit, why, .. } => Some((unit.step.as_str(), why.as_deref())),
        _ => None,
    });
    let whys: Vec<_> = whys.collect();
    assert_eq!(whys, [("c", Some("it had failed")), ("d", None)]);
}

#[tokio::test(start_paused = true)]
async fn a_row_whose_connection_broke_is_looked_at_and_done_to_its_end() {
    for takes_effect in [true, false] {
        let world = FakeWorld::default();
        world.put("a", "1");
        world.lose("c", takes_effect);
        let ran = run(plan(vec![phase("p", &[], changing())]), &world).await;
        let words = ["p/b@pi", "p/c@pi", "p/d@pi"].map(|unit| ran.word(unit));
        assert_eq!(words, ["changed"; 3], "{takes_effect}");
        assert_eq!(world.writes(), 3, "none of them twice");
    }
}
