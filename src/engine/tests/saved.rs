//! Keeping to a saved plan.

use super::*;
use crate::event::Source;

fn two() -> Plan {
    plan(vec![phase("p", &[], vec![set("a", "1"), set("b", "1")])])
}

async fn agreed(world: &FakeWorld) -> Setup {
    let seen = preview(two(), world).await;
    let agreed = Some(SavedPlan::from_events(&seen.events, "test".into(), Source::default()));
    Setup { agreed, ..Setup::default() }
}

#[tokio::test]
async fn what_was_shown_is_done() {
    let world = FakeWorld::default();
    let setup = agreed(&world).await;
    let ran = run_with(two(), &world, setup).await;
    assert_eq!((ran.word("p/a"), ran.word("p/b")), ("changed", "changed"));
}

#[tokio::test]
async fn what_moved_since_is_not_touched() {
    let world = FakeWorld::default();
    let setup = agreed(&world).await;
    let moving = world.clone();
    // Somebody else is at it while the first step runs.
    world.on_write("a", move || moving.put("b", "theirs"));
    let ran = run_with(two(), &world, setup).await;
    let Outcome::Failed(problem) = &ran.outcomes["p/b"] else { panic!("{:?}", ran.outcomes) };
    assert!(problem.message.contains("b: was absent → theirs"), "{problem:?}");
    assert_eq!(world.get("b").as_deref(), Some("theirs"));
}

#[tokio::test]
async fn a_unit_that_was_not_shown_or_is_another_one_is_refused() {
    let world = FakeWorld::default();
    let setup = agreed(&world).await;
    let other = plan(vec![phase("p", &[], vec![set("a", "2")]), phase("q", &[], vec![set("c", "1")])]);
    let ran = run_with(other, &world, setup).await;
    assert_eq!((ran.word("p/a"), ran.word("q/c")), ("failed", "failed"));
    assert_eq!(world.writes(), 0);
}
