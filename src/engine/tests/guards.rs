//! Changes that may cut the connection, on a host whose new connections can be cut.

use std::time::Duration;

use tokio::time::Instant;

use super::plans::{Step, phase, plan, set, steps};
use super::runs::{preview, run};
use super::world::FakeWorld;
use crate::event::EventKind;
use crate::plan::Plan;

const TIME: Duration = Duration::from_secs(60);

/// Sets a path to `new` on `h` under a guard of one minute.
fn guarded(id: &str) -> Step {
    set(id, "new").on("h").with("guard = '60s'\nguard_restore = 'undo'")
}

fn alone(keys: &str) -> Plan {
    steps([guarded("a").with(keys)])
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_confirmed_stays_and_its_guard_is_disarmed() {
    let (world, began) = (FakeWorld::default(), Instant::now());
    let plan = alone("guard_apply = 'reload'");
    assert_eq!(run(&plan, &world).await.outcomes(), "a@h changed");
    assert!(world.host(|host, _| host.logins > 0), "it was confirmed over a new connection");
    assert!(!world.has_guard() && began.elapsed() < TIME);
    tokio::time::sleep(TIME * 2).await;
    assert_eq!(world.get("a").as_deref(), Some("new"));
    assert_eq!((run(&plan, &world).await.outcomes().as_str(), world.armed()), ("a@h same", 1));
}

#[tokio::test(start_paused = true)]
async fn a_guarded_change_stays_or_the_host_restores_itself_or_the_end_is_unknown() {
    type Set = fn(&FakeWorld);
    let nothing: Set = |_| ();
    let in_part: Set = |world| world.host(|host, _| host.in_part = true);
    let refused = "refused; the host restored itself: put back a";
    let not_confirmed =
        "not confirmed within 1m, the time of its guard: nobody lets us in; the host restored itself: put back a";
    for (keys, before, outcome, message, is_fast) in [
        ("guard_apply = 'cut for 20'", nothing, "changed", "", true),
        ("guard_apply = 'cut'", nothing, "failed", not_confirmed, false),
        ("guard_apply = 'fail'", nothing, "failed", "`guard_apply` ended with 1", true),
        ("guard_apply = 'hang'", nothing, "failed", "`guard_apply` is still at work", false),
        ("", |world| world.refuse("a"), "failed", refused, true),
        ("guard_check = 'b'", nothing, "failed", "`guard_check` ended with 1", false),
        ("guard_check = 'b'", |world| world.appears_at("b", "1", 3), "changed", "", true),
        ("", |world| world.host(|host, _| host.loses_disarm = true), "changed", "", true),
        ("guard_apply = 'cut for good'", nothing, "unknown", "and was not heard of: nobody", false),
        ("guard_apply = 'cut'", in_part, "unknown", "but not all of it worked", false),
    ] {
        let (world, began) = (FakeWorld::default(), Instant::now());
        world.put("a", "old");
        before(&world);
        let ran = run(alone(keys), &world).await;
        let text = format!("{keys}: {:?}", ran.outcome("a@h"));
        assert_eq!(ran.outcomes(), format!("a@h {outcome}"), "{text}");
        assert!(message.is_empty() || ran.problem("a@h").message.contains(message), "{text}");
        assert_eq!(began.elapsed() < TIME / 2, is_fast, "{text}");
        match outcome {
            "changed" => assert_eq!(world.get("a").as_deref(), Some("new"), "{text}"),
            "failed" => assert_eq!(world.get("a").as_deref(), Some("old"), "{text}"),
            // A person must see what the host has kept before it is lost.
            _ => assert!(world.has_guard() && !ran.report.ok, "{text}"),
        }
        assert!(!ran.report.unreachable || outcome == "unknown", "a host that reports its restoration was reached");
        assert!(!world.has_guard() || outcome == "unknown", "{text}");
        if world.host(|host, _| host.in_part) {
            assert_eq!((run(alone(""), &world).await.outcomes().as_str(), world.armed()), ("a@h unknown", 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_takes_longer_than_its_guard_is_taken_back() {
    let world = FakeWorld::default();
    world.hang("a");
    let slow = set("a", "new").on("h").with("guard = '1s'\nguard_restore = 'undo'\ntimeout = '20s'");
    assert_eq!(run(steps([slow]), &world).await.outcomes(), "a@h failed");
    assert_eq!((world.get("a"), world.has_guard()), (None, false));
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_an_earlier_run_left_is_waited_for_unless_it_outlasts_the_step() {
    let world = FakeWorld::default();
    world.arm("p/a@h", TIME);
    world.put("a", "new");
    assert_eq!(preview(alone(""), &world).await.outcomes(), "a@h waits");
    let began = Instant::now();
    assert_eq!(run(alone("timeout = '2m'"), &world).await.outcomes(), "a@h changed");
    assert!(began.elapsed() >= TIME && !world.has_guard() && world.armed() == 1);

    for named in [TIME, Duration::from_secs(1 << 40)] {
        let (world, began) = (FakeWorld::default(), Instant::now());
        world.arm("p/a@h", named);
        let ran = run(alone("timeout = '30s'"), &world).await;
        let message = &ran.problem("a@h").message;
        assert_eq!(ran.outcomes(), "a@h failed");
        assert!(message.contains("that takes longer than the step's 30s") && began.elapsed() < TIME, "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_whose_timer_a_reboot_has_ended_restores_when_it_is_found() {
    let (world, began) = (FakeWorld::default(), Instant::now());
    world.arm("p/a@h", TIME);
    world.put("a", "new");
    world.host(|host, _| host.guard.as_mut().unwrap().alive = false);
    assert_eq!(run(alone(""), &world).await.outcomes(), "a@h changed");
    assert!(world.armed() == 1 && began.elapsed() < TIME / 2, "it was put back, and changed again");
}

#[tokio::test(start_paused = true)]
async fn guarded_changes_of_one_host_take_turns_and_are_sent_alone() {
    let world = FakeWorld::default();
    let ran = run(steps([guarded("a").free(), guarded("b").free(), guarded("c"), guarded("d")]), &world).await;
    assert_eq!((ran.report.summary.get("changed"), world.armed(), world.pipelines()), (4, 4, 0));
}

#[tokio::test(start_paused = true)]
async fn each_step_of_a_guarded_phase_is_confirmed_by_itself() {
    let world = FakeWorld::default();
    let p = [
        set("probed", "1").on("h").with("read_only = true"),
        set("here", "1"),
        set("off", "1").on("h").with("guard = false"),
        guarded("b").with("guard_apply = 'reload'"),
        set("c", "new").on("h"),
    ];
    let ran = run(plan([phase("p", "guard = '60s'\nguard_apply = 'cut'\nguard_restore = 'undo'", p)]), &world).await;
    assert_eq!(ran.outcomes(), "b@h changed, c@h failed, here changed, off@h changed, probed@h changed");
    assert_eq!((world.get("b").as_deref(), world.get("c"), world.has_guard()), (Some("new"), None, false));
    assert_eq!(world.armed(), 2, "one guard of `b`, and the phase's for `c`");
}

#[tokio::test(start_paused = true)]
async fn a_guard_is_no_part_of_a_definition() {
    let mut definitions = Vec::new();
    for guard in
        ["", "guard = '60s'\nguard_restore = 'undo'", "guard = '9s'\nguard_apply = 'reload'\nguard_restore = 'undo'"]
    {
        let step = set("a", "1").on("h");
        for plan in [steps([step.clone().with(guard)]), plan([phase("p", guard, [step])])] {
            let ran = run(&plan, &FakeWorld::default()).await;
            definitions.extend(ran.events.into_iter().filter_map(|event| match event.kind {
                EventKind::UnitFinished { definition, .. } => definition,
                _ => None,
            }));
        }
    }
    assert_eq!(definitions.len(), 6);
    definitions.dedup();
    assert_eq!(definitions.len(), 1, "a step whose guard is edited is not done again");
}
