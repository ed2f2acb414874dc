//! What was done is looked at again.

use super::*;

fn on(host: &str, step: Step) -> Step {
    Step { hosts: Some(at(host.to_owned())), ..step }
}

fn told(id: &str, sets: &str) -> Step {
    on("pi", step(id, "test.told", json!({ "path": id, "value": "1", "sets": sets })))
}

fn says(ran: &Ran, unit: &str) -> String {
    match &ran.outcomes[unit] {
        Outcome::Failed(failure) => failure.message.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_ended_well_and_is_not_so_has_failed() {
    let world = FakeWorld::default();
    let ran = run(plan(vec![phase("p", &[], vec![told("a", "2"), on("pi", set("b", "1"))])]), &world).await;
    assert_eq!(says(&ran, "p/a@pi"), "all of it ended well, but it is still not so:\n~ a: 2 → 1");
    assert_eq!((ran.word("p/b@pi"), world.get("b")), ("cancelled", None));
}

#[tokio::test]
async fn the_look_comes_in_the_trip_of_the_change_with_what_those_behind_it_ask() {
    let world = FakeWorld::default();
    world.put("b", "1");
    let steps = || vec![told("a", "1"), on("pi", set("b", "1")), told("c", "1")];
    let ran = run(plan(vec![phase("p", &[], steps())]), &world).await;
    assert_eq!(["p/a@pi", "p/b@pi", "p/c@pi"].map(|unit| ran.word(unit)), ["changed", "same", "changed"]);
    // One before, and one behind each change, which goes out with the change itself.
    assert_eq!((world.looks(), world.writes()), (3, 2));
}

#[tokio::test]
async fn in_a_row_it_is_the_last_one() {
    let world = FakeWorld::default();
    let steps =
        |sets: &str| vec![on("pi", set("a", "1")), on("pi", set("b", "1")), told("c", sets), on("pi", set("d", "1"))];
    let ran = run(plan(vec![phase("p", &[], steps("2"))]), &world).await;
    assert_eq!(
        ["p/a@pi", "p/b@pi", "p/c@pi", "p/d@pi"].map(|unit| ran.word(unit)),
        ["changed", "changed", "failed", "cancelled"]
    );
    let world = FakeWorld::default();
    let ran = run(plan(vec![phase("p", &[], steps("1"))]), &world).await;
    assert_eq!(ran.report.summary.get("changed"), 4);
    assert_eq!((world.looks(), world.writes()), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_is_waited_for() {
    let world = FakeWorld::default();
    let ran = run(plan(vec![phase("p", &[], vec![told("a", "soon")])]), &world).await;
    assert!(says(&ran, "p/a@pi").contains("it is on its way"), "{}", says(&ran, "p/a@pi"));
}
