//! Handlers: notified by changes, run once, never lost.

use super::plans::{Step, act, phase, plan, set, steps, wait};
use super::runs::{Runs, preview, run};
use super::world::FakeWorld;
use crate::plan::Plan;

/// `a`, which notifies `restart`, then `b`.
fn restarting() -> Plan {
    steps([set("a", "1").notify("restart"), set("b", "1"), restart()])
}

/// A handler that the world counts.
fn restart() -> Step {
    act("restart").handler()
}

fn flushing(id: &str) -> Step {
    set(id, "1").with("flush = true")
}

#[tokio::test]
async fn a_handler_runs_once_at_the_end_of_its_phase_if_it_was_notified() {
    let world = FakeWorld::default();
    let notifying = |id: &str| set(id, "1").notify("restart");
    let p = [notifying("a"), notifying("b"), set("c", "1").notify("other"), restart(), act("other").handler()];
    let plan = plan([phase("p", "", p), phase("q", "needs = ['p']", [set("d", "1")])]);
    let shown = preview(&plan, &world).await;
    assert!(shown.outcomes().contains("restart changed") && world.acts("restart") == 0, "{}", shown.outcomes());
    assert_eq!(run(&plan, &world).await.ended_well(), ["a", "b", "c", "restart", "other", "d"]);
    assert_eq!(run(&plan, &world).await.ended_well(), ["a", "b", "c", "d"], "nothing changed");
    assert_eq!(world.acts("restart"), 1);
}

#[tokio::test]
async fn an_action_that_ran_and_reports_no_change_notifies_nothing() {
    let world = FakeWorld::default();
    for (idle, ended) in [(true, &["a"][..]), (false, &["a", "restart"])] {
        let act = act("a").with(&format!("idle = {idle}")).notify("restart");
        let ran = run(steps([act, restart()]), &world).await;
        assert_eq!((ran.ended_well().join(" "), ran.report.summary.get("same")), (ended.join(" "), usize::from(idle)));
    }
    assert_eq!(world.acts("a"), 2);
}

#[tokio::test]
async fn a_flush_runs_handlers_early_and_a_later_change_notifies_them_again() {
    let plan = steps([set("a", "1").notify("restart"), flushing("b").notify("restart"), restart()]);
    assert_eq!(run(&plan, &FakeWorld::default()).await.ended_well(), ["a", "restart", "b", "restart"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_runs_at_one_flush_is_waited_for_at_another() {
    let world = FakeWorld::default();
    let seen = world.clone();
    // While the handler is at its second attempt, `c` notifies it again and `d` flushes.
    world.refuse_times("restart", 1);
    world.on_write("restart", move || seen.put("running", "1"));
    let slow = restart().with("retry = 1\nretry_delay = '30s'");
    let wait = wait("running").free().with("timeout = '20s'");
    let [a, c] = ["a", "c"].map(|id| set(id, "1").notify("restart"));
    let ran = run(steps([a, flushing("b"), wait, c, flushing("d"), slow]), &world).await;
    let ended = ran.ended_well();
    assert!(ran.report.ok && world.acts("restart") == 2);
    assert!(ended.iter().position(|id| id == "d") > ended.iter().rposition(|id| id == "restart"), "{ended:?}");
}

#[tokio::test]
async fn a_failure_or_an_interrupt_does_not_lose_a_handler() {
    for is_interrupted in [false, true] {
        let mut runs = Runs::default();
        if is_interrupted {
            runs.interrupt_at("a", 1);
        } else {
            runs.world.refuse("b");
        }
        assert_eq!(runs.run(restarting()).await.handlers_left(), ["restart"]);
        assert_eq!(runs.world.acts("restart"), 0);
        runs.world.allow("b");
        assert_eq!(runs.run(restarting()).await.outcomes(), "a kept, b changed, restart changed");
    }
}

#[tokio::test]
async fn a_unit_that_was_cut_off_after_its_change_still_notifies() {
    let mut runs = Runs::default();
    runs.run(restarting()).await;
    runs.cut_after_start_of("a");
    assert_eq!(runs.run(restarting()).await.outcomes(), "a same, b same, restart changed");
    assert_eq!(runs.world.acts("restart"), 2);
}

#[tokio::test]
async fn a_fresh_start_forgets_neither_a_handler_that_failed_nor_a_unit_that_has_yet_to_notify() {
    for refused in ["restart", "a"] {
        let mut runs = Runs::default();
        runs.world.refuse(refused);
        runs.run(restarting()).await;
        runs.world.allow(refused);
        // The refused change of `a` had taken effect after all.
        runs.world.put("a", "1");
        runs.start_fresh();
        let ran = runs.run(restarting()).await;
        assert!(ran.outcomes().starts_with("a same"), "{}", ran.outcomes());
        assert_eq!(runs.world.acts("restart"), 1, "{refused}");
    }
}

#[tokio::test]
async fn a_unit_that_failed_and_comes_back_after_an_edit_still_notifies() {
    let without = || steps([set("b", "1"), restart()]);
    let mut runs = Runs::default();
    runs.world.refuse("a");
    runs.run(restarting()).await;
    runs.world.refuse("b");
    runs.run(without()).await;
    runs.world.allow("b");
    // The refused change of `a` had taken effect after all.
    runs.world.put("a", "1");
    assert_eq!(runs.run(restarting()).await.outcomes(), "a same, b changed, restart changed");
}

#[tokio::test]
async fn a_handler_that_is_skipped_or_that_a_person_calls_done_is_pending_no_longer() {
    let skipped = steps([set("a", "1").notify("restart"), restart().with("when = \"greeting == 'bye'\"")]);
    let mut runs = Runs::default();
    let ran = runs.run(&skipped).await;
    assert_eq!((ran.outcomes().as_str(), ran.handlers_left().len()), ("a changed, restart skipped", 0));
    assert!(runs.history.handlers().is_empty());

    let mut runs = Runs::default();
    runs.world.refuse("restart");
    assert_eq!(runs.run(restarting()).await.handlers_left(), ["restart"]);
    runs.options.done = vec!["restart".into()];
    assert_eq!(runs.run(restarting()).await.outcomes(), "a kept, b kept, restart kept");
    assert!(runs.history.handlers().is_empty());
}

#[tokio::test]
async fn a_handler_on_a_host_that_is_left_out_stays_pending_for_a_later_run() {
    let plan = steps([set("a", "1").on("web").notify("restart"), restart().on("balancer")]);
    let mut runs = Runs { only_host: Some("web"), ..Runs::default() };
    let first = runs.run(&plan).await;
    assert_eq!(
        (first.outcomes().as_str(), first.handlers_left()),
        ("a@web changed", vec!["restart@balancer".to_owned()])
    );
    runs.only_host = None;
    runs.history = std::mem::take(&mut runs.history).only_unsettled();
    assert_eq!(runs.run(&plan).await.outcomes(), "a@web same, restart@balancer changed");
}
