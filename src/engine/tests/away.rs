//! A change that takes its host away for a while.

use super::*;

fn leave() -> Step {
    Step { timeout: Some(Duration::from_secs(20)), ..step("leave", "test.leave", json!({ "path": "host" })) }
}

fn one(step: Step) -> Plan {
    plan(vec![phase("p", &[], vec![set("a", "1"), step])])
}

/// Runs a plan with a journal; what comes of it, and what the next run remembers.
async fn remembered(plan: Plan, world: &FakeWorld, memory: RunHistory) -> (Ran, RunHistory) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.jsonl");
    let journal = Some(Journal::create(&path).unwrap());
    let ran = run_with(plan, world, Setup { journal, memory, ..Setup::default() }).await;
    (ran, RunHistory::from_events(&read(&path).unwrap()))
}

#[tokio::test]
async fn a_lost_connection_and_silence_are_what_was_asked_for() {
    tokio::time::pause();
    for lost in [false, true] {
        let world = FakeWorld::default();
        if lost {
            world.lose("ask", true);
        }
        world.silent_at(&[3, 4, 5]);
        world.appears_after("host", "back", 2);
        let ran = run(one(leave()), &world).await;
        assert_eq!(ran.word("p/leave"), "changed", "{lost:?}: {:?}", ran.outcomes);
        assert_eq!((world.acts("ask"), world.get("host.done").as_deref()), (1, Some("1")), "{lost:?}");
        let silent = |e: &&Event| matches!(&e.kind, EventKind::Progress { message, .. } if message == "nobody there");
        assert_eq!(ran.events.iter().filter(silent).count(), 3, "it says each time what it saw");
    }
}

#[tokio::test]
async fn a_host_that_does_not_come_back_is_unclear_and_the_next_run_goes_on_from_there() {
    tokio::time::pause();
    let world = FakeWorld::default();
    world.silent_at(&(3..200).collect::<Vec<_>>());
    let (ran, memory) = remembered(one(leave()), &world, RunHistory::default()).await;
    let Outcome::Unknown(problem) = &ran.outcomes["p/leave"] else { panic!("{:?}", ran.outcomes) };
    assert_eq!(problem.message, "not back after 20s: nobody there");
    world.silent_at(&[world.looks() + 1]);
    world.put("host", "back");
    let (ran, _) = remembered(one(leave()), &world, memory).await;
    assert_eq!(ran.word("p/leave"), "changed", "the first look of the next run finds nobody, and waits");
    assert_eq!(world.acts("ask"), 1);
}

#[tokio::test]
async fn what_changed_below_it_since_makes_it_a_new_matter() {
    tokio::time::pause();
    let world = FakeWorld::default();
    world.silent_at(&(3..200).collect::<Vec<_>>());
    let (_, memory) = remembered(one(leave()), &world, RunHistory::default()).await;
    world.silent_at(&[]);
    world.put("host", "back");
    let edited = plan(vec![phase("p", &[], vec![set("a", "2"), leave()])]);
    let (ran, _) = remembered(edited, &world, memory).await;
    assert_eq!((ran.word("p/a"), ran.word("p/leave")), ("changed", "changed"));
    assert_eq!(world.acts("ask"), 2, "it is asked again");
}

#[tokio::test]
async fn a_second_attempt_goes_on_from_the_first() {
    tokio::time::pause();
    let world = FakeWorld::default();
    world.appears_after("host", "back", 40);
    let leave = Step { retry: Retry { times: 3, delay: Duration::from_millis(1) }, ..leave() };
    let ran = run(one(leave), &world).await;
    assert_eq!(ran.word("p/leave"), "changed", "{:?}", ran.outcomes);
    assert!(ran.events.iter().any(|e| matches!(e.kind, EventKind::UnitRetried { .. })));
    assert_eq!(world.acts("ask"), 1);
}
