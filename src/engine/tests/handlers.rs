//! Handlers: asked for, run once, never lost.

use super::*;

fn notifying(id: &str, handler: &str) -> Step {
    Step { notify: vec![at(handler.to_owned())], ..set(id, "1") }
}

/// A handler that leaves a mark each time it runs.
fn handler(id: &str) -> Step {
    Step { kind: StepKind::Handler, ..step(id, "test.act", json!({ "path": id })) }
}

fn journaled(dir: &tempfile::TempDir, name: &str, memory: RunHistory) -> (Setup, std::path::PathBuf) {
    let path = dir.path().join(name);
    (Setup { journal: Some(Journal::create(&path).unwrap()), memory, ..Setup::default() }, path)
}

/// The order in which units ended.
fn ends(ran: &Ran) -> Vec<String> {
    let ends = ran.events.iter().filter_map(|e| match &e.kind {
        EventKind::UnitFinished { unit, outcome, .. } if outcome.lets_dependents_start() => Some(unit.step.clone()),
        _ => None,
    });
    ends.collect()
}

#[tokio::test]
async fn a_handler_runs_once_at_the_end_of_its_phase_and_only_when_asked_for() {
    let world = FakeWorld::default();
    let steps = || {
        vec![notifying("a", "restart"), notifying("b", "restart"), set("c", "1"), handler("restart"), handler("other")]
    };
    let make = || {
        let mut steps = steps();
        steps[2].notify = vec![at("other".to_owned())];
        plan(vec![phase("p", &[], steps), phase("q", &["p"], vec![set("d", "1")])])
    };
    let first = run(make(), &world).await;
    assert_eq!(ends(&first), ["a", "b", "c", "restart", "other", "d"]);
    let second = run(make(), &world).await;
    assert_eq!(ends(&second), ["a", "b", "c", "d"], "nothing changed, so nobody is notified");
    assert_eq!(world.acts("restart"), 1);
}

#[tokio::test]
async fn what_ran_and_changed_nothing_notifies_nobody() {
    let world = FakeWorld::default();
    let act = |id: &str, idle: bool| {
        let notify = vec![at("restart".to_owned())];
        Step { notify, ..step(id, "test.act", json!({ "path": id, "idle": idle })) }
    };
    let ran = run(plan(vec![phase("p", &[], vec![act("a", true), handler("restart")])]), &world).await;
    assert_eq!((ends(&ran), world.acts("a")), (vec!["a".to_owned()], 1));
    assert_eq!((ran.report.summary.get("same"), ran.report.summary.get("changed")), (1, 0));
    let ran = run(plan(vec![phase("p", &[], vec![act("a", false), handler("restart")])]), &world).await;
    assert_eq!(ends(&ran), ["a", "restart"]);
}

#[tokio::test]
async fn a_flush_runs_handlers_early_and_what_changes_later_asks_again() {
    let world = FakeWorld::default();
    let flushing = Step { flush: true, ..notifying("b", "restart") };
    let steps = vec![notifying("a", "restart"), flushing, handler("restart")];
    let ran = run(plan(vec![phase("p", &[], steps)]), &world).await;
    assert_eq!(ends(&ran), ["a", "restart", "b", "restart"]);
}

#[tokio::test]
async fn a_failure_or_an_interrupt_does_not_lose_a_handler() {
    let dir = tempfile::tempdir().unwrap();
    let make = || plan(vec![phase("p", &[], vec![notifying("a", "restart"), set("b", "1"), handler("restart")])]);
    for interrupted in [false, true] {
        let world = FakeWorld::default();
        let (interrupt, interrupts) = watch::channel(0);
        if interrupted {
            world.on_write("a", move || interrupt.send(1).unwrap());
        } else {
            world.refuse("b");
        }
        let (setup, path) = journaled(&dir, &format!("first-{interrupted}"), RunHistory::default());
        let first = run_with(make(), &world, Setup { interrupts, ..setup }).await;
        assert_eq!(world.acts("restart"), 0);
        let EventKind::RunFinished { handlers_left, .. } = &first.events.last().unwrap().kind else { panic!() };
        assert_eq!(handlers_left.len(), 1);
        world.allow("b");
        let memory = RunHistory::from_events(&read(&path).unwrap());
        let second = run_with(make(), &world, Setup { memory, ..Setup::default() }).await;
        assert_eq!(ends(&second), ["a", "b", "restart"]);
        assert_eq!(second.word("p/a"), "kept");
    }
}

