//! Steps that wait for the world.

use super::plans::{set, steps, wait};
use super::runs::run;
use super::world::FakeWorld;

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_the_value_appears_and_outlasts_a_moment_without_answers() {
    let world = FakeWorld::default();
    world.appears_at("x", "1", 3);
    world.silent_at([3]);
    let ran = run(steps([wait("x").with("timeout = '20s'")]), &world).await;
    assert_eq!((ran.outcomes().as_str(), ran.progress("x is absent")), ("wait same", 2));
}

#[tokio::test]
async fn the_first_probe_of_a_wait_needs_an_answer() {
    let world = FakeWorld::default();
    world.silent_at([1]);
    assert_eq!(run(steps([wait("x")]), &world).await.outcomes(), "wait failed");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_times_out_reports_what_it_saw_last() {
    let ran = run(steps([wait("x")]), &FakeWorld::default()).await;
    assert_eq!(ran.problem("wait").message, "not so after 600ms: x is absent");
}

#[tokio::test(start_paused = true)]
async fn a_verified_change_that_takes_effect_later_is_waited_for() {
    let ran = run(steps([set("a", "1").with("sets = 'soon'")]), &FakeWorld::default()).await;
    let message = &ran.problem("a").message;
    assert!(message.contains("it is on its way"), "{message}");
}
