//! A single run of a plan: what changes, what fails, what is left out.

use super::plans::{phase, plan, set, step, steps, wait};
use super::runs::{Runs, disk, preview, run};
use super::world::FakeWorld;
use crate::engine::simulation::disk::Trouble;

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let world = FakeWorld::default();
    let plan = steps([set("a", "{{ greeting }}"), set("b", "2")]);
    let first = run(&plan, &world).await;
    assert_eq!((first.outcomes().as_str(), first.report.ok), ("a changed, b changed", true));
    assert_eq!(world.get("a").as_deref(), Some("hello"));
    assert_eq!(run(&plan, &world).await.outcomes(), "a same, b same");
    assert_eq!(world.writes(), 2);
}

#[tokio::test]
async fn a_failure_cancels_the_units_that_need_it_and_no_others() {
    let world = FakeWorld::default();
    world.refuse("a");
    let phases = [
        phase("p", "", [set("a", "1"), set("b", "1")]),
        phase("after", "needs = ['p']", [set("c", "1")]),
        phase("aside", "", [set("d", "1")]),
    ];
    let ran = run(plan(phases), &world).await;
    assert_eq!(ran.outcomes(), "a failed, b cancelled, c cancelled, d changed");
    assert_eq!((ran.needs("c"), ran.report.ok), ("p/a", false));
}

#[tokio::test]
async fn a_preview_changes_nothing_and_marks_what_it_cannot_know() {
    let world = FakeWorld::default();
    let ran = preview(
        steps([
            set("made", "1"),
            set("reads", "{{ steps.made.value }}"),
            wait("made"),
            set("crd", "1").with("provides = 'Gateway'"),
            set("gateway", "1").with("requires = 'Gateway'"),
        ]),
        &world,
    );
    let ran = ran.await;
    assert_eq!(ran.outcomes(), "crd changed, gateway pending, made changed, reads pending, wait pending");
    assert_eq!(ran.needs("reads"), "outputs of step made");
    assert_eq!(ran.needs("gateway"), "kind Gateway.example, which step crd brings");
    assert_eq!((world.writes(), ran.report.ok), (0, true));
}

#[tokio::test]
async fn a_failed_attempt_is_repeated() {
    let world = FakeWorld::default();
    world.refuse_times("a", 2);
    let ran = run(steps([set("a", "1").with("retry = 2\nretry_delay = '1ms'")]), &world).await;
    assert_eq!((ran.outcomes().as_str(), ran.retries()), ("a changed", 2));
}

#[tokio::test]
async fn after_a_lost_connection_only_a_change_that_did_not_take_effect_is_sent_again() {
    let world = FakeWorld::default();
    world.lose("took", true);
    world.lose("did-not", false);
    let ran = run(steps([set("took", "1"), set("did-not", "1")]), &world).await;
    assert_eq!((ran.outcomes().as_str(), world.writes()), ("did-not changed, took changed", 2));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_effect_ends_at_its_deadline_as_unknown() {
    let world = FakeWorld::default();
    world.hang("a");
    assert_eq!(run(steps([set("a", "1")]), &world).await.outcomes(), "a unknown");
}

#[tokio::test]
async fn the_start_of_a_unit_is_durable_before_its_effect() {
    let mut runs = Runs::default();
    let disk = runs.disk.clone();
    runs.world.on_write("a", move || assert!(disk.shows_running(&("a".to_owned(), None))));
    assert_eq!(runs.run(steps([set("a", "1")])).await.outcomes(), "a changed");
}

#[tokio::test]
async fn a_full_disk_stops_the_run_and_no_event_is_published_that_is_not_durable() {
    // The commits of this run: its start and `a`'s, `a`'s end and `b`'s start, `b`'s end, the run's end.
    for (room, writes, published) in [(0, 0, 0), (1, 1, 2), (2, 2, 4)] {
        let mut runs = Runs { disk: disk(Some(Trouble::Full(room + 1))), ..Runs::default() };
        let (result, events) = runs.try_run(steps([set("a", "1"), set("b", "1")])).await;
        assert!(result.is_err());
        assert_eq!((runs.world.writes(), events.len()), (writes, published), "room for {room} writes");
    }
}

#[tokio::test]
async fn the_first_interrupt_lets_running_units_finish_and_the_second_one_cancels_them() {
    for (times, outcomes) in [(1, "a changed"), (2, "a unknown")] {
        let mut runs = Runs::default();
        runs.interrupt_at("a", times);
        if times == 2 {
            runs.world.hang("a");
        }
        let ran = runs.run(steps([set("a", "1").with("timeout = '60s'"), set("b", "1")])).await;
        assert_eq!(ran.outcomes().replace(", b cancelled", ""), outcomes);
        assert!(ran.report.interrupted && !ran.report.ok);
    }
}

#[tokio::test]
async fn no_event_of_a_sensitive_step_has_its_values() {
    let world = FakeWorld::default();
    let ran = run(steps([set("a", "hush-hush").with("sensitive = true")]), &world).await;
    assert!(!serde_json::to_string(&ran.events).unwrap().contains("hush-hush"));
    assert_eq!(world.get("a").as_deref(), Some("hush-hush"));
}

#[tokio::test]
async fn a_phase_that_is_left_out_is_skipped_and_does_not_hold_up_those_that_need_it() {
    let mut runs = Runs::default();
    runs.options.only = vec!["q".into()];
    let phases = [phase("p", "", [set("a", "1")]), phase("q", "needs = ['p']", [set("b", "1")])];
    assert_eq!(runs.run(plan(phases)).await.outcomes(), "a skipped, b changed");
}

#[tokio::test]
async fn a_change_that_is_verified_fails_if_it_had_no_effect() {
    let verified = |id: &str, sets: &str| set(id, "1").with(&format!("sets = '{sets}'")).on("h");
    let world = FakeWorld::default();
    let ran = run(steps([verified("a", "2"), set("b", "1").on("h")]), &world).await;
    assert_eq!(ran.outcomes(), "a@h failed, b@h cancelled");
    assert_eq!(ran.problem("a@h").message, "all of it ended well, but it is still not so:\n~ a: 2 → 1");

    // It is the last one of its pipeline, and its probe goes along with its change.
    for (sets, outcomes, probes) in [
        ("2", "a@h changed, b@h changed, c@h failed, d@h cancelled", 2),
        ("1", "a@h changed, b@h changed, c@h changed, d@h changed", 2),
    ] {
        let world = FakeWorld::default();
        let ran = run(
            steps([set("a", "1").on("h"), set("b", "1").on("h"), verified("c", sets), set("d", "1").on("h")]),
            &world,
        );
        assert_eq!((ran.await.outcomes().as_str(), world.probes()), (outcomes, probes));
    }
}

#[tokio::test]
async fn the_probes_of_the_units_behind_a_verified_change_go_along_with_it() {
    let world = FakeWorld::default();
    world.put("b", "1");
    let verified = |id: &str| step(id, "set", &format!("path = '{id}'\nvalue = '1'\nsets = '1'")).on("h");
    let ran = run(steps([verified("a"), set("b", "1").on("h"), verified("c")]), &world).await;
    assert_eq!(ran.outcomes(), "a@h changed, b@h same, c@h changed");
    assert_eq!((world.probes(), world.writes()), (3, 2), "one before, and one behind each change");
}
