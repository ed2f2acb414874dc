//! Changes that may cut the connection, on a host whose new connections can be cut.

use tokio::time::Instant;

use super::*;
use crate::plan::Guard;

const TIME: Duration = Duration::from_secs(60);

/// A step on `pi` that sets a path under a guard.
fn guarded(id: &str, value: &str) -> Step {
    let guard = Guard { time: at(TIME), apply: None, restore: Some(at("undo".to_owned())), check: None };
    Step { hosts: Some(at("pi".to_owned())), guard: Some(guard), ..set(id, value) }
}

fn with(step: Step, edit: impl FnOnce(&mut Guard)) -> Step {
    let mut guard = step.guard.clone().unwrap();
    edit(&mut guard);
    Step { guard: Some(guard), ..step }
}

fn applying(command: &str) -> Step {
    with(guarded("a", "new"), |guard| guard.apply = Some(at(command.to_owned())))
}

fn alone(step: Step) -> Plan {
    plan(vec![phase("p", &[], vec![step])])
}

fn message(ran: &Ran, unit: &str) -> String {
    match &ran.outcomes[unit] {
        Outcome::Failed(problem) | Outcome::Unknown(problem) => problem.message.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_confirmed_stays_and_its_guard_goes() {
    let world = FakeWorld::default();
    let began = Instant::now();
    let ran = run(alone(applying("reload")), &world).await;
    assert_eq!((ran.word("p/a@pi"), world.get("a").as_deref()), ("changed", Some("new")));
    assert!(!world.has_guard() && world.logins() > 0 && began.elapsed() < TIME);
    tokio::time::sleep(TIME * 2).await;
    assert_eq!(world.get("a").as_deref(), Some("new"));
    let again = run(alone(applying("reload")), &world).await;
    assert_eq!((again.word("p/a@pi"), world.armed()), ("same", 1));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_cuts_the_connection_is_taken_back_by_the_host() {
    let world = FakeWorld::default();
    world.put("a", "old");
    let ran = run(alone(applying("cut")), &world).await;
    let said = message(&ran, "p/a@pi");
    assert_eq!((ran.word("p/a@pi"), world.get("a").as_deref()), ("failed", Some("old")), "{said}");
    assert!(said.contains("not confirmed within 1m, the time of its guard: nobody lets us in"), "{said}");
    assert!(said.contains("the host restored itself: put back a"), "{said}");
    assert!(!world.has_guard(), "who was told takes the note away");
    assert!(!ran.report.unreachable, "it was reached in the end");
}

#[tokio::test(start_paused = true)]
async fn a_cut_that_is_over_in_time_is_none() {
    let world = FakeWorld::default();
    let ran = run(alone(applying("cut for 20")), &world).await;
    assert_eq!((ran.word("p/a@pi"), world.get("a").as_deref()), ("changed", Some("new")));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_well_is_taken_back_at_once_where_the_host_can_be_told() {
    for (command, said) in [("fail", "`guard_apply` ended with 1"), ("hang", "`guard_apply` is still at work")] {
        let world = FakeWorld::default();
        let began = Instant::now();
        let ran = run(alone(applying(command)), &world).await;
        assert!(message(&ran, "p/a@pi").contains(said), "{}", message(&ran, "p/a@pi"));
        assert_eq!((ran.word("p/a@pi"), world.get("a"), world.has_guard()), ("failed", None, false));
        assert_eq!(began.elapsed() < TIME / 2, command == "fail");
    }
    let world = FakeWorld::default();
    world.refuse("a");
    let ran = run(alone(guarded("a", "new")), &world).await;
    assert_eq!(message(&ran, "p/a@pi"), "refused; the host restored itself: put back a");
    assert!(!world.has_guard());
}

#[tokio::test(start_paused = true)]
async fn a_check_must_hold_over_the_new_connection() {
    let world = FakeWorld::default();
    let checked = || alone(with(guarded("a", "new"), |guard| guard.check = Some(at("b".to_owned()))));
    let ran = run(checked(), &world).await;
    assert!(message(&ran, "p/a@pi").contains("`guard_check` ended with 1"), "{}", message(&ran, "p/a@pi"));
    assert_eq!(world.get("a"), None);
    world.appears_after("b", "1", 3);
    assert_eq!(run(checked(), &world).await.word("p/a@pi"), "changed");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_not_heard_of_again_leaves_it_unknown() {
    let world = FakeWorld::default();
    let ran = run(alone(applying("cut for good")), &world).await;
    assert_eq!(ran.word("p/a@pi"), "unknown");
    assert!(message(&ran, "p/a@pi").contains("should have restored itself, and was not heard of: nobody"));
    assert!(ran.report.summary.get("unknown") == 1 && !ran.report.ok);
}

#[tokio::test(start_paused = true)]
async fn what_did_not_all_come_back_is_not_known() {
    let world = FakeWorld::default();
    world.restores_in_part();
    let ran = run(alone(applying("cut")), &world).await;
    assert_eq!((ran.word("p/a@pi"), world.has_guard()), ("unknown", true));
    assert!(message(&ran, "p/a@pi").contains("but not all of it worked"));
    // A person has to look before it is lost.
    let again = run(alone(guarded("a", "new")), &world).await;
    assert_eq!((again.word("p/a@pi"), world.has_guard(), world.armed()), ("unknown", true, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_on_its_way_does_not_make_a_confirmed_change_fail() {
    let world = FakeWorld::default();
    world.lose_disarm();
    let ran = run(alone(guarded("a", "new")), &world).await;
    assert_eq!((ran.word("p/a@pi"), world.get("a").as_deref()), ("changed", Some("new")));
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_an_earlier_run_left_is_waited_for() {
    let world = FakeWorld::default();
    world.arm("p/a@pi", TIME);
    world.put("a", "new");
    let shown = preview(alone(guarded("a", "new")), &world).await;
    assert_eq!(shown.word("p/a@pi"), "waits");
    let began = Instant::now();
    let patient = Step { timeout: Some(TIME * 2), ..guarded("a", "new") };
    let ran = run(alone(patient), &world).await;
    assert_eq!((ran.word("p/a@pi"), world.get("a").as_deref()), ("changed", Some("new")));
    assert!(began.elapsed() >= TIME && !world.has_guard() && world.armed() == 1);
}

#[tokio::test(start_paused = true)]
async fn no_time_that_a_host_names_makes_a_step_wait_longer_than_it_may() {
    for named in [TIME, Duration::from_secs(1 << 40)] {
        let world = FakeWorld::default();
        world.arm("p/a@pi", named);
        let began = Instant::now();
        let ran = run(alone(Step { timeout: Some(TIME / 2), ..guarded("a", "new") }), &world).await;
        let said = message(&ran, "p/a@pi");
        assert_eq!(ran.word("p/a@pi"), "failed", "{said}");
        assert!(said.contains("that takes longer than the step's 30s") && began.elapsed() < TIME, "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_whose_timer_is_dead_restores_when_it_is_found() {
    let world = FakeWorld::default();
    world.arm("p/a@pi", TIME);
    world.put("a", "new");
    world.reboot();
    let began = Instant::now();
    let ran = run(alone(guarded("a", "new")), &world).await;
    assert_eq!((ran.word("p/a@pi"), world.armed()), ("changed", 1), "it was put back, and done again");
    assert!(began.elapsed() < TIME / 2);
}

#[tokio::test(start_paused = true)]
async fn guards_of_one_host_take_turns_and_are_sent_alone() {
    let world = FakeWorld::default();
    let free = |step: Step| Step { needs: Some(Vec::new()), ..step };
    let steps = vec![free(guarded("a", "1")), free(guarded("b", "1")), guarded("c", "1"), guarded("d", "1")];
    let ran = run(plan(vec![phase("p", &[], steps)]), &world).await;
    assert_eq!((ran.report.summary.get("changed"), world.armed(), world.rows()), (4, 4, 0));
}

#[tokio::test(start_paused = true)]
async fn each_step_of_a_guarded_phase_is_confirmed_or_taken_back_by_itself() {
    let world = FakeWorld::default();
    let on_pi = |step: Step| Step { hosts: Some(at("pi".to_owned())), ..step };
    let own = with(guarded("b", "new"), |guard| guard.apply = Some(at("reload".to_owned())));
    let looks = step("looks", "test.set", json!({ "path": "l", "value": "1", "only_looks": true }));
    let off = Step { unguarded: Some(0..0), ..on_pi(set("off", "1")) };
    let steps = || vec![on_pi(looks.clone()), set("here", "1"), off.clone(), own.clone(), on_pi(set("c", "new"))];
    let rolled = |steps| plan(vec![Phase { guard: applying("cut").guard, ..phase("p", &[], steps) }]);
    let ran = run(rolled(steps()), &world).await;
    let word = |unit| ran.word(unit);
    assert_eq!((word("p/off@pi"), word("p/b@pi"), word("p/c@pi")), ("changed", "changed", "failed"));
    let said = message(&ran, "p/c@pi");
    assert!(said.contains("not confirmed within 1m, the time of its guard: nobody lets us in"), "{said}");
    assert_eq!((world.get("b").as_deref(), world.get("c"), world.has_guard()), (Some("new"), None, false));
    assert_eq!(world.armed(), 2, "the step's own, and the phase's for the last one");
}

#[tokio::test(start_paused = true)]
async fn a_guard_is_no_part_of_what_a_step_is() {
    let world = FakeWorld::default();
    let of_phase = |guard| vec![Phase { guard, ..phase("p", &[], vec![Step { guard: None, ..guarded("a", "1") }]) }];
    let of_step = |guard| vec![phase("p", &[], vec![Step { guard, ..guarded("a", "1") }])];
    let mut definitions = Vec::new();
    for guard in [None, guarded("a", "1").guard, applying("reload").guard] {
        for phases in [of_step(guard.clone()), of_phase(guard)] {
            let ran = run(plan(phases), &world).await;
            definitions.extend(ran.events.into_iter().filter_map(|event| match event.kind {
                EventKind::UnitFinished { definition, .. } => definition,
                _ => None,
            }));
        }
    }
    assert_eq!(definitions.len(), 6);
    definitions.dedup();
    assert_eq!(definitions.len(), 1, "who changes a guard has nothing done again");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_takes_longer_than_its_guard_is_taken_back() {
    let world = FakeWorld::default();
    let slow = with(guarded("a", "new"), |guard| guard.time = at(Duration::from_millis(100)));
    world.hang("a");
    let ran = run(alone(slow), &world).await;
    assert_eq!((ran.word("p/a@pi"), world.get("a"), world.has_guard()), ("failed", None, false));
}
