//! Going on from an earlier run, the plan edited or not.

use super::*;
use crate::journal::{Disk, JournalError};

/// A first run of a plan, whose journal keeps the records up to the last one that `until` likes.
async fn cut(plan: Plan, world: &FakeWorld, until: impl Fn(&EventKind) -> bool) -> RunHistory {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.jsonl");
    run_with(plan, world, Setup { journal: Some(Journal::create(&path).unwrap()), ..Setup::default() }).await;
    let events = read(&path).unwrap();
    let last = events.iter().rposition(|e| until(&e.kind)).unwrap();
    RunHistory::from_events(&events[..=last])
}

/// A run that goes on from `memory` and is asked to stop while it writes at `path`; gives what the next one finds.
async fn interrupted_at(path: &str, plan: Plan, world: &FakeWorld, memory: RunHistory) -> RunHistory {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("r.jsonl");
    let (interrupt, interrupts) = watch::channel(0);
    world.on_write(path, move || interrupt.send(1).unwrap());
    let journal = Some(Journal::create(&file).unwrap());
    run_with(plan, world, Setup { memory, journal, interrupts, ..Setup::default() }).await;
    RunHistory::from_events(&read(&file).unwrap())
}

fn started(step: &str) -> impl Fn(&EventKind) -> bool {
    move |kind| matches!(kind, EventKind::UnitStarted { unit, .. } if unit.step == step)
}

fn act(id: &str, more: Value) -> Step {
    let mut params = json!({ "path": id });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    step(id, "test.act", params)
}

#[tokio::test]
async fn what_cannot_be_looked_at_and_was_cut_off_is_not_repeated_unless_the_plan_or_a_person_says_so() {
    let make = |more: Value| plan(vec![phase("p", &[], vec![act("a", more), set("b", "1")])]);
    for (more, options, word, acts) in [
        (json!({}), Options::default(), "unknown", 1),
        (json!({ "rerun": true }), Options::default(), "changed", 2),
        (json!({}), Options { rerun: vec!["p/a".into()], ..Options::default() }, "changed", 2),
        (json!({}), Options { done: vec!["a".into()], ..Options::default() }, "kept", 1),
    ] {
        let world = FakeWorld::default();
        let memory = cut(make(more.clone()), &world, started("a")).await;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.jsonl");
        let journal = Some(Journal::create(&path).unwrap());
        let ran = run_with(make(more.clone()), &world, Setup { memory, options, journal, ..Setup::default() }).await;
        assert_eq!((ran.word("p/a"), world.acts("a")), (word, acts), "{more}");
        assert_eq!(ran.outcomes["p/b"].lets_dependents_start(), word != "unknown");
        // The answer holds for the runs after this one, and so does the question.
        let memory = RunHistory::from_events(&read(&path).unwrap());
        let third = run_with(make(more.clone()), &world, Setup { memory, ..Setup::default() }).await;
        let again = if word == "unknown" { "unknown" } else { "kept" };
        assert_eq!((third.word("p/a"), world.acts("a")), (again, acts), "{more}");
    }
}

#[tokio::test]
async fn a_change_below_is_not_forgotten_by_a_run_that_ended_before_it_came_to_what_stands_on_it() {
    let world = FakeWorld::default();
    let make = |a: &str| plan(vec![phase("p", &[], vec![set("a", a), set("b", "1"), set("c", "1")])]);
    world.refuse("c");
    let memory = cut(make("1"), &world, |_| true).await;
    // The second run changes `a` and ends before it comes to `b`, which the first run had done.
    let memory = interrupted_at("a", make("2"), &world, memory).await;
    world.allow("c");
    let third = run_with(make("2"), &world, Setup { memory, ..Setup::default() }).await;
    assert_eq!((third.word("p/a"), third.word("p/b"), third.word("p/c")), ("kept", "same", "changed"));
}

#[tokio::test]
async fn each_step_of_an_edited_plan_says_why_it_is_redone_or_dropped() {
    let world = FakeWorld::default();
    world.refuse("d");
    let first = vec![set("a", "1"), set("b", "1"), set("gone", "1"), set("d", "1")];
    let memory = cut(plan(vec![phase("p", &[], first)]), &world, |_| true).await;
    world.allow("d");
    let edited = vec![set("a", "1"), set("b", "2"), set("d", "1"), set("new", "1")];
    let ran = run_with(plan(vec![phase("p", &[], edited)]), &world, Setup { memory, ..Setup::default() }).await;
    let told: Vec<String> = ran
        .events
        .iter()
        .filter_map(|e| match &e.kind {
            EventKind::Dropped { unit, why } => Some(format!("{unit}: dropped, {why}")),
            EventKind::UnitStarted { unit, why, .. } => Some(format!("{unit}: {}", why.as_deref().unwrap_or("new"))),
            EventKind::UnitFinished { unit, outcome: Outcome::Kept { .. }, .. } => Some(format!("{unit}: kept")),
            _ => None,
        })
        .collect();
    assert_eq!(
        told,
        [
            "p/gone: dropped, the plan has no such step any more",
            "p/a: kept",
            "p/b: its definition changed",
            "p/d: it had failed",
            "p/new: new",
        ]
    );
}

