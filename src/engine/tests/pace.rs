//! Batches, limits of failures, and failures that are ignored.

use super::*;
use crate::plan::Portion;

const HOSTS: &str = "h1,h2,h3";

fn on(hosts: &str, step: Step) -> Step {
    Step { hosts: Some(at(hosts.to_owned())), ..step }
}

/// A step on all hosts that sets a path of its own on each.
fn each(id: &str) -> Step {
    on(HOSTS, step(id, "test.set", json!({ "path": format!("{id}.{{{{ host.name }}}}"), "value": "1" })))
}

fn pace(serial: Option<u32>, max_failures: Option<Portion>) -> Pace {
    Pace { serial: serial.map(|n| at(vec![Portion::Hosts(n)])), max_failures: max_failures.map(at) }
}

fn rolling(pace: Pace, steps: Vec<Step>) -> Phase {
    Phase { pace, ..phase("p", &[], steps) }
}

/// Starts and ends, in their order.
fn story(ran: &Ran) -> Vec<String> {
    let told = ran.events.iter().filter_map(|e| match &e.kind {
        EventKind::UnitStarted { unit, .. } => {
            Some(format!("{}@{}", unit.step, unit.host.as_deref().unwrap_or_default()))
        }
        _ => None,
    });
    told.collect()
}

fn needs(ran: &Ran, unit: &str) -> String {
    match &ran.outcomes[unit] {
        Outcome::Cancelled { needs } => needs.clone(),
        other => panic!("{unit}: {other:?}"),
    }
}

fn words<const N: usize>(ran: &Ran, units: [&str; N]) -> [&'static str; N] {
    units.map(|unit| ran.word(unit))
}

#[tokio::test]
async fn a_batch_goes_through_all_steps_before_the_next_one() {
    let world = FakeWorld::default();
    let ran = run(plan(vec![rolling(pace(Some(2), None), vec![each("a"), each("b")])]), &world).await;
    let mut told = story(&ran);
    told[..4].sort();
    assert_eq!(told, ["a@h1", "a@h2", "b@h1", "b@h2", "a@h3", "b@h3"]);
    assert!(ran.report.ok);
}

#[tokio::test]
async fn a_step_of_its_own_goes_batch_by_batch_and_the_others_at_once() {
    let world = FakeWorld::default();
    world.refuse("b.h2");
    let slow = Step { pace: pace(Some(1), None), ..each("b") };
    let ran = run(plan(vec![phase("p", &[], vec![each("a"), slow, each("c")])]), &world).await;
    assert_eq!(words(&ran, ["p/a@h3", "p/b@h1", "p/c@h1"]), ["changed"; 3]);
    assert_eq!(needs(&ran, "p/b@h3"), "p/b@h2");
}

#[tokio::test]
async fn without_a_limit_the_first_failure_is_the_last_batch() {
    let world = FakeWorld::default();
    world.refuse("a.h1");
    let ran = run(plan(vec![rolling(pace(Some(1), None), vec![each("a"), each("b")])]), &world).await;
    // What goes out in a row with it begins with it.
    assert!(story(&ran).iter().all(|unit| unit.ends_with("@h1")), "{:?}", story(&ran));
    assert_eq!([needs(&ran, "p/b@h1"), needs(&ran, "p/a@h2"), needs(&ran, "p/b@h3")], ["p/a@h1"; 3]);
}

#[tokio::test]
async fn within_the_limit_the_others_go_on_and_the_failed_host_takes_no_further_part() {
    let world = FakeWorld::default();
    world.refuse("a.h1");
    let after = phase("after", &["p"], vec![each("c"), set("once", "1")]);
    let roll = rolling(pace(Some(1), Some(Portion::Percent(34))), vec![each("a"), each("b")]);
    let ran = run(plan(vec![roll, after]), &world).await;
    assert_eq!(words(&ran, ["p/a@h1", "p/b@h2", "p/b@h3"]), ["failed", "changed", "changed"]);
    assert_eq!(words(&ran, ["after/c@h2", "after/c@h3", "after/once"]), ["changed"; 3]);
    assert_eq!([needs(&ran, "p/b@h1"), needs(&ran, "after/c@h1")], ["p/a@h1"; 2]);
    assert!(!ran.report.ok, "a failure is a failure");
    let Outcome::Failed(problem) = &ran.outcomes["p/a@h1"] else { panic!() };
    let told = "1 of 3 hosts failed, and max_failures = \"34%\" lets the others go on; h1 takes no further part";
    assert_eq!(problem.hint.as_deref(), Some(told));
}

