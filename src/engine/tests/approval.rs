//! Runs of a saved plan.

use super::plans::{phase, plan, set, steps};
use super::runs::Runs;
use crate::event::Source;
use crate::journal::SavedPlan;

/// Runs that must follow the saved preview of a plan.
async fn approved() -> Runs {
    let mut runs = Runs::default();
    let preview = runs.preview(steps([set("a", "1"), set("b", "1")])).await;
    runs.approved = Some(SavedPlan::from_events(&preview.events, "test".into(), Source::default()));
    runs
}

#[tokio::test]
async fn a_change_is_made_only_as_it_was_approved() {
    let (mut runs, two) = (approved().await, steps([set("a", "1"), set("b", "1")]));
    assert_eq!(runs.run(&two).await.outcomes(), "a changed, b changed");

    let mut runs = approved().await;
    let world = runs.world.clone();
    runs.world.on_write("a", move || world.put("b", "theirs"));
    let ran = runs.run(&two).await;
    assert!(ran.problem("b").message.contains("b: was absent → theirs"), "{:?}", ran.problem("b"));
    assert_eq!(runs.world.get("b").as_deref(), Some("theirs"));

    let mut runs = approved().await;
    let other = plan([phase("p", "", [set("a", "2")]), phase("q", "", [set("c", "1")])]);
    assert_eq!(runs.run(&other).await.outcomes(), "a failed, c failed", "another definition, and a unit not shown");
    assert_eq!(runs.world.writes(), 0);
}
