//! A change that takes its host away for a while, as a reboot does.

use super::plans::{Step, set, step, steps};
use super::runs::{Runs, run};
use super::world::FakeWorld;
use crate::event::Outcome;
use crate::plan::Plan;

fn leave() -> Step {
    step("leave", "leave", "path = 'host'\ntimeout = '20s'")
}

fn reboot(a: &str) -> Plan {
    steps([set("a", a), leave()])
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_and_silence_are_what_the_step_asked_for() {
    for lost in [false, true] {
        let world = FakeWorld::default();
        if lost {
            world.lose("ask", true);
        }
        world.silent_at(3..=5);
        world.appears_at("host", "back", 2);
        let ran = run(reboot("1"), &world).await;
        assert_eq!(ran.outcomes(), "a changed, leave changed", "{lost:?}");
        assert_eq!((world.acts("ask"), world.get("returned").as_deref()), (1, Some("1")), "{lost:?}");
        assert_eq!(ran.progress("nobody there"), 3, "each probe without an answer is reported");
    }
}

/// A first run whose host does not come back in time.
async fn away() -> Runs {
    let mut runs = Runs::default();
    runs.world.silent_at(3..200);
    let ran = runs.run(reboot("1")).await;
    assert!(matches!(ran.outcome("leave"), Outcome::Unknown(_)));
    assert_eq!(ran.problem("leave").message, "not back after 20s: nobody there");
    runs.world.put("host", "back");
    runs
}

#[tokio::test(start_paused = true)]
async fn a_host_that_does_not_come_back_is_unknown_and_the_next_run_waits_for_it() {
    let mut runs = away().await;
    runs.world.silent_at([runs.world.probes() + 1]);
    assert_eq!(runs.run(reboot("1")).await.outcomes(), "a kept, leave changed");
    assert_eq!(runs.world.acts("ask"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_next_run_asks_again_if_a_step_before_has_changed_something_since() {
    let mut runs = away().await;
    runs.world.silent_at([]);
    assert_eq!(runs.run(reboot("2")).await.outcomes(), "a changed, leave changed");
    assert_eq!(runs.world.acts("ask"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_continues_the_first_one() {
    let world = FakeWorld::default();
    world.appears_at("host", "back", 40);
    let ran = run(steps([leave().with("retry = 3\nretry_delay = '1ms'")]), &world).await;
    assert_eq!((ran.outcomes().as_str(), world.acts("ask")), ("leave changed", 1));
    assert!(ran.retries() > 0);
}