#[tokio::test]
async fn beyond_the_limit_no_host_begins_and_whoever_has_begun_goes_on() {
    let world = FakeWorld::default();
    world.refuse("a.h1");
    world.refuse("a.h2");
    let roll = |serial| rolling(pace(serial, Some(Portion::Hosts(1))), vec![each("a"), each("b")]);
    let after = || phase("after", &["p"], vec![each("c")]);
    let ran = run(plan(vec![roll(Some(1)), after()]), &world).await;
    let why = "fewer failures: 2 of 3 hosts failed, more than max_failures = 1";
    assert_eq!(words(&ran, ["p/a@h1", "p/a@h2"]), ["failed"; 2]);
    assert_eq!([needs(&ran, "p/a@h3"), needs(&ran, "p/b@h3")], [why; 2]);
    assert_eq!(words(&ran, ["after/c@h1", "after/c@h3"]), ["cancelled"; 2]);

    let ran = run(plan(vec![roll(None)]), &world).await;
    assert_eq!(words(&ran, ["p/a@h3", "p/b@h3"]), ["changed"; 2], "it had begun when the limit was passed");
    // One at a time, without batches: nobody waits for anybody.
    world.refuse("a.h3");
    world.remove("a.h3");
    let options = Options { parallel: 1, ..Options::default() };
    let ran = run_with(plan(vec![roll(None)]), &world, Setup { options, ..Setup::default() }).await;
    let halted: Vec<&String> = ran
        .outcomes
        .values()
        .filter_map(|o| if let Outcome::Cancelled { needs } = o { Some(needs) } else { None })
        .filter(|needs| *needs == why)
        .collect();
    assert_eq!(halted.len(), 2, "both steps of the host that has not begun");
}

#[tokio::test]
async fn that_all_hosts_fail_is_never_within_the_limit() {
    let world = FakeWorld::default();
    ["a.h1", "a.h2", "a.h3"].iter().for_each(|path| world.refuse(path));
    let roll = rolling(pace(None, Some(Portion::Percent(100))), vec![each("a")]);
    let ran = run(plan(vec![roll, phase("after", &["p"], vec![set("once", "1")])]), &world).await;
    assert_eq!(ran.word("after/once"), "cancelled");
}

#[tokio::test]
async fn a_failure_beside_the_hosts_is_not_within_their_limit() {
    let world = FakeWorld::default();
    world.refuse("once");
    let roll = rolling(pace(None, Some(Portion::Hosts(2))), vec![each("a"), set("once", "1")]);
    let ran = run(plan(vec![roll, phase("after", &["p"], vec![each("c")])]), &world).await;
    assert_eq!(ran.word("after/c@h1"), "cancelled");
}

#[tokio::test]
async fn within_the_limit_only_the_failed_host_is_undone() {
    let make = |most| {
        let undo = on(HOSTS, step("undo", "test.act", json!({ "path": "undo.{{ host.name }}" })));
        let undo = Step { kind: StepKind::OnFailure, ..undo };
        let tried = Step { on_failure: vec![at("undo".to_owned())], ..each("a") };
        plan(vec![rolling(pace(Some(1), Some(Portion::Hosts(most))), vec![tried, each("b"), undo])])
    };
    for (most, undone) in [(1, [1, 0]), (0, [1, 1])] {
        let world = FakeWorld::default();
        world.refuse("b.h2");
        let ran = run(make(most), &world).await;
        assert_eq!([world.acts("undo.h2"), world.acts("undo.h1")], undone, "max_failures = {most}");
        assert!(ran.report.stuck.is_empty());
    }
}

