//! What is sent together: the probes of the units behind a unit, and the changes of a pipeline.

use super::plans::{Step, phase, plan, set, set_at, steps};
use super::runs::{Runs, preview, run};
use super::world::FakeWorld;
use crate::plan::Plan;

/// Steps that each set a path to 1 on the host.
fn four(host: &str) -> [Step; 4] {
    ["a", "b", "c", "d"].map(|id| set(id, "1").on(host))
}

fn world(values: &[(&str, &str)]) -> FakeWorld {
    let world = FakeWorld::default();
    values.iter().for_each(|(path, value)| world.put(path, value));
    world
}

#[tokio::test]
async fn a_host_where_nothing_is_to_be_changed_is_probed_once() {
    let world = FakeWorld::default();
    let plan = plan([phase("p", "", four("h")), phase("q", "needs = ['p']", [set("e", "1").on("h")])]);
    run(&plan, &world).await;
    let before = world.probes();
    assert_eq!(run(&plan, &world).await.outcomes(), "a@h same, b@h same, c@h same, d@h same, e@h same");
    assert_eq!(world.probes() - before, 1);
    preview(&plan, &world).await;
    assert_eq!(world.probes() - before, 2);
}

#[tokio::test]
async fn the_first_changes_are_sent_together_and_what_they_leave_is_known() {
    let same_path = ["x", "y"].map(|id| set_at(id, "x", id).on("h"));
    // The owner of a new file is known only on its host, so that `x` has a value before.
    let chain = || steps(same_path.iter().cloned().chain([set("a", "1").on("h")]));
    let all = |plan: Plan, before: &[(&str, &str)]| (plan, world(before));
    for ((plan, world), outcomes, writes) in [
        (all(steps(four("h")), &[]), "a@h changed, b@h changed, c@h changed, d@h changed", 4),
        (all(steps(four("h")), &[("a", "1")]), "a@h same, b@h changed, c@h changed, d@h changed", 3),
        (all(chain(), &[("x", "0")]), "a@h changed, x@h changed, y@h changed", 3),
    ] {
        assert_eq!(run(&plan, &world).await.outcomes(), outcomes);
        assert_eq!((world.probes(), world.pipelines(), world.writes()), (1, 1, writes));
    }
}

#[tokio::test]
async fn an_answer_that_an_effect_may_have_changed_is_probed_again() {
    let world = world(&[("a", "1"), ("c", "1")]);
    let at_x = |id: &str| set_at(id, "x", "1").on("h");
    let ran = run(steps([set("a", "1").on("h"), at_x("b"), set("c", "1").on("h"), at_x("d")]), &world).await;
    assert_eq!(ran.outcomes(), "a@h same, b@h changed, c@h same, d@h same");
    assert_eq!((world.probes(), world.writes()), (2, 1));
}

#[tokio::test]
async fn a_unit_that_waits_for_another_host_is_probed_after_that_host() {
    let world = world(&[("a", "1"), ("before-b", "1"), ("c", "1")]);
    let also = world.clone();
    world.on_write("b", move || also.put("c", "0"));
    // The write comes after the probes of `a`, which those of `c` must not join.
    let on_h2 = [set("before-b", "1").on("h2").free(), set("b", "1").on("h2")];
    let c = set("c", "1").on("h1").with("needs = ['a', 'b']");
    let ran = run(steps([set("a", "1").on("h1")].into_iter().chain(on_h2).chain([c])), &world).await;
    assert_eq!(ran.outcomes(), "a@h1 same, b@h2 changed, before-b@h2 same, c@h1 changed");
}

#[tokio::test]
async fn a_unit_that_reads_outputs_is_probed_when_they_are_known() {
    let world = world(&[("a", "1"), ("b", "1"), ("c", "1")]);
    let ran =
        run(steps([set("a", "1"), set("b", "{{ steps.a.value }}"), set("c", "1")].map(|step| step.on("h"))), &world);
    assert_eq!((ran.await.outcomes().as_str(), world.probes()), ("a@h same, b@h same, c@h same", 2));
}

#[tokio::test]
async fn a_probe_that_fails_fails_only_its_own_unit() {
    let world = world(&[("a", "1"), ("b", "1")]);
    world.unreadable("c");
    let ran = run(steps(four("h")), &world).await;
    assert_eq!(ran.outcomes(), "a@h same, b@h same, c@h failed, d@h cancelled");
}

#[tokio::test]
async fn nothing_behind_a_refused_change_is_sent_or_on_record() {
    let mut runs = Runs::of(&world(&[("a", "1")]));
    runs.world.refuse("c");
    let ran = runs.run(steps(four("h"))).await;
    assert_eq!(ran.outcomes(), "a@h same, b@h changed, c@h failed, d@h cancelled");
    assert_eq!((ran.needs("d@h"), runs.world.get("d")), ("p/c@h", None));
    runs.world.allow("c");
    assert_eq!(runs.run(steps(four("h"))).await.started(), ["c@h: it had failed", "d@h"]);
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_whose_connection_broke_is_probed_and_completed() {
    for takes_effect in [true, false] {
        let world = world(&[("a", "1")]);
        world.lose("c", takes_effect);
        let ran = run(steps(four("h")), &world).await;
        assert_eq!(ran.outcomes(), "a@h same, b@h changed, c@h changed, d@h changed", "{takes_effect}");
        assert_eq!(world.writes(), 3, "none of them twice");
    }
}
