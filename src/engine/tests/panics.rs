//! Panics: the unit concerned ends as unknown, with a request to report it, and all other units go on.

use std::sync::Arc;

use super::plans::{Step, phase, plan, set, steps};
use super::runs::{Ran, Runs, run};
use super::world::FakeWorld;
use crate::engine::{Faults, Point};
use crate::event::{EventKind, Outcome, UnitRef};

/// The functions of the action that panic.
const PLACES: [&str; 8] = ["rules", "probes", "verdict", "effect", "end", "changed", "outputs", "printed"];

fn panics(id: &str, place: &str) -> Step {
    set(id, "1").with(&format!("panics_in = '{place}'"))
}

fn assert_reported(ran: &Ran, unit: &str) {
    let problem = ran.problem(unit);
    assert!(matches!(ran.outcome(unit), Outcome::Unknown(_)), "{unit}: {problem:?}");
    assert!(problem.message.contains("an internal error of rollout: "), "{problem:?}");
    assert!(problem.hint.as_ref().is_some_and(|hint| hint.contains("report")), "{problem:?}");
    assert!(!ran.report.ok && !ran.report.interrupted && !ran.report.unreachable);
}

/// Steps that each set a path on host `h`.
fn on_host(ids: &[&str]) -> Vec<Step> {
    ids.iter().map(|id| set(id, "1").on("h")).collect()
}

#[tokio::test]
async fn an_action_that_panics_ends_its_own_unit_wherever_it_panics() {
    for place in PLACES {
        for retry in ["", "retry = 3\nretry_delay = '1ms'"] {
            let mut p = on_host(&["a", "c"]);
            p.insert(1, panics("b", place).on("h").with(retry));
            let plan =
                plan([phase("p", "", p), phase("q", "", [set("d", "1").on("far")]), phase("r", "", [set("e", "1")])]);
            let mut runs = Runs::default();
            if !["effect", "end", "changed", "outputs"].contains(&place) {
                assert_reported(&runs.preview(&plan).await, "b@h");
            }
            let ran = runs.run(&plan).await;
            assert_reported(&ran, "b@h");
            // `c` may have been sent behind `b` in one pipeline.
            let behind = if ran.outcomes().contains("c@h changed") { "changed" } else { "cancelled" };
            assert_eq!(ran.outcomes(), format!("a@h changed, b@h unknown, c@h {behind}, d@far changed, e changed"));
            assert!(behind == "cancelled" || runs.world.get("b").is_some(), "{place}");
            let last = runs.recorded.last().unwrap().clone();
            assert!(matches!(last.kind, EventKind::RunFinished { ok: false, .. }));
            assert_eq!((runs.world.acts("b"), ran.retries()), (0, 0), "a panic is not retried");
        }
    }
}

#[tokio::test]
async fn a_connection_that_panics_ends_what_was_sent_with_the_unit() {
    let world = FakeWorld::default();
    world.on_write("b", || panic!("the host answered nonsense"));
    let plan = plan([phase("p", "", on_host(&["a", "b", "c", "d"])), phase("q", "", [set("e", "1").on("far")])]);
    let ran = run(&plan, &world).await;
    assert_eq!(world.pipelines(), 1);
    assert_reported(&ran, "b@h");
    assert_eq!(ran.outcomes(), "a@h changed, b@h unknown, c@h unknown, d@h unknown, e@far changed");
    assert!(run(&plan, &world).await.report.ok);
}

#[tokio::test]
async fn a_connection_that_panics_over_one_answer_ends_only_the_unit_that_probes_for_it() {
    let world = FakeWorld::default();
    world.panic_at("c");
    let ran = run(steps(on_host(&["a", "b", "c", "d"])), &world).await;
    assert_reported(&ran, "c@h");
    assert_eq!(ran.outcomes(), "a@h changed, b@h changed, c@h unknown, d@h cancelled");
}

#[tokio::test(start_paused = true)]
async fn under_a_guard_the_host_restores_itself_and_the_next_guarded_change_has_its_turn() {
    for place in ["end", "verdict"] {
        let world = FakeWorld::default();
        let guarded = |step: Step| step.on("h").with("guard = '60s'\nguard_restore = 'undo'");
        let phases = [phase("p", "", [guarded(panics("a", place))]), phase("q", "", [guarded(set("b", "1"))])];
        let ran = run(plan(phases), &world).await;
        assert_reported(&ran, "a@h");
        assert_eq!((ran.outcomes().as_str(), world.get("a")), ("a@h unknown, b@h changed", None), "{place}");
        assert!(!world.has_guard());
    }
}

#[tokio::test]
async fn a_task_that_panics_around_its_unit_ends_the_units_of_its_pipeline() {
    struct Broken;
    impl Faults for Broken {
        fn reach(&self, point: Point, unit: &UnitRef) {
            assert!(point != Point::AfterEffect || unit.step != "b", "broken");
        }
    }
    let mut runs = Runs { faults: Arc::new(Broken), ..Runs::default() };
    let plan = plan([phase("p", "", on_host(&["a", "b", "c"])), phase("q", "", [set("e", "1").on("far")])]);
    let ran = runs.run(&plan).await;
    assert_reported(&ran, "b@h");
    assert_eq!(ran.outcomes(), "a@h changed, b@h unknown, c@h unknown, e@far changed", "all were sent together");
}