#[tokio::test]
async fn what_stands_on_what_this_run_undid_is_not_kept() {
    let world = FakeWorld::default();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.jsonl");
    ["b.h1", "b.h2", "b.h3", "undo"].iter().for_each(|path| world.put(path, "1"));
    world.refuse("d");
    let make = || {
        let undo = Step { kind: StepKind::OnFailure, ..set("undo", "1") };
        let tried = Step { on_failure: vec![at("undo".to_owned())], ..each("a") };
        let check = on(HOSTS, step("b", "test.wait", json!({ "path": "b.{{ host.name }}", "value": "1" })));
        let roll = rolling(pace(None, Some(Portion::Hosts(1))), vec![tried, check, undo]);
        plan(vec![roll, phase("after", &["p"], vec![each("c"), set("d", "1")])])
    };
    run_with(make(), &world, Setup { journal: Some(Journal::create(&path).unwrap()), ..Setup::default() }).await;
    world.remove("b.h1");
    let memory = RunHistory::from_events(&read(&path).unwrap());
    let ran = run_with(make(), &world, Setup { memory, ..Setup::default() }).await;
    // There was nothing left to undo; the next run looks again all the same, and so does this one.
    assert_eq!(words(&ran, ["p/a@h1", "p/b@h1", "p/undo", "p/a@h2"]), ["kept", "failed", "same", "kept"]);
    assert_eq!(ran.word("after/c@h2"), "same");
}

#[tokio::test]
async fn a_handler_runs_at_the_end_of_its_batch() {
    let world = FakeWorld::default();
    let restart = on(HOSTS, step("restart", "test.act", json!({ "path": "restart.{{ host.name }}" })));
    let restart = Step { kind: StepKind::Handler, ..restart };
    let asks = Step { notify: vec![at("restart".to_owned())], ..each("a") };
    let ran = run(plan(vec![rolling(pace(Some(1), None), vec![asks, restart])]), &world).await;
    assert_eq!(story(&ran), ["a@h1", "restart@h1", "a@h2", "restart@h2", "a@h3", "restart@h3"]);
}

#[tokio::test]
async fn what_one_batch_changed_is_no_reason_to_look_at_the_next_one_again() {
    let world = FakeWorld::default();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.jsonl");
    world.refuse("a.h1");
    let make = || plan(vec![rolling(pace(Some(1), Some(Portion::Hosts(1))), vec![each("a")])]);
    run_with(make(), &world, Setup { journal: Some(Journal::create(&path).unwrap()), ..Setup::default() }).await;
    world.allow("a.h1");
    let memory = RunHistory::from_events(&read(&path).unwrap());
    let ran = run_with(make(), &world, Setup { memory, ..Setup::default() }).await;
    assert_eq!(words(&ran, ["p/a@h1", "p/a@h2", "p/a@h3"]), ["changed", "kept", "kept"]);
    assert!(ran.report.ok);
}

fn ignoring(step: Step) -> Step {
    Step { ignore_errors: true, ..step }
}

#[tokio::test]
async fn an_ignored_failure_stops_nothing_and_has_no_outputs() {
    let world = FakeWorld::default();
    world.refuse("a");
    let reads = |id: &str, value: &str| step(id, "test.set", json!({ "path": id, "value": value }));
    let asks = Step { when: Some(at("steps.a.value is defined".to_owned())), ..reads("asks", "{{ steps.a.value }}") };
    let or = reads("or", "{{ steps.a.value | default('none') }}");
    let steps = vec![ignoring(set("a", "1")), asks, or, reads("bold", "{{ steps.a.value }}")];
    let ran = run(plan(vec![phase("p", &[], steps)]), &world).await;
    assert_eq!(words(&ran, ["p/a", "p/asks", "p/or", "p/bold"]), ["warned", "skipped", "changed", "failed"]);
    assert_eq!(world.get("or").as_deref(), Some("none"));
    let Outcome::Failed(problem) = &ran.outcomes["p/bold"] else { panic!() };
    assert!(problem.hint.as_deref().is_some_and(|hint| hint.starts_with("p/a failed")), "{problem:?}");
    assert_eq!(ran.report.summary.get("warned"), 1);

    let ran = run(plan(vec![phase("p", &[], vec![ignoring(set("a", "1")), set("b", "1")])]), &world).await;
    assert_eq!((words(&ran, ["p/a", "p/b"]), ran.report.ok), (["warned", "changed"], true));
}