/// A disk that takes so many writes and is full then.
struct Filling(usize);

impl Disk for Filling {
    fn append(&mut self, _: &[u8]) -> std::io::Result<()> {
        self.0 = self.0.checked_sub(1).ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(())
    }
    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_full_disk_stops_the_run_and_nothing_is_told_that_is_not_on_disk() {
    // The commits of this run: its start and `a`'s, `a`'s end and `b`'s start, `b`'s end, the run's end.
    for (takes, sent, told) in [(0, 0, 0), (1, 1, 2), (2, 2, 4)] {
        let world = FakeWorld::default();
        let journal = Some(Journal::on(Box::new(Filling(takes)), std::path::Path::new("full")));
        let two = plan(vec![phase("p", &[], vec![set("a", "1"), set("b", "1")])]);
        let (result, events) = try_run(two, &world, Setup { journal, ..Setup::default() }).await;
        assert!(matches!(result, Err(EngineError::Journal(JournalError::Io { .. }))), "{result:?}");
        assert_eq!((world.writes(), events.len()), (sent, told), "after {takes} writes");
    }
}

#[tokio::test]
async fn secret_outputs_are_looked_for_again_only_when_a_step_reads_them() {
    for (read, word) in [(false, "kept"), (true, "same")] {
        let world = FakeWorld::default();
        world.refuse("b");
        let value = if read { "{{ steps.a.value }}" } else { "1" };
        let make = || plan(vec![phase("p", &[], vec![Step { sensitive: true, ..set("a", "1") }, set("b", value)])]);
        let memory = cut(make(), &world, |_| true).await;
        world.allow("b");
        let ran = run_with(make(), &world, Setup { memory, ..Setup::default() }).await;
        assert_eq!((ran.word("p/a"), ran.word("p/b")), (word, "changed"));
    }
}

#[tokio::test]
async fn a_step_that_this_run_leaves_out_still_counts_for_what_stands_on_it() {
    let world = FakeWorld::default();
    let make = |a: &str| {
        let quick = Step { tags: vec![at("quick".to_owned())], ..set("b", "1") };
        plan(vec![phase("p", &[], vec![set("a", a), quick, set("c", "1")])])
    };
    world.refuse("c");
    let memory = cut(make("1"), &world, |_| true).await;
    let memory = interrupted_at("a", make("2"), &world, memory).await;
    let options = Options { tags: vec!["quick".to_owned()], ..Options::default() };
    let third = run_with(make("2"), &world, Setup { memory, options, ..Setup::default() }).await;
    assert_eq!((third.word("p/a"), third.word("p/b")), ("skipped", "same"));
}

#[tokio::test]
async fn what_a_handler_did_counts_for_the_step_behind_its_flush() {
    let world = FakeWorld::default();
    let make = |flush: bool| {
        let a = Step { notify: vec![at("h".to_owned())], ..set("a", "1") };
        let h = Step { kind: StepKind::Handler, ..set("h", "1") };
        plan(vec![phase("p", &[], vec![a, Step { flush, ..set("b", "1") }, set("c", "1"), h])])
    };
    world.refuse("c");
    let memory = cut(make(false), &world, |_| true).await;
    // The handler runs before `b` now, and the run ends there.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.jsonl");
    let (interrupt, interrupts) = watch::channel(0);
    world.on_write("h", move || interrupt.send(1).unwrap());
    let journal = Some(Journal::create(&path).unwrap());
    run_with(make(true), &world, Setup { memory, journal, interrupts, ..Setup::default() }).await;
    world.allow("c");
    let memory = RunHistory::from_events(&read(&path).unwrap());
    let third = run_with(make(true), &world, Setup { memory, ..Setup::default() }).await;
    assert_eq!((third.word("p/a"), third.word("p/b"), third.word("p/c")), ("kept", "same", "changed"));
}

#[tokio::test]
async fn who_failed_before_it_sent_anything_has_touched_nothing() {
    let world = FakeWorld::default();
    let make = || plan(vec![phase("p", &[], vec![set("a", "1"), set("b", "1"), set("c", "1")])]);
    world.refuse("c");
    let memory = cut(make(), &world, |_| true).await;
    // `a` is to be done again and cannot be reached: the run's first look, after the three of the first run.
    world.silent_at(&[4]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.jsonl");
    let journal = Some(Journal::create(&path).unwrap());
    let options = Options { rerun: vec!["a".into()], ..Options::default() };
    let second = run_with(make(), &world, Setup { memory, options, journal, ..Setup::default() }).await;
    assert_eq!(second.word("p/a"), "failed");
    world.allow("c");
    let memory = RunHistory::from_events(&read(&path).unwrap());
    let third = run_with(make(), &world, Setup { memory, ..Setup::default() }).await;
    assert_eq!((third.word("p/a"), third.word("p/b"), third.word("p/c")), ("same", "kept", "changed"));
}