#[tokio::test]
async fn who_was_cut_off_after_its_change_still_notifies() {
    let world = FakeWorld::default();
    let dir = tempfile::tempdir().unwrap();
    let make = || plan(vec![phase("p", &[], vec![notifying("a", "restart"), handler("restart")])]);
    let (setup, path) = journaled(&dir, "first", RunHistory::default());
    run_with(make(), &world, setup).await;
    // The same journal, as if the process had been killed after the change and before its end was on record.
    let text = std::fs::read_to_string(&path).unwrap();
    let started: Vec<&str> = text.lines().take_while(|l| !l.contains("notified")).collect();
    std::fs::write(&path, started.join("\n") + "\n").unwrap();
    let memory = RunHistory::from_events(&read(&path).unwrap());
    let second = run_with(make(), &world, Setup { memory, ..Setup::default() }).await;
    assert_eq!(second.word("p/a"), "same");
    assert_eq!(world.acts("restart"), 2);
}

#[tokio::test]
async fn a_failed_handler_is_owed_still() {
    let world = FakeWorld::default();
    let dir = tempfile::tempdir().unwrap();
    world.refuse("restart");
    let make = || plan(vec![phase("p", &[], vec![notifying("a", "restart"), handler("restart")])]);
    let (setup, path) = journaled(&dir, "first", RunHistory::default());
    let first = run_with(make(), &world, setup).await;
    assert_eq!(first.word("p/restart"), "failed");
    world.allow("restart");
    let memory = RunHistory::from_events(&read(&path).unwrap()).fresh();
    let fresh = run_with(make(), &world, Setup { memory, ..Setup::default() }).await;
    assert_eq!((fresh.word("p/a"), fresh.word("p/restart")), ("same", "changed"));
}