#[tokio::test]
async fn that_nobody_answers_is_not_ignored() {
    let world = FakeWorld::default();
    world.silent_at(&[1]);
    let ran = run(plan(vec![phase("p", &[], vec![ignoring(set("a", "1")), set("b", "1")])]), &world).await;
    assert_eq!(words(&ran, ["p/a", "p/b"]), ["failed", "cancelled"]);
}

#[tokio::test]
async fn who_may_have_changed_something_asks_for_its_handlers_though_it_failed() {
    let world = FakeWorld::default();
    world.refuse("a");
    let handler = Step { kind: StepKind::Handler, ..set("h", "1") };
    let asks = |id: &str| Step { notify: vec![at("h".to_owned())], ..ignoring(set(id, "1")) };
    let ran = run(plan(vec![phase("p", &[], vec![asks("a"), handler.clone()])]), &world).await;
    assert_eq!(ran.word("p/h"), "changed");
    // This one was never sent out.
    world.unreadable("b");
    let ran = run(plan(vec![phase("p", &[], vec![asks("b"), handler])]), &world).await;
    assert_eq!((ran.word("p/b"), ran.outcomes.contains_key("p/h")), ("warned", false));
}

#[tokio::test]
async fn an_ignored_failure_is_looked_at_again_by_a_resumed_run() {
    let world = FakeWorld::default();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.jsonl");
    world.refuse("a");
    world.refuse("c");
    let make = || plan(vec![phase("p", &[], vec![ignoring(set("a", "1")), set("b", "1"), set("c", "1")])]);
    run_with(make(), &world, Setup { journal: Some(Journal::create(&path).unwrap()), ..Setup::default() }).await;
    world.allow("a");
    let memory = RunHistory::from_events(&read(&path).unwrap());
    let ran = run_with(make(), &world, Setup { memory, ..Setup::default() }).await;
    let why = ran.events.iter().find_map(|e| match &e.kind {
        EventKind::UnitStarted { unit, why, .. } if unit.step == "a" => why.clone(),
        _ => None,
    });
    assert_eq!(why.as_deref(), Some("it had failed, which was ignored"));
    assert_eq!(ran.word("p/a"), "changed");
    assert_eq!(ran.word("p/b"), "same", "it stands on what changed now");
}

#[tokio::test]
async fn what_follows_an_ignored_failure_is_sent_all_the_same() {
    let world = FakeWorld::default();
    world.refuse("b");
    let steps = vec![on("h1", set("a", "1")), on("h1", ignoring(set("b", "1"))), on("h1", set("c", "1"))];
    let ran = run(plan(vec![phase("p", &[], steps)]), &world).await;
    assert_eq!(words(&ran, ["p/a@h1", "p/b@h1", "p/c@h1"]), ["changed", "warned", "changed"]);
}

#[tokio::test]
async fn a_preview_tells_what_would_be_ignored() {
    let world = FakeWorld::default();
    world.unreadable("a");
    let ran = preview(plan(vec![phase("p", &[], vec![ignoring(set("a", "1")), set("b", "1")])]), &world).await;
    assert_eq!((words(&ran, ["p/a", "p/b"]), ran.report.ok), (["warned", "changed"], true));
}

#[tokio::test]
async fn a_preview_looks_at_all_batches_at_once() {
    let world = FakeWorld::default();
    world.unreadable("a.h1");
    let ran = preview(plan(vec![rolling(pace(Some(1), None), vec![each("a"), each("b")])]), &world).await;
    assert_eq!(words(&ran, ["p/a@h1", "p/b@h1", "p/a@h2", "p/b@h3"]), ["failed", "cancelled", "changed", "changed"]);
}
