//! Loops, and steps that run once for all hosts.

use super::plans::{Step, act, set, set_at, step, steps};
use super::runs::{Runs, run};
use super::world::FakeWorld;
use crate::event::EventKind;

/// Sets a path of each item.
fn set_each(id: &str, items: &[&str]) -> Step {
    set_at(id, &format!("{id}-{{{{ item }}}}"), "1").with(&format!("for_each = {items:?}"))
}

/// Does something for each item that leaves no trace.
fn act_each(id: &str, items: &[&str]) -> Step {
    step(id, "act", &format!("path = '{id}-{{{{ item }}}}'\nfor_each = {items:?}"))
}

#[tokio::test]
async fn the_items_of_a_host_are_probed_and_sent_together() {
    let world = FakeWorld::default();
    let plan = steps([set("first", "1").on("h"), set_each("s", &["a", "b", "c"]).on("h")]);
    assert_eq!(run(&plan, &world).await.outcomes(), "first@h changed, s[a]@h changed, s[b]@h changed, s[c]@h changed");
    assert_eq!((world.probes(), world.pipelines()), (1, 1));
}

#[tokio::test]
async fn a_failed_item_stops_the_items_behind_it_on_its_host_and_what_comes_after_the_loop() {
    for (host, at) in [("", ""), ("hosts = 'h'", "@h")] {
        let world = FakeWorld::default();
        world.refuse("s-b");
        let ran =
            run(steps([set_each("s", &["a", "b", "c"]), set("x", "1")].map(|step| step.with(host))), &world).await;
        assert_eq!(ran.outcomes(), format!("s[a]{at} changed, s[b]{at} failed, s[c]{at} cancelled, x{at} cancelled"));
    }
}

#[tokio::test]
async fn a_change_of_an_item_counts_for_what_comes_after_the_loop_and_not_for_other_items() {
    let plan = |items: &[&str]| steps([act_each("s", items), act("x"), set("z", "1")]);
    let mut runs = Runs::default();
    runs.world.refuse("z");
    runs.run(plan(&["a", "b"])).await;
    runs.world.allow("z");
    let ran = runs.run(plan(&["new", "b", "a"])).await;
    assert_eq!(ran.outcomes(), "s[a] kept, s[b] kept, s[new] changed, x changed, z changed");
    let ran = runs.run(plan(&["b"])).await;
    let drops = |kind: &EventKind| matches!(kind, EventKind::Dropped { unit, why } if unit.to_string() == "p/s[a]" && why.contains("for_each"));
    assert!(ran.events.iter().any(|event| drops(&event.kind)));
}

#[tokio::test]
async fn a_looped_handler_serves_the_items_of_its_name_and_items_are_undone_backwards() {
    let plan = |items: &[&str]| {
        let s = set_each("s", items).notify("h").undone_by("u");
        steps([s, set("z", "1"), act_each("h", &["a", "b"]).handler(), act_each("u", &["a", "b", "c"]).undo()])
    };
    let world = FakeWorld::default();
    world.put("s-a", "1");
    let ran = run(plan(&["a", "b"]), &world).await;
    assert_eq!((world.acts("h-a"), world.acts("h-b"), ran.report.ok), (0, 1, true));
    world.refuse("z");
    world.remove("z");
    world.remove("s-b");
    assert_eq!(run(plan(&["b", "c"]), &world).await.undone(), ["s[c] by u[c]", "s[b] by u[b]"]);
}

#[tokio::test]
async fn outputs_are_found_by_host_and_item_and_an_empty_loop_has_none() {
    let world = FakeWorld::default();
    let all = "{{ steps.s['items'].b.value }}{{ steps.s.hosts.y['items'].a.value }}{{ steps.none['items'] }}";
    let plan = steps([set_each("s", &["a", "b"]), set_each("none", &[]), set("all", all)].map(|step| step.on("x,y")));
    assert!(run(&plan, &world).await.report.ok);
    assert_eq!(world.get("all").as_deref(), Some("11{}"));
}

#[tokio::test]
async fn a_step_that_runs_once_waits_for_all_hosts_and_all_wait_for_it() {
    let once = set("once", "o").on("x,y").with("run_once = true");
    let plan = steps([set("a", "1").on("x,y"), once, set("read", "{{ steps.once.value }}").on("y")]);
    let world = FakeWorld::default();
    let ran = run(&plan, &world).await;
    let (ended, read) = (ran.ended_well(), world.get("read"));
    assert_eq!((&ended[2..], read.as_deref()), (&["once".to_owned(), "read@y".to_owned()][..], Some("o")));
    let on = ran.events.iter().find_map(|e| match &e.kind {
        EventKind::UnitStarted { unit, on, .. } if unit.step == "once" => on.clone(),
        _ => None,
    });
    assert_eq!(on.as_deref(), Some("x"));
}

#[tokio::test]
async fn a_step_that_ran_once_is_neither_done_again_nor_repeated_from_another_host() {
    let plan = steps([act("once").on("x,y").with("run_once = true"), set("b", "1").on("x,y")]);
    let mut runs = Runs::default();
    runs.world.refuse("b");
    assert_eq!(runs.run(&plan).await.outcomes(), "b@x failed, b@y failed, once changed");
    runs.only_host = Some("y");
    assert_eq!(runs.run(&plan).await.outcomes(), "b@y failed, once kept");

    let mut runs = Runs::default();
    runs.run(&plan).await;
    runs.cut_after_start_of("once");
    runs.only_host = Some("y");
    assert_eq!(runs.run(&plan).await.outcomes(), "b@y cancelled, once unknown");
    assert_eq!(runs.world.acts("once"), 1);
}