#[tokio::test]
async fn a_preview_shows_the_handlers_that_would_run() {
    let world = FakeWorld::default();
    let make = || plan(vec![phase("p", &[], vec![notifying("a", "restart"), handler("restart")])]);
    let ran = preview(make(), &world).await;
    assert_eq!(ran.word("p/restart"), "changed");
    assert_eq!(world.acts("restart"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_runs_at_one_flush_is_waited_for_at_another() {
    let world = FakeWorld::default();
    let seen = world.clone();
    // While the handler is at its second attempt, another step asks for it, and yet another one flushes.
    world.refuse_times("restart", 1);
    world.on_write("restart", move || seen.put("running", "1"));
    let slow = Step { retry: Retry { times: 1, delay: Duration::from_secs(30) }, ..handler("restart") };
    let wait = step("wait", "test.wait", json!({ "path": "running", "value": "1" }));
    let wait = Step { needs: Some(Vec::new()), timeout: Some(Duration::from_secs(20)), ..wait };
    let flushing = |id: &str| Step { flush: true, ..set(id, "1") };
    let steps = vec![notifying("a", "restart"), flushing("b"), wait, notifying("c", "restart"), flushing("d"), slow];
    let ran = run(plan(vec![phase("p", &[], steps)]), &world).await;
    assert!(ran.report.ok);
    let ends = ends(&ran);
    assert_eq!(world.acts("restart"), 2);
    assert!(ends.iter().position(|id| id == "d") > ends.iter().rposition(|id| id == "restart"), "{ends:?}");
}

/// What it began may still be at work.
#[tokio::test]
async fn a_handler_that_was_cut_off_at_one_flush_is_not_started_at_another() {
    let world = FakeWorld::default();
    world.lose("restart", true);
    let flushing = |id: &str| Step { flush: true, ..set(id, "1") };
    let apart = Step { needs: Some(Vec::new()), ..notifying("c", "restart") };
    let steps = vec![notifying("a", "restart"), flushing("b"), apart, flushing("d"), handler("restart")];
    let ran = run(plan(vec![phase("p", &[], steps)]), &world).await;
    assert_eq!((ran.word("p/restart"), world.acts("restart")), ("unknown", 1));
    assert_eq!((ran.word("p/b"), ran.word("p/d")), ("cancelled", "cancelled"));
    let left = ran.events.iter().find_map(|e| match &e.kind {
        EventKind::RunFinished { handlers_left, .. } => Some(handlers_left.len()),
        _ => None,
    });
    assert_eq!(left, Some(1), "it is owed still");
}

#[tokio::test]
async fn a_handler_follows_its_phase_to_another_name() {
    let world = FakeWorld::default();
    let dir = tempfile::tempdir().unwrap();
    world.refuse("b");
    let make = |name| plan(vec![phase(name, &[], vec![notifying("a", "restart"), set("b", "1"), handler("restart")])]);
    let (setup, path) = journaled(&dir, "first", RunHistory::default());
    run_with(make("p"), &world, setup).await;
    world.allow("b");
    let memory = RunHistory::from_events(&read(&path).unwrap());
    let second = run_with(make("q"), &world, Setup { memory, ..Setup::default() }).await;
    assert_eq!(ends(&second), ["a", "b", "restart"]);
}

#[tokio::test]
async fn who_failed_and_came_back_after_an_edit_still_notifies() {
    let world = FakeWorld::default();
    let dir = tempfile::tempdir().unwrap();
    world.refuse("a");
    let make = |with: bool| {
        let a = with.then(|| notifying("a", "restart"));
        plan(vec![phase("p", &[], a.into_iter().chain([set("c", "1"), handler("restart")]).collect())])
    };
    let (setup, first) = journaled(&dir, "first", RunHistory::default());
    run_with(make(true), &world, setup).await;
    world.refuse("c");
    let (setup, second) = journaled(&dir, "second", RunHistory::from_events(&read(&first).unwrap()));
    run_with(make(false), &world, setup).await;
    world.allow("c");
    // It had taken effect after all.
    world.put("a", "1");
    let memory = RunHistory::from_events(&read(&second).unwrap());
    let third = run_with(make(true), &world, Setup { memory, ..Setup::default() }).await;
    assert_eq!((third.word("p/a"), world.acts("restart")), ("same", 1));
}

#[tokio::test]
async fn a_fresh_start_does_not_forget_who_has_yet_to_notify() {
    let world = FakeWorld::default();
    let dir = tempfile::tempdir().unwrap();
    world.refuse("a");
    let make = || plan(vec![phase("p", &[], vec![notifying("a", "restart"), handler("restart")])]);
    let (setup, path) = journaled(&dir, "first", RunHistory::default());
    run_with(make(), &world, setup).await;
    world.put("a", "1");
    let memory = RunHistory::from_events(&read(&path).unwrap()).fresh();
    let fresh = run_with(make(), &world, Setup { memory, ..Setup::default() }).await;
    assert_eq!((fresh.word("p/a"), world.acts("restart")), ("same", 1));
}

#[tokio::test]
async fn a_handler_whose_condition_does_not_hold_is_not_owed_any_more() {
    let world = FakeWorld::default();
    let dir = tempfile::tempdir().unwrap();
    let never = Step { when: Some(at("greeting == 'bye'".to_owned())), ..handler("restart") };
    let make = |handler| plan(vec![phase("p", &[], vec![notifying("a", "restart"), handler])]);
    let (setup, path) = journaled(&dir, "first", RunHistory::default());
    let first = run_with(make(never), &world, setup).await;
    assert_eq!((first.word("p/restart"), first.report.ok), ("skipped", true));
    let EventKind::RunFinished { handlers_left, .. } = &first.events.last().unwrap().kind else { panic!() };
    assert!(handlers_left.is_empty());
    assert!(RunHistory::from_events(&read(&path).unwrap()).handlers().is_empty());
}

#[tokio::test]
async fn a_handler_that_a_person_says_is_done_is_not_owed_any_more() {
    let world = FakeWorld::default();
    let dir = tempfile::tempdir().unwrap();
    world.refuse("restart");
    let make = || plan(vec![phase("p", &[], vec![notifying("a", "restart"), handler("restart")])]);
    let (setup, path) = journaled(&dir, "first", RunHistory::default());
    run_with(make(), &world, setup).await;
    let memory = RunHistory::from_events(&read(&path).unwrap());
    let options = Options { done: vec!["restart".into()], ..Options::default() };
    let (setup, path) = journaled(&dir, "second", memory);
    let second = run_with(make(), &world, Setup { options, ..setup }).await;
    assert_eq!((second.word("p/restart"), second.report.ok), ("kept", true));
    assert!(RunHistory::from_events(&read(&path).unwrap()).handlers().is_empty());
}

#[tokio::test]
async fn a_handler_on_a_host_out_of_sight_is_owed_to_a_later_run() {
    let world = FakeWorld::default();
    let dir = tempfile::tempdir().unwrap();
    let on = |hosts: &str, step: Step| Step { hosts: Some(at(hosts.to_owned())), ..step };
    let make = || {
        let steps = vec![on("web", notifying("a", "reload")), on("balancers", handler("reload"))];
        plan(vec![phase("p", &[], steps)])
    };
    let (setup, path) = journaled(&dir, "first", RunHistory::default());
    let first = run_with(make(), &world, Setup { sees: Some("web"), ..setup }).await;
    assert!(!first.outcomes.contains_key("p/reload@balancers"));
    let EventKind::RunFinished { handlers_left, .. } = &first.events.last().unwrap().kind else { panic!() };
    assert_eq!(handlers_left.iter().map(ToString::to_string).collect::<Vec<_>>(), ["p/reload@balancers"]);
    let memory = RunHistory::from_events(&read(&path).unwrap()).only_unsettled();
    let second = run_with(make(), &world, Setup { memory, ..Setup::default() }).await;
    assert_eq!((second.word("p/a@web"), second.word("p/reload@balancers")), ("same", "changed"));
}
