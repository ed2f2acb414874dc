//! Undoing what a failed phase did.

use super::*;

fn undone_by(undo: &str, step: Step) -> Step {
    Step { on_failure: vec![at(undo.to_owned())], ..step }
}

fn undo(id: &str) -> Step {
    Step { kind: StepKind::OnFailure, ..step(id, "test.act", json!({ "path": id })) }
}

fn saga() -> Plan {
    let steps = vec![
        undone_by("undo-a", set("a", "1")),
        undone_by("undo-b", set("b", "1")),
        undone_by("undo-c", set("c", "1")),
        set("d", "1"),
        undo("undo-a"),
        undo("undo-b"),
        undo("undo-c"),
    ];
    plan(vec![phase("p", &[], steps)])
}

fn undone(ran: &Ran) -> Vec<String> {
    let undone = ran.events.iter().filter_map(|e| match &e.kind {
        EventKind::Undone { unit, .. } => Some(unit.step.clone()),
        _ => None,
    });
    undone.collect()
}

#[tokio::test]
async fn a_failed_phase_is_undone_in_the_opposite_order() {
    let world = FakeWorld::default();
    world.refuse("d");
    let ran = run(saga(), &world).await;
    assert_eq!(undone(&ran), ["c", "b", "a"]);
    assert!(!ran.report.ok && ran.report.stuck.is_empty());
}

#[tokio::test]
async fn what_was_not_touched_is_not_undone() {
    let world = FakeWorld::default();
    run(plan(vec![phase("p", &[], vec![set("b", "1")])]), &world).await;
    world.refuse("c");
    let ran = run(saga(), &world).await;
    // `b` was right already; `c` was sent out and refused, so nobody knows that it left nothing behind.
    assert_eq!(undone(&ran), ["c", "a"]);
    assert_eq!(world.acts("undo-b"), 0);
}

#[tokio::test]
async fn nothing_is_undone_when_all_is_well_or_when_it_is_only_a_preview() {
    let world = FakeWorld::default();
    assert!(undone(&preview(saga(), &world).await).is_empty());
    assert!(undone(&run(saga(), &world).await).is_empty());
}

#[tokio::test]
async fn a_failed_undo_is_stuck_with_what_is_left() {
    let world = FakeWorld::default();
    world.refuse("d");
    world.refuse("undo-b");
    let ran = run(saga(), &world).await;
    assert_eq!(undone(&ran), ["c"]);
    let stuck: Vec<&str> = ran.report.stuck.iter().map(|u| u.step.as_str()).collect();
    assert_eq!(stuck, ["b", "a"]);
    assert_eq!(ran.outcomes["p/undo-a"], Outcome::Cancelled { needs: "p/undo-b".into() });
}

