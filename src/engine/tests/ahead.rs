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
async fn what_an_effect_may_have_changed_is_asked_again() {
    let world = FakeWorld::default();
    let make = || plan(vec![phase("p", &[], row("pi"))]);
    for id in ["a", "b", "c", "d"] {
        world.put(id, "1");
    }
    world.put("b", "0");
    // What is written at `b` shows at `d` too.
    let also = world.clone();
    world.on_write("b", move || also.put("d", "0"));
    let ran = run(make(), &world).await;
    let words = ["p/a@pi", "p/b@pi", "p/c@pi", "p/d@pi"].map(|unit| ran.word(unit));
    assert_eq!(words, ["same", "changed", "same", "changed"]);
    assert_eq!(world.looks(), 2);
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
