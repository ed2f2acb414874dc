//! Undoing the changes of a failed phase.

use super::plans::{act, set, steps};
use super::runs::{Runs, preview, run};
use super::world::FakeWorld;
use crate::plan::Plan;

/// Three steps, each with an act that undoes it, and a fourth one that a test lets fail.
fn saga(a: &str) -> Plan {
    let [b, c] = ["b", "c"].map(|id| set(id, "1").undone_by(&format!("undo-{id}")));
    let undos = ["undo-a", "undo-b", "undo-c"].map(|id| act(id).undo());
    steps([set("a", a).undone_by("undo-a"), b, c, set("d", "1")].into_iter().chain(undos))
}

/// A first run, in which `d` fails and all is undone. In later runs it works.
async fn undone() -> Runs {
    let mut runs = Runs::default();
    runs.world.refuse("d");
    let ran = runs.run(saga("1")).await;
    assert_eq!(ran.undone(), ["c by undo-c", "b by undo-b", "a by undo-a"]);
    assert!(!ran.report.ok && ran.stuck().is_empty());
    runs.world.allow("d");
    runs
}

#[tokio::test]
async fn a_failed_phase_is_undone_backwards_as_far_as_it_may_have_changed_something() {
    undone().await;

    let world = FakeWorld::default();
    world.put("b", "1");
    world.refuse("c");
    assert!(preview(saga("1"), &world).await.undone().is_empty());
    // `b` was right already. `c` was refused, but may have left something behind.
    assert_eq!(run(saga("1"), &world).await.undone(), ["c by undo-c", "a by undo-a"]);
    assert_eq!(world.acts("undo-b"), 0);
    world.allow("c");
    assert!(run(saga("1"), &world).await.undone().is_empty());
}

#[tokio::test]
async fn all_undos_of_a_step_do_their_part() {
    let world = FakeWorld::default();
    world.refuse("b");
    let both = set("a", "1").with("on_failure = ['first', 'second']");
    run(steps([both, set("b", "1"), act("first").undo(), act("second").undo()]), &world).await;
    assert_eq!((world.acts("first"), world.acts("second")), (1, 1));
}

#[tokio::test]
async fn an_undo_that_fails_or_cannot_run_leaves_its_steps_stuck() {
    let world = FakeWorld::default();
    world.refuse("d");
    world.refuse("undo-b");
    let ran = run(saga("1"), &world).await;
    assert_eq!((ran.undone().join(" "), ran.stuck().join(" ")), ("c by undo-c".to_owned(), "b a".to_owned()));
    assert_eq!(ran.needs("undo-a"), "p/undo-b");

    let mut runs = Runs { only_host: Some("web"), ..Runs::default() };
    runs.world.refuse("b");
    let plan = steps([set("a", "1").on("web").undone_by("undo"), set("b", "1").on("web"), act("undo").undo().on("db")]);
    assert_eq!(runs.run(&plan).await.stuck(), ["a@web"]);
}

#[tokio::test]
async fn what_was_undone_is_done_again_by_the_next_run() {
    let ran = undone().await.run(saga("1")).await;
    assert_eq!(ran.started(), ["a: it was undone", "b: it was undone", "c: it was undone", "d: it had failed"]);
}

#[tokio::test]
async fn a_step_whose_undo_was_cut_off_is_probed_again() {
    let mut runs = undone().await;
    runs.cut_after_start_of("undo-c");
    let ran = runs.run(saga("1")).await;
    assert_eq!(ran.started(), ["c: p/undo-c changed after it", "d: it had failed"]);
    assert_eq!(ran.outcomes(), "a kept, b kept, c same, d changed");
}

#[tokio::test]
async fn a_change_of_an_earlier_run_is_undone_even_if_this_run_did_not_come_to_it() {
    let mut runs = Runs::default();
    runs.interrupt_at("b", 1);
    runs.run(saga("1")).await;
    runs.world.refuse("a");
    let ran = runs.run(saga("2")).await;
    assert_eq!(ran.undone(), ["b by undo-b", "a by undo-a"]);
    assert_eq!(ran.needs("b"), "p/a");
}