#[tokio::test]
async fn what_was_undone_is_done_again_by_the_next_run() {
    let world = FakeWorld::default();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.jsonl");
    world.refuse("d");
    run_with(saga(), &world, Setup { journal: Some(Journal::create(&path).unwrap()), ..Setup::default() }).await;
    world.allow("d");
    let memory = RunHistory::from_events(&read(&path).unwrap());
    let ran = run_with(saga(), &world, Setup { memory, ..Setup::default() }).await;
    let whys: Vec<&str> = ran
        .events
        .iter()
        .filter_map(|e| match &e.kind {
            EventKind::UnitStarted { why: Some(why), .. } => Some(why.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(whys, ["it was undone", "it was undone", "it was undone", "it had failed"]);
}

#[tokio::test]
async fn what_an_undo_was_at_when_it_was_cut_off_is_looked_at_again() {
    let world = FakeWorld::default();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.jsonl");
    world.refuse("d");
    run_with(saga(), &world, Setup { journal: Some(Journal::create(&path).unwrap()), ..Setup::default() }).await;
    // As if the run had been killed while `undo-c` was at work.
    let cut = |event: &Event| matches!(&event.kind, EventKind::Undone { unit, .. } if unit.step == "c");
    let events: Vec<Event> = read(&path).unwrap().into_iter().take_while(|event| !cut(event)).collect();
    world.allow("d");
    let ran = run_with(saga(), &world, Setup { memory: RunHistory::from_events(&events), ..Setup::default() }).await;
    let why = ran.events.iter().find_map(|e| match &e.kind {
        EventKind::UnitStarted { unit, why, .. } if unit.step == "c" => why.clone(),
        _ => None,
    });
    assert_eq!(why.as_deref(), Some("p/undo-c changed after it"));
    assert_eq!(ran.outcomes["p/a"], Outcome::Kept { said: false });
}

#[tokio::test]
async fn each_of_several_steps_that_undo_one_does_its_part() {
    let world = FakeWorld::default();
    world.refuse("b");
    let both = Step { on_failure: vec![at("first".to_owned()), at("second".to_owned())], ..set("a", "1") };
    let ran = run(plan(vec![phase("p", &[], vec![both, set("b", "1"), undo("first"), undo("second")])]), &world).await;
    assert_eq!((world.acts("first"), world.acts("second")), (1, 1));
    assert_eq!(undone(&ran), ["a", "a"]);
}

#[tokio::test]
async fn what_an_earlier_run_did_is_undone_even_when_this_one_did_not_come_to_it() {
    let world = FakeWorld::default();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.jsonl");
    let (interrupt, interrupts) = watch::channel(0);
    world.on_write("b", move || interrupt.send(1).unwrap());
    let journal = Some(Journal::create(&path).unwrap());
    run_with(saga(), &world, Setup { journal, interrupts, ..Setup::default() }).await;
    let memory = RunHistory::from_events(&read(&path).unwrap());
    let mut edited = saga();
    edited.phases[0].steps[0].params.insert("value".to_owned(), json!("2"));
    world.refuse("a");
    let ran = run_with(edited, &world, Setup { memory, ..Setup::default() }).await;
    assert!(matches!(ran.outcomes["p/b"], Outcome::Cancelled { .. }));
    assert_eq!(undone(&ran), ["b", "a"]);
}

#[tokio::test]
async fn what_leaves_no_trace_is_not_repeated_after_its_undo_was_cut_off_unless_a_person_says_so() {
    let act = |id: &str| step(id, "test.act", json!({ "path": id }));
    let make = || {
        let steps = vec![undone_by("undo-a", act("a")), set("b", "1"), undo("undo-a")];
        plan(vec![phase("p", &[], steps)])
    };
    for (options, word, acts) in [
        (Options::default(), "unknown", 1),
        (Options { done: vec!["a".into()], ..Options::default() }, "kept", 1),
        (Options { rerun: vec!["a".into()], ..Options::default() }, "changed", 2),
    ] {
        let world = FakeWorld::default();
        world.refuse("b");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("first");
        run_with(make(), &world, Setup { journal: Some(Journal::create(&path).unwrap()), ..Setup::default() }).await;
        let events = read(&path).unwrap();
        let starts = |e: &Event| matches!(&e.kind, EventKind::UnitStarted { unit, .. } if unit.step == "undo-a");
        let cut = events.iter().position(starts).unwrap();
        let memory = RunHistory::from_events(&events[..=cut]);
        world.allow("b");
        let path = dir.path().join("second");
        let journal = Some(Journal::create(&path).unwrap());
        let second = run_with(make(), &world, Setup { memory, options, journal, ..Setup::default() }).await;
        assert_eq!((second.word("p/a"), world.acts("a")), (word, acts));
        // The answer holds for the runs after this one, and so does the question.
        let memory = RunHistory::from_events(&read(&path).unwrap());
        let third = run_with(make(), &world, Setup { memory, ..Setup::default() }).await;
        let again = if word == "unknown" { "unknown" } else { "kept" };
        assert_eq!((third.word("p/a"), world.acts("a")), (again, acts));
    }
}

#[tokio::test]
async fn what_is_to_be_undone_on_a_host_out_of_sight_is_stuck() {
    let world = FakeWorld::default();
    world.refuse("b");
    let on = |hosts: &str, step: Step| Step { hosts: Some(at(hosts.to_owned())), ..step };
    let steps = vec![undone_by("undo-a", on("web", set("a", "1"))), on("web", set("b", "1")), on("db", undo("undo-a"))];
    let plan = plan(vec![phase("p", &[], steps)]);
    let ran = run_with(plan, &world, Setup { sees: Some("web"), ..Setup::default() }).await;
    assert_eq!(ran.report.stuck.iter().map(ToString::to_string).collect::<Vec<_>>(), ["p/a@web"]);
}
